# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables are compared, and by what: the tables of both sides, paired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .._logical.selection import OUR_OWN, Selection, matches, named
from .._pg.connection import Session
from .._pg.errors import PgError
from .canonical import Column

_TABLES = f"""
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS schema, c.relname AS relation,
           c.relkind AS kind, c.relpersistence AS persistence, c.relispartition AS is_partition,
           CASE WHEN c.relkind = 'r' THEN coalesce(pg_relation_size(c.oid), 1) ELSE 0 END AS bytes,
           greatest(c.reltuples, 0)::bigint AS estimate,
           CASE WHEN c.relispartition THEN (SELECT format('%I.%I', rn.nspname, r.relname)
               FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace
               WHERE r.oid = pg_partition_root(c.oid)) END AS root
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {OUR_OWN}
    ORDER BY 2
"""

# From 18 a column can be NOT NULL without being so: a constraint that isn't validated lets older rows be.
_COLUMNS = """
    SELECT a.attrelid AS oid, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
           NOT a.attnotnull OR EXISTS (
               SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated
               AND a.attnum = ANY (k.conkey)) AS nullable
    FROM pg_attribute a WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum
"""

# The primary key, else what else tells rows apart for certain (P3, P48); the one with the fewest columns.
_KEYS = """
    SELECT DISTINCT ON (i.indrelid) i.indrelid AS oid,
           array(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k (attnum, place)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.place) AS key
    FROM pg_index i
    WHERE i.indrelid = ANY (%s::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k (attnum)
                      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE NOT a.attnotnull)
    ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, i.indexrelid
"""


@dataclass(frozen=True)
class Table:
    """A table of one side. ``bytes`` is its own size, ``estimate`` what the statistics say of its rows."""

    name: str
    schema: str
    relation: str
    kind: str
    persistence: str = "p"
    root: str | None = None
    bytes: int = 0
    estimate: int = 0
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A table of the source and its twin; ``columns`` and ``key`` are names, an empty key means a multiset (P48)."""

    source: Table
    target: Table
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.source.name


@dataclass
class Pairing:
    """What came of it: pairs, sentences about tables that have no twin, and what isn't compared and why."""

    pairs: list[Pair] = field(default_factory=list)
    unlike: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def read(session: Session) -> dict[str, Table]:
    """The tables of the session's database by name."""
    rows = session.rows(_TABLES)
    oids = [row["oid"] for row in rows]
    columns: dict[int, list[Column]] = {}
    for row in session.rows(_COLUMNS, (oids,)):
        columns.setdefault(row["oid"], []).append(Column(row["name"], row["type"], row["nullable"]))
    keys = {row["oid"]: tuple(row["key"]) for row in session.rows(_KEYS, (oids,))}
    return {
        row["name"]: Table(
            row["name"], row["schema"], row["relation"], row["kind"], row["persistence"], row["root"], row["bytes"],
            row["estimate"], tuple(columns.get(row["oid"], ())), keys.get(row["oid"], ()),
        )
        for row in rows
    }


def chosen(tables: Mapping[str, Table], selection: Selection) -> dict[str, Table]:
    """The tables that are meant. A partition is meant, or left out, with the table it is a part of, too. Pure."""

    def meant(table: Table) -> bool:
        root = tables.get(table.root) if table.root else None
        if root is None:
            return selection.takes(table.name, table.schema)
        if matches(root.name, selection.exclude) or matches(table.name, selection.exclude):
            return False
        return selection.takes(table.name, table.schema) or selection.takes(root.name, root.schema)

    return {name: table for name, table in tables.items() if meant(table)}


def missing(tables: Mapping[str, Table], wanted: Iterable[str], where: str) -> None:
    """Raises PgError for a table that was asked for by name and isn't there."""
    absent = sorted(set(wanted) - set(tables))
    if absent:
        raise PgError(
            f"{where}: no table {named(absent)}. Cure: give schema.table, quoted where the name needs it."
        )


def pair(source: Mapping[str, Table], target: Mapping[str, Table]) -> Pairing:
    """Tables with their twins. Pure.

    A partitioned table is compared partition by partition where both sides have the same ones, else as a whole.
    """
    found = Pairing()
    parts = [_leaves(side) for side in (source, target)]
    whole = {
        name for name in source.keys() & target.keys()
        if "p" in (source[name].kind, target[name].kind)
        and (parts[0].get(name) or {""}) != parts[1].get(name)
    }
    for name in sorted(source.keys() | target.keys()):
        mine, twin = source.get(name), target.get(name)
        one = mine or twin
        if (mine and mine.root in whole) or (twin and twin.root in whole):
            continue
        if one.kind == "p" and one.root is not None:
            continue
        if mine is None or twin is None:
            found.unlike[name] = "is missing on the target" if twin is None else "is only on the target"
        elif "f" in (mine.kind, twin.kind):
            found.skipped[name] = "a foreign table has no rows of its own (P1)"
        elif mine.kind == "p" and name not in whole:
            continue
        else:
            _with_columns(found, mine, twin)
    return found


def _leaves(tables: Mapping[str, Table]) -> dict[str, set[str]]:
    """The partitions that hold rows, by the name of the partitioned table at the top."""
    leaves: dict[str, set[str]] = {}
    for table in tables.values():
        if table.root and table.kind != "p":
            leaves.setdefault(table.root, set()).add(table.name)
    return leaves


def _with_columns(found: Pairing, mine: Table, twin: Table) -> None:
    there = {column.name for column in twin.columns}
    names = tuple(column.name for column in mine.columns)
    lacking = [name for name in names if name not in there]
    if lacking:
        found.unlike[mine.name] = f"lacks columns on the target: {', '.join(lacking[:10])}"
        return
    found.pairs.append(Pair(mine, twin, names, mine.key or (twin.key if set(twin.key) <= set(names) else ())))
