# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription looked at, on both sides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from .._pg.connection import Session
from .._pg.server import system_identifier
from . import conninfo
from .health import Look, decided
from .selection import OUR_OWN
from .subscription import SINCE, Publisher, Subscription

# By option: the column of pg_subscription, and what its values mean in WITH. The whole row may not be read (P23).
_COLUMNS = {
    "synchronous_commit": ("subsynccommit", {}),
    "binary": ("subbinary", {}),
    "streaming": ("substream", {"f": "off", "t": "on", "p": "parallel", "false": "off", "true": "on"}),
    "two_phase": ("subtwophasestate", {"d": "false", "p": "true", "e": "true"}),
    "disable_on_error": ("subdisableonerr", {}),
    "password_required": ("subpasswordrequired", {}),
    "run_as_owner": ("subrunasowner", {}),
    "origin": ("suborigin", {}),
    "failover": ("subfailover", {}),
}

_SUBSCRIPTION = """
    SELECT s.oid::bigint AS oid, pg_get_userbyid(s.subowner) AS owner, s.subenabled AS enabled,
           s.subslotname AS slot_name, s.subpublications AS publications{columns}
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
    WHERE s.subname = %s AND d.datname = current_database()
"""

_WORKERS = """
    SELECT pid, received_lsn::text, latest_end_lsn::text, last_msg_receipt_time, relid::bigint AS relid,
           {leader} AS leader
    FROM pg_stat_subscription WHERE subid = %s::bigint::oid AND pid IS NOT NULL
"""
_ERRORS = """
    SELECT apply_error_count AS apply, sync_error_count AS sync
    FROM pg_stat_subscription_stats WHERE subid = %s::bigint::oid
"""
_STATES = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name, r.srsubstate AS state
    FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.srsubid = %s::bigint::oid
"""
_BUSY = """
    SELECT count(*) AS busy, current_setting('max_logical_replication_workers')::int AS allowed
    FROM pg_stat_subscription WHERE pid IS NOT NULL
"""
# An origin's name holds the oid of its subscription; those of all databases are in one catalogue.
_LEAKED = """
    SELECT o.roname AS name FROM pg_replication_origin o
    WHERE o.roname ~ '^pg_[0-9]+(_[0-9]+)?$' AND NOT EXISTS (
        SELECT FROM pg_subscription s WHERE s.oid::text = split_part(o.roname, '_', 2)) ORDER BY 1
"""

_TABLES = f"""
    SELECT format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND {OUR_OWN}
"""

_PUBLISHED = """
    SELECT DISTINCT format('%%I.%%I', t.schemaname, t.tablename) AS name
    FROM pg_publication_tables t WHERE t.pubname = ANY (%s)
"""
_SLOT = """
    SELECT slot_name AS name, active, restart_lsn::text, confirmed_flush_lsn::text, active_pid,
           to_jsonb(s) ->> 'wal_status' AS wal_status, to_jsonb(s) ->> 'invalidation_reason' AS invalidation_reason,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                           restart_lsn) AS retained_bytes
    FROM pg_replication_slots s
    WHERE slot_name = %s AND slot_type = 'logical' AND database = current_database()
"""
_POLL = 0.5


def version(session: Session) -> int:
    return session.value("SELECT current_setting('server_version_num')::int")


def readable(session: Session) -> bool:
    """Whether the login may see subscriptions at all. Before 14 only a superuser may, so no other can have made one."""
    return session.value("SELECT has_column_privilege('pg_subscription', 'oid', 'SELECT')")


def read(session: Session, name: str, version_num: int) -> Subscription | None:
    """The subscription of that name in the session's database, or None. Any login may."""
    there = {name: column for name, (column, _values) in _COLUMNS.items() if version_num >= SINCE[name] * 10000}
    listed = "".join(f", s.{column}::text AS {name}" for name, column in there.items())
    found = session.rows(_SUBSCRIPTION.format(columns=listed), (name,))
    if not found:
        return None
    row = found[0]
    return Subscription(
        name, row["oid"], row["owner"], row["enabled"], row["slot_name"], frozenset(row["publications"]),
        {option: _COLUMNS[option][1].get(row[option], row[option]) for option in there},
    )


def shows_connections(session: Session) -> bool:
    """Whether the catalogue shows the connections to this login (P23)."""
    return session.value("SELECT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT')")


def connection(session: Session, name: str) -> tuple[bool, dict[str, str] | None]:
    """Whether the catalogue shows the connection to this login (P23), and what it is."""
    if not shows_connections(session):
        return False, None
    rows = session.rows(
        "SELECT subconninfo FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE s.subname = %s AND d.datname = current_database()", (name,)
    )
    return True, conninfo.parse(rows[0]["subconninfo"]) if rows else None


def tables(session: Session) -> frozenset[str]:
    """The tables of the target."""
    return frozenset(row["name"] for row in session.rows(_TABLES))


def look(session: Session, oid: int, version_num: int) -> Look:
    """One look at the workers, the errors and the states of the tables."""
    leader = "leader_pid" if version_num >= 160000 else "NULL::int"
    rows = session.rows(_WORKERS.format(leader=leader), (oid,))
    apply = next((row for row in rows if row["relid"] is None and row["leader"] is None), None)
    errors = session.rows(_ERRORS, (oid,)) if version_num >= 150000 else []
    busy = session.row(_BUSY)
    return Look(
        {key: value for key, value in apply.items() if key not in ("relid", "leader")} if apply else None,
        (errors[0] if errors else {"apply": 0, "sync": 0}) if version_num >= 150000 else None,
        {row["name"]: row["state"] for row in session.rows(_STATES, (oid,))},
        sum(row["relid"] is not None for row in rows), busy["busy"], busy["allowed"],
        tuple(row["name"] for row in session.rows(_LEAKED)),
    )


def watch(
    session: Session, now: Subscription, version_num: int, patience: float,
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> list[Look]:
    """Looks until it is clear whether a worker stays, for ``patience`` seconds at most."""
    looks = [look(session, now.oid, version_num)]
    deadline = clock() + patience
    while not decided(now, looks) and clock() < deadline:
        sleep(_POLL)
        looks.append(look(session, now.oid, version_num))
    return looks


def publisher(session: Session, publications: Iterable[str], slot: str, target: Session | None) -> Publisher:
    """What the source says. Needs no more than CONNECT; prepared transactions are everybody's to see."""
    wanted = sorted(publications)
    there = {row["pubname"] for row in session.rows(
        "SELECT pubname FROM pg_publication WHERE pubname = ANY (%s)", (wanted,))}
    slots = session.rows(_SLOT, (slot,))
    identifiers = {system_identifier(side) for side in (session, target) if side} if target else set()
    return Publisher(
        version(session), frozenset(row["name"] for row in session.rows(_PUBLISHED, (wanted,))),
        tuple(name for name in wanted if name not in there), slots[0] if slots else None,
        session.value("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"),
        session.value("SELECT current_setting('wal_level') = 'logical'"),
        len(identifiers) == 1 and None not in identifiers,
    )


def writers(session: Session) -> list[dict[str, Any]]:
    """Who has a write transaction open on the source: the slot waits for each of them (P9)."""
    return session.rows(
        "SELECT pid, usename AS user, application_name, xact_start FROM pg_stat_activity"
        " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 3"
    )
