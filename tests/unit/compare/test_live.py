# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settling what differs while replication runs: a lost change is found, a change under way isn't taken for one."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._compare.live import Lag, settle
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import WaitTimeout
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError

K, OTHER = ("1",), ("2",)


class Told:
    """One side that answers with one state after the other, the last again and again."""

    quick = True

    def __init__(self, *states):
        self.states = itertools.chain(states, itertools.repeat(states[-1]))

    def look(self, keys):
        state = next(self.states)
        return {key: state[key] for key in keys if key in state}


class Passed:
    def passed(self, meanwhile=lambda: None):
        meanwhile()


def run(source, target, rounds=5):
    return settle([K, OTHER], source, target, Passed(), rounds)


V, W, X = (1, 11), (1, 22), (1, 33)


@pytest.mark.parametrize(("target", "held"), [({}, None), ({K: W}, W)], ids=["lost-insert", "lost-update"])
def test_p48_what_stays_different_while_the_source_rests_is_different(target, held):
    real, moving = run(Told({K: V, OTHER: V}), Told({**target, OTHER: V}))
    assert real == {K: (V, held)} and moving == []


def test_p48_a_lost_delete_is_different():
    assert run(Told({}), Told({K: V})) == ({K: (None, V)}, [])


def test_what_arrives_once_the_lag_has_passed_is_alike():
    assert run(Told({K: V}), Told({K: V})) == ({}, [])


def test_p48_an_older_version_is_no_agreement_for_what_followed_it_may_be_lost():
    # Before the wait the source held V, after it W; the target never gets beyond V.
    source = Told({K: V}, *[{K: W}] * 100)
    real, _moving = run(source, Told({K: V}))
    assert real == {K: (W, V)}


def test_a_version_the_source_had_after_the_wait_is_agreement():
    source = Told({K: V}, {K: V}, {K: W}, *[{K: X}] * 100)
    assert run(source, Told({K: W})) == ({}, [])


def test_what_differs_once_only_was_on_its_way():
    # W came and went between two looks: the source looks quiet, but only once.
    assert run(Told({K: V}), Told({K: W}, {K: V})) == ({}, [])


def test_p48_what_never_rests_and_never_agrees_is_not_settled():
    source = Told(*({K: (1, number)} for number in range(1000)))
    assert run(source, Told({K: (1, -1)})) == ({}, [K])


class Session:
    """Answers a slot's state; ``where`` is for errors."""

    where = "source"

    def __init__(self, *slots):
        self.slots, self.ran = list(slots), []

    def value(self, statement, *_parameters):
        return False if "recovery" in statement else "0/10"

    def rows(self, _statement, _parameters):
        state = self.slots.pop(0) if len(self.slots) > 1 else self.slots[0]
        return [] if state is None else [{"confirmed": "0/5", "active": True, "wal_status": "reserved", **state}]

    def run(self, statement):
        self.ran.append(statement)


def lag(*slots, nudge=True, times=(0.0,)):
    clock = itertools.chain(times, itertools.repeat(times[-1]))
    return Lag(Session(*slots), Session(), "cloudpg_orders", 10.0, nudge, lambda: next(clock), lambda _seconds: None)


def test_p16_both_sides_are_nudged_until_the_slot_has_passed():
    waits, looked = lag({"passed": False}, {"passed": False}, {"passed": True}), []
    waits.passed(lambda: looked.append(1))
    assert len(looked) == 2
    assert [sum("emit_message" in text for text in side.ran) for side in (waits.source, waits.target)] == [3, 3]


def test_check_mode_nudges_nobody():
    waits = lag({"passed": True}, nudge=False)
    waits.passed()
    assert waits.source.ran == waits.target.ran == []


@pytest.mark.parametrize(("slot", "error", "said"), [
    (None, PgError, "no slot cloudpg_orders"),
    ({"passed": False, "wal_status": "lost"}, PgError, "P14"),
    ({"passed": False, "active": False}, WaitTimeout, "nobody reads it"),
], ids=["gone", "p14-lost", "late"])
def test_p48_a_lag_that_cannot_pass_is_an_error(slot, error, said):
    with pytest.raises(error, match=said):
        lag(slot, times=(0.0, 5.0, 11.0)).passed()
