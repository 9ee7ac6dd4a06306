# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sequences are behind, and which wishes can't be carried out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudpg.migration.plugins.module_utils._logical.sequences import (
    AHEAD, EQUAL, SET, Sequence, compare, counts, plan,
)

UP, DOWN = {"increment": 1}, {"increment": -1, "min_value": -100, "max_value": -1}


def at(value, called=True, **more):
    return Sequence("public.s", "public", 7, value, called, **more)


@pytest.mark.parametrize("source, target, verdict, now", [
    (at(5), at(1, False), SET, (5, True)),
    (at(5), at(5), EQUAL, (5, True)),
    (at(5000, False), at(1, False), SET, (5000, False)),
    (at(5), at(5, False), SET, (5, True)),
    (at(5, False), at(5), AHEAD, (5, True)),
    (at(5), at(6), AHEAD, (6, True)),
    (at(1, False), at(1, False), EQUAL, (1, False)),
])
def test_p32_the_value_travels_with_is_called(source, target, verdict, now):
    [move], findings = compare([source], [target])
    assert (move.verdict, (move.value, move.is_called), findings) == (verdict, now, [])


@pytest.mark.parametrize("source, target, verdict", [
    (at(-5, **DOWN), at(-1, False, **DOWN), SET),
    (at(-5, **DOWN), at(-6, **DOWN), AHEAD),
    (at(-5, **DOWN), at(-5, False, **DOWN), SET),
])
def test_p33_down_is_forwards_for_a_descending_sequence(source, target, verdict):
    [move], _rest = compare([source], [target])
    assert move.verdict == verdict


@pytest.mark.parametrize("one, margin, now", [
    (at(5), 10, (15, True)),
    (at(5, False), 10, (15, False)),
    (at(5, increment=3), 10, (35, True)),
    (at(-5, **DOWN), 10, (-15, True)),
])
def test_p35_a_margin_counts_values_in_the_direction_of_the_increment(one, margin, now):
    target = at(one.min_value if one.increment > 0 else one.max_value, False, increment=one.increment,
                min_value=one.min_value, max_value=one.max_value)
    [move], _rest = compare([one], [target], margin)
    assert (move.value, move.is_called) == now


@pytest.mark.parametrize("source, target, margin, found", [
    (at(5), None, 0, ["sequence-missing"]),
    (at(5), at(-5, **DOWN), 0, ["sequence-direction"]),
    (at(5), at(None, None), 0, ["sequence-not-readable"]),
    (at(None, None), at(5), 0, ["sequence-not-readable"]),
    (at(500), at(1, max_value=100), 0, ["sequence-bounds"]),
    (at(-99, **DOWN), at(-1, **DOWN), 2, ["sequence-headroom"]),
    (at(99, max_value=100), at(1, max_value=100), 2, ["sequence-headroom"]),
    (at(5), at(1, writable=False), 0, ["sequence-not-writable"]),
    (at(5), at(5, writable=False), 0, []),
])
def test_p33_p35_what_stands_in_the_way_is_named(source, target, margin, found):
    _rest, findings = compare([source], [target] if target else [], margin)
    assert [one.id for one in findings] == found
    assert all(one.severity == "blocker" and not one.acknowledgeable and one.cure for one in findings)


def test_p35_a_cycling_sequence_goes_without_the_margin_that_does_not_fit():
    [move], [finding] = compare([at(99, max_value=100, cycle=True)], [at(1, max_value=100, cycle=True)], 5)
    assert (move.verdict, move.value, finding.id) == (SET, 99, "sequence-margin-left-out")


def test_p34_a_new_round_of_a_cycling_sequence_is_told_and_not_followed():
    [move], [finding] = compare([at(3, cycle=True)], [at(98, cycle=True)])
    assert (move.verdict, finding.id, finding.severity) == (AHEAD, "sequence-cycled", "warning")


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.booleans(), st.integers(-50, 50), st.booleans()), max_size=20),
    st.sampled_from([1, 2, -1, -3]), st.integers(0, 5),
)
def test_p34_nothing_moves_backwards_and_a_second_run_changes_nothing(rows, increment, margin):
    bounds = {"increment": increment, "min_value": -1000, "max_value": 1000}
    source = [Sequence(f"s.{n}", "s", n, row[0], row[1], **bounds) for n, row in enumerate(rows)]
    target = [Sequence(f"s.{n}", "s", n, row[2], row[3], **bounds) for n, row in enumerate(rows)]
    moves, _rest = compare(source, target, margin)
    after = [Sequence(one.target.name, "s", one.target.oid, one.value, one.is_called, **bounds) for one in moves]
    for had, has, wanted in zip(target, after, source, strict=True):
        assert has.position(has.last_value, has.is_called) >= had.position(had.last_value, had.is_called)
        assert has.position(has.last_value, has.is_called) >= wanted.position(wanted.moved(margin), wanted.is_called)
    again, _rest = compare(source, after, margin)
    assert not plan(again).changed and counts(again)[SET] == 0


def test_p33_all_are_set_in_one_step():
    source = [Sequence(f"s.{n}", "s", n, 9, True) for n in range(300)]
    target = [Sequence(f"s.{n}", "s", n, 1, False) for n in range(300)]
    made = plan(compare(source, target)[0])
    assert len(made.steps) == 1 and len(made.steps[0].args["values"]) == 300
    assert made.steps[0].sentence == "set 300 sequences: s.0 to 9, s.1 to 9, s.2 to 9 and 297 more"
    assert len(made.after) == 100
