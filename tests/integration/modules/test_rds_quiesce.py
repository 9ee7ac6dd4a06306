"""The fence without a login, against real servers: who gets in, who stays in, and what is put back (R18, R19)."""

from __future__ import annotations

import signal

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal as locks

from .conftest import PASSWORD, UNTIL_TOLD, USER, start_module


def connect(address, port=5432):
    connection = psycopg2.connect(
        host=address, port=port, user=USER, password=PASSWORD, dbname="shop", connect_timeout=5
    )
    connection.autocommit = True
    return connection


def gets_in(address, port=5432):
    """Whether a new session gets in; a refusal must be that of the access rules."""
    try:
        connect(address, port).close()
        return True
    except psycopg2.OperationalError as error:
        assert "no pg_hba.conf entry" in str(error)
        return False


def works(connection):
    try:
        connection.cursor().execute("SELECT 1")
        return True
    except psycopg2.Error:
        return False


class Source:
    """An instance with its lock, and the module that closes and opens it."""

    def __init__(self, cloud, run_module, facts, journal):
        self.cloud, self.run_module, self.journal = cloud, run_module, journal
        self.name, self.address = facts["DBInstanceIdentifier"], facts["Endpoint"]["Address"]

    def args(self, state, **options):
        args = {"state": state, "instance": self.name, "journal": self.journal, "wait_timeout": 60, **options}
        return {name: value for name, value in args.items() if value is not None}

    def quiesce(self, state="quiesced", check=False, diff=False, **options):
        return self.run_module("rds_quiesce", self.args(state, **options), check, diff)

    def start(self, state="quiesced", **options):
        return start_module("rds_quiesce", self.args(state, **options), self.cloud.sandbox.env)

    def events(self):
        [journal] = self.run_module("aws_journal_info", {
            "migration": self.journal["migration"], "instance": self.name,
        })["journals"]
        return journal["events"]

    def modify(self, *groups):
        """As somebody with the console would."""
        self.cloud.rds.modify_db_instance(
            DBInstanceIdentifier=self.name, VpcSecurityGroupIds=list(groups), ApplyImmediately=True
        )
        wait_until(lambda: self.cloud.attached(self.name) == list(groups))


@pytest.fixture
def source(cloud, shop, run_module, held):
    """The shop of the module; it gets its group back afterwards."""
    source = Source(cloud, run_module, shop, held)
    yield source
    cloud.sandbox.control("DELETE", "faults")
    wait_until(lambda: cloud.instance(source.name)["DBInstanceStatus"] == "available")
    source.modify(cloud.app_group)
    wait_until(lambda: gets_in(source.address))


# Closing

def test_r18_closing_ends_every_session_and_a_second_time_nothing_happens(cloud, source):
    client = connect(source.address)
    with cloud.calls() as calls:
        planned = source.quiesce(check=True, diff=True)
    assert (planned["changed"], planned["fenced_at"], calls.changes) == (True, None, [])
    assert planned["diff"]["before"]["security_groups"] == [cloud.app_group]
    assert planned["diff"]["after"]["security_groups"] == [source.journal["group_id"]]
    assert works(client)

    begun = locks.utc_now().isoformat()
    closed = source.quiesce()
    assert closed["changed"] and closed["actions"] == planned["actions"]
    assert closed["fenced_at"] > begun
    assert not works(client) and not gets_in(source.address)
    assert cloud.attached(source.name) == [source.journal["group_id"]]
    assert source.events()["source.security_groups"]["was"] == [cloud.app_group]

    with cloud.calls() as calls:
        again = source.quiesce()
    assert (again["changed"], again["actions"], calls.changes) == (False, [], [])
    assert again["fenced_at"] == closed["fenced_at"]

    with cloud.calls() as calls:
        assert source.quiesce("open", check=True)["changed"]
    assert calls.changes == []
    opened = source.quiesce("open")
    assert (opened["changed"], opened["fenced_at"]) == (True, None)
    assert gets_in(source.address)
    with cloud.calls() as calls:
        assert source.quiesce("open")["changed"] is False
    assert calls.changes == []
    assert source.events()["source.fenced"]["now"] is None


def test_r18_established_sessions_survive_until_the_reboot(source):
    client = connect(source.address)
    closed = source.quiesce(reboot=False)
    assert (closed["changed"], closed["fenced_at"]) == (True, None)
    assert works(client) and not gets_in(source.address)
    assert source.quiesce(reboot=False)["changed"] is False
    rebooted = source.quiesce()
    assert [action.split()[0] for action in rebooted["actions"]] == ["reboot"]
    assert rebooted["fenced_at"] and not works(client)


def test_r18_the_controller_still_gets_in_through_the_quarantine_when_it_is_to(cloud, source, run_module):
    bastion = f"{cloud.sandbox.bastion}/32"
    run_module("aws_journal", {"journal": source.journal, "controller_cidrs": [bastion]})
    source.quiesce()
    assert not gets_in(source.address)
    assert gets_in(source.address, 15432)


def test_r18_the_originals_are_in_the_journal_before_the_first_change(cloud, source):
    with cloud.calls() as calls:
        source.quiesce()
    written = [
        number for number, entry in enumerate(calls.entries)
        if entry["operation"] == "CreateTags" and "source.security_groups" in str(entry["params"])
    ]
    assert written and written[0] < calls.operations.index("ModifyDBInstance")
    assert calls.operations.index("ModifyDBInstance") < calls.operations.index("RebootDBInstance")


@pytest.mark.parametrize("stop_at, state", [("ModifyDBInstance", "security-groups"), ("RebootDBInstance", "rebooting")])
def test_r18_a_run_that_was_killed_is_gone_on_with_or_undone_by_another_controller(
    cloud, source, faults, faults_end, stop_at, state
):
    faults("slow_transition", transition=state, identifier=source.name, factor=UNTIL_TOLD)
    since = cloud.sandbox.mark()
    running = source.start()
    wait_until(lambda: stop_at in [entry["operation"] for entry in cloud.sandbox.log(since)])
    running.send(signal.SIGKILL)
    faults_end()
    taken = source.run_module("aws_journal", {
        "journal": {"migration": source.journal["migration"]}, "instance": source.name, "take_over": True,
    })
    assert taken["taken_over"]
    source.journal = taken["journal"]
    again = source.quiesce()
    assert [action.split()[0] for action in again["actions"]] == ["reboot"], "closed by the run that was killed"
    assert again["fenced_at"] and not gets_in(source.address)
    assert source.quiesce("open")["changed"]
    assert cloud.attached(source.name) == [cloud.app_group]
    assert gets_in(source.address)


def test_r18_a_closed_instance_that_could_not_be_rebooted_is_not_fenced(source, faults):
    fault = faults("access_denied", operation="rds:RebootDBInstance")
    failed = source.quiesce()
    assert failed["failed"] and "allow the IAM action rds:RebootDBInstance" in failed["msg"]
    assert source.quiesce("open", check=True)["changed"], "and it can be put back"
    source.cloud.sandbox.control("DELETE", f"faults/{fault}")
    again = source.quiesce()
    assert [action.split()[0] for action in again["actions"]] == ["reboot"] and again["fenced_at"]


def test_r18_a_fence_of_an_earlier_cutover_doesnt_count(source):
    first = source.quiesce()["fenced_at"]
    source.quiesce("open")
    client = connect(source.address)
    second = source.quiesce()
    assert len(second["actions"]) == 2 and second["fenced_at"] > first
    assert not works(client)


def test_r18_a_fence_that_somebody_opened_by_hand_doesnt_count(cloud, source):
    first = source.quiesce()["fenced_at"]
    source.modify(cloud.app_group)
    wait_until(lambda: gets_in(source.address))
    second = source.quiesce()
    assert len(second["actions"]) == 2 and second["fenced_at"] > first
    assert source.events()["source.security_groups"]["was"] == [cloud.app_group]


def test_r18_groups_that_were_changed_between_two_cutovers_are_the_new_originals(cloud, source):
    source.quiesce()
    source.quiesce("open")
    added = cloud.group("127.0.0.0/8")
    source.modify(cloud.app_group, added)
    source.quiesce()
    assert source.events()["source.security_groups"]["was"] == sorted([cloud.app_group, added])
    source.quiesce("open")
    assert sorted(cloud.attached(source.name)) == sorted([cloud.app_group, added])


def test_r18_a_half_closed_instance_keeps_its_first_originals(cloud, source):
    source.quiesce(reboot=False)
    added = cloud.group("127.0.0.0/8")
    source.modify(source.journal["group_id"], added)
    assert source.quiesce()["changed"]
    assert source.events()["source.security_groups"]["was"] == [cloud.app_group]


def test_r18_the_group_of_an_older_generation_closes_as_well(cloud, source):
    source.quiesce()
    taken = source.run_module("aws_journal", {
        "journal": {"migration": source.journal["migration"]}, "instance": source.name, "take_over": True,
    })
    source.journal = taken["journal"]
    with cloud.calls() as calls:
        assert source.quiesce()["changed"] is False
    assert calls.changes == []


def test_r33_a_run_that_lost_its_lock_doesnt_reboot(cloud, source, faults, faults_end):
    faults("slow_transition", transition="security-groups", identifier=source.name, factor=UNTIL_TOLD)
    since = cloud.sandbox.mark()
    running = source.start()
    wait_until(lambda: "ModifyDBInstance" in [entry["operation"] for entry in cloud.sandbox.log(since)])
    locks.acquire(cloud.ec2, source.journal["migration"], cloud.vpc, "other@there#1", locks.Queue(take_over=True))
    result = running.result()
    faults_end()
    assert result["failed"] and result["code"] == "lease_lost" and "other@there#1" in result["msg"]
    assert "RebootDBInstance" not in [entry["operation"] for entry in cloud.sandbox.log(since)]


@pytest.mark.parametrize("fault, operation", [
    ("drop_response", "rds:RebootDBInstance"), ("drop_response", "rds:ModifyDBInstance"),
    ("throttling", "rds:ModifyDBInstance"), ("internal_error", "rds:RebootDBInstance"),
])
def test_r18_a_call_that_failed_once_is_repeated_or_recognised(source, faults, fault, operation):
    client = connect(source.address)
    faults(fault, operation=operation, times=1)
    closed = source.quiesce()
    assert closed.get("fenced_at"), closed
    assert not works(client) and not gets_in(source.address)


def test_the_timeout_is_honoured_and_the_next_run_goes_on(source, faults):
    fault = faults("slow_transition", transition="rebooting", identifier=source.name, factor=UNTIL_TOLD)
    waited = source.quiesce(wait_timeout=5)
    assert waited["failed"] and waited["code"] == "wait_timeout" and "is rebooting" in waited["msg"]
    source.cloud.sandbox.control("DELETE", f"faults/{fault}")
    assert source.quiesce()["fenced_at"]


# Opening

def test_groups_that_are_gone_are_named_before_anything_is_changed(cloud, source):
    group = cloud.group("127.0.0.0/8")
    source.modify(group)
    source.quiesce(reboot=False)
    cloud.ec2.delete_security_group(GroupId=group)
    with cloud.calls() as calls:
        for check in (True, False):
            refused = source.quiesce("open", check=check)
            assert refused["failed"] and f"security group {group} doesn't exist any more" in refused["msg"]
    assert calls.changes == []
    assert source.quiesce("open", security_group_ids=[cloud.app_group])["changed"]
    assert gets_in(source.address)


@pytest.mark.parametrize("state, options, words", [
    ("open", {}, "the journal has no entry source.security_groups"),
    ("quiesced", {"instance": "no-such"}, "instance no-such doesn't exist"),
    ("quiesced", {"instance": None, "cluster": "no-such"}, "cluster no-such doesn't exist"),
    ("quiesced", {"cluster": "orders"}, "mutually exclusive"),
    ("quiesced", {"instance": None}, "one of the following is required"),
    ("quiesced", {"instance": ""}, "neither instance nor cluster names anything"),
    ("quiesced", {"journal": {"migration": "orders"}}, "is not held"),
])
def test_wrong_input_is_named_and_nothing_is_changed(cloud, source, state, options, words):
    with cloud.calls() as calls:
        refused = source.quiesce(state, **options)
    assert refused["failed"] and words in refused["msg"]
    assert calls.changes == []


@pytest.mark.parametrize("state", ["quiesced", "open"])
def test_in_check_mode_a_cluster_that_isnt_there_yet_is_planned_for(cloud, run_module, state):
    journal = {"migration": cloud.name("fresh"), "generation": None, "holder": None, "group_id": None}
    with cloud.calls() as calls:
        planned = run_module("rds_quiesce", {"state": state, "cluster": "later", "journal": journal}, check=True)
    assert planned["changed"] and planned["cluster"]["predicted"] is True
    assert calls.changes == []


# The target

def test_r19_a_promoted_cluster_stays_closed_until_it_is_opened(cloud, source, run_module):
    name = f"{source.journal['migration']}-aurora"
    common = {"source": source.name, "cluster": name, "journal": source.journal, "wait_timeout": 60}
    made = run_module("aurora_replica", {
        "state": "present", "instance_class": "db.r6g.large", "security_group_ids": [source.journal["group_id"]],
        **common,
    })
    address = made["cluster"]["endpoint"]
    run_module("aurora_replica", {"state": "promoted", **common})
    assert not gets_in(address)
    door = {"cluster": name, "journal": source.journal, "wait_timeout": 60}
    assert run_module("rds_quiesce", {"state": "quiesced", **door})["changed"] is False
    opened = run_module("rds_quiesce", {"state": "open", "security_group_ids": [cloud.app_group], **door})
    assert opened["changed"] and [group["id"] for group in opened["cluster"]["security_groups"]] == [cloud.app_group]
    wait_until(lambda: gets_in(address))
    connection = connect(address)
    connection.cursor().execute("CREATE TABLE written_after_the_open (id int)")
    connection.close()
    with cloud.calls() as calls:
        again = run_module("rds_quiesce", {"state": "open", "security_group_ids": [cloud.app_group], **door})
    assert (again["changed"], calls.changes) == (False, [])
    closed = run_module("rds_quiesce", {"state": "quiesced", **door})
    assert closed["changed"] and closed["fenced_at"] is None
    assert source.events()["target.security_groups"]["was"] == [cloud.app_group]
    assert not gets_in(address)
    run_module("aurora_replica", {"state": "absent", "skip_final_snapshot": True, **common})
