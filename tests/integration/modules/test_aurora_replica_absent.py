"""Taking an Aurora replica away, where RDS keeps its last instance until the promotion (R16, R19)."""

from __future__ import annotations

import signal

import pytest
from botocore.exceptions import ClientError
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal as locks
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import phase, removal, replica_work
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.replica import Wish
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.waiters import Patience

from .conftest import UNTIL_TOLD, start_module

pytestmark = pytest.mark.long
PROMOTE, DELETE_INSTANCE, DELETE_CLUSTER = "PromoteReadReplicaDBCluster", "DeleteDBInstance", "DeleteDBCluster"
WAY = [PROMOTE, DELETE_INSTANCE, DELETE_CLUSTER]


class Target:
    """The replica of one migration."""

    def __init__(self, cloud, run_module, source, journal):
        self.cloud, self.run, self.source, self.journal = cloud, run_module, source, journal
        self.name = f"{journal['migration']}-aurora"

    def args(self, state, **options):
        return {
            "state": state, "source": self.source, "cluster": self.name, "journal": self.journal, "wait_timeout": 60,
            **options,
        }

    def make(self, **options):
        made = self.run("aurora_replica", self.args("present", **{
            "instance_class": "db.r6g.large", "security_group_ids": [self.journal["group_id"]], **options,
        }))
        assert not made.get("failed"), made
        return made

    def remove(self, check=False, **options):
        return self.run("aurora_replica", self.args("absent", **options), check)

    def start_removing(self, **options):
        return start_module("aurora_replica", self.args("absent", **options), self.cloud.sandbox.env)

    def write_down(self, **events):
        self.run("aws_journal", {"journal": self.journal, "events": [
            {"id": name.replace("__", "."), "object": self.name, "was": False, "now": now}
            for name, now in events.items()
        ]})

    @property
    def events(self):
        [journal] = self.run("aws_journal_info", {
            "migration": self.journal["migration"], "instance": self.source,
        })["journals"]
        return journal["events"]

    @property
    def phase(self):
        """What status.yml says."""
        found = self.run("aurora_replica_info", {"source": self.source, "cluster": self.name})["replicas"]
        return phase.phase(found[0] if found else None, self.events, self.journal["migration"])[0]

    @property
    def status(self):
        return self.cloud.cluster(self.name)["Status"]

    @property
    def there(self):
        return self.cloud.has_cluster(self.name)


def changes(calls):
    """What was changed at RDS, in its order."""
    return [operation for operation in calls.changes if operation != "CreateTags"]


@pytest.fixture
def target(cloud, shop, run_module, held):
    target = Target(cloud, run_module, shop["DBInstanceIdentifier"], held)
    yield target
    cloud.sandbox.control("DELETE", "faults")
    if target.there:
        target.run("rds_quiesce", {"state": "quiesced", "cluster": target.name, "journal": target.journal})
        gone = target.remove(final_snapshot=f"{target.name}-end", deletion_protection=False)
        assert not gone.get("failed"), gone


@pytest.fixture
def made(target):
    target.make()
    return target


def test_r16_a_replica_is_promoted_closed_and_then_deleted_and_a_second_time_nothing_happens(cloud, made):
    with cloud.calls() as calls:
        planned = made.remove(check=True)
    assert (planned["changed"], planned["cluster"], calls.changes) == (True, None, [])
    assert [action.split()[0] for action in planned["actions"]] == ["promote", "delete", "delete"]
    assert "closed" in planned["actions"][0]

    with cloud.calls() as calls:
        gone = made.remove()
    assert (gone["actions"], gone["cluster"], gone["phase"]) == (planned["actions"], None, "absent")
    assert changes(calls) == WAY
    assert not made.there
    assert cloud.instance(made.source)["ReadReplicaDBClusterIdentifiers"] == []

    with cloud.calls() as calls:
        assert made.remove()["changed"] is False
    assert calls.changes == []


def test_r19_the_journal_has_it_as_dead_before_it_is_promoted_and_a_new_cluster_is_alive(cloud, made):
    with cloud.calls() as calls:
        made.remove()
    [written] = [
        entry["seq"] for entry in calls.entries
        if entry["operation"] == "CreateTags" and "target.dead" in str(entry["params"])
    ]
    [promoted] = [entry["seq"] for entry in calls.entries if entry["operation"] == PROMOTE]
    assert written < promoted
    assert (made.events["target.dead"]["object"], made.events["target.dead"]["now"]) == (made.name, True)

    made.make()
    assert made.events["target.dead"]["now"] is False
    assert made.phase == "replicating"


# Closed

def test_r19_a_replica_that_lets_others_in_is_not_promoted_until_it_is_closed(cloud, target):
    target.make(security_group_ids=[target.journal["group_id"], cloud.app_group])
    with cloud.calls() as calls:
        refused = target.remove(skip_final_snapshot=True)
    assert (refused["failed"], refused["code"], calls.changes) == (True, "open", [])
    assert f"open by {cloud.app_group}" in refused["msg"] and "rds_quiesce" in refused["msg"]
    planned = target.remove(check=True)
    assert f"once it is closed (it is open by {cloud.app_group})" in planned["actions"][0]

    target.run("rds_quiesce", {"state": "quiesced", "cluster": target.name, "journal": target.journal})
    assert target.remove()["phase"] == "absent"


def test_r19_a_group_without_ingress_closes_it_too(cloud, target):
    name = cloud.name("nobody")
    group = cloud.ec2.create_security_group(GroupName=name, Description=name, VpcId=cloud.vpc)["GroupId"]
    target.make(security_group_ids=[group])
    assert target.remove()["phase"] == "absent"


def test_r19_what_is_opened_after_the_plan_was_made_is_not_promoted(cloud, made):
    """The groups are looked at again, in force, right before the call."""
    wish = Wish(made.journal["migration"], made.source, made.name, f"{made.name}-1")
    lock = locks.Lock(cloud.ec2, made.journal)
    work = removal.Removal(cloud.rds, wish, lock, Patience(60), locks.utc_now, cloud.ec2)
    plan = removal.plan_absent(replica_work.observe(cloud.rds, wish), wish)
    cloud.rds.modify_db_cluster(
        DBClusterIdentifier=made.name, VpcSecurityGroupIds=[cloud.app_group], ApplyImmediately=True
    )
    with cloud.calls() as calls, pytest.raises(removal.RdsError, match="open by"):
        carry_out(plan, work.operations(), lock.guard)
    assert changes(calls) == []


# Killed on its way

def kill_at(made, step, faults):
    """Begin to remove it, and kill the run when AWS has begun that step and nothing after it."""
    last_call, transition, identifier = {
        "accepted": (PROMOTE, "promotion-accepted", made.name), "promoting": (PROMOTE, "promoting", made.name),
        "instance": (DELETE_INSTANCE, "deleting", f"{made.name}-1"), "cluster": (DELETE_CLUSTER, "deleting", made.name),
    }[step]
    faults("slow_transition", transition=transition, identifier=identifier, factor=UNTIL_TOLD)
    if step == "instance":
        faults("throttling", operation=f"rds:{DELETE_CLUSTER}")
    mark = made.cloud.sandbox.mark()
    running = made.start_removing()
    wait_until(lambda: last_call in [entry["operation"] for entry in made.cloud.sandbox.log(mark)])
    running.send(signal.SIGKILL)


@pytest.mark.parametrize("step, rest", [
    ("accepted", WAY[1:]), ("promoting", WAY[1:]), ("instance", [DELETE_CLUSTER]), ("cluster", []),
])
def test_r16_r19_killed_at_any_step_it_is_no_cutover_and_a_second_run_goes_on(
    cloud, made, faults, faults_end, step, rest
):
    kill_at(made, step, faults)
    assert made.phase == "aborted"
    faults_end()
    with cloud.calls() as calls:
        gone = made.remove()
    assert gone["phase"] == "absent", gone
    assert [operation for operation in changes(calls) if operation in rest] == rest
    assert DELETE_INSTANCE in rest or DELETE_INSTANCE not in changes(calls)
    assert not made.there and made.remove()["changed"] is False


def test_r19_killed_between_the_journal_and_the_promotion(made):
    made.write_down(target__dead=True)
    assert made.phase == "aborted"
    assert made.remove()["phase"] == "absent"


def test_r19_killed_between_the_promotion_and_the_deletion(cloud, made):
    made.write_down(target__dead=True)
    made.run("aurora_replica", made.args("promoted"))
    assert made.phase == "aborted"
    with cloud.calls() as calls:
        gone = made.remove()
    assert gone["phase"] == "absent"
    assert changes(calls) == WAY[1:]


def test_r33_a_run_that_lost_its_lock_while_it_was_promoted_deletes_nothing(
    cloud, made, faults, faults_end
):
    faults("slow_transition", transition="promoting", identifier=made.name, factor=UNTIL_TOLD)
    running = made.start_removing()
    wait_until(lambda: made.status == "promoting")
    locks.acquire(cloud.ec2, made.journal["migration"], cloud.vpc, "other@there#1", locks.Queue(take_over=True))
    result = running.result()
    faults_end()
    assert result["failed"] and result["code"] == "lease_lost", result
    wait_until(lambda: made.status == "available")
    assert made.there and cloud.instance(f"{made.name}-1")["DBInstanceStatus"] == "available"
    made.journal = {
        "migration": made.journal["migration"], "generation": 2, "holder": "other@there#1",
        "group_id": cloud.groups_of(made.journal["migration"])[f"cloudpg-{made.journal['migration']}-2"]["GroupId"],
    }
    assert made.remove()["phase"] == "absent", "the new holder goes on"


# Promoted by somebody else

def test_r16_a_promotion_that_is_under_way_is_waited_for(cloud, made, faults):
    faults("slow_transition", transition="promoting", identifier=made.name, factor=120)
    cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=made.name)
    wait_until(lambda: made.status == "promoting")
    with cloud.calls() as calls:
        gone = made.remove(skip_final_snapshot=True)
    assert gone["phase"] == "absent" and "under way" in gone["actions"][0]
    assert changes(calls) == WAY[1:]


def test_r19_a_cutover_that_stopped_half_way_is_not_taken_for_a_replica(cloud, made):
    made.write_down(source__fenced="2026-03-01T10:00:00+00:00")
    made.run("aurora_replica", made.args("promoted"))
    assert made.phase == "promoted"
    with cloud.calls() as calls:
        refused = made.remove()
    assert refused["failed"] and "skip_final_snapshot" in refused["msg"]
    assert calls.changes == []
    assert made.remove(skip_final_snapshot=True)["phase"] == "absent"


def test_r19_what_was_opened_is_not_deleted_without_a_last_snapshot(cloud, made):
    made.run("aurora_replica", made.args("promoted"))
    made.write_down(target__opened=True)
    with cloud.calls() as calls:
        refused = made.remove(skip_final_snapshot=True)
    assert refused["failed"] and "was opened at" in refused["msg"]
    assert calls.changes == []
    with cloud.calls() as calls:
        assert made.remove(final_snapshot=f"{made.name}-last")["phase"] == "absent"
    asked = [entry["params"] for entry in calls.entries if entry["operation"] == DELETE_CLUSTER]
    assert [params["FinalDBSnapshotIdentifier"] for params in asked] == [f"{made.name}-last"]


def test_r19_what_is_dead_was_not_opened_by_a_run_that_had_lost_the_migration_unless_others_get_in(cloud, made):
    made.run("aurora_replica", made.args("promoted"))
    made.write_down(target__dead=True, target__opened=True)
    assert made.phase == "aborted"
    door = {"cluster": made.name, "journal": made.journal}
    made.run("rds_quiesce", {"state": "open", "security_group_ids": [cloud.app_group], **door})
    refused = made.remove(skip_final_snapshot=True)
    assert refused["failed"] and "was opened at" in refused["msg"]
    made.run("rds_quiesce", {"state": "quiesced", **door})
    assert made.remove()["phase"] == "absent"


def test_r16_a_promotion_that_aws_gives_up_is_named_and_a_second_run_promotes_again(made, faults):
    faults("slow_transition", transition="promoting", identifier=made.name, factor=40)
    faults("refuse_transition", transition="promoting", identifier=made.name, times=1)
    failed = made.remove()
    assert failed["failed"] and "AWS gave its promotion up" in failed["msg"]
    assert made.phase == "aborted"
    assert made.remove()["phase"] == "absent"


# An instance that isn't there yet, answers that get lost, and an RDS of other habits

def test_r16_an_instance_that_aws_keeps_while_it_is_created_is_waited_for(cloud, target, faults):
    faults("slow_transition", transition="creating", identifier=f"{target.name}-1", factor=120)
    target.make(wait=False)
    wait_until(lambda: target.status == "available")
    target.make(wait=False)
    with cloud.calls() as calls:
        gone = target.remove()
    assert gone["phase"] == "absent" and "should AWS keep it" in gone["actions"][0]
    assert changes(calls) == [DELETE_INSTANCE, *WAY]


def test_r6_an_instance_that_never_came_up_goes_without_a_promotion(cloud, target, faults):
    faults("refuse_transition", transition="creating", identifier=f"{target.name}-1")
    target.run("aurora_replica", target.args("present", **{
        "instance_class": "db.r6g.large", "security_group_ids": [target.journal["group_id"]],
    }))
    with cloud.calls() as calls:
        assert target.remove()["phase"] == "absent"
    assert changes(calls) == WAY[1:]


@pytest.mark.parametrize("operation", WAY)
def test_an_answer_that_was_lost_is_found_out(made, faults, operation):
    faults("drop_response", operation=f"rds:{operation}", times=1)
    assert made.remove()["phase"] == "absent"
    assert not made.there


def test_without_waiting_it_is_promoted_and_a_second_call_deletes(cloud, made):
    with cloud.calls() as calls:
        first = made.remove(wait=False)
    assert (first["changed"], changes(calls)) == (True, [PROMOTE])
    assert first["phase"] in ("replica", "promoting", "promoted")
    wait_until(lambda: made.status == "available" and not cloud.cluster(made.name).get("ReplicationSourceIdentifier"))
    with cloud.calls() as calls:
        assert made.remove(wait=False)["changed"]
    assert changes(calls) == WAY[1:]
    wait_until(lambda: not made.there)


class Patient:
    """An RDS that deletes a cluster only when its instances are gone, and tells what it was asked."""

    def __init__(self, cloud):
        self.cloud, self.meta, self.calls = cloud, cloud.rds.meta, []

    def __getattr__(self, name):
        def call(**params):
            if not name.startswith("describe_"):
                self.calls.append(name)
            if name == "delete_db_cluster" and self.cloud.cluster(params["DBClusterIdentifier"])["DBClusterMembers"]:
                message = "Cluster cannot be deleted, it still contains DB instances."
                raise ClientError({"Error": {"Code": "InvalidDBClusterStateFault", "Message": message}}, DELETE_CLUSTER)
            return getattr(self.cloud.rds, name)(**params)

        return call


def test_where_instances_must_be_gone_first_they_are_waited_for(cloud, made, faults):
    faults("slow_transition", transition="deleting", identifier=f"{made.name}-1", factor=60)
    wish = Wish(made.journal["migration"], made.source, made.name, f"{made.name}-1")
    rds, lock = Patient(cloud), locks.Lock(cloud.ec2, made.journal)
    work = removal.Removal(rds, wish, lock, Patience(60), locks.utc_now, cloud.ec2)
    seen = replica_work.observe(cloud.rds, wish)
    carry_out(removal.plan_absent(seen, wish), work.operations(), lock.guard)
    work.await_absent(seen)
    assert rds.calls == [
        "promote_read_replica_db_cluster", "delete_db_instance", "delete_db_cluster", "delete_db_cluster",
    ]
    assert not made.there
