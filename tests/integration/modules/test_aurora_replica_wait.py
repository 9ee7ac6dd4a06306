"""Waiting for a replica: the action against real answers, and once through Ansible itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible.errors import AnsibleActionFail

from ansible_collections.cloudpg.migration.plugins.action.aurora_replica_wait import ActionModule
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal as locks

from .conftest import UNTIL_TOLD

COLLECTIONS = Path(__file__).parents[3] / "build" / "collections"


class Waiting(ActionModule):
    """The action, with modules run as in the other tests; between two looks the test may act, and time flies."""

    def __init__(self, run_module, args, meanwhile=lambda: None, check_mode=False):
        self._task = SimpleNamespace(args=args, check_mode=check_mode, async_val=0, diff=False)
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), has_pipelining=True)
        self._supports_check_mode = self._supports_async = True
        self.run_module, self.meanwhile, self.now, self.lines = run_module, meanwhile, 0.0, []
        self.clock, self.sleep = (lambda: self.now), self._sleep

    def _sleep(self, seconds):
        self.now += 10 * seconds
        self.meanwhile()

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        return self.run_module(module_name.rsplit(".", 1)[1], module_args)

    def _say(self, look, elapsed):
        super()._say(look, elapsed)
        self.lines.append(look.line)


@pytest.fixture(scope="module")
def replica(cloud, shop, run_module):
    """A replica that the tests of this file share until the last of them promotes it."""
    journal = run_module("aws_journal", {
        "journal": {"migration": cloud.name("orders")}, "instance": shop["DBInstanceIdentifier"],
    })["journal"]
    args = {
        "source": shop["DBInstanceIdentifier"], "cluster": f"{journal['migration']}-aurora", "journal": journal,
    }
    made = run_module("aurora_replica", {"state": "present", "instance_class": "db.r6g.large", **args})
    assert made.get("phase") == "replica", made
    yield args
    journal = run_module("aws_journal", {
        "journal": {"migration": journal["migration"]}, "instance": args["source"], "take_over": True,
    })["journal"]
    run_module("aurora_replica", {**args, "state": "absent", "skip_final_snapshot": True, "journal": journal})


@pytest.fixture
def wait(replica, run_module):
    def wait(until, meanwhile=lambda: None, check_mode=False, **options):
        action = Waiting(run_module, {"until": until, **replica, **options}, meanwhile, check_mode)
        return action, action.run(task_vars={"inventory_hostname": "orders", "ansible_play_hosts": ["orders"]})

    return wait


@pytest.mark.parametrize("until", ["cluster_available", "created"])
def test_r2_what_is_built_is_not_waited_for(wait, replica, until):
    action, result = wait(until)
    assert not result.get("failed") and result["changed"] is False
    assert action.lines[0].startswith(f"replica {replica['cluster']}: available")
    assert result["state"]["replicas"][0]["identifier"] == replica["cluster"]


def test_r12_in_step_waits_for_the_first_figures(wait):
    _action, result = wait("in_step", metric_period=1, wait_timeout=600)
    assert result["msg"].startswith("in step: lag ") and "slot" in result["msg"]


def test_r12_in_step_is_never_reached_without_figures(wait, faults):
    faults("missing_metrics", metric="RDSToAuroraPostgreSQLReplicaLag")
    wait_until(lambda: wait("in_step", metric_period=1, wait_timeout=0)[1].get("failed"))
    _action, result = wait("in_step", metric_period=1, wait_timeout=60)
    assert result["failed"] and "(wait_timeout 60) for the replica" in result["msg"]
    assert "figure of the lag" in result["msg"]
    assert result["state"]["replicas"], "the last state is returned"


def test_r13_drained_waits_for_samples_after_the_fence(wait):
    fence = locks.utc_now().isoformat()
    action, result = wait("drained", after=fence, metric_period=1, wait_timeout=6000)
    assert not result.get("failed"), result
    assert result["msg"].startswith("drained: ") and result["state"]["drain"]["proven"]
    assert action.lines[0].startswith(("draining: no sample", "drained: "))


def test_r15_drained_is_never_reached_when_the_samples_are_of_before(wait):
    _action, result = wait("drained", after="2099-01-01T00:00:00Z", metric_period=1, wait_timeout=20)
    assert result["failed"] and "missing is not zero" in result["msg"]


def test_in_check_mode_it_says_what_it_would_wait_for(cloud, wait, replica):
    with cloud.calls() as calls:
        _action, result = wait("drained", check_mode=True, after="")
    assert result["msg"].startswith(f"would wait for the replica {replica['cluster']} to have everything")
    assert calls.operations == []


def test_r6_a_cluster_that_isnt_there_ends_the_wait(wait):
    _action, result = wait("created", cluster="no-such")
    assert result["failed"] and "the cluster no-such doesn't exist" in result["msg"]


def test_a_service_that_refuses_ends_the_wait_with_its_reason(wait, faults):
    faults("access_denied", operation="rds:DescribeDBClusters")
    _action, result = wait("created")
    assert result["failed"] and "allow the IAM action rds:DescribeDBClusters" in result["msg"]


def test_r33_the_lease_is_renewed_and_a_lost_one_ends_the_wait(cloud, wait, replica):
    never = {"until": "drained", "after": "2099-01-01T00:00:00Z"}
    migration, group = replica["journal"]["migration"], replica["journal"]["group_id"]
    leases = set()
    wait(**never, meanwhile=lambda: leases.add(cloud.tags(group)["cloudpg:lease"]), wait_timeout=60)
    assert len(leases) > 1, "it was renewed"

    def take_over():
        if len(cloud.groups_of(migration)) == 1:
            locks.acquire(cloud.ec2, migration, cloud.vpc, "other@there#1", locks.Queue(take_over=True))

    with pytest.raises(AnsibleActionFail, match="held by other@there#1"):
        wait(**never, meanwhile=take_over, wait_timeout=600)


def test_r16_promoted_waits_for_all_signs_and_ansible_prints_every_change(cloud, wait, replica, faults, faults_end):
    """Through Ansible itself: the lines carry the host's name and arrive while it waits."""
    faults("slow_transition", transition="promoting", identifier=replica["cluster"], factor=UNTIL_TOLD)
    cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=replica["cluster"])
    asked = {"until": "promoted", "source": replica["source"], "cluster": replica["cluster"], "wait_timeout": 60}
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("ansible")), "localhost", "-c", "local", "-i", "localhost,",
         "-m", "cloudpg.migration.aurora_replica_wait", "-a", json.dumps(asked)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={
            **os.environ, **cloud.sandbox.env, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "PYTHONUNBUFFERED": "1",
        },
    ) as ansible:
        said = ""
        for line in ansible.stdout:
            said += line
            if line.startswith(f"[localhost] promoting {replica['cluster']}: status is "):
                faults_end()
    assert ansible.returncode == 0, said
    assert f"[localhost] {replica['cluster']} is promoted · 0" in said
    assert cloud.sandbox.env["AWS_SECRET_ACCESS_KEY"] not in said
    _action, again = wait("promoted")
    assert not again.get("failed")
