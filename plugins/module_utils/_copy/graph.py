# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From tables, indexes and keys to jobs: the longest first, indexes as soon as a table is in (P38, P43, P53). Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from .._pg.journal import Entry
from .catalogue import Table
from .definitions import Building, ForeignKey
from .jobs import Job
from .transfer import Transfer, page_ranges

# TID range scans begin here (P53): before, every range would read the whole table.
RANGES_SINCE = 140000
# A range smaller than this isn't worth its own transaction.
SMALLEST_RANGE = 1024


@dataclass(frozen=True)
class Work:
    """What is to be done. ``rows``: the tables to be copied and how. ``present``: all that are or will be there when
    this is over; ``parents`` names what each is a partition of. ``identities``: entries for the target's journal, by
    table, of those that the source will get back.
    """

    rows: Mapping[str, Transfer] = field(default_factory=dict)
    present: Mapping[str, Table] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    indexes: Sequence[Building] = ()
    foreign_keys: Sequence[tuple[ForeignKey, bool]] = ()
    analyze: Collection[str] = ()
    identities: Mapping[str, Entry] = field(default_factory=dict)


def ranges_of(table: Table, split_above: int, jobs: int, source_version: int) -> list[tuple[int, int | None]]:
    """The page ranges a table is copied in; one means as a whole. A ``split_above`` of 0 never splits."""
    if not split_above or table.bytes <= split_above or jobs < 2 or source_version < RANGES_SINCE:
        return [(0, None)]
    # Twice as many as jobs, so that the last of them isn't waited for long.
    return page_ranges(table.pages, min(2 * jobs, table.pages // SMALLEST_RANGE))


def build(work: Work, split_above: int, jobs: int, source_version: int) -> list[Job]:
    """The jobs of the work, each after those it needs."""
    made: list[Job] = []

    def add(kind: str, subject: str, after: Sequence[Job] = (), **more: object) -> Job:
        made.append(Job(kind, subject, after=list(after), **more))
        return made[-1]

    weights = {name: table.bytes for name, table in work.present.items()}
    copied: dict[str, Job] = {}
    for name, way in work.rows.items():
        ranges = ranges_of(work.present[name], split_above, jobs, source_version)
        copied[name] = _copy_jobs(add, name, way, ranges, weights[name])
    indexed = _index_jobs(add, work, copied, weights)
    whole = _table_gates(add, work, copied, indexed, weights)
    _foreign_key_jobs(add, work, whole, weights)
    return made


Adding = Callable[..., Job]
Steps = Mapping[str, Sequence[Job]]


def _copy_jobs(
    add: Adding, name: str, way: Transfer, ranges: Sequence[tuple[int, int | None]], weight: int
) -> Job:
    if len(ranges) == 1:
        return add("copy", name, weight=weight, details={"way": way})
    cleared = add("clear", name, weight=weight)
    parts = [
        add("range", name, [cleared], weight=weight, details={"way": way, "pages": pages, "of": len(ranges)})
        for pages in ranges
    ]
    return add("close", name, parts, weight=weight)


def _index_jobs(
    add: Adding, work: Work, copied: Mapping[str, Job], weights: Mapping[str, int]
) -> dict[str, list[Job]]:
    """The last jobs of each table. A parent's index comes after all below it: its lock would wait for them."""
    by_table: dict[str, list[Building]] = {}
    for building in work.indexes:
        by_table.setdefault(building.index.table, []).append(building)
    children: dict[str, list[str]] = {}
    for child, parent in work.parents.items():
        if child in work.present:
            children.setdefault(parent, []).append(child)
    last: dict[str, list[Job]] = {}
    attaching: dict[str, list[Building]] = {}

    def visit(table: str) -> list[Job]:
        if table in last:
            return last[table]
        below = [job for child in children.get(table, ()) for job in visit(child)]
        start = [copied[table]] if table in copied else []
        if below:
            start.append(below[0] if len(below) == 1 else add("gate", table, below))
        built, constraints = [], []
        for one in by_table.get(table, ()):
            index, ready = one.index, start
            if one.build:
                ready = [add(
                    "statement", index.full_name, start, weight=index.bytes, shared=frozenset({table}),
                    details={
                        "sql": index.build, "unless": index.full_name, "what": "index",
                        "sorted": index.bytes if index.is_sorted else None,
                    },
                )]
                built += ready
            if one.constrain:
                constraints.append((index, ready))
            if one.attach:
                attaching.setdefault(index.parent, []).append(one)
        # A key takes the table for itself: after the indexes, which are built side by side.
        chain = built or start
        for index, ready in constraints:
            chain = [add(
                "statement", index.full_name, _once([*ready, *chain]),
                weight=weights.get(table, 0), exclusive=frozenset({table}),
                details={"sql": index.constrain, "unless": None, "key": (table, index.constraint), "what": "key"},
            )]
        for one in by_table.get(table, ()):
            if one.identify:
                chain = [add(
                    "statement", one.index.full_name, _once([*chain, *built]), exclusive=frozenset({table}),
                    details={
                        "sql": one.index.identify, "what": "identity",
                        "entries": [work.identities[table]] if table in work.identities else [],
                    },
                )]
        ended = _once([*chain, *built])
        for one in by_table.get(table, ()):
            for child in attaching.pop(one.index.full_name, ()):
                ended.append(_attach(add, child, table, ended))
        last[table] = ended
        return ended

    for table in work.present:
        visit(table)
    # The parent's index is there already, its children's are new.
    for waiting in list(attaching.values()):
        for child in waiting:
            parent = work.parents.get(child.index.table)
            last.setdefault(parent, []).append(_attach(add, child, parent, last.get(parent, [])))
    return last


def _once(jobs: Sequence[Job]) -> list[Job]:
    return list({id(job): job for job in jobs}.values())


def _attach(add: Adding, child: Building, table: str, after: Sequence[Job]) -> Job:
    return add(
        "statement", child.index.full_name, after, exclusive=frozenset({table, child.index.table}),
        details={"sql": child.index.attach, "attached": child.index.full_name, "what": "attach"},
    )


def _table_gates(
    add: Adding, work: Work, copied: Mapping[str, Job], indexed: Steps, weights: Mapping[str, int]
) -> dict[str, Job]:
    """When a table is whole: copied, indexed, counted by ANALYZE."""
    whole: dict[str, Job] = {}
    for table in work.present:
        ready = list(indexed.get(table, ())) or ([copied[table]] if table in copied else [])
        if table in work.analyze:
            whole[table] = add(
                "statement", table, ready, weight=weights.get(table, 0), exclusive=frozenset({table}),
                details={"sql": f"ANALYZE {table}", "what": "analyze"},
            )
        else:
            whole[table] = add("gate", table, ready)
    return whole


def _foreign_key_jobs(
    add: Adding, work: Work, whole: Mapping[str, Job], weights: Mapping[str, int]
) -> None:
    for key, lacking in work.foreign_keys:
        ready = _once([whole[key.table], whole[key.referenced]])
        weight = weights.get(key.table, 0)
        if lacking:
            ready = [add(
                "statement", f"{key.table} {key.name}", ready, weight=weight,
                exclusive=frozenset({key.table, key.referenced}),
                details={"sql": key.add, "key": (key.table, key.name), "what": "foreign key"},
            )]
        if key.validate:
            add(
                "statement", f"{key.table} {key.name}", ready, weight=weight, exclusive=frozenset({key.table}),
                shared=frozenset({key.referenced} - {key.table}), details={"sql": key.validate, "what": "validate"},
            )
