# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables as logical replication sees them: kind, keys, replica identity, who publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._pg.connection import Session
from .selection import OUR_OWN

# As pg_class.relreplident has them.
DEFAULT, NOTHING, FULL, INDEX = "d", "n", "f", "i"
PARTITIONED = "p"

_TABLES = f"""
    SELECT c.oid::bigint AS oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS schema, c.relkind AS kind,
           c.relpersistence = 'p' AS logged, c.relreplident AS identity,
           CASE WHEN c.relispartition THEN array(
               SELECT relid::oid::bigint FROM pg_partition_ancestors(c.oid) WHERE relid <> c.oid
           ) ELSE '{{}}' END AS ancestors
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OUR_OWN}
    ORDER BY n.nspname, c.relname
"""

_KEYS = """
    SELECT i.indrelid::bigint AS oid, x.relname AS name, i.indisprimary AS primary, i.indisreplident AS chosen,
           i.indisvalid AS valid, i.indimmediate AS immediate, i.indpred IS NOT NULL AS partial,
           i.indexprs IS NOT NULL AS expressions,
           array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull
                 AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS nullable,
           array(SELECT a.attname::text FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k (attnum)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) AS columns
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisunique AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY i.indnkeyatts, x.relname
"""

# FULL finds rows by comparing all columns, with the equality of a default btree or hash operator class (P4): a type of
# its own, or one it is binary-coercible to.
_WITHOUT_EQUALITY = """
    WITH comparable AS MATERIALIZED (
        SELECT DISTINCT o.opcintype AS oid FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
        WHERE o.opcdefault AND m.amname IN ('btree', 'hash')
    )
    SELECT t.oid::bigint AS oid FROM pg_type t
    WHERE t.typtype = 'b' AND NOT (t.typelem <> 0 AND t.typlen = -1) AND t.oid NOT IN (SELECT oid FROM comparable)
      AND t.oid NOT IN (
          SELECT k.castsource FROM pg_cast k JOIN comparable o ON o.oid = k.casttarget
          WHERE k.castmethod = 'b' AND k.castcontext = 'i')
"""

# What types consist of: domains, arrays, composites. A table's row is a type as well, but hardly ever a column's; which
# are is gathered first: asked row by row, 10,000 tables took more than ten minutes.
_MADE_OF = """
    WITH used AS MATERIALIZED (
        SELECT DISTINCT coalesce(nullif(t.typelem, 0), t.oid) AS type
        FROM (SELECT DISTINCT atttypid FROM pg_attribute) u JOIN pg_type t ON t.oid = u.atttypid
    ), rows_of AS MATERIALIZED (
        SELECT oid, reltype FROM pg_class WHERE relkind = 'c'
        UNION ALL
        SELECT c.oid, c.reltype FROM pg_class c JOIN used u ON u.type = c.reltype WHERE c.relkind IN ('r', 'p')
    )
    SELECT oid::bigint AS whole, typbasetype::bigint AS part FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT oid::bigint, typelem::bigint FROM pg_type WHERE typelem <> 0 AND typlen = -1
    UNION ALL
    SELECT c.reltype::bigint, a.atttypid::bigint FROM rows_of c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
"""

_COLUMNS = """
    SELECT a.attrelid::bigint AS oid, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.atttypid = ANY (%s::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    GROUP BY a.attrelid
"""

_PUBLISHED = """
    SELECT DISTINCT t.relid::bigint AS oid
    FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) t WHERE p.pubupdate OR p.pubdelete
"""


@dataclass(frozen=True)
class Key:
    """A unique index; ``problem`` says why it can't be a replica identity (P3), None when it can."""

    name: str
    columns: tuple[str, ...] = ()
    primary: bool = False
    chosen: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """A table or partitioned table; ``published`` is whether some publication carries its updates or deletes."""

    oid: int
    name: str
    schema: str
    kind: str = "r"
    identity: str = DEFAULT
    keys: tuple[Key, ...] = ()
    incomparable: tuple[str, ...] = ()
    ancestors: tuple[int, ...] = ()
    logged: bool = True
    published: bool = False

    @property
    def key(self) -> Key | None:
        """The key that is the replica identity now, if it is one and can serve."""
        if self.identity == DEFAULT:
            return next((key for key in self.keys if key.primary and not key.problem), None)
        if self.identity == INDEX:
            return next((key for key in self.keys if key.chosen and not key.problem), None)
        return None

    @property
    def usable(self) -> bool:
        """Whether UPDATE and DELETE go on working on the source when they are published (P2)."""
        return self.identity == FULL or self.key is not None

    @property
    def candidates(self) -> list[Key]:
        """Keys that could be the identity, the narrowest first."""
        return [key for key in self.keys if not key.problem]


def problem_of(row: Mapping[str, Any]) -> str | None:
    """Why a unique index can't be a replica identity (P3). Pure."""
    reasons = {
        "it is not valid": not row["valid"],
        "it is deferrable": not row["immediate"],
        "it is partial": row["partial"],
        "it is over expressions": row["expressions"],
        f"{', '.join(row['nullable'])} may be NULL": bool(row["nullable"]),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def closure(types: Iterable[int], made_of: Iterable[tuple[int, int]]) -> set[int]:
    """The types, and all that contain one of them. Pure."""
    wholes: dict[int, list[int]] = {}
    for whole, part in made_of:
        wholes.setdefault(part, []).append(whole)
    found: set[int] = set()
    waiting = list(types)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += wholes.get(one, [])
    return found


def read(session: Session) -> list[Table]:
    """All tables of the session's database, without those of extensions and the migration's own. Any login may."""
    # The catalogue's estimates are far off where it is recursive or huge, and compiling would take longer than running.
    session.run("SET jit = off")
    keys: dict[int, list[Key]] = {}
    for row in session.rows(_KEYS):
        keys.setdefault(row["oid"], []).append(
            Key(row["name"], tuple(row["columns"]), row["primary"], row["chosen"], problem_of(row))
        )
    types = closure(
        {row["oid"] for row in session.rows(_WITHOUT_EQUALITY)},
        [(row["whole"], row["part"]) for row in session.rows(_MADE_OF)],
    )
    incomparable = {row["oid"]: tuple(row["columns"]) for row in session.rows(_COLUMNS, (sorted(types),))}
    published = {row["oid"] for row in session.rows(_PUBLISHED)}
    return [
        Table(
            row["oid"], row["name"], row["schema"], row["kind"], row["identity"], tuple(keys.get(row["oid"], ())),
            incomparable.get(row["oid"], ()), tuple(row["ancestors"]), row["logged"],
            bool(published & {row["oid"], *row["ancestors"]}),
        )
        for row in session.rows(_TABLES)
    ]


def leaves_of(tables: Iterable[Table], roots: Iterable[Table]) -> list[Table]:
    """The tables that hold the rows of ``roots``: identity counts for each of them (P5). Pure."""
    wanted = {root.oid for root in roots}
    return [one for one in tables if one.kind != PARTITIONED and wanted & {one.oid, *one.ancestors}]
