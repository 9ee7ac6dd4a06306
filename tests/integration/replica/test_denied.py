# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each permission of docs/permissions.md is taken away in turn: it is named, and nothing was changed."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from cloudpg_sandbox.testing import wait_until

pytestmark = pytest.mark.timeout(600)
# The lease is renewed, and the journal written, before each change.
JOURNAL = {"CreateTags", "DeleteTags"}
CLUSTER, INSTANCE = {"work_mem": "8192"}, {"seq_page_cost": "1.5"}
NAMED = {"cluster_group": "c", "instance_group": "i"}


def look(**more):
    return "aurora_replica_info", lambda world: {**world.sides, **more}


def preflight():
    return "replica_preflight_info", lambda world: {
        **world.sides, "instance_class": "db.r6g.large", "migration": world.migration,
    }


def journal(**more):
    return "aws_journal", lambda world: {**world.held, **more}


def replica(**more):
    return "aurora_replica", lambda world: {
        **world.sides, "instance_class": "db.r6g.large", "journal": world.journal, "wait": False,
        **{name: world.named(value) if value == "new" else value for name, value in more.items()},
    }


def groups(cluster=None, instance=None, state="present", **names):
    return "aurora_parameter_group", lambda world: {
        "state": state, "source": world.source, "journal": world.journal,
        **{name: world.named(short) for name, short in (NAMED | names).items()},
        "extra_cluster_parameters": CLUSTER if cluster is None else cluster,
        "extra_instance_parameters": INSTANCE if instance is None else instance,
    }


# By action: a module that comes to it, and its arguments.
NEEDS = {
    "rds:DescribeDBInstances": look(),
    "rds:DescribeDBClusters": look(),
    "rds:DescribeEvents": look(events_since="2026-01-01"),
    "cloudwatch:GetMetricStatistics": look(metrics=True),
    "rds:DescribeDBEngineVersions": preflight(),
    "rds:DescribeOrderableDBInstanceOptions": preflight(),
    "rds:DescribeDBClusterParameterGroups": groups(),
    "rds:DescribeDBClusterParameters": groups(),
    "rds:DescribeDBParameterGroups": groups(),
    "rds:DescribeDBParameters": groups(),
    "rds:DescribeEngineDefaultClusterParameters": groups(),
    "rds:DescribeEngineDefaultParameters": groups(),
    "rds:ListTagsForResource": groups(),
    "rds:DescribeDBSubnetGroups": ("aws_journal_info", lambda world: {
        "migration": world.migration, "cluster": world.cluster,
    }),
    "ec2:DescribeSecurityGroups": ("aws_journal_info", lambda world: {"migration": world.migration}),
    "ec2:CreateSecurityGroup": ("aws_journal", lambda world: {
        "journal": {"migration": world.named("new")}, "instance": world.source,
    }),
    "ec2:CreateTags": journal(),
    "ec2:AuthorizeSecurityGroupIngress": journal(controller_cidrs=["10.0.0.0/8", "10.1.0.0/16"]),
    "ec2:RevokeSecurityGroupIngress": journal(controller_cidrs=[]),
    "ec2:DeleteSecurityGroup": ("aws_journal", lambda world: {
        "state": "absent", "journal": {"migration": world.named("spare")}, "instance": world.source,
    }),
    "rds:CreateDBCluster": replica(cluster="new"),
    "rds:CreateDBInstance": replica(instance="new"),
    "rds:AddTagsToResource": replica(tags={"team": "shop"}),
    "rds:PromoteReadReplicaDBCluster": replica(state="promoted"),
    "rds:CreateDBClusterParameterGroup": groups(cluster_group="new"),
    "rds:CreateDBParameterGroup": groups(instance_group="new"),
    "rds:ModifyDBClusterParameterGroup": groups(cluster={"work_mem": "9000"}),
    "rds:ModifyDBParameterGroup": groups(instance={"seq_page_cost": "2"}),
    "rds:ResetDBClusterParameterGroup": groups(cluster={}),
    "rds:ResetDBParameterGroup": groups(instance={}),
    "rds:DeleteDBClusterParameterGroup": groups(state="absent", instance_group="none"),
    "rds:DeleteDBParameterGroup": groups(state="absent", cluster_group="none"),
    "rds:ModifyDBInstance": ("rds_maintenance_hold", lambda world: world.held),
    "rds:ModifyDBCluster": ("rds_quiesce", lambda world: {
        "state": "open", "cluster": world.cluster, "security_group_ids": [world.clients], "journal": world.journal,
    }),
}
# Preflight goes on without these and says so.
OPTIONAL = {
    "cloudwatch:DescribeAlarms": "alarms", "rds:DescribeDBProxies": "proxies", "rds:DescribeDBProxyTargets": "proxies",
}
# In the tests below, one after the other.
FENCE = {"ec2:DeleteTags": set(), "rds:RebootDBInstance": {"ModifyDBInstance"}}
REMOVAL = {
    "rds:DeleteDBInstance": {"PromoteReadReplicaDBCluster"}, "rds:DeleteDBCluster": {"DeleteDBInstance"},
}
# A module of amazon.aws asks for it when finish deletes the old side.
UPSTREAM = {"rds:DescribeDBSnapshots"}
DENIED = {*NEEDS, *OPTIONAL, *FENCE, *REMOVAL, *UPSTREAM}


class World:
    """A migration that is held, with a replica, parameter groups, an RDS proxy and a lock that nobody needs."""

    def __init__(self, cloud, run_module, sandbox):
        self.cloud, self.run_module, self.sandbox = cloud, run_module, sandbox
        self.migration = cloud.name("strict")
        self.source, self.cluster = self.named("rds"), self.named("aurora")
        self.sides = {"source": self.source, "cluster": self.cluster}
        self.clients = cloud.app_group

    def named(self, short):
        return f"{self.migration}-{short}"

    @property
    def held(self):
        return {"journal": self.journal, "instance": self.source}

    def do(self, module, **args):
        told = self.run_module(module, args)
        assert not told.get("failed"), told
        return told

    def build(self):
        self.cloud.create_instance(self.source)
        for migration in (self.named("spare"), self.migration):
            self.journal = self.do("aws_journal", journal={"migration": migration}, instance=self.source)["journal"]
            self.do("aws_journal", journal=self.journal, controller_cidrs=["10.0.0.0/8"], events=[
                {"id": "something", "object": "a", "was": 1, "now": 2},
            ])
        [spare] = self.cloud.groups_of(self.named("spare")).values()
        self.cloud.tag(spare["GroupId"], cloudpg__lease="")
        name, args = groups()
        self.do(name, **args(self))
        self.do(
            "aurora_replica", **self.sides, instance_class="db.r6g.large", journal=self.journal,
            security_group_ids=[self.journal["group_id"]],
        )
        self.quiesce("quiesced")
        self.quiesce("open")
        self.proxy()
        return self

    def quiesce(self, state):
        return self.run_module("rds_quiesce", {"state": state, "instance": self.source, "journal": self.journal})

    def proxy(self):
        self.cloud.rds.create_db_proxy(
            DBProxyName=self.named("proxy"), EngineFamily="POSTGRESQL", RoleArn="arn:aws:iam::123456789012:role/proxy",
            Auth=[], VpcSubnetIds=[self.cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        )

    def remove(self):
        return self.run_module("aurora_replica", {
            **self.sides, "state": "absent", "skip_final_snapshot": True, "journal": self.journal,
        })

    def clear(self):
        self.remove()
        self.quiesce("open")
        self.cloud.rds.delete_db_proxy(DBProxyName=self.named("proxy"))
        self.cloud.rds.delete_db_instance(DBInstanceIdentifier=self.source, SkipFinalSnapshot=True)

    @contextmanager
    def without(self, action):
        """Without this permission; yields the calls that changed something all the same."""
        changed = set()
        fault = self.sandbox.control("POST", "faults", {"name": "access_denied", "operation": action})["id"]
        try:
            with self.cloud.calls() as calls:
                yield changed
        finally:
            self.sandbox.control("DELETE", f"faults/{fault}")
        done = {entry["operation"] for entry in calls.entries if entry["status"] < 400}
        changed |= done & set(calls.changes) - JOURNAL


@pytest.fixture(scope="module")
def world(cloud, run_module, sandbox):
    made = World(cloud, run_module, sandbox).build()
    yield made
    made.clear()


def names(action, told):
    return f"allow the IAM action {action} to the credentials in use" in str(told)


@pytest.mark.parametrize("action", NEEDS)
def test_a_permission_that_is_missing_is_named_and_nothing_was_changed(world, action):
    module, args = NEEDS[action]
    with world.without(action) as changed:
        told = world.run_module(module, args(world))
    assert told.get("failed") and names(action, told["msg"]), told
    assert changed == set()


@pytest.mark.parametrize("action", OPTIONAL)
def test_what_preflight_may_not_look_at_is_a_warning_that_names_the_permission(world, action):
    module, args = preflight()
    with world.without(action) as changed:
        told = world.run_module(module, args(world))
    found = [one for one in told["findings"] if one["id"] == f"{OPTIONAL[action]}-unknown"]
    assert [one["severity"] for one in found] == ["warning"] and names(action, found[0]["reason"])
    assert changed == set()


@pytest.mark.parametrize("action", FENCE)
def test_a_fence_that_may_not_be_raised_says_why_and_can_be_opened_again(world, action):
    with world.without(action) as changed:
        told = world.quiesce("quiesced")
    assert told.get("failed") and names(action, told["msg"]), told
    assert changed == FENCE[action]
    assert not world.quiesce("open").get("failed")
    assert world.cloud.attached(world.source) == [world.clients]


def test_a_removal_that_stops_half_way_says_why_and_goes_on_when_it_is_allowed(world):
    for action, earlier in REMOVAL.items():
        with world.without(action) as changed:
            told = world.remove()
        assert told.get("failed") and names(action, told["msg"]), told
        assert changed == earlier
    assert not world.remove().get("failed")
    wait_until(lambda: not world.cloud.has_cluster(world.cluster))
