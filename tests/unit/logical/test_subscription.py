# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From one subscription to another, and what is wrong with one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import health, subscription
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.health import Look
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.subscription import (
    Publisher, Subscription, Wish, hindrances, plan, plan_absent,
)

A, B = frozenset(["public.a"]), frozenset(["public.a", "public.b"])
SLOT = {"name": "s", "wal_status": "reserved"}
SOURCE = Publisher(160000, A, slot=SLOT)
NOW = Subscription("s", 7, "me", True, "s", frozenset(["p"]), {"streaming": "off", "two_phase": "false"})
WISH = Wish("s", frozenset(["p"]), "s")


def steps(now=NOW, wish=WISH, publisher=SOURCE, connection=(), subscribed=A, version=160000, off=False):
    made, findings = plan(now, wish, publisher, list(connection), subscribed, B, version, off)
    return [step.op for step in made.steps], [one.id for one in findings]


@pytest.mark.parametrize("changed, ops", [
    ({}, []),
    ({"connection": ["host"]}, ["connect"]),
    ({"wish": replace(WISH, enabled=False)}, ["disable"]),
    ({"now": replace(NOW, enabled=False)}, ["enable"]),
    ({"now": replace(NOW, slot_name=None)}, ["disable", "set", "enable"]),
    ({"now": replace(NOW, enabled=False, slot_name=None)}, ["set", "enable"]),
    ({"wish": replace(WISH, publications=frozenset("q"))}, ["publications"]),
    ({"wish": replace(WISH, options={"streaming": "on"})}, ["set"]),
    ({"wish": replace(WISH, options={"two_phase": "true"}), "version": 180000}, ["disable", "set", "enable"]),
    ({"publisher": replace(SOURCE, tables=B)}, []),
    ({"publisher": replace(SOURCE, tables=B), "wish": replace(WISH, refresh="with_data")}, ["refresh"]),
    ({"publisher": replace(SOURCE, tables=B), "wish": replace(WISH, refresh="with_data", enabled=False)}, ["disable"]),
    ({"subscribed": B, "wish": replace(WISH, refresh="without_data")}, ["refresh"]),
    ({"publisher": None, "wish": replace(WISH, refresh="with_data")}, []),
])
def test_it_converges_in_an_order_that_holds(changed, ops):
    assert steps(**changed) == (ops, [])


@pytest.mark.parametrize("changed, found", [
    ({"wish": replace(WISH, options={"two_phase": "true"})}, "two-phase-fixed"),
    ({"wish": replace(WISH, options={"origin": "none"}), "publisher": replace(SOURCE, version_num=150004)},
     "origin-ignored"),
    ({"now": replace(NOW, enabled=False), "off": True}, "subscription-silently-off"),
    ({"wish": replace(WISH, refresh="with_data"), "publisher": replace(SOURCE, tables=B | {"public.c"})},
     "tables-missing"),
])
def test_p19_p25_p26_what_can_not_or_must_not_be_changed(changed, found):
    assert steps(**changed)[1] == [found]


@pytest.mark.parametrize("wish, publisher, found", [
    (WISH, replace(SOURCE, slot=None), []),
    (WISH, SOURCE, ["slot-exists"]),
    (WISH, replace(SOURCE, slot=None, prepared=1), ["prepared-transactions"]),
    (WISH, replace(SOURCE, slot=None, logical=False), ["wal-level"]),
    (WISH, replace(SOURCE, slot=None, same_server=True), ["same-server"]),
    (WISH, replace(SOURCE, slot=None, missing_publications=("p",)), ["publication-missing"]),
    (WISH, replace(SOURCE, slot=None, tables=frozenset(["public.c"])), ["tables-missing"]),
    (replace(WISH, create_slot=False, copy_data=False), SOURCE, []),
    (replace(WISH, create_slot=False, copy_data=False), replace(SOURCE, slot=None), ["slot-missing"]),
    (replace(WISH, create_slot=False), SOURCE, ["slot-and-copy"]),
])
def test_p9_p10_p11_what_keeps_a_subscription_from_being_made(wish, publisher, found):
    findings = hindrances(wish, publisher, B)
    assert [one.id for one in findings] == found and all(not one.acknowledgeable for one in findings)


@pytest.mark.parametrize("now, publisher, drop_slot, ops, found", [
    (NOW, SOURCE, True, ["drop", "drop_slot"], []),
    (NOW, SOURCE, False, ["drop"], []),
    (NOW, None, True, ["drop"], ["slot-left-behind"]),
    (None, SOURCE, True, ["drop_slot"], []),
    (None, replace(SOURCE, slot=None), True, [], []),
    (None, None, True, [], []),
    (replace(NOW, slot_name=None), None, True, ["drop"], []),
])
def test_p12_it_is_dropped_with_or_without_its_publisher(now, publisher, drop_slot, ops, found):
    made, findings = plan_absent(now, "s", "s", publisher, drop_slot)
    assert ([step.op for step in made.steps], [one.id for one in findings]) == (ops, found)


@pytest.mark.parametrize("given, version, made", [
    ({"streaming": "parallel", "binary": None}, 160000, {"streaming": "parallel"}),
    ({"disable_on_error": True, "run_as_owner": False}, 160000, {"disable_on_error": "true", "run_as_owner": "false"}),
    ({"streaming": "parallel"}, 150000, None), ({"origin": "any"}, 150000, None), ({"failover": True}, 160000, None),
    ({"two_phase": False}, 140000, None), ({"binary": True}, 130000, None),
])
def test_p26_options_are_gated_by_version(given, version, made):
    if made is None:
        with pytest.raises(MigrationError, match="needs PostgreSQL"):
            subscription.options(given, version)
    else:
        assert subscription.options(given, version) == made


def look(pid=5, errors=0, tables=A, **more):
    return Look({"pid": pid} if pid else None, {"apply": errors, "sync": 0}, {name: "r" for name in tables},
                workers_allowed=4, **more)


@pytest.mark.parametrize("looks, decided, found", [
    ([look()], True, []),
    ([look(None)], False, ["worker-missing"]),
    ([look(None, 1), look(None, 1)], False, ["worker-missing"]),
    ([look(None, 1), look(None, 2)], False, ["worker-crash-looping"]),
    ([look(5, 1), look(6, 1)], False, ["worker-crash-looping"]),
    ([look(5, 1), look(5, 1)], False, ["worker-missing"]),
    ([look(None, 2), look(5, 2), look(5, 2), look(5, 2)], True, ["errors-in-the-past"]),
    ([look(leaked_origins=("pg_1",))], True, ["replication-origins-leaked"]),
])
def test_p15_p18_a_worker_is_judged_by_several_looks(looks, decided, found):
    assert health.decided(NOW, looks) is decided
    assert [one.id for one in health.findings(NOW, looks, SOURCE, None)] == found


def test_p28_a_worker_that_found_no_place_is_told_so():
    [finding] = health.findings(NOW, [look(None, workers_busy=4)], SOURCE, None)
    assert finding.fact == "P28" and "4 of 4" in finding.reason


@pytest.mark.parametrize("now, errors, off", [
    (replace(NOW, enabled=False, options={"disable_on_error": "true"}), 1, True),
    (replace(NOW, enabled=False, options={"disable_on_error": "true"}), 0, False),
    (replace(NOW, enabled=False), 1, False),
    (replace(NOW, options={"disable_on_error": "true"}), 1, False),
    (None, 1, False),
])
def test_p19_switched_off_by_an_error_is_not_switched_off_by_a_person(now, errors, off):
    assert health.silently_off(now, look(errors=errors)) is off


@pytest.mark.parametrize("publisher, why, found", [
    (SOURCE, None, []),
    (None, "it is dead", ["source-unreadable"]),
    (None, None, []),
    (replace(SOURCE, slot=None), None, ["slot-missing"]),
    (replace(SOURCE, slot=SLOT | {"wal_status": "lost"}), None, ["slot-lost"]),
    (replace(SOURCE, slot=SLOT | {"wal_status": "unreserved"}), None, ["slot-lost"]),
    (replace(SOURCE, slot=SLOT | {"wal_status": "extended"}), None, []),
    (replace(SOURCE, tables=B), None, ["relation-sets-apart"]),
    (replace(SOURCE, tables=frozenset()), None, ["relation-sets-apart"]),
    (replace(SOURCE, missing_publications=("p",)), None, ["publication-missing"]),
])
def test_p11_p14_what_only_the_source_tells(publisher, why, found):
    assert [one.id for one in health.findings(NOW, [look()], publisher, why)] == found


def test_what_could_not_be_read_is_null_and_never_zero():
    seen = health.describe(NOW, Look(None, None, {"public.a": "r", "public.b": "i"}), None)
    assert (seen["worker"], seen["errors"], seen["slot"], seen["relations"]) == (None, None, None, None)
    assert seen["tables"] == {"count": 2, "ready": 1, "states": {"r": 1, "i": 1}}
    assert seen["not_ready"] == [{"table": "public.b", "state": "i"}]
