# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a server has written, and how far its standbys have followed."""

from __future__ import annotations

from typing import Any

from .connection import Session
from .errors import PgError

# Aurora may refuse these functions (R15); a plain server refuses the primary's on a standby.
REFUSED = {"0A000", "42501", "42883", "55000"}

_STANDBYS = """
    SELECT w.application_name AS name, s.slot_name AS slot, w.client_addr::text, w.state, w.sent_lsn::text,
           w.flush_lsn::text, w.replay_lsn::text, w.sync_state
    FROM pg_stat_replication w LEFT JOIN pg_replication_slots s ON s.active_pid = w.pid
    WHERE s.slot_type IS DISTINCT FROM 'logical' ORDER BY 1
"""

_SLOTS = """
    SELECT slot_name AS name, slot_type AS type, active, restart_lsn::text, confirmed_flush_lsn::text,
           to_jsonb(s) ->> 'wal_status' AS wal_status,
           pg_wal_lsn_diff(%(here)s::pg_lsn, coalesce(confirmed_flush_lsn, restart_lsn)) AS lag_bytes
    FROM pg_replication_slots s ORDER BY 1
"""


def mark(session: Session) -> str:
    """Write a commit that is surely flushed, and return an LSN which no acknowledged commit lies beyond (P17).

    Call it after the fence is proven. The position of the commit itself is not used: on Aurora it can be wrong.
    """
    if session.value("SELECT pg_is_in_recovery()"):
        raise PgError(f"{session.where}: is a standby, which can't be marked. Cure: mark the primary.")
    # A fence may have made read-only the default.
    session.run("BEGIN READ WRITE")
    session.run("SET LOCAL synchronous_commit = on")
    session.run("SELECT pg_logical_emit_message(true, 'cloudpg.migration', 'mark')")
    session.run("COMMIT")
    return session.value("SELECT pg_current_wal_flush_lsn()::text")


def positions(session: Session) -> dict[str, Any]:
    """Where the server stands; on a standby ``flush_lsn`` is None, on a primary ``replay_lsn`` and ``receive_lsn`` are.

    ``refused`` is what the server said when it would not tell its position. LSNs are text, lags are bytes; what the
    login may not see is None.
    """
    recovering = session.value("SELECT pg_is_in_recovery()")
    found: dict[str, Any] = {
        "in_recovery": recovering, "flush_lsn": None, "receive_lsn": None, "replay_lsn": None, "replayed_until": None,
        "wal_bytes": None, "refused": None,
    }
    try:
        found.update(session.row(
            "SELECT pg_last_wal_receive_lsn()::text AS receive_lsn, pg_last_wal_replay_lsn()::text AS replay_lsn,"
            " pg_last_xact_replay_timestamp() AS replayed_until" if recovering
            else "SELECT pg_current_wal_flush_lsn()::text AS flush_lsn"
        ))
    except PgError as error:
        if error.code not in REFUSED:
            raise
        found["refused"] = error.message
    here = found["replay_lsn"] if recovering else found["flush_lsn"]
    if here is not None:
        found["wal_bytes"] = session.value("SELECT pg_wal_lsn_diff(%s, '0/0')", (here,))
    return {**found, "standbys": session.rows(_STANDBYS), "slots": session.rows(_SLOTS, {"here": here})}
