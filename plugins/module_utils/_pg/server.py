# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is on a server and matters to a migration: read, never judged here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from .connection import Session
from .databases import database_facts
from .errors import PgError
from .logins import COLUMNS, may_make

# Results are bounded: a count, and this many of what was counted.
SHOWN = 100
LONG_TRANSACTION = 60

SETTINGS = (
    "cron.database_name", "default_transaction_read_only", "idle_in_transaction_session_timeout", "max_connections",
    "max_logical_replication_workers", "max_prepared_transactions", "max_replication_slots", "max_slot_wal_keep_size",
    "max_sync_workers_per_subscription", "max_wal_senders", "max_worker_processes", "rds.logical_replication",
    "server_encoding", "shared_preload_libraries", "synchronous_commit", "TimeZone", "wal_level", "wal_segment_size",
    "wal_sender_timeout",
)

_SERVER = "SELECT current_setting('server_version_num')::int AS version_num, pg_is_in_recovery() AS in_recovery"

_ROLE = f"""
    SELECT r.rolname AS name, r.rolsuper AS super, r.rolreplication AS replication, r.rolbypassrls AS bypassrls,
           {COLUMNS},
           array(SELECT g.rolname::text FROM pg_roles g WHERE pg_has_role(current_user, g.oid, 'USAGE')) AS member_of
    FROM pg_roles r WHERE r.rolname = current_user
"""

_DATABASES = """
    SELECT datname AS name, pg_database_size(oid) AS size_bytes, pg_encoding_to_char(encoding) AS encoding,
           datcollate AS collate, datctype AS ctype, pg_get_userbyid(datdba) AS owner
    FROM pg_database
    WHERE datallowconn AND datname <> 'rdsadmin' AND (%(wanted)s::text[] = '{}' OR datname = ANY (%(wanted)s::text[]))
    ORDER BY datname
"""

# A column that a version doesn't have yet reads NULL this way.
_SLOTS = """
    SELECT slot_name AS name, slot_type AS type, plugin, database, active, temporary, restart_lsn::text,
           confirmed_flush_lsn::text, to_jsonb(s) ->> 'wal_status' AS wal_status,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                           restart_lsn) AS retained_bytes
    FROM pg_replication_slots s ORDER BY slot_name
"""

_PREPARED = """
    SELECT gid, owner, database, extract(epoch FROM now() - prepared)::float8 AS age_seconds
    FROM pg_prepared_xacts ORDER BY prepared
"""

_LONG = """
    SELECT pid, usename AS user, datname AS database, application_name, state,
           extract(epoch FROM now() - xact_start)::float8 AS age_seconds
    FROM pg_stat_activity
    WHERE xact_start < now() - %(seconds)s * interval '1 second' AND pid <> pg_backend_pid()
    ORDER BY xact_start LIMIT %(shown)s
"""

Connect = Callable[..., AbstractContextManager[Session]]


def rights(role: Mapping[str, Any], version_num: int) -> dict[str, Any]:
    """What the login may do; on managed services membership stands for the attribute (R29). Pure."""
    groups = set(role["member_of"])
    administrator = role["super"] or "rds_superuser" in groups
    return {
        "name": role["name"],
        "superuser": role["super"],
        "administrator": administrator,
        "replication": role["super"] or role["replication"] or "rds_replication" in groups,
        "monitor": role["super"] or bool(groups & {"pg_monitor", "pg_read_all_stats"}),
        "bypassrls": role["super"] or role["bypassrls"],
        "replication_logins": may_make(role, version_num),
        "member_of": sorted(groups),
    }


def system_identifier(session: Session) -> str | None:
    """The identifier that physical copies share, or None where the login may not read it."""
    if not session.value("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"):
        return None
    return session.value("SELECT system_identifier::text FROM pg_control_system()")


def databases(session: Session, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The databases that were asked for, or all that allow connections; raises PgError for one that isn't there."""
    found = session.rows(_DATABASES, {"wanted": list(wanted)})
    missing = sorted(set(wanted) - {row["name"] for row in found})
    if missing:
        raise PgError(
            f"{session.where}: no database {', '.join(missing)} that allows connections. Cure: correct databases."
        )
    return found


def settings(session: Session) -> dict[str, str | None]:
    """The settings of ``SETTINGS``; None for one that the server doesn't have or the login may not see."""
    seen = {row["name"]: row["setting"] for row in session.rows(
        "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", (list(SETTINGS),)
    )}
    return {name: seen.get(name) for name in SETTINGS}


def _preloaded(value: str | None) -> list[str] | None:
    return None if value is None else [name.strip(' "') for name in value.split(",") if name.strip()]


def observe(
    connect: Connect,
    address: Mapping[str, Any],
    wanted: Sequence[str] = (),
    count_tables: Iterable[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Everything ``pg_server_info`` returns. A database that can't be read raises PgError: none is left out silently.

    Sizes are bytes, ages are seconds. What the login may not see is None, never zero (P52).
    """
    counted = [dict(table) for table in count_tables]
    with connect(address) as session:
        server = session.row(_SERVER)
        login = rights(session.row(_ROLE), server["version_num"])
        prepared = session.rows(_PREPARED)
        known = settings(session)
        listed = databases(session, wanted)
        seen = {
            **server,
            "system_identifier": system_identifier(session),
            "login": login,
            "settings": known,
            "shared_preload_libraries": _preloaded(known["shared_preload_libraries"]),
            "slots": session.rows(_SLOTS),
            "prepared_transactions": prepared[:SHOWN],
            "prepared_transaction_count": len(prepared),
            "long_transactions": session.rows(
                _LONG, {"seconds": LONG_TRANSACTION, "shown": SHOWN}
            ) if login["monitor"] else None,
        }
    strangers = sorted({table["database"] for table in counted} - {row["name"] for row in listed})
    if strangers:
        raise PgError(f"{session.where}: count_tables names {', '.join(strangers)}, which isn't looked at. "
                      "Cure: correct it, or add it to databases.")
    seen["databases"], seen["tables"] = [], []
    for row in listed:
        with connect(address, row["name"]) as session:
            names = [table["table"] for table in counted if table["database"] == row["name"]]
            facts, tables = database_facts(session, server["version_num"], names, SHOWN)
        seen["databases"].append({**row, **facts})
        seen["tables"] += [{"database": row["name"], **table} for table in tables]
    return seen
