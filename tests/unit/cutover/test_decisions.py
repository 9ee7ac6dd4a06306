# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided about a cutover that is found, how long it may take, what keeps one from beginning, and signals."""

from __future__ import annotations

import os
import signal

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover import fence_work, hold, row, ways
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.line import Interrupted, signals_raised
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.timeline import OutOfTime, Timeline
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.ways import Way
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError


@pytest.mark.parametrize("state, closed, decision", [
    (None, True, row.START),
    (None, False, row.START),
    (row.BEGUN, True, row.UNDO),
    (row.BEGUN, False, row.UNDO),
    (row.UNDOING, True, row.UNDO),
    (row.PUT_BACK, True, row.START),
    (row.OPENED, False, row.FORWARD),
    (row.OPENED, True, row.START),
])
def test_what_is_open_only_goes_forward_and_everything_else_is_put_back(state, closed, decision):
    assert row.decide(state and {"state": state, "generation": 3}, closed) == decision


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("promised, limit", [(30, 28), (10, 8), (4, 2), (1, 0.5)])
def test_the_undo_counts_into_the_outage(promised, limit):
    clock = Clock()
    line = Timeline(promised, clock)
    with line.step("prepare"):
        clock.now += 1000
    line.begin()
    clock.now += limit - 0.01
    with line.step("drain"):
        clock.now += 0.01
    with pytest.raises(OutOfTime, match=f"below {promised} s"):
        with line.step("open"):
            raise AssertionError("began too late")
    assert "at step open" in line.where_it_went() and "prepare took the longest" in line.where_it_went()


def test_behind_the_open_there_is_time():
    clock = Clock()
    line = Timeline(4, clock)
    line.begin()
    clock.now += 60
    line.returnable = False
    with line.step("resume"):
        clock.now += 0.25
    line.end()
    clock.now += 60
    assert (line.steps, line.outage_ms) == ([{"name": "resume", "ms": 250.0}], 60250.0)


def test_a_step_that_fails_is_timed_as_well():
    clock = Clock()
    line = Timeline(4, clock)
    line.begin()
    with pytest.raises(ValueError):
        with line.step("drain"):
            clock.now += 1.5
            raise ValueError
    assert line.steps == [{"name": "drain", "ms": 1500.0}]
    assert line.where_it_went().startswith("It stopped at step drain, 1500 ms into the outage")


WAY = Way("shop", "sub", True, "slot")
SLOT = {"active": True, "wal_status": "reserved", "behind": 10}


@pytest.mark.parametrize("way, slot, said, passes", [
    (WAY, SLOT, None, False),
    (None, SLOT, "no subscription", False),
    (Way("shop", "sub", False, "slot"), SLOT, "is disabled", False),
    (Way("shop", "sub", True, "slot", (), 3), SLOT, "3 tables of database shop aren't in step", False),
    (WAY, None, "has no slot slot", False),
    (WAY, {**SLOT, "wal_status": "lost"}, "slot slot is lost", False),
    (WAY, {**SLOT, "wal_status": "unreserved"}, "slot slot is unreserved", False),
    (WAY, {**SLOT, "active": False}, "nobody fetches", True),
    (WAY, {**SLOT, "behind": 101}, "101 B behind", True),
])
def test_p14_p18_a_target_that_would_not_get_everything_is_no_target(way, slot, said, passes):
    lasting, passing = ways.obstacles({"shop": way} if way else {}, ["shop"], {"slot": slot} if slot else {}, 100)
    assert (len(lasting), len(passing)) == ((0, 0) if not said else (0, 1) if passes else (1, 0))
    assert [said in one for one in lasting + passing] == ([True] if said else [])


HELD = {"migration": "orders", "generation": 3, "holder": "me", "group_id": None}


@pytest.mark.parametrize("migration, given, check, lock", [
    ("orders", None, False, {"migration": "orders"}),
    ("orders", HELD, False, HELD),
    ("orders", {**HELD, "generation": None}, True, {"migration": "orders"}),
])
def test_r33_the_lock_is_the_one_that_was_given(migration, given, check, lock):
    assert fence_work.lock_of({"migration": migration, "journal": given}, check) == lock


@pytest.mark.parametrize("migration, given, said", [
    ("A b", None, "cannot be the name"),
    ("orders", {**HELD, "generation": None}, "is not held"),
    ("orders", {**HELD, "group_id": "sg-1"}, "security group sg-1"),
    ("orders", {**HELD, "migration": "crm"}, "of migration crm, not of orders"),
])
def test_r33_a_lock_that_holds_nothing_is_refused(migration, given, said):
    with pytest.raises(MigrationError, match=said):
        fence_work.lock_of({"migration": migration, "journal": given}, False)


def test_the_lock_is_the_migrations_and_fits_into_a_bigint():
    assert hold.key("orders") == hold.key("orders") != hold.key("orders-eu")
    assert 0 < hold.key("orders") < 2**63


def test_a_signal_is_raised_while_armed_and_waits_until_then():
    with signals_raised() as arm:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted, match="SIGHUP"):
            arm(True)
    with signals_raised() as arm:
        arm(True)
        with pytest.raises(Interrupted, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
