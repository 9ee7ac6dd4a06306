# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The graph of the work, and the order in which it is handed out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudpg.migration.plugins.module_utils._copy.catalogue import Table
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.definitions import (
    Building,
    ForeignKey,
    Index,
    index_settings,
    missing_foreign_keys,
    missing_indexes,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.graph import Work, build, ranges_of
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.jobs import Job, Schedule, helpers
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.transfer import Transfer

GIB = 1 << 30


def table(name, size=0, kind="r", partition=False):
    return Table(1, name, "s", kind=kind, partition=partition, bytes=size, pages=size // 8192)


def index(table_name, name, **more):
    return Index(table_name, name, f"s.{name}", f"CREATE INDEX {name} ON {table_name} USING btree (a)", **more)


def building(one):
    return Building(one, one.build is not None, one.constraint is not None, one.parent is not None)


def work(*tables, indexes=(), foreign_keys=(), parents=None, analyze=True):
    return Work(
        {one.name: Transfer(one.name, ("a",), True) for one in tables if one.kind == "r"},
        {one.name: one for one in tables}, parents or {}, [building(one) for one in indexes], foreign_keys,
        {one.name for one in tables if not one.partition} if analyze else set(),
    )


def all_of(schedule):
    """What is handed out, one after the other."""
    order = []
    while not schedule.over:
        job = schedule.take(True, True)
        assert job is not None, "nothing can be done, and not all is done"
        order.append(job)
        schedule.done(job)
    return order


def said(jobs):
    return [f"{job.kind} {job.subject}" if job.kind != "statement" else job.details["sql"] for job in jobs]


def test_the_longest_table_goes_first_and_its_indexes_do_not_wait_for_the_others():
    schedule = Schedule(build(work(
        table("s.small", 10), table("s.big", 1000), table("s.middle", 100), indexes=[index("s.big", "i")]
    ), 0, 2, 150000))
    first, second = schedule.take(True, True), schedule.take(True, True)
    assert (first.subject, second.subject) == ("s.big", "s.middle")
    schedule.done(first)
    assert said([schedule.take(False, True)]) == ["CREATE INDEX i ON s.big USING btree (a)"]
    assert schedule.take(True, False).subject == "s.small"


def test_of_a_tables_indexes_the_biggest_is_begun_first():
    indexes = [index("s.t", name, bytes=size) for name, size in (("small", 10), ("big", 300), ("middle", 200))]
    order = all_of(Schedule(build(work(table("s.t", 1000), indexes=indexes, analyze=False), 0, 2, 150000)))
    assert [job.subject for job in order] == ["s.t", "s.big", "s.middle", "s.small"]


@pytest.mark.parametrize(("jobs", "busy", "waiting", "reading_left", "expected"), [
    (2, 0, 0, 0, 1),
    (2, 0, 1, 0, 0),
    (2, 1, 0, 0, 1),
    (2, 1, 0, 1, 0),
    (2, 1, 3, 0, 0),
    (8, 2, 0, 0, 5),
    (8, 7, 0, 0, 4),
    (8, 2, 3, 0, 2),
    (8, 2, 3, 4, 2),
    (1, 0, 0, 0, 0),
])
def test_an_index_has_helpers_where_processors_are_left_over_or_soon_will_be(
    jobs, busy, waiting, reading_left, expected
):
    assert helpers(jobs, busy, waiting, reading_left) == expected


@pytest.mark.parametrize(("size", "helping", "most", "memory"), [
    (10 << 20, 0, GIB, 32 << 20),
    (10 << 20, 1, GIB, 64 << 20),
    (16 * GIB, 1, GIB, 128 << 20),
    (400 * GIB, 0, GIB, GIB),
    (10 << 20, 3, 64 << 20, 64 << 20),
    (None, 1, GIB, None),
    (16 * GIB, 1, 0, None),
], ids=["small", "small with a helper", "big", "huge", "no more than there is", "not sorted", "the user's own"])
def test_an_index_is_sorted_in_no_more_memory_than_it_takes(size, helping, most, memory):
    parallel, *rest = index_settings(size, helping, most)
    assert parallel == f"SET LOCAL max_parallel_maintenance_workers = {helping}"
    assert rest == ([] if memory is None else [f"SET LOCAL maintenance_work_mem = '{memory >> 10}kB'"])


def test_only_a_btree_is_sorted():
    assert index("s.t", "i").is_sorted
    assert not Index("s.t", "i", "s.i", "CREATE INDEX i ON s.t USING gin (a)").is_sorted


def test_jobs_that_could_begin_are_counted_also_those_that_wait_for_a_lock():
    schedule = Schedule([Job("statement", name, exclusive=frozenset({"t"})) for name in "abc"])
    assert schedule.waiting == 3
    schedule.take(True, True)
    assert schedule.waiting == 2 and schedule.take(True, True) is None and schedule.waiting == 2


def test_p38_a_key_is_built_beside_the_indexes_and_taken_after_them():
    key = index("s.t", "pk", constraint="pk", constraint_kind="p", timing=" DEFERRABLE")
    schedule = Schedule(build(work(table("s.t", 10), indexes=[key, index("s.t", "i")]), 0, 2, 150000))
    schedule.done(schedule.take(True, True))
    one, other = schedule.take(False, True), schedule.take(False, True)
    assert {one.details["what"], other.details["what"]} == {"index"}
    schedule.done(one)
    assert schedule.take(False, True) is None
    schedule.done(other)
    assert said(all_of(schedule)) == [
        "ALTER TABLE ONLY s.t ADD CONSTRAINT pk PRIMARY KEY USING INDEX pk DEFERRABLE", "ANALYZE s.t",
    ]


@pytest.mark.parametrize("more", [
    {"constraint_kind": "x", "constraint_definition": "EXCLUDE USING gist (a WITH &&)"},
    {"constraint_kind": "p", "constraint_definition": "PRIMARY KEY (a)", "on_partitioned": True},
], ids=["exclusion", "partitioned"])
def test_p38_a_constraint_that_takes_no_index_is_added_as_it_was_declared(more):
    one = index("s.t", "c", constraint="c", **more)
    assert one.build is None
    assert one.constrain == f"ALTER TABLE ONLY s.t ADD CONSTRAINT c {more['constraint_definition']}"


def test_p38_foreign_keys_come_last_unchecked_and_are_validated_where_they_were():
    keys = [
        (ForeignKey("s.a", "s.b", "f", "FOREIGN KEY (b) REFERENCES s.b(a)"), True),
        (ForeignKey("s.a", "s.b", "g", "FOREIGN KEY (b) REFERENCES s.b(a) NOT VALID", validated=False), True),
        (ForeignKey("s.p", "s.b", "h", "FOREIGN KEY (b) REFERENCES s.b(a)", on_partitioned=True), True),
    ]
    order = said(all_of(Schedule(build(
        work(table("s.a", 5), table("s.b", 9), table("s.p", kind="p"), foreign_keys=keys), 0, 2, 150000
    ))))
    last = [text for text in order if "CONSTRAINT" in text]
    assert order.index(last[0]) > order.index("ANALYZE s.a")
    assert set(last) == {
        "ALTER TABLE ONLY s.a ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES s.b(a) NOT VALID",
        "ALTER TABLE ONLY s.a ADD CONSTRAINT g FOREIGN KEY (b) REFERENCES s.b(a) NOT VALID",
        "ALTER TABLE s.p ADD CONSTRAINT h FOREIGN KEY (b) REFERENCES s.b(a)",
        "ALTER TABLE s.a VALIDATE CONSTRAINT f",
    }


def test_jobs_that_would_wait_for_each_others_lock_are_not_started_together():
    keys = [(ForeignKey(one, "s.c", "f", "FOREIGN KEY (b) REFERENCES s.c(a)"), True) for one in ("s.a", "s.b")]
    schedule = Schedule(build(
        work(table("s.a"), table("s.b"), table("s.c"), foreign_keys=keys, analyze=False), 0, 2, 150000
    ))
    for _table in range(3):
        schedule.done(schedule.take(True, True))
    first = schedule.take(False, True)
    assert first.exclusive == {"s.a", "s.c"} or first.exclusive == {"s.b", "s.c"}
    assert schedule.take(False, True) is None
    schedule.done(first)
    # Its own check, which needs no lock that the other takes.
    others = [schedule.take(False, True), schedule.take(False, True)]
    assert [job is None for job in others].count(True) == 1


def test_a_parents_index_comes_after_all_partitions_and_takes_theirs():
    parents = {"s.mid": "s.root", "s.leaf": "s.mid", "s.leaf2": "s.root"}
    tables = [table("s.root", kind="p"), table("s.mid", kind="p", partition=True),
              table("s.leaf", 10, partition=True), table("s.leaf2", 20, partition=True)]
    indexes = [
        index("s.root", "r", on_partitioned=True), index("s.mid", "m", on_partitioned=True, parent="s.r"),
        index("s.leaf", "l", parent="s.m"), index("s.leaf2", "l2", parent="s.r"),
    ]
    order = said(all_of(Schedule(build(work(*tables, indexes=indexes, parents=parents), 0, 2, 150000))))
    place = {text: number for number, text in enumerate(order)}
    root, middle = "CREATE INDEX r ON s.root USING btree (a)", "CREATE INDEX m ON s.mid USING btree (a)"
    assert max(place["copy s.leaf"], place["copy s.leaf2"]) < place[root]
    assert place[middle] < place["ALTER INDEX s.m ATTACH PARTITION s.l"] < place["ALTER INDEX s.r ATTACH PARTITION s.m"]
    assert order[-1] == "ANALYZE s.root" and "ANALYZE s.leaf" not in order


def test_an_index_that_was_built_before_the_run_ended_is_only_attached():
    parents = {"s.leaf": "s.root"}
    lacking = Building(index("s.leaf", "l", parent="s.r"), build=False, constrain=False, attach=True)
    jobs = build(Work({}, {one.name: one for one in (table("s.root", kind="p"), table("s.leaf", partition=True))},
                      parents, [lacking]), 0, 2, 150000)
    assert said(all_of(Schedule(jobs))) == ["ALTER INDEX s.r ATTACH PARTITION s.l"]


@pytest.mark.parametrize(("size", "split_above", "jobs", "version", "ranges"), [
    (10 * GIB, 1 * GIB, 4, 150000, 8),
    (10 * GIB, 1 * GIB, 4, 130000, 1),
    (10 * GIB, 0, 4, 150000, 1),
    (10 * GIB, 1 * GIB, 1, 150000, 1),
    (1 * GIB, 1 * GIB, 4, 150000, 1),
    (20 << 20, 1 << 20, 4, 150000, 2),
    (2 << 20, 1 << 20, 4, 150000, 1),
])
def test_p53_only_big_tables_go_in_ranges_and_only_from_14_on(size, split_above, jobs, version, ranges):
    found = ranges_of(table("s.t", size), split_above, jobs, version)
    assert len(found) == ranges
    assert found[0][0] == 0 and found[-1][1] is None
    assert [one[1] for one in found[:-1]] == [one[0] for one in found[1:]]


def test_p53_ranges_come_after_the_table_was_emptied_and_before_it_counts():
    jobs = build(work(table("s.t", 10 * GIB), indexes=[index("s.t", "i")]), GIB, 2, 150000)
    kinds = [job.kind for job in all_of(Schedule(jobs))]
    assert kinds == ["clear", "range", "range", "range", "range", "close", "statement", "statement"]


def test_a_job_whose_connection_broke_is_handed_out_again():
    schedule = Schedule([Job("copy", "t")])
    job = schedule.take(True, True)
    schedule.again(job)
    assert not schedule.over and schedule.take(True, True) is job


@given(st.integers(1, 40), st.data())
def test_whatever_waits_for_whatever_all_is_done_in_an_order_that_respects_it(count, data):
    jobs = []
    for number in range(count):
        after = data.draw(st.lists(st.sampled_from(jobs), unique_by=id, max_size=3)) if jobs else []
        kind = data.draw(st.sampled_from(["copy", "statement", "gate"]))
        names = frozenset(data.draw(st.lists(st.sampled_from("abc"), max_size=2)))
        jobs.append(Job(kind, str(number), after=after, weight=data.draw(st.integers(0, 9)), exclusive=names))
    schedule, running, ended = Schedule(jobs), [], set()
    while not schedule.over:
        job = schedule.take(True, True) if len(running) < 3 else None
        if job is None:
            job = running.pop(0)
            ended.add(job.number)
            schedule.done(job)
            continue
        assert all(other.exclusive.isdisjoint(job.exclusive) for other in running)
        assert all(before.kind == "gate" or before.number in ended for before in job.after)
        running.append(job)
    assert ended == {job.number for job in jobs if job.kind != "gate"}


def test_indexes_that_are_there_or_invalid_on_the_source_are_not_made():
    wanted = [
        index("s.t", "there"), index("s.t", "broken", valid=False),
        index("s.t", "half", on_partitioned=True, valid=False),
        index("s.t", "pk", constraint="pk", constraint_kind="p"), index("s.other", "else"),
    ]
    there = [index("s.t", "there"), index("s.t", "pk")]
    lacking = missing_indexes(wanted, there, {"s.t"})
    found = [(one.index.name, one.build, one.constrain) for one in lacking]
    assert found == [("half", True, False), ("pk", False, True)]


def test_p3_an_index_that_is_the_replica_identity_becomes_it_once_it_is_built():
    key = index("s.t", "key", constraint="key", constraint_kind="u", identity=True)
    new, = missing_indexes([key], [], {"s.t"})
    jobs = all_of(Schedule(build(Work({}, {"s.t": table("s.t")}, {}, [new]), 0, 2, 160000)))
    assert [sql for sql in said(jobs) if "gate" not in sql] == [
        "CREATE INDEX key ON s.t USING btree (a)", "ALTER TABLE ONLY s.t ADD CONSTRAINT key UNIQUE USING INDEX key",
        "ALTER TABLE ONLY s.t REPLICA IDENTITY USING INDEX key",
    ]
    plain = index("s.t", "key", constraint="key", constraint_kind="u")
    lacking, = missing_indexes([key], [plain], {"s.t"})
    assert (lacking.build, lacking.constrain, lacking.identify) == (False, False, True)
    assert missing_indexes([key], [key], {"s.t"}) == []


def test_a_foreign_key_that_is_there_unchecked_is_only_validated():
    key = ForeignKey("s.t", "s.u", "f", "FOREIGN KEY (a) REFERENCES s.u(a)")
    unchecked = ForeignKey("s.t", "s.u", "f", "FOREIGN KEY (a) REFERENCES s.u(a) NOT VALID", validated=False)
    assert missing_foreign_keys([key], [unchecked], {"s.t", "s.u"}) == [(key, False)]
    assert missing_foreign_keys([key], [key], {"s.t", "s.u"}) == []
    assert missing_foreign_keys([key], [], {"s.t"}) == []
