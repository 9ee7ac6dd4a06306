# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Catalogues as data: what two sides don't have alike, and what changed since (P50)."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._compare import fingerprint
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError

SEEN = {
    "tables": {("s.a", ""): "table", ("s.b", ""): "table"},
    "columns": {("s.a", "id"): "integer not null", ("s.a", "x"): "text", ("s.b", "id"): "bigint"},
}


def with_(name, **more):
    return {**SEEN, name: {**SEEN[name], **{tuple(key.split("|")): value for key, value in more.items()}}}


def test_p50_a_fingerprint_of_the_same_is_the_same_whatever_the_order():
    turned = {name: dict(reversed(list(SEEN[name].items()))) for name in reversed(list(SEEN))}
    assert fingerprint.fingerprint(SEEN) == fingerprint.fingerprint(turned)
    assert fingerprint.changes(fingerprint.fingerprint(SEEN), fingerprint.fingerprint(turned)) == []


@pytest.mark.parametrize(("after", "expected"), [
    (with_("columns", **{"s.a|x": "varchar(3)"}), [("columns", "s.a", "changed")]),
    (with_("columns", **{"s.a|y": "text"}), [("columns", "s.a", "changed")]),
    (with_("tables", **{"s.c|": "table"}), [("tables", "s.c", "added")]),
    ({**SEEN, "tables": {("s.a", ""): "table"}}, [("tables", "s.b", "removed")]),
    ({"tables": SEEN["tables"]}, []),
], ids=["changed", "part-added", "added", "removed", "class-not-looked-at"])
def test_p50_changes_are_named(after, expected):
    found = fingerprint.changes(fingerprint.fingerprint(SEEN), fingerprint.fingerprint(after))
    assert [(one["class"], one["object"], one["change"]) for one in found] == expected


def test_p50_borders_between_names_and_definitions_count():
    one = {"tables": {("s.a", "b"): "c"}}
    other = {"tables": {("s.a", ""): "bc"}}
    assert fingerprint.fingerprint(one)["hash"] != fingerprint.fingerprint(other)["hash"]


@pytest.mark.parametrize("wrong", [{}, {"format": 2, "objects": ""}, {"format": 1, "objects": "?"}, {"format": 1}])
def test_p48_what_is_no_fingerprint_is_refused(wrong):
    with pytest.raises(PgError, match="fingerprint"):
        fingerprint.changes(wrong, fingerprint.fingerprint(SEEN))


def test_both_definitions_of_what_differs_are_given():
    target = with_("columns", **{"s.a|x": "varchar"})
    del target["columns"]["s.b", "id"]
    found = fingerprint.differences(SEEN, target)
    assert [(one["object"], one["part"], one["source"], one["target"]) for one in found] == [
        ("s.a", "x", "text", "varchar"), ("s.b", "id", "bigint", None),
    ]


def test_the_owner_of_what_is_missing_anyway_is_not_named_too():
    assert fingerprint.differences({"owners": {("s.a", ""): "one"}}, {"owners": {}}) == []
    assert len(fingerprint.differences({"owners": {("s.a", ""): "one"}}, {"owners": {("s.a", ""): "two"}})) == 1


@pytest.mark.parametrize(("before", "after"), [
    ("SELECT types.id,\n  types.mood FROM s.types", "SELECT id, mood FROM s.types"),
    ('SELECT "Odd ""t"""."Col", max(x.n) FROM a', 'SELECT "Col", max(n) FROM a'),
    ("SELECT t.* FROM t", "SELECT * FROM t"),
])
def test_queries_are_compared_across_16_without_the_names_before_columns(before, after):
    views = {"views": {("s.v", ""): before}}, {"views": {("s.v", ""): after}}
    assert fingerprint.differences(*views, (150018, 180006)) == []
    assert len(fingerprint.differences(*views, (160014, 180006))) == 1


def test_queries_that_differ_in_more_are_different_across_16_too():
    views = {"views": {("s.v", ""): "SELECT t.a FROM t WHERE t.b = 1.5"}}, {"views": {("s.v", ""): "SELECT a FROM t"}}
    assert len(fingerprint.differences(*views, (150018, 180006))) == 1
