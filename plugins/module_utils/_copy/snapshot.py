# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One moment of the source that all readers see, and the slot that follows from exactly there (P9, P54)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    psycopg2 = None

from .._pg.errors import PgError, from_answer
from .sessions import SETTINGS, ConnectionLost, Wire, dial, is_loss

_POLL = 0.5
# A slot begins when every transaction that wrote before it has ended (P9): these are waited for, longest first.
_WRITERS = """
    SELECT a.pid, a.usename AS user, a.application_name AS application, a.datname AS database, a.state,
           extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds, left(a.query, 80) AS query
    FROM pg_stat_activity a WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
    ORDER BY a.xact_start LIMIT 5
"""
_PREPARED = """
    SELECT gid, owner AS user, database, extract(epoch FROM clock_timestamp() - prepared)::int AS seconds
    FROM pg_prepared_xacts ORDER BY prepared LIMIT 5
"""
# 12 has no wal_status: it reads NULL this way.
_SLOT = """
    SELECT slot_name AS name, plugin, active, active_pid, database, to_jsonb(s) ->> 'wal_status' AS wal_status,
           confirmed_flush_lsn::text AS lsn FROM pg_replication_slots s WHERE slot_name = %s
"""


class SnapshotLost(PgError):
    """The moment that all readers saw can't be had again: the source restarted, or the session that kept it ended."""


def slot_state(wire: Wire, name: str) -> dict[str, Any] | None:
    """The slot as the source sees it, or None."""
    found = wire.rows(_SLOT, (name,))
    return found[0] if found else None


def drop_slot(wire: Wire, name: str) -> None:
    wire.run("SELECT pg_drop_replication_slot(%s)", (name,))


def waited_for(wire: Wire) -> list[str]:
    """Who holds up a slot, as a person wants to read it (P9, P36)."""
    writers = [
        f"pid {row['pid']} ({row['user']}, {row['application'] or 'no application name'}, database {row['database']}, "
        f"{row['state'] or 'state hidden: grant pg_monitor'}, for {row['seconds']} s): "
        f"{' '.join((row['query'] or '').split())}"
        for row in wire.rows(_WRITERS)
    ]
    prepared = [
        f"prepared transaction {row['gid']} ({row['user']}, database {row['database']}, for {row['seconds']} s), which "
        "waits for ever: COMMIT PREPARED or ROLLBACK PREPARED it" for row in wire.rows(_PREPARED)
    ]
    return prepared + writers


class Keeper:
    """Keeps a snapshot for as long as it lives, in a session that can be asked whether it still does."""

    def __init__(self, wire: Wire, snapshot: str | None = None) -> None:
        self._wire = wire
        self.began = time.monotonic()
        wire.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if snapshot is not None:
            wire.run("SET TRANSACTION SNAPSHOT %s", (snapshot,))
        self.name: str = wire.value("SELECT pg_export_snapshot()")
        self.pid = wire.pid

    def check(self) -> None:
        """Raises SnapshotLost when it is gone."""
        try:
            self._wire.run("SELECT 1")
        except PgError as error:
            raise SnapshotLost(f"{error.message} The snapshot went with it (P54).", code="snapshot_lost") from error

    def close(self) -> None:
        self._wire.close()


def make_slot(
    address: Mapping[str, Any], database: str | None, name: str, slot: str, monitor: Wire, timeout: float,
    failover: bool = False, keep: Callable[[str], Keeper] | None = None, beat: Callable[[], None] = lambda: None,
) -> tuple[str, Keeper]:
    """Create a logical slot; its consistent point and a keeper of the snapshot taken there.

    Raises PgError after ``timeout`` seconds, naming the transactions that were waited for (P9); the slot is then gone.
    ``beat`` is called while it waits, and ends that by raising.
    """
    try:
        raw = dial(address, database, name, replication=True)
    except ConnectionLost as error:
        monitor.run("SELECT 1")
        # The server answers others: this was its answer.
        said = f"{error.message} A slot needs the REPLICATION attribute, and pg_hba has to allow it."
        raise PgError(said) from error  # pylint: disable=bad-exception-cause
    try:
        timeouts = {key: value for key, value in SETTINGS.items() if "timeout" in key}
        with raw.cursor() as cursor:
            for key, value in timeouts.items():
                # An older server doesn't know all of them; each SET is its own transaction.
                with suppress(psycopg2.errors.UndefinedObject):
                    cursor.execute(sql.SQL("SET {} = {}").format(sql.Identifier(key), sql.Literal(value)))
        options = sql.SQL("(SNAPSHOT 'export', FAILOVER)") if failover else sql.SQL("EXPORT_SNAPSHOT")
        command = sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {}").format(sql.Identifier(slot), options)
        point, snapshot = _create(raw, command, monitor, timeout, beat)
        return point, keep(snapshot)
    finally:
        # What the snapshot needs is kept by the keeper from here on.
        raw.close()


def _create(
    raw: Any, command: Any, monitor: Wire, timeout: float, beat: Callable[[], None]
) -> tuple[str, str]:
    answer: dict[str, Any] = {}

    def ask() -> None:
        try:
            with raw.cursor() as cursor:
                cursor.execute(command)
                answer["row"] = cursor.fetchone()
        except psycopg2.Error as error:
            answer["error"] = error

    asking = threading.Thread(target=ask, daemon=True)
    deadline = time.monotonic() + timeout
    asking.start()
    asking.join(_POLL)
    try:
        while asking.is_alive() and time.monotonic() < deadline:
            beat()
            asking.join(_POLL)
        holders = waited_for(monitor) if asking.is_alive() else []
    finally:
        late = asking.is_alive()
        if late:
            monitor.run("SELECT pg_terminate_backend(%s)", (raw.get_backend_pid(),))
            asking.join(30)
    if late:
        raise PgError(
            f"{monitor.where}: the slot couldn't begin within {timeout:.0f} s, for these transactions had not ended "
            f"(P9): {'; '.join(holders) or 'none that this login may see'}. Cure: end them, or raise slot_timeout.",
            code="slot_timeout",
        )
    if "error" in answer:
        error = answer["error"]
        said = (error.diag.message_primary if error.diag else None) or str(error)
        told = from_answer(monitor.where, error.pgcode, said)
        raise ConnectionLost(told.message, code=told.code) if is_loss(raw, error.pgcode) else told
    _name, point, snapshot, _plugin = answer["row"]
    return point, snapshot
