# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Indexes, keys and foreign keys: what the source has, in the words the target is told (P38)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._logical.selection import OUR_OWN
from .sessions import Wire

_INDEXES = f"""
    SELECT format('%I.%I', n.nspname, c.relname) AS table_name, c.relkind::text AS table_kind,
           quote_ident(x.relname) AS name, format('%I.%I', n.nspname, x.relname) AS full_name,
           pg_get_indexdef(i.indexrelid) AS definition, i.indisvalid AND i.indisready AS valid,
           CASE WHEN x.relkind = 'i' THEN coalesce(pg_relation_size(x.oid), 0) ELSE 0 END AS bytes,
           i.indisreplident AND c.relreplident = 'i' AND c.relkind = 'r' AS identity,
           quote_ident(k.conname) AS constraint_name, k.contype::text AS constraint_kind,
           pg_get_constraintdef(k.oid) AS constraint_definition,
           coalesce(k.condeferrable, false) AS deferrable, coalesce(k.condeferred, false) AS deferred,
           (SELECT format('%I.%I', pn.nspname, p.relname) FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
            JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = x.oid) AS parent
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OUR_OWN}
    ORDER BY c.oid, k.contype = 'p' DESC NULLS LAST, x.oid
"""
_FOREIGN_KEYS = f"""
    SELECT format('%I.%I', n.nspname, c.relname) AS table_name, c.relkind::text AS table_kind,
           format('%I.%I', rn.nspname, r.relname) AS referenced, quote_ident(k.conname) AS name,
           pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND {OUR_OWN}
    ORDER BY k.oid
"""
_NOT_VALID = " NOT VALID"
# The least that PostgreSQL gives to each process of a parallel build.
_LEAST_TO_SORT_IN = 32 << 20
# So many sorted runs are merged in one go.
_RUNS = 128


@dataclass(frozen=True)
class Index:
    """An index of so many ``bytes``, or the constraint that is kept by one. Names are quoted where SQL needs it."""

    table: str
    name: str
    full_name: str
    definition: str
    on_partitioned: bool = False
    parent: str | None = None
    constraint: str | None = None
    constraint_kind: str | None = None
    constraint_definition: str = ""
    timing: str = ""
    valid: bool = True
    identity: bool = False
    bytes: int = 0

    @property
    def is_sorted(self) -> bool:
        """Whether it is built by sorting; the other kinds gather in memory, and more of it helps them."""
        return " USING btree " in self.definition

    @property
    def in_two_steps(self) -> bool:
        """A key can be built as an index first, beside the table's other indexes, and then taken for the key.

        Not on a partitioned table, not for an exclusion constraint, and not for a key with WITHOUT OVERLAPS (18).
        """
        return self.constraint_kind in ("p", "u") and not self.on_partitioned and " USING gist " not in self.definition

    @property
    def build(self) -> str | None:
        """The statement that makes the index; None where only the constraint makes it."""
        return self.definition if self.constraint is None or self.in_two_steps else None

    @property
    def constrain(self) -> str | None:
        """The statement that makes the constraint."""
        if self.constraint is None:
            return None
        adding = f"ALTER TABLE ONLY {self.table} ADD CONSTRAINT {self.constraint} "
        if not self.in_two_steps:
            return adding + self.constraint_definition
        kind = "PRIMARY KEY" if self.constraint_kind == "p" else "UNIQUE"
        return f"{adding}{kind} USING INDEX {self.name}{self.timing}"

    @property
    def identify(self) -> str:
        """The statement by which rows are found when changes are applied: without it UPDATE and DELETE fail (P3)."""
        return f"ALTER TABLE ONLY {self.table} REPLICA IDENTITY USING INDEX {self.name}"

    @property
    def attach(self) -> str | None:
        """The statement that makes it part of the partitioned table's index."""
        return f"ALTER INDEX {self.parent} ATTACH PARTITION {self.full_name}" if self.parent else None


def index_settings(size: int | None, helpers: int, most_memory: int) -> list[str]:
    """What goes before CREATE INDEX, for an index of ``size`` bytes; None for one that isn't sorted. Pure.

    It is sorted in no more memory than it takes: short runs that are merged stay in the processor's caches, and an
    index on text is built in half the time that sorting all of it at once takes. ``most_memory`` in bytes; 0: as given.
    """
    settings = [f"SET LOCAL max_parallel_maintenance_workers = {helpers}"]
    if size is not None and most_memory:
        memory = min(most_memory, max(_LEAST_TO_SORT_IN * (helpers + 1), size // _RUNS))
        settings.append(f"SET LOCAL maintenance_work_mem = '{memory // 1024}kB'")
    return settings


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key as it was declared; those that partitioning multiplies come by themselves."""

    table: str
    referenced: str
    name: str
    definition: str
    on_partitioned: bool = False
    validated: bool = True

    @property
    def add(self) -> str:
        """Without a look at the rows, where that is allowed (P38: not on a partitioned table up to 17)."""
        body = self.definition.removesuffix(_NOT_VALID)
        if self.on_partitioned:
            return f"ALTER TABLE {self.table} ADD CONSTRAINT {self.name} {body}"
        return f"ALTER TABLE ONLY {self.table} ADD CONSTRAINT {self.name} {body}{_NOT_VALID}"

    @property
    def validate(self) -> str | None:
        if self.on_partitioned or not self.validated:
            return None
        return f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {self.name}"


def _timing(row: Mapping[str, Any]) -> str:
    return (" DEFERRABLE" if row["deferrable"] else "") + (" INITIALLY DEFERRED" if row["deferred"] else "")


def indexes(wire: Wire) -> list[Index]:
    """All indexes of the session's database, a table's primary key first."""
    return [
        Index(
            row["table_name"], row["name"], row["full_name"], row["definition"], row["table_kind"] == "p",
            row["parent"], row["constraint_name"], row["constraint_kind"], row["constraint_definition"] or "",
            _timing(row), row["valid"], row["identity"], row["bytes"],
        )
        for row in wire.rows(_INDEXES)
    ]


def foreign_keys(wire: Wire) -> list[ForeignKey]:
    """All foreign keys of the session's database that somebody declared."""
    return [
        ForeignKey(
            row["table_name"], row["referenced"], row["name"], row["definition"], row["table_kind"] == "p",
            row["validated"],
        )
        for row in wire.rows(_FOREIGN_KEYS)
    ]


@dataclass(frozen=True)
class Building:
    """What is still to be made for an index: the parts that the target lacks."""

    index: Index
    build: bool
    constrain: bool
    attach: bool
    identify: bool = False


def missing_indexes(wanted: Iterable[Index], there: Iterable[Index], tables: Collection[str]) -> list[Building]:
    """What the target lacks for the tables. What is invalid on the source isn't made. Pure."""
    found = {index.full_name: index for index in there}
    lacking = []
    for index in wanted:
        if index.table not in tables or not (index.valid or index.on_partitioned):
            continue
        present = found.get(index.full_name)
        constrain = index.constraint is not None and (present is None or present.constraint is None)
        build = present is None and index.build is not None
        attach = index.parent is not None and (present is None or present.parent is None)
        identify = index.identity and (present is None or not present.identity)
        if build or constrain or attach or identify:
            lacking.append(Building(index, build, constrain, attach, identify))
    return lacking


def missing_foreign_keys(
    wanted: Iterable[ForeignKey], there: Iterable[ForeignKey], tables: Collection[str]
) -> list[tuple[ForeignKey, bool]]:
    """What the target lacks between the tables, and whether it must be added or only validated. Pure."""
    found = {(key.table, key.name): key for key in there}
    lacking = []
    for key in wanted:
        if key.table not in tables or key.referenced not in tables:
            continue
        present = found.get((key.table, key.name))
        if present is None:
            lacking.append((key, True))
        elif key.validated and not present.validated:
            lacking.append((key, False))
    return lacking
