"""The fence without a login: what is planned to close and to open."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import quiesce
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.quiesce import Door

INSTANCE = Door("instance", "orders", "source.security_groups")
CLUSTER = Door("cluster", "orders-aurora", "target.security_groups")
FAMILY = ["sg-lock-1", "sg-lock-2"]


def entry(id, was, now, minute=0, object="orders"):
    return {id: Event(id, object, was, now, f"2026-03-02T12:{minute:02}:00.000+00:00", "me")}


CLOSED = entry("source.security_groups", ["sg-app"], ["sg-lock-1"], minute=1)
FENCED = entry("source.fenced", None, "2026-03-02T12:02:00.000+00:00", minute=2)
UNFENCED = entry("source.fenced", None, None, minute=5)


def ops(plan):
    return [step.op for step in plan.steps]


@pytest.mark.parametrize("current, events, expected", [
    (["sg-app"], {}, ["close", "reboot"]),
    (["sg-lock-1"], CLOSED, ["reboot"]),
    (["sg-lock-1"], {**CLOSED, **FENCED}, []),
    (["sg-lock-2"], {**CLOSED, **FENCED}, []),
    (["sg-lock-1"], {**CLOSED, **UNFENCED}, ["reboot"]),
    (["sg-app"], {**CLOSED, **FENCED}, ["close", "reboot"]),
    (["sg-app", "sg-lock-1"], {**CLOSED, **FENCED}, ["close", "reboot"]),
    (["sg-lock-1"], {**FENCED, **entry("source.security_groups", ["sg-app"], ["sg-lock-1"], minute=3)}, ["reboot"]),
    (["sg-lock-1"], {**CLOSED, **entry("source.fenced", None, "2026-03-02T12:02:00+00:00", 2, "shop")}, ["reboot"]),
    (None, {}, ["close", "reboot"]),
])
def test_r18_an_instance_is_closed_when_its_groups_are_ours_and_it_was_rebooted_since(current, events, expected):
    plan = quiesce.plan_quiesced(INSTANCE, current, events, FAMILY, "sg-lock-2", reboot=True)
    assert ops(plan) == expected


@pytest.mark.parametrize("current, expected", [(["sg-app"], ["close"]), (["sg-lock-1"], []), (None, ["close"])])
@pytest.mark.parametrize("door, reboot", [(INSTANCE, False), (CLUSTER, True)], ids=["no reboot", "cluster"])
def test_r19_a_cluster_and_an_instance_without_reboot_only_change_groups(door, reboot, current, expected):
    assert ops(quiesce.plan_quiesced(door, current, {}, FAMILY, "sg-lock-2", reboot)) == expected


def test_the_plan_says_what_it_had_and_what_it_gets():
    [close, _reboot] = quiesce.plan_quiesced(INSTANCE, ["sg-app"], {}, FAMILY, "sg-lock-2", True).steps
    assert close.sentence == "put instance orders behind sg-lock-2 (it had sg-app)"


@pytest.mark.parametrize("asked, events, wanted", [
    (["sg-b", "sg-a"], CLOSED, ["sg-a", "sg-b"]),
    (None, CLOSED, ["sg-app"]),
    ([], CLOSED, ["sg-app"]),
    (None, {}, []),
])
def test_it_opens_with_what_is_asked_for_or_with_the_originals(asked, events, wanted):
    assert quiesce.wanted_groups(INSTANCE, asked, events) == wanted


@pytest.mark.parametrize("current, wanted, expected", [
    (["sg-lock-1"], ["sg-app"], ["open"]), (["sg-app"], ["sg-app"], []), (["sg-a", "sg-b"], ["sg-b", "sg-a"], []),
    (None, ["sg-app"], ["open"]), (None, [], ["open"]),
])
def test_opening_plans_only_a_difference(current, wanted, expected):
    assert ops(quiesce.plan_open(INSTANCE, current, wanted)) == expected


@pytest.mark.parametrize("act", [
    lambda events: quiesce.wanted_groups(INSTANCE, None, events),
    lambda events: quiesce.plan_quiesced(INSTANCE, ["sg-app"], events, FAMILY, "sg-lock-2", True),
])
def test_a_journal_about_another_instance_is_refused(act):
    with pytest.raises(RdsError, match="is about shop, not about orders"):
        act(entry("source.security_groups", ["sg-x"], ["sg-lock-1"], object="shop"))
