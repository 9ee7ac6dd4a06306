# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A publication read and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.connection import Session
from .membership import Filter
from .publication import OPERATIONS, Member, Publication

_PUBLICATION = """
    SELECT p.oid::bigint AS oid, pg_get_userbyid(p.pubowner) AS owner, p.puballtables AS everything,
           p.pubinsert AS insert, p.pubupdate AS update, p.pubdelete AS delete, p.pubtruncate AS truncate,
           to_jsonb(p) ->> 'pubviaroot' AS via_root, to_jsonb(p) ->> 'pubgencols' AS generated
    FROM pg_publication p WHERE p.pubname = %s
"""

_MEMBERS = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name, {filter} AS filter, {columns} AS columns
    FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.prpubid = %s::bigint::oid
"""
_MEMBERS_OLD = _MEMBERS.format(filter="NULL::text", columns="NULL::text[]")
_MEMBERS_15 = _MEMBERS.format(filter="pg_get_expr(r.prqual, r.prrelid)", columns="""
    CASE WHEN r.prattrs IS NOT NULL THEN array(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) END
""")
_SCHEMAS_15 = """
    SELECT n.nspname AS name FROM pg_publication_namespace p JOIN pg_namespace n ON n.oid = p.pnnspid
    WHERE p.pnpubid = %s::bigint::oid
"""

# Every table that is added is locked until the transaction ends, and the lock table is everybody's.
_LOCKS = """
    SELECT current_setting('max_locks_per_transaction')::int
         * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) AS locks
"""
_SHARE = 4

_CHECK = """
    SELECT pg_get_expr(k.conbin, k.conrelid) AS filter,
           array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))
           AS columns
    FROM pg_constraint k WHERE k.conrelid = 'pg_temp.cloudpg_filter'::regclass AND k.contype = 'c'
"""


def read(session: Session, name: str, version_num: int) -> Publication | None:
    """The publication of that name, or None. Any login may."""
    found = session.rows(_PUBLICATION, (name,))
    if not found:
        return None
    row = found[0]
    members = session.rows(_MEMBERS_15 if version_num >= 150000 else _MEMBERS_OLD, (row["oid"],))
    schemas = session.rows(_SCHEMAS_15, (row["oid"],)) if version_num >= 150000 else []
    options = {"publish": ", ".join(one for one in OPERATIONS if row[one])}
    if row["via_root"] is not None:
        options["publish_via_partition_root"] = row["via_root"]
    if row["generated"] is not None:
        options["publish_generated_columns"] = {"s": "stored"}.get(row["generated"], "none")
    return Publication(
        name, row["everything"], {
            one["name"]: Member(one["name"], one["filter"], frozenset(one["columns"]) if one["columns"] else None)
            for one in members
        }, frozenset(one["name"] for one in schemas), options, row["owner"],
    )


class _Undo(Exception):
    """Ends a transaction that was never meant to stay."""


def as_the_server_writes(session: Session, table: str, expression: str) -> Filter:
    """A row filter in the server's own words, and the columns it looks at: a check that is rolled back tells.

    Needs SELECT on the table and TEMP on the database. Raises PgError when the expression doesn't hold.
    """
    made: list[Filter] = []
    try:
        with session.transaction():
            session.run(sql.SQL("CREATE TEMP TABLE cloudpg_filter (LIKE {}, CHECK ({}))").format(
                sql.SQL(table), sql.SQL(expression)
            ))
            row = session.row(_CHECK)
            made.append(Filter(row["filter"], frozenset(row["columns"])))
            raise _Undo
    except _Undo:
        return made[0]


def batches(members: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The members in portions, at least one (which may be empty). Pure."""
    yield members[:size]
    for at in range(size, len(members), size):
        yield members[at:at + size]


class Operations:
    """The steps of the plans. A step over many tables commits by portions; what is left over, the next run does."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batch = max(1, session.value(_LOCKS) // _SHARE)
        self.queries: list[str] = []

    def table(self) -> dict[str, Callable[..., None]]:
        return {name: getattr(self, name) for name in (
            "create", "recreate", "drop", "drop_tables", "replace_tables", "add_tables", "drop_schemas", "add_schemas",
            "set",
        )}

    def create(self, wish: Publication) -> None:
        first, *rest = batches([wish.members[name] for name in sorted(wish.members)], self._batch)
        self._run(self._creation(wish, first))
        for members in rest:
            self.add_tables(wish.name, members)

    def recreate(self, wish: Publication) -> None:
        """In one transaction, so that whoever decodes finds a publication at every LSN (P10)."""
        with self._session.transaction():
            self.drop(wish.name)
            self._run(self._creation(wish, list(wish.members.values())))

    def _creation(self, wish: Publication, members: Sequence[Member]) -> sql.Composable:
        # A table is no schema's: with both, TABLE comes first.
        what = [sql.SQL("FOR ALL TABLES")] if wish.everything else []
        lists = ([_tables(members)] if members else []) + ([_schemas(sorted(wish.schemas))] if wish.schemas else [])
        if lists:
            what = [sql.SQL("FOR ") + sql.SQL(", ").join(lists)]
        return sql.SQL(" ").join([
            sql.SQL("CREATE PUBLICATION {}").format(sql.Identifier(wish.name)), *what,
            sql.SQL("WITH ({})").format(_options(wish.options)),
        ])

    def drop(self, name: str) -> None:
        self._run(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))

    def set(self, name: str, options: Mapping[str, str]) -> None:
        self._alter(name, sql.SQL("SET ({})").format(_options(options)))

    def drop_tables(self, name: str, members: Sequence[Member]) -> None:
        for portion in batches(members, self._batch):
            self._alter(name, sql.SQL("DROP ") + _tables(portion, bare=True))

    def add_tables(self, name: str, members: Sequence[Member]) -> None:
        for portion in batches(members, self._batch):
            self._alter(name, sql.SQL("ADD ") + _tables(portion))

    def replace_tables(self, name: str, members: Sequence[Member]) -> None:
        for portion in batches(members, self._batch):
            with self._session.transaction():
                self.drop_tables(name, portion)
                self.add_tables(name, portion)

    def drop_schemas(self, name: str, schemas: Sequence[str]) -> None:
        self._alter(name, sql.SQL("DROP ") + _schemas(schemas))

    def add_schemas(self, name: str, schemas: Sequence[str]) -> None:
        self._alter(name, sql.SQL("ADD ") + _schemas(schemas))

    def _alter(self, name: str, change: sql.Composable) -> None:
        self._run(sql.SQL("ALTER PUBLICATION {} ").format(sql.Identifier(name)) + change)

    def _run(self, statement: sql.Composable) -> None:
        self._session.run(statement)
        self.queries.append(self._session.text(statement))


def _tables(members: Iterable[Member], bare: bool = False) -> sql.Composable:
    """``TABLE ONLY a, ONLY b (x) WHERE (y)``: without ONLY, what inherits from a table would come along."""
    listed = []
    for member in members:
        # The name comes from format('%I.%I') and is quoted already.
        parts = [sql.SQL("ONLY "), sql.SQL(member.name)]
        if member.columns and not bare:
            parts.append(sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, sorted(member.columns)))))
        if member.where and not bare:
            parts.append(sql.SQL(" WHERE ({})").format(sql.SQL(member.where)))
        listed.append(sql.Composed(parts))
    return sql.SQL("TABLE ") + sql.SQL(", ").join(listed)


def _schemas(names: Iterable[str]) -> sql.Composable:
    return sql.SQL("TABLES IN SCHEMA ") + sql.SQL(", ").join(map(sql.Identifier, names))


def _options(options: Mapping[str, str]) -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()
    )
