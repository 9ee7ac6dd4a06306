# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to change for logical replication, what is in force, and what there is to say (R25, R27, R28)."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import logical_replication as logical
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.logical_findings import findings
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.parameter_groups import Group
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.quiesce import Door

DOOR = Door("cluster", "orders", "cluster.parameter_group.orders")
OWN = "cloudpg-move-orders"
MEMBERS = (logical.Member("orders-1", True, "in-sync"), logical.Member("orders-2", False, "in-sync"))


def parameter(name, value, modifiable=True, allowed=None):
    return {"ParameterName": name, "ParameterValue": value, "IsModifiable": modifiable, "AllowedValues": allowed,
            "ApplyType": "static"}


def seen(switch="0", group="tuned", members=MEMBERS, values=None, documents=(), **more):
    return logical.Seen(
        Group("cluster", group, "arn", "aurora-postgresql16", values or {}, more.pop("tags", {})),
        [parameter("rds.logical_replication", switch), *documents], members, **more,
    )


def order(reboot=True, **least):
    return logical.Order(DOOR, "move", OWN, least, reboot)


def entry(group, rebooted=None, was="tuned"):
    return Event("e", "orders", was, {"group": group, "rebooted": rebooted}, "2026-01-01T00:00:00+00:00", "me")


@pytest.mark.parametrize("value, running, least, wanted", [
    ("10", None, 20, "20"), ("20", None, 20, None), ("50", "10", 20, None), (None, None, 8, "8"), (None, "16", 8, None),
    ("GREATEST({DBInstanceVCPU*2},8)", None, 16, "GREATEST({DBInstanceVCPU*2},16)"),
    ("GREATEST({DBInstanceVCPU*2},8)", "64", 16, None),
    ("GREATEST({DBInstanceVCPU*2},8)", "8", 16, "GREATEST({DBInstanceVCPU*2},16)"),
    ("GREATEST({DBInstanceVCPU*2},32)", None, 16, None),
    ("{DBInstanceVCPU}", None, 16, None), ("{DBInstanceVCPU}", "2", 16, "16"), ("10", None, 0, None),
])
def test_r28_a_setting_is_raised_and_never_lowered(value, running, least, wanted):
    document = parameter("max_logical_replication_workers", value, allowed="0-262143")
    assert logical.raised(document, least, running) == wanted


def test_what_nobody_may_set_is_left_alone_and_what_aws_doesnt_allow_is_said():
    assert logical.raised(parameter("max_wal_senders", "5", modifiable=False), 20, None) is None
    with pytest.raises(RdsError, match="AWS allows 5-120"):
        logical.raised(parameter("max_wal_senders", "10", allowed="5-120"), 200, None)


def test_r28_an_engine_without_the_switch_is_refused():
    with pytest.raises(RdsError, match="rds.logical_replication cannot be set"):
        logical.changes(logical.Seen(Group("cluster", "g", "arn", "aurora-mysql8.0"), [], MEMBERS), order())


@pytest.mark.parametrize("group", ["default.aurora-postgresql16", "tuned"])
def test_r25_a_group_that_isnt_the_migrations_is_replaced_by_one_that_says_the_same_and_more(group):
    plan = logical.plan_enabled(seen(group=group, values={"work_mem": "8192"}), order(), None)
    assert [step.op for step in plan.steps] == ["create", "set", "attach", "reboot", "reboot"]
    assert {each["ParameterName"] for each in plan.steps[1].args["parameters"]} == {
        "work_mem", "rds.logical_replication",
    }
    assert {step.args.get("name", OWN) for step in plan.steps[:2]} == {OWN}


def test_r27_readers_are_rebooted_before_the_writer():
    plan = logical.plan_enabled(seen(), order(), None)
    assert [step.args["identifier"] for step in plan.steps if step.op == "reboot"] == ["orders-2", "orders-1"]


def test_a_run_that_was_killed_between_creation_and_attachment_is_gone_on_with():
    half = Group("cluster", OWN, "arn", "aurora-postgresql16", {"old": "1"}, {"cloudpg:migration": "move"})
    plan = logical.plan_enabled(seen(own=half, documents=[parameter("old", "1")]), order(), None)
    assert [step.op for step in plan.steps] == ["set", "reset", "attach", "reboot", "reboot"]


def test_a_group_of_that_name_which_somebody_else_made_is_not_used():
    with pytest.raises(RdsError, match="was made by somebody else"):
        logical.plan_enabled(seen(own=Group("cluster", OWN, "arn", "aurora-postgresql16")), order(), None)


PENDING = (logical.Member("orders-1", True, "in-sync"), logical.Member("orders-2", False, "pending-reboot"))


@pytest.mark.parametrize("more, journal, late", [
    ({}, None, []),
    ({"members": PENDING}, None, ["orders-2"]),
    # AWS may say in-sync for a while after a change: the journal knows better, until something was rebooted.
    ({"group": OWN}, entry(OWN), ["orders-2", "orders-1"]),
    ({"group": OWN, "restarted": True}, entry(OWN), []),
    ({"group": OWN}, entry(OWN, "2026-01-01T00:01:00+00:00"), []),
    ({}, entry(OWN), []),
    ({"running": {"wal_level": "replica"}}, None, ["orders-2", "orders-1"]),
    ({"running": {"wal_level": "logical"}}, None, []),
])
def test_r27_written_is_not_in_force(more, journal, late):
    there = seen("1", **more)
    assert [member.identifier for member in logical.missing_on_server(there, journal)] == late
    assert logical.in_force(there, journal) is (not late)
    steps = logical.plan_enabled(there, order(), journal).steps
    assert [step.args["identifier"] for step in steps] == late


def test_r28_a_cluster_without_instances_has_nothing_in_force():
    assert logical.in_force(seen("1", members=()), None) is False


WAS = Group("cluster", "tuned", "arn", "aurora-postgresql16")
OURS = Group("cluster", OWN, "arn", "aurora-postgresql16", {}, {"cloudpg:migration": "move"})


@pytest.mark.parametrize("there, journal, was, used_by, ops", [
    (seen("1", OWN, own=OURS), entry(OWN, "t"), WAS, [], ["attach", "reboot", "reboot", "delete"]),
    (seen("1", OWN, own=OURS), entry(OWN, "t"), WAS, ["cluster x"], ["attach", "reboot", "reboot"]),
    (seen("0", "tuned", own=OURS), entry("tuned"), WAS, [], ["reboot", "reboot", "delete"]),
    (seen("0", "tuned"), entry("tuned", "t"), WAS, [], []),
    (seen("0", "somebodys", own=OURS), entry(OWN, "t"), WAS, [], ["delete"]),
    (seen("0", "tuned"), None, None, [], []),
])
def test_the_old_group_comes_back_and_what_somebody_else_put_there_stays(there, journal, was, used_by, ops):
    assert [step.op for step in logical.plan_restored(there, order(), journal, was, used_by).steps] == ops


@pytest.mark.parametrize("journal, was, words", [
    (None, None, "has no entry cluster.parameter_group.orders"), (entry(OWN), None, "tuned, which it had before"),
])
def test_an_original_that_isnt_known_or_is_gone_is_named(journal, was, words):
    with pytest.raises(RdsError, match=words):
        logical.plan_restored(seen("1", OWN, own=OURS), order(), journal, was, [])


@pytest.mark.parametrize("there, value, off", [
    (seen("1", OWN, own=OURS), {}, True), (seen("1", OWN, own=OURS), {"rds.logical_replication": "1"}, False),
    (seen("0", "tuned"), {}, True), (seen("1", "tuned"), {}, False),
])
def test_r28_what_takes_logical_replication_away_is_known_before(there, value, off):
    was = Group("cluster", "tuned", "arn", "aurora-postgresql16", value)
    journal = entry(there.group.name)
    assert logical.turns_off(there, logical.plan_restored(there, order(), journal, was, []), was) is off


def told(there, journal=None, **more):
    return {finding.id: finding for finding in findings(there, order(**more), journal)}


def test_r28_findings_name_reason_cure_and_fact():
    assert told(seen("1")) == {}
    off = told(seen(group="default.aurora-postgresql16"), reboot=False)
    assert {id: finding.severity for id, finding in off.items()} == {
        "logical-replication-off": "blocker", "parameter-group-default": "warning",
    }
    assert off["logical-replication-off"].fact == "R28" and "reboot: true" in off["logical-replication-off"].cure
    assert told(seen())["logical-replication-off"].severity == "warning", "the reboot is allowed"
    pending = told(seen("1", members=PENDING), reboot=False)["logical-replication-pending-reboot"]
    assert pending.severity == "blocker" and "orders-2 (pending-reboot)" in pending.reason
    shared = told(seen(shared_with=["cluster other"]))["parameter-group-shared"]
    assert "cluster other" in shared.reason and OWN in shared.cure


def test_findings_about_settings():
    senders = parameter("max_wal_senders", "10", allowed="5-120")
    raised = told(seen(documents=[senders], replicas=["orders-copy"]), max_wal_senders=20)
    assert "max_wal_senders to 20" in raised["logical-replication-small"].cure
    assert "orders-copy" in raised["logical-replication-replicas"].reason
    running = {"wal_level": "logical", "max_worker_processes": "8"}
    overruled = parameter("max_worker_processes", "16")
    low = told(seen("1", documents=[overruled], running=running), max_worker_processes=16)
    assert "max_worker_processes 8 (of 16)" in low["logical-replication-low"].reason


@pytest.mark.parametrize("asked, name", [(None, "cloudpg-move-orders"), ("Mine", "mine")])
def test_the_own_groups_name(asked, name):
    assert logical.own_name("move", "orders", asked) == name


def test_r25_a_default_group_is_no_group_of_ones_own():
    with pytest.raises(RdsError, match="R25"):
        logical.own_name("move", "orders", "default.postgres16")
