# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pure parts of comparing rows: which tables are paired, how they are cut, how they are bucketed."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._compare.canonical import Column, recoding
from ansible_collections.cloudpg.migration.plugins.module_utils._compare.drill import (
    MOST_BUCKETS,
    buckets_for,
    differing,
    portions,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._compare.tables import Table, chosen, pair
from ansible_collections.cloudpg.migration.plugins.module_utils._compare.totals import (
    Piece,
    Sum,
    batches,
    columns_of,
    pieces,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import Selection

MIB = 1024 ** 2


def table(name, kind="r", root=None, columns=("id",), key=("id",), size=0):
    schema, relation = name.split(".")
    return Table(
        name, schema, relation, kind, root=root and f"{schema}.{root}", bytes=size,
        columns=tuple(Column(column, "integer", False) for column in columns), key=key,
    )


def side(*tables):
    return {one.name: one for one in tables}


def test_tables_are_paired_by_name_and_the_rest_is_told():
    found = pair(
        side(table("s.a"), table("s.b"), table("s.c", columns=("id", "x")), table("s.f", kind="f")),
        side(table("s.a", columns=("more", "id")), table("s.c"), table("s.d"), table("s.f")),
    )
    assert [one.name for one in found.pairs] == ["s.a"]
    assert found.unlike == {
        "s.b": "is missing on the target", "s.c": "lacks columns on the target: x", "s.d": "is only on the target",
    }
    assert list(found.skipped) == ["s.f"]


PARTS = [table("s.e", "p"), table("s.e1", root="e"), table("s.e2", "p", root="e"), table("s.e21", root="e")]


@pytest.mark.parametrize(("target", "compared"), [
    (PARTS, ["s.e1", "s.e21"]),
    (PARTS[:2], ["s.e"]),
    (PARTS[:1], ["s.e"]),
    ([table("s.e")], ["s.e"]),
    ([*PARTS, table("s.e3", root="e")], ["s.e"]),
], ids=["the-same-parts", "fewer", "none", "a-plain-table", "more"])
def test_p5_partitions_are_compared_one_by_one_only_where_both_sides_have_the_same(target, compared):
    for mine, there in ((PARTS, target), (target, PARTS)):
        found = pair(side(*mine), side(*there))
        assert [one.name for one in found.pairs] == compared and not found.unlike


def test_p5_two_partitioned_tables_without_parts_have_no_rows_to_compare_but_are_looked_at():
    assert [one.name for one in pair(side(PARTS[0]), side(PARTS[0])).pairs] == ["s.e"]


@pytest.mark.parametrize(("mine", "twin", "columns", "key"), [
    (("a",), ("b",), ("a", "b"), ("a",)),
    ((), ("b",), ("a", "b"), ("b",)),
    ((), ("c",), ("a", "b"), ()),
    ((), (), ("a", "b"), ()),
], ids=["source", "target", "not-on-the-source", "none"])
def test_p48_rows_are_told_apart_by_a_key_of_either_side(mine, twin, columns, key):
    [found] = pair(
        side(table("s.t", columns=columns, key=mine)), side(table("s.t", columns=(*columns, "c"), key=twin))
    ).pairs
    assert found.key == key


@pytest.mark.parametrize(("selection", "expected"), [
    (Selection(), {"s.e", "s.e1", "s.e2", "s.e21", "t.x"}),
    (Selection(["s.e"]), {"s.e", "s.e1", "s.e2", "s.e21"}),
    (Selection(["s.e21"]), {"s.e21"}),
    (Selection((), ["s.e"]), {"t.x"}),
    (Selection((), ["s.e1", "t.*"]), {"s.e", "s.e2", "s.e21"}),
    (Selection((), (), ["t"]), {"t.x"}),
    (Selection(["s.e1"], (), ["t"]), {"s.e1", "t.x"}),
])
def test_a_partition_is_chosen_with_the_table_it_is_a_part_of(selection, expected):
    assert set(chosen(side(*PARTS, table("t.x")), selection)) == expected


def test_p53_a_table_is_cut_into_ranges_without_gap_or_overlap_and_the_last_has_no_end():
    cut = pieces(3, table("s.t", size=100 * MIB), True, 32 * MIB)
    assert [(piece.first, piece.last) for piece in cut] == [(0, 4096), (4096, 8192), (8192, 12288), (12288, None)]
    assert {piece.number for piece in cut} == {3}


@pytest.mark.parametrize(("one", "by_ranges"), [
    (table("s.t", size=100 * MIB), False),
    (table("s.t", "p", size=100 * MIB), True),
    (table("s.t", size=32 * MIB), True),
], ids=["before-14", "partitioned", "small"])
def test_p53_what_cannot_be_or_need_not_be_cut_is_read_whole(one, by_ranges):
    assert [(piece.first, piece.last) for piece in pieces(0, one, by_ranges, 32 * MIB)] == [(0, None)]


def test_small_tables_are_asked_for_together_and_big_ones_first():
    one = table("s.t")
    found = [Piece(0, one, bytes=0), Piece(1, one, bytes=64 * MIB), Piece(2, one, bytes=7 * MIB),
             Piece(3, one, bytes=2 * MIB), *(Piece(number, one) for number in range(10, 210))]
    cut = list(batches(found))
    assert [[piece.number for piece in batch] for batch in cut[:2]] == [[1], [2]]
    assert [len(batch) for batch in cut[2:]] == [20] * 10 + [2]
    assert sum(len(batch) for batch in cut) == len(found)


def test_sums_of_ranges_add_up_and_a_count_has_no_hash():
    assert Sum(2, 2 ** 63) + Sum(3, -5) == Sum(5, 2 ** 63 - 5)
    assert Sum(2, None) + Sum(3, None) == Sum(5, None)


def test_what_is_written_as_text_otherwise_on_either_side_is_hashed_alike_on_both():
    source = Table("s.t", "s", "t", "r", columns=(
        Column("a", "integer", False), Column("b", "numeric(9,2)", True), Column("c", "text", False),
    ))
    target = Table("s.t", "s", "t", "r", columns=(
        Column("c", "text", True), Column("b", "numeric(9,2)", False), Column("a", "s.mine", False),
    ))
    [found] = pair(side(source), side(target)).pairs
    assert [(one.name, one.type, one.nullable, one.plain) for one in columns_of(found, target)] == [
        ("a", "s.mine", False, False), ("b", "numeric(9,2)", True, True), ("c", "text", True, False),
    ]
    assert [(one.nullable, one.plain) for one in columns_of(found, source)] == [
        (one.nullable, one.plain) for one in columns_of(found, target)
    ]


@pytest.mark.parametrize(("rows", "buckets"), [(0, 1), (100, 1), (101, 2), (10 ** 6, 16384), (10 ** 12, MOST_BUCKETS)])
def test_buckets_are_a_power_of_two_and_bounded(rows, buckets):
    assert buckets_for(rows) == buckets


def test_buckets_are_fetched_in_portions_that_fit_into_memory():
    assert portions([1, 2, 3, 4, 5], 40, 100) == [[1, 2], [3, 4], [5]]
    assert portions([1, 2], 10 ** 9, 100) == [[1], [2]]
    assert portions([], 10, 100) == []


def test_what_differs_is_what_either_side_has_otherwise_or_alone():
    assert sorted(differing({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "d": 4})) == ["b", "c", "d"]


@pytest.mark.parametrize(("source", "target", "expected"), [
    ("UTF8", "UTF8", False), ("LATIN1", "UTF8", True), ("SQL_ASCII", "UTF8", False), ("SQL_ASCII", "SQL_ASCII", False),
])
def test_p57_text_is_recoded_only_between_encodings_that_are_known(source, target, expected):
    assert recoding(source, target) is expected
