"""An Aurora replica from nothing to a cluster of its own, and away again, on the sandbox."""

from __future__ import annotations

import json
import re

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal as locks

from .conftest import UNTIL_TOLD, start_module

CLASS = "db.r6g.large"
PREDICTED = {"generation": None, "holder": None, "group_id": None}


class Site:
    """One migration: its source, its lock and its replica."""

    def __init__(self, cloud, run_module, source, journal):
        self.cloud, self.run, self.source, self.journal = cloud, run_module, source, journal
        self.cluster = f"{journal['migration']}-aurora"

    def args(self, state="present", **options):
        return {
            "state": state, "source": self.source, "cluster": self.cluster, "instance_class": CLASS,
            "security_group_ids": [self.journal["group_id"]], "journal": self.journal, "wait_timeout": 60, **options,
        }

    def replica(self, state="present", check=False, diff=False, **options):
        return self.run("aurora_replica", self.args(state, **options), check, diff)

    def start(self, state="present", **options):
        return start_module("aurora_replica", self.args(state, **options), self.cloud.sandbox.env)

    def info(self, **options):
        return self.run("aurora_replica_info", {"source": self.source, "cluster": self.cluster, **options})

    def make(self):
        made = self.replica()
        assert not made.get("failed"), made
        return made

    def remove(self):
        if self.cloud.has_cluster(self.cluster):
            facts = self.cloud.cluster(self.cluster)
            if facts.get("ReplicationSourceIdentifier") and facts["DBClusterMembers"]:
                wait_until(lambda: self.cloud.cluster(self.cluster)["Status"] == "available")
            gone = self.run("aurora_replica", self.args("absent", skip_final_snapshot=True, deletion_protection=False))
            assert not gone.get("failed"), gone

    def after(self, cluster_calls, operation):
        [entry] = [entry for entry in cluster_calls.entries if entry["operation"] == operation]
        return entry["params"]


@pytest.fixture
def site(cloud, shop, run_module, held):
    """Beside the shop of the module; its replica is removed afterwards, since a source has one at most (R3)."""
    site = Site(cloud, run_module, shop["DBInstanceIdentifier"], held)
    yield site
    cloud.sandbox.control("DELETE", "faults")
    site.remove()


@pytest.fixture
def made(site):
    site.make()
    return site


# Making it

def test_r1_r2_a_replica_is_made_with_its_instance_and_a_second_time_nothing_happens(cloud, shop, site):
    with cloud.calls() as calls:
        planned = site.replica(check=True)
    assert calls.changes == []
    assert planned["changed"] and planned["phase"] == "replica"
    assert (planned["cluster"]["predicted"], planned["cluster"]["endpoint"]) == (True, None)
    assert [member["identifier"] for member in planned["cluster"]["members"]] == [f"{site.cluster}-1"]

    with cloud.calls() as calls:
        made = site.replica(tags={"team": "shop"})
    assert made["changed"] and made["actions"] == planned["actions"]
    assert [change for change in calls.changes if change != "CreateTags"] == ["CreateDBCluster", "CreateDBInstance"]
    asked = site.after(calls, "CreateDBCluster")
    assert asked["ReplicationSourceIdentifier"] == shop["DBInstanceArn"]
    assert asked["DBSubnetGroupName"] == shop["DBSubnetGroup"]["DBSubnetGroupName"]
    assert not {"MasterUsername", "MasterUserPassword", "DatabaseName"} & asked.keys()
    of_the_cluster = {"EngineVersion", "VpcSecurityGroupIds", "StorageEncrypted"}
    assert not of_the_cluster & site.after(calls, "CreateDBInstance").keys()
    cluster = made["cluster"]
    assert (made["phase"], cluster["is_replica"], cluster["predicted"]) == ("replica", True, False)
    assert cluster["tags"] == {"cloudpg:migration": site.journal["migration"], "team": "shop"}
    assert [group["id"] for group in cluster["security_groups"]] == [site.journal["group_id"]]
    assert cluster["members"][0]["status"] == "available" and cluster["members"][0]["address"]

    with cloud.calls() as calls:
        again = site.replica(tags={"team": "shop"})
    assert (again["changed"], again["actions"], calls.changes) == (False, [], [])
    assert again["cluster"] == cluster

    drifted = site.replica(tags={"team": "web"}, deletion_protection=True, diff=True)
    assert drifted["changed"]
    assert drifted["diff"]["before"]["cluster"]["tags"]["team"] == "shop"
    assert drifted["diff"]["after"]["cluster"]["tags"]["team"] == "web"
    assert (drifted["cluster"]["tags"]["team"], drifted["cluster"]["deletion_protection"]) == ("web", True)
    assert site.replica(tags={"team": "web"}, deletion_protection=True)["changed"] is False


def test_r2_without_waiting_it_does_what_can_be_done_now_and_a_second_call_goes_on(cloud, site, faults, faults_end):
    faults("slow_transition", transition="creating", identifier=site.cluster, factor=UNTIL_TOLD)
    with cloud.calls() as calls:
        first, second = site.replica(wait=False), site.replica(wait=False)
    assert (first["changed"], first["phase"]) == (True, "creating_cluster")
    assert (second["changed"], second["phase"]) == (False, "creating_cluster")
    assert calls.changes == ["CreateTags", "CreateDBCluster"]
    faults_end()
    wait_until(lambda: cloud.cluster(site.cluster)["Status"] == "available")
    third = site.replica(wait=False)
    assert (third["changed"], third["phase"]) == (True, "creating_instance")
    assert site.replica()["phase"] == "replica"


def test_r5_the_lowest_version_that_is_allowed_is_taken(site):
    source = site.cloud.instance(site.source)["EngineVersion"]
    planned = site.replica(check=True)["cluster"]["engine_version"]
    offered = [
        tuple(map(int, version["EngineVersion"].split(".")))
        for version in site.cloud.rds.describe_db_engine_versions(Engine="aurora-postgresql")["DBEngineVersions"]
    ]
    wanted = min(version for version in offered if version >= tuple(map(int, source.split("."))))
    assert tuple(map(int, planned.split("."))) == wanted


@pytest.mark.parametrize("options, words", [
    ({"engine_version": "15.4"}, "engine_version 15.4: .*Cure: one of 16"),
    ({"instance_class": "db.t1.micro"}, "instance_class db.t1.micro is not offered"),
    ({"instance_class": None}, "instance_class is needed"),
    ({"source": "no-such-instance"}, "instance no-such-instance doesn't exist"),
    ({"journal": {"migration": "orders"}}, "is not held.*aws_journal"),
    ({"journal": {"migration": "orders", "generation": 1, "holder": "me", "group_id": "sg-1"}}, "lost.*is gone"),
], ids=["version", "class", "no class", "source", "no lock", "a lock that is gone"])
def test_wrong_input_is_named_and_nothing_is_made(site, options, words):
    with site.cloud.calls() as calls:
        refused = site.replica(**options)
    assert refused["failed"] and re.search(words, refused["msg"]), refused["msg"]
    assert calls.changes == []


def test_r4_the_replica_of_an_encrypted_source_has_its_key(cloud, run_module, held):
    key = "arn:aws:kms:eu-west-1:123456789012:key/1111"
    name = cloud.name("secret")
    cloud.create_instance(name, StorageEncrypted=True, KmsKeyId=key)
    site = Site(cloud, run_module, name, held)
    try:
        with cloud.calls() as calls:
            made = site.replica(wait=False)
        assert made["cluster"]["encrypted"]
        assert (site.after(calls, "CreateDBCluster")["KmsKeyId"]) == cloud.instance(name)["KmsKeyId"]
        wait_until(lambda: cloud.cluster(site.cluster)["Status"] == "available")
    finally:
        site.remove()
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


def test_r7_a_cluster_of_somebody_else_is_never_touched(cloud, run_module, site):
    name = cloud.name("foreign")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion="16", MasterUsername="shop_admin",
        MasterUserPassword="a-long-password-of-the-tests-4711", VpcSecurityGroupIds=[cloud.app_group],
    )
    wait_until(lambda: cloud.cluster(name)["Status"] == "available")
    with cloud.calls() as calls:
        for state in ("present", "promoted", "absent"):
            refused = site.replica(state, cluster=name, skip_final_snapshot=True)
            assert refused["failed"] and f"cluster {name} exists, is no replica of {site.source}" in refused["msg"]
    assert calls.changes == []
    cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_r6_a_cluster_that_fails_is_named_at_once_and_can_be_removed(site, faults):
    faults("refuse_transition", transition="creating", identifier=site.cluster)
    for attempt in ("first", "second"):
        failed = site.replica(wait_timeout=600)
        assert failed["failed"] and f"cluster {site.cluster} is migration-failed" in failed["msg"], attempt
    assert site.info()["phase"] == "failed"
    assert site.replica("absent")["changed"]
    assert not site.cloud.has_cluster(site.cluster)


def test_r6_an_instance_that_fails_is_named_at_once(site, faults):
    faults("refuse_transition", transition="creating", identifier=f"{site.cluster}-1")
    failed = site.replica(wait_timeout=600)
    assert failed["failed"] and f"instance {site.cluster}-1 is failed" in failed["msg"]


def test_the_timeout_is_honoured_and_a_second_run_goes_on_waiting(site, faults):
    fault = faults("slow_transition", transition="creating", identifier=site.cluster, factor=UNTIL_TOLD)
    waited = site.replica(wait_timeout=1)
    assert waited["failed"] and waited["code"] == "wait_timeout"
    assert f"last seen: cluster {site.cluster} is creating" in waited["msg"]
    site.cloud.sandbox.control("DELETE", f"faults/{fault}")
    done = site.replica()
    assert done["phase"] == "replica"
    assert [action.split()[1] for action in done["actions"]] == ["instance"]


def test_r33_a_run_that_lost_its_lock_while_it_waited_changes_nothing_more(cloud, site, faults, faults_end):
    faults("slow_transition", transition="creating", identifier=site.cluster, factor=UNTIL_TOLD)
    running = site.start()
    wait_until(lambda: cloud.has_cluster(site.cluster))
    with cloud.calls() as calls:
        locks.acquire(
            cloud.ec2, site.journal["migration"], cloud.vpc, "other@there#1", locks.Queue(take_over=True)
        )
        result = running.result()
    faults_end()
    assert result["failed"] and result["code"] == "lease_lost", result
    assert "held by other@there#1" in result["msg"]
    assert "CreateDBInstance" not in calls.operations
    site.journal = {
        "migration": site.journal["migration"], "generation": 2, "holder": "other@there#1",
        "group_id": cloud.groups_of(site.journal["migration"])[f"cloudpg-{site.journal['migration']}-2"]["GroupId"],
    }
    assert site.replica()["phase"] == "replica", "the new holder goes on"


# Services that fail

@pytest.mark.parametrize("fault, operation, words", [
    ("access_denied", "rds:CreateDBCluster", "allow the IAM action rds:CreateDBCluster"),
    ("access_denied", "ec2:CreateTags", "allow the IAM action ec2:CreateTags"),
    ("access_denied", "rds:DescribeOrderableDBInstanceOptions", "rds:DescribeOrderableDBInstanceOptions"),
    ("expired_token", "rds:CreateDBCluster", "the session token has expired"),
])
def test_what_aws_refuses_is_named_and_no_cluster_is_made(site, faults, fault, operation, words):
    faults(fault, operation=operation)
    refused = site.replica()
    assert refused["failed"] and words in refused["msg"], refused["msg"]
    assert not site.cloud.has_cluster(site.cluster)


def test_a_cluster_whose_answer_was_lost_is_gone_on_with(site, faults):
    faults("drop_response", operation="rds:CreateDBCluster", times=1)
    faults("throttling", operation="rds:CreateDBInstance", times=1)
    assert site.replica()["phase"] == "replica"


# Promoting it

def test_r16_it_is_promoted_and_a_second_time_nothing_happens(cloud, made):
    with cloud.calls() as calls:
        planned = made.replica("promoted", check=True)
    assert (planned["changed"], planned["phase"], calls.changes) == (True, "promoted", [])
    assert (planned["cluster"]["is_replica"], planned["cluster"]["predicted"]) == (False, True)
    assert made.info()["promotion"] == {"done": False, "lacks": [
        f"still replicates from {cloud.instance(made.source)['DBInstanceArn']}", "it has no writer",
        "no event says that it was promoted",
    ]}

    promoted = made.replica("promoted")
    assert (promoted["changed"], promoted["phase"], promoted["cluster"]["is_replica"]) == (True, "promoted", False)
    assert promoted["cluster"]["members"][0]["is_writer"]
    with cloud.calls() as calls:
        assert made.replica("promoted")["changed"] is False
        assert made.replica("present")["changed"] is False
    assert calls.changes == []
    seen = made.info(events_since="2020-01-01T00:00:00Z")
    assert seen["promotion"] == {"done": True, "lacks": []}
    assert any("promoted" in event["message"].lower() for event in seen["events"])

    refused = made.replica("absent")
    assert refused["failed"] and "name a final_snapshot" in refused["msg"]
    with cloud.calls() as calls:
        gone = made.replica("absent", final_snapshot=f"{made.cluster}-last")
    assert (gone["changed"], gone["cluster"], gone["phase"]) == (True, None, "absent")
    asked = [entry["params"] for entry in calls.entries if entry["operation"] == "DeleteDBCluster"][-1]
    assert asked["FinalDBSnapshotIdentifier"] == f"{made.cluster}-last"


def test_r16_available_before_the_promotion_has_begun_is_not_taken_for_done(made, faults):
    """AWS may say available, and still name the source, for a while after it accepted the call."""
    faults("slow_transition", transition="promotion-accepted", identifier=made.cluster, factor=30)
    accepted = made.replica("promoted", wait=False)
    assert (accepted["changed"], accepted["cluster"]["status"]) == (True, "available")
    done = made.replica("promoted")
    assert (done["cluster"]["is_replica"], done["phase"]) == (False, "promoted")


def test_r16_a_promotion_that_aws_gives_up_is_an_error_and_not_a_long_wait(made, faults):
    faults("refuse_transition", transition="promoting", identifier=made.cluster)
    faults("slow_transition", transition="promoting", identifier=made.cluster, factor=40)
    failed = made.replica("promoted", wait_timeout=600)
    assert failed["failed"] and "AWS gave its promotion up" in failed["msg"]


def test_r16_a_promotion_whose_answer_was_lost_is_waited_for(made, faults):
    faults("drop_response", operation="rds:PromoteReadReplicaDBCluster", times=1)
    assert made.replica("promoted")["phase"] == "promoted"


def test_r16_what_is_not_there_is_promoted_in_check_mode_only(site):
    planned = site.replica("promoted", check=True, journal={"migration": "fresh", **PREDICTED})
    assert planned["changed"] and planned["cluster"]["endpoint"] is None
    assert "there is nothing to promote" in site.replica("promoted")["msg"]


# Removing it

def test_a_replica_is_removed_and_a_second_time_nothing_happens(cloud, made):
    with cloud.calls() as calls:
        planned = made.replica("absent", check=True)
    assert (planned["changed"], planned["cluster"], calls.changes) == (True, None, [])
    gone = made.replica("absent")
    assert gone["actions"] == planned["actions"] and gone["phase"] == "absent"
    assert not cloud.has_cluster(made.cluster)
    assert cloud.instance(made.source)["ReadReplicaDBClusterIdentifiers"] == []
    with cloud.calls() as calls:
        assert made.replica("absent")["changed"] is False
    assert calls.changes == []


def test_a_protected_replica_is_removed_only_when_the_protection_is_lifted(site):
    site.replica(deletion_protection=True)
    refused = site.replica("absent")
    assert refused["failed"] and "deletion_protection: false" in refused["msg"]
    assert site.replica("absent", deletion_protection=False)["phase"] == "absent"


# Looking at it

def test_r12_figures_come_from_both_sides_and_missing_ones_are_null(made, faults):
    options = {"metrics": True, "metric_period": 1, "metric_window": 60}
    seen = wait_until(lambda: all((found := made.info(**options))["metrics"].values()) and found)
    lag = seen["metrics"]["RDSToAuroraPostgreSQLReplicaLag"]
    assert lag["value"] >= 0 and lag["unit"] == "Seconds" and lag["age_seconds"] < 60
    assert seen["metrics"]["FreeStorageSpace"]["value"] > 1024 ** 2
    assert seen["source"]["endpoint"]["address"] and seen["replicas"][0]["identifier"] == made.cluster
    faults("missing_metrics", metric="OldestReplicationSlotLag")
    options["metric_window"] = 2
    wait_until(lambda: made.info(**options)["metrics"]["OldestReplicationSlotLag"] is None)
    assert made.info(**options)["metrics"]["FreeStorageSpace"]["value"] > 0


def test_r13_samples_that_began_after_the_fence_prove_the_catch_up(made):
    seen = wait_until(lambda: made.info(metrics=True, metric_period=1)["metrics"]["OldestReplicationSlotLag"])
    assert seen
    fence = locks.utc_now().isoformat()
    drain = wait_until(lambda: (found := made.info(drained_after=fence, metric_period=1)["drain"])["proven"] and found)
    assert all(sample["at"] >= fence[:19] for sample in drain["samples"])


def test_r12_without_samples_nothing_is_proven(made, faults):
    faults("missing_metrics", metric="RDSToAuroraPostgreSQLReplicaLag")
    fence = locks.utc_now().isoformat()
    wait_until(lambda: any(
        sample["metric"] == "OldestReplicationSlotLag" and sample["low"] == 0
        for sample in made.info(drained_after=fence, metric_period=1)["drain"]["samples"]
    ))
    drain = made.info(drained_after=fence, metric_period=1)["drain"]
    assert drain["reason"].startswith("no sample of RDSToAuroraPostgreSQLReplicaLag")
    assert drain["proven"] is False


def test_looking_at_nothing_finds_nothing_and_only_reads(cloud, run_module):
    with cloud.calls() as calls:
        seen = run_module("aurora_replica_info", {
            "source": "no-such", "cluster": "no-such", "metrics": True, "drained_after": "2026-01-01T00:00Z",
            "events_since": "2026-01-01T00:00Z",
        })
    assert (seen["source"], seen["replicas"], seen["phase"], seen["events"]) == (None, [], "absent", [])
    assert set(seen["metrics"].values()) == {None}
    assert seen["drain"]["proven"] is False and seen["promotion"]["done"] is False
    assert calls.changes == []


def test_a_moment_that_is_none_is_named(run_module):
    refused = run_module("aurora_replica_info", {"source": "x", "cluster": "y", "drained_after": "yesterday"})
    assert refused["failed"] and "drained_after: 'yesterday' is no moment" in refused["msg"]


def test_no_result_holds_a_secret(cloud, site):
    text = json.dumps(site.replica(check=True)) + json.dumps(site.info())
    assert cloud.sandbox.env["AWS_SECRET_ACCESS_KEY"] not in text
