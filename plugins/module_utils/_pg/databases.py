# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in one database and matters to a migration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .connection import Session
from .errors import PgError

_EXTENSIONS = """
    SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1
"""

_UNLOGGED = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'p') ORDER BY 1
"""

SUBSCRIPTIONS = """
    SELECT s.subname AS name, s.subenabled AS enabled, s.subslotname AS slot, r.rolname AS owner
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid LEFT JOIN pg_roles r ON r.oid = s.subowner
    WHERE d.datname = current_database() ORDER BY 1
"""

_MISMATCHES = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname) AS name
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE c.collversion <> pg_collation_actual_version(c.oid) ORDER BY 1
"""

# Before 15 a database doesn't record the version of its default collation; the libc's own entry tells it.
_DEFAULT_COLLATION_15 = """
    SELECT pg_database_collation_actual_version(oid) AS actual, datcollversion AS recorded
    FROM pg_database WHERE datname = current_database()
"""
_DEFAULT_COLLATION = """
    SELECT max(pg_collation_actual_version(c.oid)) AS actual, NULL AS recorded
    FROM pg_database d JOIN pg_collation c ON c.collname = d.datcollate AND c.collprovider = 'c'
    WHERE d.datname = current_database()
"""

_CRON = "SELECT count(*) AS jobs, count(*) FILTER (WHERE active) AS active FROM cron.job"
_NO_CRON = {"cron_jobs": None, "cron_jobs_active": None, "cron_jobs_readable": True}


def has_cron(session: Session) -> bool:
    """Whether pg_cron keeps its jobs in this database (P44: they live in one)."""
    return session.value("SELECT to_regclass('cron.job') IS NOT NULL")


def cron_is_hidden(session: Session) -> bool:
    """Whether a policy hides jobs of other users from this login (P41): a count would be too low, silently."""
    return session.value(
        "SELECT c.relrowsecurity AND NOT r.rolbypassrls AND NOT r.rolsuper"
        " AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))"
        " FROM pg_class c, pg_roles r WHERE c.oid = to_regclass('cron.job') AND r.rolname = current_user"
    )


def _cron(session: Session) -> dict[str, Any]:
    if not has_cron(session):
        return dict(_NO_CRON)
    if cron_is_hidden(session):
        return {**_NO_CRON, "cron_jobs_readable": False}
    row = session.row(_CRON)
    return {"cron_jobs": row["jobs"], "cron_jobs_active": row["active"], "cron_jobs_readable": True}


def count_rows(session: Session, table: str) -> int:
    """The exact number of rows of ``schema.table`` (quoted as in SQL); raises PgError when there is no such table."""
    found = session.rows(
        "SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s)", (table,)
    )
    if not found:
        raise PgError(f"{session.where}: no table {table}. Cure: give schema.table, quoted where the name needs it.")
    name = sql.Identifier(found[0]["schema"], found[0]["name"])
    return session.value(sql.SQL("SELECT count(*) FROM {}").format(name))


def database_facts(
    session: Session, version_num: int, tables: Iterable[str], shown: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The facts of the session's database, and the exact row counts of ``tables``."""
    unlogged = [row["name"] for row in session.rows(_UNLOGGED)]
    mismatches = [row["name"] for row in session.rows(_MISMATCHES)]
    default = session.row(_DEFAULT_COLLATION_15 if version_num >= 150000 else _DEFAULT_COLLATION)
    if default["recorded"] not in (None, default["actual"]):
        mismatches.insert(0, "default")
    return {
        "collation_version": default["actual"],
        "collation_mismatches": mismatches[:shown],
        "extensions": session.rows(_EXTENSIONS),
        "unlogged_tables": unlogged[:shown],
        "unlogged_table_count": len(unlogged),
        "large_objects": session.value("SELECT count(*) FROM pg_largeobject_metadata"),
        "event_triggers": [row["evtname"] for row in session.rows("SELECT evtname FROM pg_event_trigger ORDER BY 1")],
        "subscriptions": session.rows(SUBSCRIPTIONS),
        **_cron(session),
    }, [{"table": table, "rows": count_rows(session, table)} for table in tables]
