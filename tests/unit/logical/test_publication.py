# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From one publication to another, and what publishing would break."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import membership, publication
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.membership import Filter, check, roots
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.publication import Member, Publication, plan
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.publication_work import batches
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import Selection
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.tables import Key, Table

ALL = {"publish": "insert, update, delete, truncate", "publish_via_partition_root": "false"}
PRIMARY = (Key("pkey", ("id",), primary=True),)


def of(*names, schemas=(), options=None, **more):
    members = {name: Member(name, **more) for name in names}
    return Publication("p", members=members, schemas=frozenset(schemas), options=options or ALL)


@pytest.mark.parametrize("now, wish, ops", [
    (None, of("a"), ["create"]),
    (of("a", "b"), of("b", "a"), []),
    (of("a"), of("a", "b"), ["add_tables"]),
    (of("a", "b"), of("b"), ["drop_tables"]),
    (of("a"), of("b"), ["drop_tables", "add_tables"]),
    (of("a"), of("a", where="(x > 1)"), ["replace_tables"]),
    (of("a", columns=frozenset("x")), of("a"), ["replace_tables"]),
    (of("a"), of("a", schemas=["s"]), ["add_schemas"]),
    (of(schemas=["s", "t"]), of("a", schemas=["s"]), ["drop_schemas", "add_tables"]),
    (of("a"), of("a", options=ALL | {"publish": "insert"}), ["set"]),
    (of("a", where="x"), of("a", options=ALL | {"publish": "insert"}), ["replace_tables", "set"]),
    (of("a"), of("a", where="x", options=ALL | {"publish": "insert"}), ["set", "replace_tables"]),
    (of("a", options=ALL | {"publish_generated_columns": "none"}), of("a"), []),
])
def test_it_goes_from_any_list_to_any_other_in_an_order_that_holds(now, wish, ops):
    made, findings = plan(now, wish)
    assert ([step.op for step in made.steps], findings) == (ops, [])


@pytest.mark.parametrize("now, wish", [(Publication("p", True, options=ALL), of("a")),
                                       (of("a"), Publication("p", True, options=ALL))])
def test_p5_all_tables_and_a_list_don_t_become_each_other(now, wish):
    made, [finding] = plan(now, wish)
    assert not made.changed and finding.id == "publication-of-all-tables" and "recreate" in finding.cure
    made, findings = plan(now, wish, recreate=True)
    assert [step.op for step in made.steps] == ["recreate"] and findings == []


def test_a_plan_over_ten_thousand_tables_is_one_step_and_one_short_sentence():
    made, _rest = plan(of("a"), of(*(f"t{number}" for number in range(10000))))
    assert len(made.steps) == 2 and all(len(step.sentence) < 100 for step in made.steps)
    assert len(made.after["tables"]) == 100 and made.after["table_count"] == 10000


@pytest.mark.parametrize("version, via_root, generated, made", [
    (120000, False, None, {"publish": "insert, delete"}),
    (150000, True, None, {"publish": "insert, delete", "publish_via_partition_root": "true"}),
    (180000, False, "stored", {"publish": "insert, delete", "publish_via_partition_root": "false",
                               "publish_generated_columns": "stored"}),
])
def test_p26_options_are_written_one_way_for_each_version(version, via_root, generated, made):
    assert publication.options(["delete", "insert"], via_root, generated, version) == made


@pytest.mark.parametrize("version, via_root, generated", [(120000, True, None), (170000, False, "none")])
def test_p26_an_option_that_the_server_does_not_have_is_told(version, via_root, generated):
    with pytest.raises(MigrationError, match="needs PostgreSQL"):
        publication.options(["insert"], via_root, generated, version)


ROOT = Table(1, "s.root", "s", "p", keys=PRIMARY)
MIDDLE = Table(2, "s.middle", "s", "p", keys=PRIMARY, ancestors=(1,))
LEAF = Table(3, "s.leaf", "s", keys=PRIMARY, ancestors=(2, 1))
OTHER_LEAF = Table(4, "s.other_leaf", "s", ancestors=(1,))
PLAIN = Table(5, "s.plain", "s", keys=PRIMARY)
HEAP = Table(6, "s.heap", "s")
UNLOGGED = Table(7, "s.unlogged", "s", keys=PRIMARY, logged=False)
TABLES = [ROOT, MIDDLE, LEAF, OTHER_LEAF, PLAIN, HEAP, UNLOGGED]


@pytest.mark.parametrize("selection, named", [
    (Selection(), ["s.heap", "s.plain", "s.root"]),
    (Selection(["s.root"]), ["s.root"]),
    (Selection(["s.leaf"]), ["s.leaf"]),
    (Selection(["s.leaf", "s.middle"]), ["s.middle"]),
    (Selection(["s.root"], ["s.leaf"]), ["s.other_leaf"]),
    (Selection(["s.root"], ["s.middle"]), ["s.other_leaf"]),
    (Selection(["s.root"], ["s.other_leaf"]), ["s.leaf"]),
    (Selection((), ["s.root"]), ["s.heap", "s.plain"]),
    (Selection(["s.leaf", "s.plain"], ["s.root"]), ["s.leaf", "s.plain"]),
    (Selection(["s.unlogged"]), []),
])
def test_p5_a_partitioned_table_stands_for_its_partitions_unless_one_is_left_out(selection, named):
    assert [table.name for table in roots(TABLES, selection, False, "here")] == named


@pytest.mark.parametrize("selection, named", [
    (Selection(), ["s.heap", "s.leaf", "s.other_leaf", "s.plain"]),
    (Selection(["s.root"]), ["s.leaf", "s.other_leaf"]),
    (Selection(["s.middle"]), ["s.leaf"]),
    (Selection(["s.root"], ["s.leaf"]), ["s.other_leaf"]),
])
def test_p26_before_13_partitions_are_named_one_by_one(selection, named):
    assert [table.name for table in roots(TABLES, selection, False, "here", 120022)] == named


def test_p5_by_its_root_it_goes_whole_or_not_at_all():
    with pytest.raises(MigrationError, match="s.leaf can't be left out"):
        roots(TABLES, Selection(["s.root"], ["s.leaf"]), True, "here")


@pytest.mark.parametrize("policy, taken, left", [
    ("refuse", [PLAIN, HEAP, ROOT], []), ("skip", [PLAIN], [HEAP, ROOT]), ("only", [HEAP, ROOT], [PLAIN]),
])
def test_p2_tables_are_sorted_out_by_the_identity_of_every_leaf(policy, taken, left):
    assert membership.sort_out(TABLES, [PLAIN, HEAP, ROOT], policy, False) == (taken, left)


@pytest.mark.parametrize("member, needy, via_root, filters, columns, found", [
    (PLAIN, True, False, {}, {}, []),
    (HEAP, True, False, {}, {}, ["table-without-identity"]),
    (HEAP, False, False, {}, {}, []),
    (ROOT, True, False, {}, {}, ["table-without-identity"]),
    (MIDDLE, True, True, {}, {}, []),
    (PLAIN, True, False, {"s.plain": Filter("x", frozenset(["id"]))}, {}, []),
    (PLAIN, True, False, {"s.plain": Filter("x", frozenset(["a"]))}, {}, ["filter-beyond-identity"]),
    (PLAIN, False, False, {"s.plain": Filter("x", frozenset(["a"]))}, {}, []),
    (PLAIN, True, False, {}, {"s.plain": ["id", "a"]}, []),
    (PLAIN, True, False, {}, {"s.plain": ["a"]}, ["columns-lack-identity"]),
    (MIDDLE, True, False, {"s.middle": Filter("x", frozenset(["id"]))}, {}, ["filter-of-partitioned-table"]),
])
def test_p2_p5_what_publishing_would_break(member, needy, via_root, filters, columns, found):
    assert [one.id for one in check(TABLES, [member], needy, via_root, filters, columns)] == found


@pytest.mark.parametrize("count, size, sizes", [(0, 5, [0]), (5, 5, [5]), (11, 5, [5, 5, 1])])
def test_many_tables_go_in_portions(count, size, sizes):
    assert [len(portion) for portion in batches(list(range(count)), size)] == sizes
