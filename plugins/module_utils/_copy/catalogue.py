# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of both sides, as the copy needs to know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._logical.selection import OUR_OWN
from .sessions import Wire

_TABLES = f"""
    SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS schema, c.relkind::text AS kind,
           c.relpersistence::text AS persistence, c.relispartition AS partition,
           CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE 0 END AS bytes,
           CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) ELSE 0 END
               / current_setting('block_size')::int AS pages,
           row_security_active(c.oid) AS policies,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
           pg_has_role(c.relowner, 'USAGE') AS owned,
           EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgconstraint <> 0
                   AND t.tgconstrrelid <> 0) AS keys_in_force,
           ARRAY(SELECT t.tgname::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
                 AND t.tgenabled IN ('O', 'A') AND t.tgtype & 4 = 4 ORDER BY 1) AS triggers
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OUR_OWN}
    ORDER BY 2
"""
_COLUMNS = f"""
    SELECT a.attrelid::bigint AS oid, quote_ident(a.attname) AS name, a.atttypid::bigint AS type,
           format_type(a.atttypid, a.atttypmod) AS written, a.attgenerated <> '' AS generated
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND {OUR_OWN}
    ORDER BY a.attrelid, a.attnum
"""
_PARENTS = """
    SELECT format('%I.%I', cn.nspname, c.relname) AS child, format('%I.%I', pn.nspname, p.relname) AS parent
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE c.relispartition AND c.relkind IN ('r', 'p')
"""
# Row types of tables are as many as there are tables, and no column of theirs is copied in binary.
_TYPES = """
    SELECT t.oid::bigint, t.typname AS name, t.typtype::text AS kind, t.typcategory::text AS category,
           t.typbasetype::bigint AS base, t.typelem::bigint AS element, t.typlen AS length,
           t.typsend::oid <> 0 AND t.typreceive::oid <> 0 AS binary
    FROM pg_type t WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm')
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typtype = 'c')
"""


@dataclass(frozen=True)
class Column:
    """``name`` is quoted where SQL needs it; ``written`` is its type with modifiers."""

    name: str
    type: int
    written: str
    generated: bool = False


@dataclass(frozen=True)
class Table:
    """``name`` is ``schema.table`` as SQL writes it, ``kind`` r or p; ``bytes`` with TOAST, without indexes.

    ``keys_in_force``: a foreign key from or to it. ``triggers`` are the user's own that fire on INSERT.
    """

    oid: int
    name: str
    schema: str
    kind: str = "r"
    persistence: str = "p"
    partition: bool = False
    bytes: int = 0
    pages: int = 0
    policies: bool = False
    readable: bool = True
    owned: bool = True
    keys_in_force: bool = False
    triggers: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()

    @property
    def holds_rows(self) -> bool:
        return self.kind == "r"


@dataclass(frozen=True)
class Catalogue:
    """One side: tables by name, the parent of each partition, and the types by their numbers on that side."""

    tables: Mapping[str, Table]
    parents: Mapping[str, str]
    types: Mapping[int, Mapping[str, Any]]


def read(wire: Wire) -> Catalogue:
    """The catalogue of the session's database, in four queries however many tables there are."""
    columns: dict[int, list[Column]] = {}
    for row in wire.rows(_COLUMNS):
        columns.setdefault(row.pop("oid"), []).append(Column(**row))
    tables = {}
    for row in wire.rows(_TABLES):
        triggers = tuple(row.pop("triggers"))
        tables[row["name"]] = Table(**row, triggers=triggers, columns=tuple(columns.get(row["oid"], ())))
    return Catalogue(
        tables, {row["child"]: row["parent"] for row in wire.rows(_PARENTS)},
        {row["oid"]: row for row in wire.rows(_TYPES)},
    )
