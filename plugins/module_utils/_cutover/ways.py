# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication between two databases as a cutover needs it: looked at, drained, turned off, turned on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.connection import Session
from .._pg.errors import PgError
from .._pg.gate import lsn_number
from . import names

_POLL = 0.002
_READABLE = "SELECT has_column_privilege('pg_subscription', 'oid', 'SELECT')"

_WAYS = """
    SELECT s.subname AS name, s.subenabled AS enabled, s.subslotname AS slot, s.subpublications AS publications,
           (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r') AS unready
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
    WHERE d.datname = current_database() AND s.subname = ANY (%s)
"""
_SLOTS = """
    SELECT slot_name AS name, active, confirmed_flush_lsn::text AS confirmed,
           to_jsonb(s) ->> 'wal_status' AS wal_status,
           pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::bigint AS behind
    FROM pg_replication_slots s WHERE slot_type = 'logical' AND slot_name = ANY (%s)
"""
# One round trip. It moves positions: what was applied is flushed, what was sent is answered (P16, P20).
_MESSAGE = """
    BEGIN READ WRITE; SET LOCAL synchronous_commit = on;
    SELECT pg_logical_emit_message(true, 'cloudpg.migration', 'drain'); COMMIT
"""
_ADVANCE = "SELECT pg_replication_slot_advance(%s, pg_current_wal_flush_lsn())"
# The first byte of pgoutput's messages: insert, update, delete, truncate.
_CHANGES = """
    SELECT count(*) FROM pg_logical_slot_peek_binary_changes(
        %s, NULL, NULL, 'proto_version', '1', 'publication_names', %s
    ) WHERE chr(get_byte(data, 0)) IN ('I', 'U', 'D', 'T')
"""
_XMAX = "SELECT txid_snapshot_xmax(txid_current_snapshot())"


@dataclass(frozen=True)
class Way:
    """A subscription of the migration in one database."""

    database: str
    name: str
    enabled: bool
    slot: str
    publications: tuple[str, ...] = ()
    unready: int = 0


def find(sessions: Mapping[str, Session], migration: str) -> dict[str, Way]:
    """The subscriptions that fetch changes into these databases, whichever way they lead, by database."""
    found = {}
    for database, session in sessions.items():
        # Before 14 only superusers see subscriptions, and only they make them.
        if not session.value(_READABLE):
            continue
        rows = session.rows(_WAYS, (list(names.subscriptions(migration)),))
        if len(rows) > 1:
            raise PgError(
                f"{session.where}: has subscriptions both ways, {rows[0]['name']} and {rows[1]['name']}. Cure: drop "
                "the one that doesn't fetch from the other side."
            )
        for row in rows:
            found[database] = Way(
                database, row["name"], row["enabled"], row["slot"], tuple(row["publications"]), row["unready"]
            )
    return found


def obstacles(
    ways: Mapping[str, Way], databases: Sequence[str], slots: Mapping[str, Mapping[str, Any]], max_lag: int
) -> tuple[list[str], list[str]]:
    """What keeps the target from getting everything in time (P14, P18), and what does so but may pass. Pure."""
    said: list[str] = []
    passing: list[str] = []
    for database in databases:
        way = ways.get(database)
        slot = slots.get(way.slot) if way else None
        if way is None:
            said.append(f"database {database} of the target has no subscription of the migration")
        elif not way.enabled:
            said.append(f"subscription {way.name} of database {database} is disabled")
        elif way.unready:
            said.append(f"{way.unready} tables of database {database} aren't in step")
        elif slot is None:
            said.append(f"the source has no slot {way.slot}")
        elif slot["wal_status"] in ("lost", "unreserved"):
            said.append(f"slot {way.slot} is {slot['wal_status']}: the source has dropped WAL that is needed")
        elif not slot["active"]:
            passing.append(f"nobody fetches from slot {way.slot}: see the target's log")
        elif slot["behind"] > max_lag:
            passing.append(f"slot {way.slot} is {slot['behind']} B behind, more than {max_lag}")
    return said, passing


def slots(session: Session, wanted: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Logical slots of a server by name."""
    return {row["name"]: row for row in session.rows(_SLOTS, (list(wanted),))}


class Drain:
    """What the source has written, followed to the target. ``source`` and ``target`` are the sessions with the lock."""

    def __init__(
        self, source: Session, target: Session, ways: Mapping[str, Way],
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.source, self.target, self.ways = source, target, ways
        self._clock, self._sleep = clock, sleep
        self.lsn = ""
        self._before, self._ours = 0, 0

    def mark(self) -> None:
        """L: nothing that was acknowledged lies beyond it (P17). To be called behind a proven fence."""
        self._before = self.source.value(_XMAX)
        self._ours = 0
        self.poke(self.source)
        self.lsn = self.source.value("SELECT pg_current_wal_flush_lsn()::text")

    def poke(self, session: Session) -> None:
        session.run(_MESSAGE)
        if session is self.source:
            self._ours += 1

    def wait(self, deadline: float) -> None:
        """Until every slot is confirmed to L and beyond, never to equality (P16, P17); PgError at the deadline."""
        wanted, goal = [way.slot for way in self.ways.values()], lsn_number(self.lsn)
        while True:
            for session in (self.target, self.source):
                self.poke(session)
            seen = slots(self.source, wanted)
            late = [name for name in wanted if name not in seen or lsn_number(seen[name]["confirmed"]) < goal]
            if not late:
                return
            if self._clock() >= deadline:
                slot = seen.get(late[0], {})
                raise PgError(
                    f"{self.source.where}: slot {late[0]} is confirmed to {slot.get('confirmed')}, not yet to "
                    f"{self.lsn} ({'active' if slot.get('active') else 'nobody fetches from it'}, "
                    f"{slot.get('wal_status')}; P16).", code="not_drained",
                )
            self._sleep(_POLL)

    def nothing_since(self, sessions: Mapping[str, Session], deadline: float) -> None:
        """Raise PgError when a change of a published table was committed after L (P52).

        Transactions of others (autovacuum, other databases) look the same from outside: then the slots tell.
        """
        if self.source.value(_XMAX) - self._before <= self._ours:
            return
        for database, way in self.ways.items():
            while slots(self.source, [way.slot])[way.slot]["active"]:
                if self._clock() >= deadline:
                    raise PgError(
                        f"{self.source.where}: slot {way.slot} is still in use, so it can't be told whether anything "
                        "was committed after the fence (P52).", code="not_drained",
                    )
                self.poke(self.source)
                self._sleep(_POLL)
            listed = ",".join('"' + name.replace('"', '""') + '"' for name in way.publications)
            count = sessions[database].value(_CHANGES, (way.slot, listed))
            if count:
                raise PgError(
                    f"{self.source.where}: {count} changes in database {database} were committed after the fence was "
                    "proven (P52). Cure: find who writes past it (a superuser?), and run again.", code="late_commits",
                )


def advance(session: Session, slot: str) -> None:
    """Move an idle slot past all that is flushed (P25); in the slot's own database."""
    session.value(_ADVANCE, (slot,))


def set_enabled(session: Session, name: str, enabled: bool) -> None:
    """ALTER SUBSCRIPTION … ENABLE or DISABLE; its worker notices when it is next awake."""
    word = sql.SQL("ENABLE" if enabled else "DISABLE")
    session.run(sql.SQL("ALTER SUBSCRIPTION {} ").format(sql.Identifier(name)) + word)
