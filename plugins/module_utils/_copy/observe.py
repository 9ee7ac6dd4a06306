# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both sides as a copy finds them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._findings import Finding
from .._logical.identity import PREFIX
from .._logical.selection import Selection
from .._pg import journal
from .._pg.errors import PgError
from .._pg.journal import Entry
from . import catalogue, definitions, ledger, obstacles, snapshot, throttle
from .catalogue import Catalogue, Table
from .graph import Work
from .ledger import Standing
from .sessions import Wire
from .state import Decision, decide
from .throttle import Limits
from .transfer import Share, transfer

FAILOVER_SINCE = 170000

# Filters and lists of columns there are from 15 on: taken from the row as JSON, no older view is asked for too much.
_PUBLISHED = """
    SELECT format('%%I.%%I', p.schemaname, p.tablename) AS name, to_jsonb(p) ->> 'rowfilter' AS rows,
           ARRAY(SELECT quote_ident(a) FROM jsonb_array_elements_text(CASE jsonb_typeof(to_jsonb(p) -> 'attnames')
                 WHEN 'array' THEN to_jsonb(p) -> 'attnames' ELSE '[]' END) a) AS columns
    FROM pg_publication_tables p WHERE p.pubname = %s
"""
_PUBLICATION = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = %s)"
_SUBSCRIBED = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name, r.srsubstate = 'r' AS in_step
    FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid JOIN pg_class c ON c.oid = r.srrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.subslotname = %s AND s.subdbid = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )
"""
_NEVER_ANALYZED = """
    SELECT format('%I.%I', schemaname, relname) AS name FROM pg_stat_user_tables
    WHERE last_analyze IS NULL AND last_autoanalyze IS NULL
"""
_LARGE_OBJECTS = "SELECT count(*) FROM pg_largeobject_metadata"
_ENCODING = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    ``slot`` None: nothing will follow the copy. ``split_above`` in bytes. ``wait_seconds`` 0: it may take any time.
    """

    source: Mapping[str, Any]
    target: Mapping[str, Any]
    database: str | None
    migration: str
    selection: Selection
    slot: str | None
    publication: str
    jobs: int = 4
    split_above: int = 0
    memory: str | None = None
    indexes: bool = True
    analyze: bool = True
    failover: bool = False
    limits: Limits = field(default_factory=Limits)
    slot_seconds: float = 300
    patience_seconds: float = 300
    wait_seconds: float = 0


@dataclass(frozen=True)
class Observed:
    """``work`` is what is to be done on the target; ``chosen`` are the tables whose rows are meant."""

    standing: Standing
    decision: Decision
    work: Work
    chosen: Mapping[str, Table]
    findings: Sequence[Finding] = ()
    slot: Mapping[str, Any] | None = None

    @property
    def bytes_to_copy(self) -> int:
        return sum(self.chosen[name].bytes for name in self.decision.copy)


def observe(wish: Wish, source: Wire, target: Wire, alive: bool = False) -> Observed:
    """Read both sides and say what is to be done; raises PgError where no way leads on. Changes nothing."""
    if wish.failover and source.version < FAILOVER_SINCE:
        raise PgError(
            f"{source.where}: failover: it needs PostgreSQL 17, and the source is a {source.version // 10000} (P24). "
            "Cure: leave it out, and plan no maintenance of the source meanwhile."
        )
    standing = ledger.read(target, wish.migration)
    ours = catalogue.read(source)
    meant = wish.selection.of(ours.tables.values(), "tables", source.where)
    chosen = {table.name: table for table in meant if table.holds_rows and table.persistence == "p"}
    # A partition of a table that is meant is meant as well.
    for name, table in ours.tables.items():
        if table.holds_rows and table.persistence == "p" and _below(name, {t.name for t in meant}, ours.parents):
            chosen.setdefault(name, table)
    slot = snapshot.slot_state(source, wish.slot) if wish.slot else None
    subscribed = target.rows(_SUBSCRIBED, (wish.slot,)) if wish.slot else []
    decision = decide(
        standing, chosen, wish.slot, slot, alive, {row["name"]: row["in_step"] for row in subscribed}
    )
    if decision.over:
        return Observed(standing, decision, Work(), chosen, slot=slot)
    theirs = catalogue.read(target)
    published = _published(wish, source)
    findings = list(_findings(wish, source, target, ours, theirs, meant, chosen, decision, standing, published))
    work = _work(wish, source, target, ours, theirs, decision, published or {})
    return Observed(standing, decision, work, chosen, findings, slot)


def _below(name: str, meant: Collection[str], parents: Mapping[str, str]) -> bool:
    while name in parents:
        name = parents[name]
        if name in meant:
            return True
    return False


def _published(wish: Wish, source: Wire) -> dict[str, Share] | None:
    """What the publication takes of each of its tables; None where there is no such publication, or none is needed."""
    if wish.slot is None or not source.value(_PUBLICATION, (wish.publication,)):
        return None
    return {
        row["name"]: Share(frozenset(row["columns"]), row["rows"])
        for row in source.rows(_PUBLISHED, (wish.publication,))
    }


def _findings(
    wish: Wish, source: Wire, target: Wire, ours: Catalogue, theirs: Catalogue, meant: Sequence[Table],
    chosen: Mapping[str, Table], decision: Decision, standing: Standing, published: Mapping[str, Share] | None,
) -> Iterator[Finding]:
    for name in sorted(decision.copy | decision.leave):
        yield from obstacles.of_table(ours.tables[name], theirs.tables.get(name))
    # What this ledger has begun may hold rows; whatever else has some is somebody's.
    begun = standing.named(ledger.PLANNED)
    full = [
        name for name in sorted((decision.copy | decision.leave) - begun)
        if name in theirs.tables and theirs.tables[name].pages
        and target.value(f"SELECT EXISTS (SELECT FROM ONLY {name})")
    ]
    yield from obstacles.not_empty(full)
    yield from obstacles.unlogged(meant)
    yield from obstacles.large_objects(source.value(_LARGE_OBJECTS))
    yield from obstacles.load(wish.limits, source.value(throttle.SEES_ALL), source.value(throttle.REPLICAS))
    yield from obstacles.encodings(source.value(_ENCODING), target.value(_ENCODING))
    if wish.slot:
        yield from obstacles.publication(wish.publication, published, chosen, ours.parents)


def _work(
    wish: Wish, source: Wire, target: Wire, ours: Catalogue, theirs: Catalogue, decision: Decision,
    published: Mapping[str, Share],
) -> Work:
    names = decision.copy | decision.leave | decision.kept | decision.left
    present = {name: ours.tables[name] for name in sorted(names) if name in ours.tables and name in theirs.tables}
    for name in list(present):
        while (parent := ours.parents.get(name)) and parent in theirs.tables:
            present[parent] = ours.tables[parent]
            name = parent
    rows = {
        name: transfer(ours.tables[name], theirs.tables[name], ours.types, _share_of(name, published, ours.parents))
        for name in sorted(decision.copy) if name in theirs.tables
    }
    lacking, keys = [], []
    if wish.indexes:
        lacking = definitions.missing_indexes(definitions.indexes(source), definitions.indexes(target), present)
        # A foreign key is looked at when both tables are whole.
        whole = {name for name in present if name not in decision.left}
        whole -= {parent for name in decision.left for parent in _above(name, ours.parents)}
        keys = definitions.missing_foreign_keys(
            definitions.foreign_keys(source), definitions.foreign_keys(target), whole
        )
    return Work(
        rows, present, ours.parents, lacking, keys, _to_analyze(wish, target, present, decision),
        _borrowed(wish, source) if any(one.identify for one in lacking) else {},
    )


def _borrowed(wish: Wish, source: Wire) -> dict[str, Entry]:
    """Identities that the source has for the migration's time only, and the target with it; not those of its own."""
    events = journal.read(source, wish.migration, PREFIX).values()
    return {one.object: Entry(one.id, one.object, one.was, one.now) for one in events}


def _share_of(name: str, published: Mapping[str, Share], parents: Mapping[str, str]) -> Share:
    """A partition is published by itself, or as a part of what is above it."""
    return next((published[one] for one in [name, *_above(name, parents)] if one in published), Share())


def _above(name: str, parents: Mapping[str, str]) -> list[str]:
    found = []
    while name in parents:
        name = parents[name]
        found.append(name)
    return found


def _to_analyze(wish: Wish, target: Wire, present: Mapping[str, Table], decision: Decision) -> set[str]:
    """Tables without statistics (P43), whose rows are there; a partitioned one counts with all below it."""
    if not wish.analyze:
        return set()
    never = {row["name"] for row in target.rows(_NEVER_ANALYZED)}
    return {
        name for name, table in present.items()
        if not table.partition and name not in decision.left and (name in decision.copy or name in never)
    }
