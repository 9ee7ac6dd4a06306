# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a table needs so that its updates survive being published."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import identity
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.identity import Wish, plan_restore, plan_set
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.tables import (
    Key, Table, closure, leaves_of, problem_of,
)

PRIMARY = Key("a_pkey", ("id",), primary=True)
UNIQUE = Key("a_code_key", ("code",))
NULLABLE = Key("a_code_key", ("code",), problem="code may be NULL")
ALL = Wish({}, ["*"], ["*"])


def table(*keys, **more):
    return Table(1, "public.a", "public", keys=keys, **more)


def of(name, **more):
    return Wish(indexes={"public.a": name}, **more)


@pytest.mark.parametrize("one, usable", [
    (table(PRIMARY), True),
    (table(UNIQUE), False),
    (table(), False),
    (table(PRIMARY, identity="n"), False),
    (table(identity="f"), True),
    (table(Key("k", chosen=True), identity="i"), True),
    (table(Key("k", chosen=True, problem="it is not valid"), identity="i"), False),
    (table(PRIMARY, identity="i"), False),
    (table(Key("a_pkey", ("id",), primary=True, problem="it is deferrable")), False),
])
def test_p3_a_primary_key_counts_and_a_unique_constraint_does_not(one, usable):
    assert one.usable is usable


@pytest.mark.parametrize("changed, problem", [
    ({}, None), ({"valid": False}, "it is not valid"), ({"immediate": False}, "it is deferrable"),
    ({"partial": True}, "it is partial"), ({"expressions": True}, "it is over expressions"),
    ({"nullable": ["a", "b"]}, "a, b may be NULL"),
])
def test_p3_what_keeps_a_unique_index_from_being_an_identity(changed, problem):
    row = {"valid": True, "immediate": True, "partial": False, "expressions": False, "nullable": []}
    assert problem_of(row | changed) == problem


@pytest.mark.parametrize("one, wish, now", [
    (table(PRIMARY), ALL, None),
    (table(UNIQUE), ALL, {"identity": "i", "index": "a_code_key"}),
    (table(UNIQUE), Wish({}, full=["*"]), {"identity": "f", "index": None}),
    (table(NULLABLE), ALL, {"identity": "f", "index": None}),
    (table(NULLABLE), Wish({}, ["*"]), None),
    (table(UNIQUE), Wish({}, ["public.b"], ["b*"]), None),
    (table(), Wish({}), None),
    (table(incomparable=("doc",)), ALL, None),
    (table(PRIMARY, UNIQUE), of("a_code_key"), {"identity": "i", "index": "a_code_key"}),
    (table(Key("k", chosen=True), identity="i"), of("k"), None),
    (table(logged=False), ALL, None),
])
def test_p3_p4_an_identity_is_set_only_where_it_is_needed_and_allowed(one, wish, now):
    plan, _rest = plan_set([one], wish)
    assert [step.args["now"] for step in plan.steps] == ([now] if now else [])


@pytest.mark.parametrize("one, wish, found", [
    (table(PRIMARY), Wish({}), []),
    (table(UNIQUE), Wish({}), ["table-without-identity"]),
    (table(identity="f"), Wish({}), ["identity-full"]),
    (table(identity="f", incomparable=("doc",)), Wish({}), ["identity-not-comparable"]),
    (table(incomparable=("doc",)), ALL, ["identity-not-comparable"]),
    (table(incomparable=("doc",)), Wish({}), ["table-without-identity"]),
    (table(NULLABLE), of("a_code_key"), ["index-not-usable"]),
    (table(), of("gone"), ["index-not-usable"]),
    (table(logged=False), ALL, ["table-unlogged"]),
])
def test_p2_p4_what_stays_to_be_seen_to(one, wish, found):
    _rest, findings = plan_set([one], wish)
    assert [one.id for one in findings] == found
    assert all(one.object == "public.a" and one.cure and one.fact for one in findings)


def test_p2_the_finding_says_what_would_help():
    assert "a_code_key" in identity.without_identity(table(UNIQUE)).cure
    assert "code may be NULL" in identity.without_identity(table(NULLABLE)).reason
    assert "doc can't be compared" in identity.without_identity(table(incomparable=("doc",))).cure


WAS = {"identity": "d", "index": None}


def event(was=None, now=None):
    return {"identity.public.a": Event("identity.public.a", "public.a", was or WAS, now or {
        "identity": "f", "index": None}, "2026", "me")}


@pytest.mark.parametrize("tables, events, steps, found, settled", [
    ([table(PRIMARY, identity="f")], event(), 1, [], 0),
    ([table(PRIMARY)], event(), 0, [], 1),
    ([], event(), 0, [], 1),
    ([table(identity="n")], event(), 0, ["identity-changed-since"], 0),
    ([table(identity="f", published=True)], event(), 1, ["table-still-published"], 0),
    ([table(PRIMARY, identity="f", published=True)], event(), 1, [], 0),
    ([table(identity="f")], event({"identity": "i", "index": "k"}), 1, ["index-not-usable"], 0),
    ([table(Key("k"), identity="f", published=True)], event({"identity": "i", "index": "k"}), 1, [], 0),
    ([table(identity="f")], {}, 0, [], 0),
])
def test_p4_the_old_identity_comes_back_unless_somebody_changed_it_or_it_would_break(
    tables, events, steps, found, settled
):
    plan, findings, done = plan_restore(tables, events)
    assert (len(plan.steps), [one.id for one in findings], len(done)) == (steps, found, settled)


def test_p5_identity_counts_for_each_leaf():
    root, middle = Table(1, "a", "s", kind="p"), Table(2, "b", "s", kind="p", ancestors=(1,))
    leaf, other = Table(3, "c", "s", ancestors=(2, 1)), Table(4, "d", "s")
    assert leaves_of([root, middle, leaf, other], [root]) == [leaf]
    assert leaves_of([root, middle, leaf, other], [middle, other]) == [leaf, other]


def test_tables_are_counted_by_what_identifies_their_rows():
    assert identity.counts([table(PRIMARY), table(UNIQUE), table(identity="f"), table(identity="n")]) == {
        "tables": 4, "primary_key": 1, "index": 0, "full": 1, "without": 2,
    }


@pytest.mark.parametrize("types, made_of, found", [
    (set(), [(2, 1)], set()), ({1}, [], {1}), ({1}, [(2, 1), (3, 2), (4, 9), (1, 3)], {1, 2, 3}),
])
def test_p4_what_contains_a_type_without_equality_has_none_either(types, made_of, found):
    assert closure(types, made_of) == found
