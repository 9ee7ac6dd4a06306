# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what the checks look at, on both sides. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._findings import Finding
from .._logical import identity, tables
from .._logical.selection import NOT_USERS, OUR_OWN, Selection, matches, named
from .._pg import journal, server
from .._pg.connection import Session
from .._pg.errors import PgError
from .._pg.server import Connect
from .._schema.choice import UNTRAVELLED
from .facts import NAMED_EACH, Database, Facts, each

_SERVER = """
    SELECT array(SELECT roname FROM pg_replication_origin ORDER BY 1) AS origins,
           (SELECT count(*) FROM pg_stat_replication) AS senders,
           (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL) AS workers,
           r.rolcreatedb AS createdb,
           array(SELECT g.rolname::text FROM pg_roles g WHERE pg_has_role(r.oid, g.oid, 'USAGE')) AS member_of,
           (SELECT jsonb_object_agg(name, default_version) FROM pg_available_extensions) AS available_extensions
    FROM pg_roles r WHERE r.rolname = current_user
"""
_MORE_SETTINGS = ("max_active_replication_origins",)

_FROM = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_NAME = "format('%I.%I', n.nspname, c.relname)"


def _names(condition: str, kinds: str = "'r', 'p'") -> str:
    return f"array(SELECT {_NAME} {_FROM} WHERE c.relkind IN ({kinds}) AND {condition} AND {OUR_OWN} ORDER BY 1)"


_GENERATED = """
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 's' AND NOT a.attisdropped {})
"""
_IN_KEY = """
    AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
                AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END)
"""

# What belongs to one table is told by its name, so that what isn't moved can be left out afterwards.
_DATABASE = f"""
    SELECT has_database_privilege(current_database(), 'CREATE') AS may_create,
           {_names("c.relpersistence = 'u' AND c.relkind = 'r'")} AS unlogged,
           {_names("true", "'f'")} AS foreign_tables,
           {_names("true", "'m'")} AS materialized_views,
           {_names(_GENERATED.format(''))} AS generated,
           {_names(_GENERATED.format(_IN_KEY))} AS generated_keys,
           {_names("row_security_active(c.oid)")} AS hidden_by_policies,
           {_names("NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))")}
               AS not_readable,
           {_names("NOT pg_has_role(c.relowner, 'USAGE')")} AS not_owned,
           array(SELECT {_NAME} || '.' || quote_ident(t.tgname) {_FROM} JOIN pg_trigger t ON t.tgrelid = c.oid
                 WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal AND {OUR_OWN} ORDER BY 1) AS always_triggers
"""

_FOREIGN_KEYS = f"""
    SELECT {_NAME} || '.' || quote_ident(k.conname) AS name, {_NAME} AS table,
           (SELECT format('%I.%I', o.nspname, f.relname) FROM pg_class f JOIN pg_namespace o ON o.oid = f.relnamespace
            WHERE f.oid = k.confrelid) AS other
    {_FROM} JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.contype = 'f' AND k.conparentid = 0 AND {OUR_OWN}
"""

_OF_TABLES = (
    "unlogged", "foreign_tables", "materialized_views", "generated", "generated_keys", "hidden_by_policies",
    "not_readable", "not_owned",
)


@dataclass(frozen=True)
class Wish:
    """What is to be moved, and which replica identities may be set for it (P2 to P5)."""

    migration: str
    selection: Selection
    databases: Sequence[str] = ()
    identities: identity.Wish = identity.Wish({})
    create_databases: bool = False
    way_back: bool = True
    own_login: bool = False
    own_back_login: bool = False


def gather(
    connect: Connect, source: Mapping[str, Any], target: Mapping[str, Any] | None, wish: Wish
) -> Facts:
    """The facts of both sides; ``target`` None when it isn't there yet. Raises PgError for what can't be read."""
    mine = _server(connect, source, wish.databases)
    names = [row["name"] for row in mine["databases"] if wish.databases or row["name"] not in NOT_USERS]
    theirs = None
    if target is not None:
        with connect(target) as session:
            there = {row["name"] for row in server.databases(session, ())}
        theirs = _server(connect, target, [name for name in names if name in there] or None)
    by_name = {
        side: {row["name"]: row for row in seen["databases"]} for side, seen in (("mine", mine), ("theirs", theirs))
        if seen is not None
    }
    found, listed = [], set()
    for name in names:
        with connect(source, name) as session:
            one, known = _source(session, by_name["mine"][name], wish)
        listed |= known
        row = by_name.get("theirs", {}).get(name)
        if row is not None:
            with connect(target, name) as session:
                one = replace(one, target=_target(session, row, one, wish.migration))
        found.append(one)
    absent = sorted(set(wish.selection.names) - listed)
    if absent:
        raise PgError(f"source: no table {named(absent)} in any of the databases. Cure: correct tables.")
    return Facts(
        wish.migration, mine, theirs, found, wish.create_databases, wish.way_back, wish.own_login, wish.own_back_login
    )


def _server(connect: Connect, address: Mapping[str, Any], wanted: Sequence[str] | None) -> dict[str, Any]:
    """What pg_server_info returns, and ``more``; without databases when ``wanted`` is None."""
    with connect(address) as session:
        more = session.row(_SERVER)
        settings = {
            row["name"]: row["setting"] for row in session.rows(
                "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", (list(_MORE_SETTINGS),)
            )
        }
        here = session.value("SELECT current_database()")
    seen = server.observe(connect, address, [here] if wanted is None else wanted)
    databases = [] if wanted is None else seen["databases"]
    return {**seen, "databases": databases, "more": more, "settings": {**seen["settings"], **settings}}


def _source(session: Session, row: Mapping[str, Any], wish: Wish) -> tuple[Database, set[str]]:
    """A database of the source, and the names of all its tables."""
    there = tables.read(session)
    roots = [one for one in there if wish.selection.takes(one.name, one.schema)]
    left_out = {one.oid for one in there if matches(one.name, wish.selection.exclude)}
    chosen = [
        one for one in tables.leaves_of(there, roots) if not left_out & {one.oid, *one.ancestors}
    ]
    logged = [one for one in chosen if one.logged]
    facts = session.row(_DATABASE)
    meant = {one.name for one in (*chosen, *roots)}
    for key in _OF_TABLES:
        if wish.selection.names or key not in ("foreign_tables", "materialized_views"):
            facts[key] = [name for name in facts[key] if name in meant]
    facts["always_triggers"] = [
        name for name in facts["always_triggers"] if any(name.startswith(f"{table}.") for table in meant)
    ]
    extensions = [
        {**one, "travels": not any(matches(one["name"], [pattern]) for pattern in UNTRAVELLED)}
        for one in row["extensions"]
    ]
    source = {**row, **facts, "extensions": extensions, "foreign_keys": session.rows(_FOREIGN_KEYS)}
    moved = sorted({*chosen, *(one for one in roots if one.kind == tables.PARTITIONED)}, key=lambda one: one.name)
    database = Database(row["name"], source, None, moved, _identities(row["name"], logged, wish.identities))
    return database, {one.name for one in there}


def _identities(database: str, chosen: Sequence[tables.Table], wish: identity.Wish) -> list[Finding]:
    """What would be left to say about identities once those that are allowed were set, bounded by kind."""
    _plan, found = identity.plan_set(chosen, wish)
    by_id: dict[str, list[Finding]] = {}
    for finding in found:
        by_id.setdefault(finding.id, []).append(finding)
    told: list[Finding] = []
    for several in by_id.values():
        named_ones = iter(several[:NAMED_EACH])
        told += each(
            database, [finding.object for finding in several],
            lambda name, ones=named_ones, last=several[-1]: replace(next(ones, last), object=name),
        )
    return told


def _target(session: Session, row: Mapping[str, Any], database: Database, migration: str) -> dict[str, Any]:
    """A database of the target: who may what, and which of the tables that would come have rows."""
    facts = session.row(_DATABASE)
    names = {one.name for one in database.tables if one.kind != tables.PARTITIONED}
    there = [one for one in tables.read(session) if one.name in names]
    unreadable = set(facts["not_readable"])
    return {
        **row, **facts,
        "available_extensions": session.value(
            "SELECT jsonb_object_agg(name, default_version) FROM pg_available_extensions"
        ),
        "ours": bool(journal.read(session, migration)) or _copied(session, migration),
        "with_rows": [one.name for one in there if one.name in unreadable or _has_rows(session, one.name)],
    }


def _has_rows(session: Session, table: str) -> bool:
    # The name comes from format('%I.%I') and is quoted already.
    return session.value(f"SELECT EXISTS (SELECT FROM ONLY {table})")


def _copied(session: Session, migration: str) -> bool:
    """Whether a copy of this migration has begun there: its ledger is beside the rows (P55)."""
    has = session.value(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE n.nspname = '{journal.SCHEMA}' AND c.relname = 'copy_run')"
    )
    return has and bool(session.rows(f"SELECT FROM {journal.SCHEMA}.copy_run WHERE migration = %s", (migration,)))
