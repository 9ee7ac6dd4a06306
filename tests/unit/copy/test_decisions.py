# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run decides, how rows travel, what stands in the way, how far it is."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._copy import obstacles
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.catalogue import Column, Table
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.ledger import Standing
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.progress import Progress, line
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.state import decide
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.throttle import Limits, Throttle
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.transfer import (
    Share,
    copy_in,
    copy_out,
    page_ranges,
    transfer,
    travels_binary,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError

SLOT = {"active": False, "active_pid": None, "wal_status": "reserved"}


def standing(state="copying", slot="s", **tables):
    return Standing(1, state, slot, "0/1", tables)


def test_a_first_run_copies_everything():
    found = decide(Standing(), {"a", "b"}, "s", None, False, {})
    assert (found.copy, found.begin, found.drop, found.whole) == ({"a", "b"}, True, False, True)


def test_p55_a_run_that_had_finished_nothing_starts_over_with_a_new_slot():
    found = decide(standing(a="planned", b="planned"), {"a", "b"}, "s", SLOT, False, {})
    assert (found.copy, found.begin, found.drop, found.leave) == ({"a", "b"}, True, True, frozenset())


def test_p56_what_is_finished_stays_and_the_rest_is_left():
    found = decide(standing(a="copied", b="planned"), {"a", "b", "new"}, "s", SLOT, False, {})
    assert (found.copy, found.leave, found.left) == (frozenset(), {"b", "new"}, {"b", "new"})
    assert found.kept == {"a"} and not found.begin and not found.whole


def test_p56_what_has_come_in_completes_the_copy():
    half = decide(standing(a="copied", b="left", c="left"), {"a", "b", "c"}, "s", SLOT, False, {"b": True})
    assert (half.enter, half.left, half.whole) == ({"b"}, {"c"}, False)
    found = decide(standing(a="copied", b="left"), {"a", "b"}, "s", SLOT, False, {"a": True, "b": True})
    assert (found.enter, found.kept, found.whole, found.copy) == ({"b"}, {"a", "b"}, True, frozenset())


def test_p56_what_is_coming_in_is_told_from_what_the_subscription_does_not_know():
    subscribed = {"a": True, "b": False}
    found = decide(standing(a="copied", b="left", c="left"), {"a", "b", "c"}, "s", SLOT, False, subscribed)
    assert (found.left, found.entering, found.enter) == ({"b", "c"}, {"b"}, frozenset())


def test_with_the_moment_still_kept_the_same_run_goes_on():
    found = decide(standing(a="copied", b="planned"), {"a", "b", "new"}, "s", SLOT, True, {})
    assert (found.copy, found.leave, found.begin) == ({"b"}, frozenset(), False)


def test_without_following_a_new_moment_serves_for_the_rest():
    found = decide(standing(slot=None, a="copied", b="planned"), {"a", "b"}, None, None, False, {})
    assert (found.copy, found.begin) == ({"b"}, True)


def test_a_copy_that_is_done_is_never_begun_again_whatever_is_there_now():
    found = decide(standing("done", a="copied"), {"a", "new"}, "s", None, False, {})
    assert found.over and not found.copy | found.leave


@pytest.mark.parametrize(("ledger", "slot", "code"), [
    (Standing(), SLOT, "slot_exists"),
    (Standing(), {**SLOT, "active": True, "active_pid": 7}, "slot_in_use"),
    (standing(a="copied"), None, "slot_lost"),
    (standing(a="copied"), {**SLOT, "wal_status": "lost"}, "slot_lost"),
    (standing(slot="other", a="copied"), SLOT, "slot_differs"),
], ids=["foreign", "in use", "gone", "lost", "another"])
def test_p14_a_slot_that_leads_nowhere_is_refused(ledger, slot, code):
    with pytest.raises(PgError) as told:
        decide(ledger, {"a", "b"}, "s", slot, False, {})
    assert told.value.code == code and "Cure" in told.value.message


def type_of(name, kind="b", base=0, element=0, category="X", binary=True):
    return {"name": name, "kind": kind, "base": base, "element": element, "category": category, "binary": binary}


TYPES = {
    23: type_of("int4"), 1007: type_of("_int4", element=23, category="A"), 2205: type_of("regclass"),
    1033: type_of("aclitem", binary=False), 17000: type_of("positive", "d", base=23),
    17001: type_of("mood", "e"), 17002: type_of("_mood", element=17001, category="A"),
    17003: type_of("geometry"), 17004: type_of("path", "d", base=2205),
    2210: type_of("_regclass", element=2205, category="A"),
}


@pytest.mark.parametrize(("number", "binary"), [
    (23, True), (1007, True), (17000, True), (17001, True), (17002, False), (17003, False), (2205, False),
    (2210, False), (17004, False), (1033, False), (99999, False),
], ids=lambda value: TYPES.get(value, {"name": str(value)})["name"] if isinstance(value, int) else "")
def test_p27_binary_travels_what_means_the_same_everywhere(number, binary):
    assert travels_binary(TYPES, number) is binary


def columns(*names, generated=()):
    return tuple(Column(name, 23, "integer", name in generated) for name in names)


def test_p21_what_the_target_computes_is_left_to_it():
    both = Table(1, "s.t", "s", columns=columns("a", "g", generated=["g"]))
    way = transfer(both, both, TYPES)
    assert copy_out(way) == "COPY s.t (a) TO STDOUT (FORMAT binary)"
    assert copy_in(way, True) == "COPY s.t (a) FROM STDIN (FORMAT binary, FREEZE)"


def test_p21_what_only_the_source_computes_travels_as_a_value():
    source = Table(1, "s.t", "s", columns=columns("a", "g", generated=["g"]))
    way = transfer(source, Table(1, "s.t", "s", columns=columns("g", "a")), TYPES)
    assert copy_out(way) == "COPY (SELECT g, a FROM ONLY s.t) TO STDOUT (FORMAT binary)"


def test_p26_what_the_publication_leaves_out_is_not_copied_either():
    table = Table(1, "s.t", "s", columns=columns("a", "b"))
    way = transfer(table, table, TYPES, Share(frozenset({"a"}), "(b > 3)"))
    assert copy_out(way) == "COPY (SELECT a FROM ONLY s.t WHERE ((b > 3))) TO STDOUT (FORMAT binary)"
    assert copy_out(way, (4, None)).endswith("WHERE ((b > 3)) AND ctid >= '(4,0)') TO STDOUT (FORMAT binary)")
    assert copy_in(way, True) == "COPY s.t (a) FROM STDIN (FORMAT binary, FREEZE)"


def test_p27_other_types_on_the_other_side_travel_as_text():
    source = Table(1, "s.t", "s", columns=columns("a"))
    target = Table(1, "s.t", "s", columns=(Column("a", 20, "bigint"),))
    assert "FORMAT text" in copy_out(transfer(source, target, TYPES))


def test_a_table_without_columns_has_rows_all_the_same():
    empty = Table(1, "s.t", "s")
    way = transfer(empty, empty, TYPES)
    assert copy_out(way) == "COPY s.t TO STDOUT (FORMAT binary)"
    assert copy_out(way, (0, None)) == "COPY (SELECT  FROM ONLY s.t WHERE ctid >= '(0,0)') TO STDOUT (FORMAT binary)"


def test_p53_ranges_are_seamless_only_and_the_last_is_open():
    way = transfer(Table(1, "s.t", "s", columns=columns("a")), Table(1, "s.t", "s", columns=columns("a")), TYPES)
    assert page_ranges(10, 3) == [(0, 3), (3, 6), (6, None)]
    assert "FROM ONLY s.t WHERE ctid >= '(3,0)' AND ctid < '(6,0)') TO STDOUT" in copy_out(way, (3, 6))
    assert "FREEZE" not in copy_in(way, False)


@pytest.mark.parametrize(("source", "target", "ids"), [
    ({}, {}, []),
    ({"policies": True}, {}, ["source-row-security"]),
    ({"readable": False}, {"owned": False}, ["source-not-readable", "target-not-owned"]),
    ({}, {"policies": True}, ["target-row-security"]),
    ({}, {"keys_in_force": True, "triggers": ("t",)}, ["target-foreign-keys", "target-triggers"]),
    ({"columns": columns("a", "b")}, {"columns": columns("a")}, ["target-column-missing"]),
    ({"columns": columns("a")}, {"columns": columns("a", generated=["a"])}, ["target-column-generated"]),
    ({"columns": columns("a", "g", generated=["g"])}, {"columns": columns("a")}, []),
], ids=str)
def test_what_stands_against_a_table(source, target, ids):
    found = obstacles.of_table(Table(1, "s.t", "s", **source), Table(2, "s.t", "s", **target))
    assert [one.id for one in found] == ids


@pytest.mark.parametrize(("published", "chosen", "ids"), [
    (None, {"s.a"}, ["publication-missing"]),
    ({"s.a"}, {"s.a"}, []),
    ({"s.root"}, {"s.leaf"}, []),
    ({"s.a"}, {"s.a", "s.b"}, ["table-not-published"]),
    ({"s.a", "s.b"}, {"s.a"}, ["published-not-copied"]),
], ids=["none", "equal", "by its root", "not published", "not copied"])
def test_p10_p11_published_and_copied_are_the_same(published, chosen, ids):
    assert [one.id for one in obstacles.publication("p", published, chosen, {"s.leaf": "s.root"})] == ids


def test_warnings_dont_stop_a_copy_and_blockers_name_their_cure():
    obstacles.refuse(obstacles.large_objects(3))
    with pytest.raises(PgError) as told:
        obstacles.refuse(obstacles.not_empty(["s.a", "s.b"]))
    assert told.value.code == "target-not-empty" and "TRUNCATE s.a" in told.value.message


def test_progress_counts_in_the_sources_bytes_and_tells_the_time_to_go():
    progress = Progress(1000, 2, 3)
    assert progress.at(0, [])["seconds_to_go"] is None
    # What goes over the line is twice as much as on the source's disk.
    progress.table_done(400, 800)
    figures = progress.at(10, [(600, 400)])
    assert (figures["bytes_done"], figures["bytes_per_second"], figures["seconds_to_go"]) == (600, 60, 7)
    progress.table_done(600, 1200)
    assert progress.at(20, [])["seconds_to_go"] == 0


def test_progress_never_says_more_than_all():
    progress = Progress(100, 1, 0)
    assert progress.at(1, [(100, 10_000)])["bytes_done"] == 100


def test_a_line_of_progress_reads_like_a_sentence():
    figures = {"bytes": 4 << 30, "bytes_done": 1 << 30, "tables": 31, "tables_done": 12, "bytes_per_second": 118 << 20,
               "seconds_to_go": 73, "indexes": 9, "indexes_done": 2}
    assert line(figures) == "copy 25 % · 12/31 tables · 1.0/4.0 GiB · 118 MiB/s · 01:13 to go"
    assert line({**figures, "bytes_done": 4 << 30, "seconds_to_go": 0}).endswith("2/9 indexes and keys")
    assert line({**figures, "bytes": 0, "bytes_done": 0, "seconds_to_go": None}).startswith("copy 100 %")


CALM = {"busy": 1, "waiting_for_storage": 1, "replica_lag": 0, "retained_by_others": 0}


@pytest.mark.parametrize(("limits", "load", "why"), [
    (Limits(busy_sessions=4), {"busy": 5}, "busy"),
    (Limits(storage_sessions=4), {"waiting_for_storage": 5}, "storage"),
    (Limits(storage_sessions=4), {"busy": 5, "waiting_for_storage": 4}, None),
    (Limits(replica_lag=10), {"replica_lag": 11}, "behind"),
    (Limits(retained_by_others=100), {"retained_by_others": 101}, "holds back"),
    (Limits(), {"busy": 99, "replica_lag": 99, "retained_by_others": 99}, None),
    (Limits(busy_sessions=4), {"busy": 4}, None),
], ids=str)
def test_the_load_that_is_too_much(limits, load, why):
    told = limits.exceeded({**CALM, **load})
    assert (why in told) if why else told is None


@pytest.mark.parametrize(("limits", "sees_all", "replicas", "expected"), [
    (Limits(busy_sessions=1, storage_sessions=1, replica_lag=1), True, 3, []),
    (Limits(busy_sessions=1), False, 0, [("source-sessions-hidden", "throttle.busy_sessions")]),
    (Limits(storage_sessions=1), False, 0, [("source-sessions-hidden", "throttle.storage_sessions")]),
    (Limits(replica_lag=60), False, 0, []),
    (Limits(replica_lag=60), False, 1, [("source-replicas-hidden", "throttle.replica_lag")]),
    (Limits(), False, 1, []),
], ids=str)
def test_a_limit_on_what_the_login_does_not_see_would_never_hold(limits, sees_all, replicas, expected):
    assert [(one.id, one.object) for one in obstacles.load(limits, sees_all, replicas)] == expected


def test_the_throttle_halves_at_once_and_comes_back_slowly():
    throttle = Throttle(Limits(busy_sessions=2), 8)
    loud = {**CALM, "busy": 9}
    assert [throttle.judge(load) for load in (loud, loud, loud, loud)] == [4, 2, 1, 1]
    assert throttle.why
    assert [throttle.judge(CALM) for _look in range(7)] == [1, 1, 2, 2, 2, 3, 3]
    assert throttle.judge(loud) == 1
