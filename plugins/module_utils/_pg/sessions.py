# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who else is on a server, and whether that proves a fence (P52)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .connection import Session

SHOWN = 100

# Processes of the server which write nothing of their own. Whatever isn't named here counts: pg_cron too.
HARMLESS = frozenset({
    "archiver", "autovacuum launcher", "autovacuum worker", "background writer", "checkpointer", "io worker",
    "logger", "logical replication launcher", "slotsync worker", "startup", "walreceiver", "walsummarizer", "walwriter",
})
# RDS's own login, which nobody else can use or make.
SERVICE_USERS = frozenset({"rdsadmin"})

_ACTIVITY = """
    SELECT pid, usename AS user, datname AS database, application_name, client_addr::text, backend_type, state,
           backend_start AS since, pid = pg_backend_pid() AS own
    FROM pg_stat_activity ORDER BY backend_start
"""


def harmless(row: Mapping[str, Any], more: Iterable[str] = ()) -> bool:
    """Whether a backend can't write: named as such, the service's own, or the sender of a physical copy. Pure.

    A walsender in a database serves a logical slot and may run SQL: it counts.
    """
    if row["own"] or row["backend_type"] in HARMLESS or row["backend_type"] in set(more):
        return True
    if row["backend_type"] == "walsender" and row["database"] is None:
        return True
    return row["user"] in SERVICE_USERS


def readable(row: Mapping[str, Any]) -> bool:
    """Whether the columns the judgement needs were shown: NULL is a failure, never a pass (P52). Pure."""
    if row["backend_type"] is None:
        return False
    return row["backend_type"] != "client backend" or None not in (row["user"], row["state"])


def judge(rows: Sequence[Mapping[str, Any]], prepared: Sequence[str], more: Iterable[str] = ()) -> dict[str, Any]:
    """Whether nobody but the server itself is left; ``reasons`` say what stands against it. Pure."""
    hidden = [row for row in rows if not readable(row)]
    blocking = [row for row in rows if row not in hidden and not harmless(row, more)]
    reasons = []
    if hidden:
        reasons.append(
            f"{len(hidden)} backends hide what they are. Cure: grant pg_monitor to the login; if it has it, look again"
        )
    if blocking:
        first = blocking[0]
        reasons.append(
            f"{len(blocking)} backends may write, the oldest pid {first['pid']} ({first['backend_type']}, "
            f"user {first['user']}, database {first['database']}, {first['state']})"
        )
    if prepared:
        reasons.append(f"{len(prepared)} prepared transactions may still commit, the first {prepared[0]}")
    columns = ("pid", "user", "database", "application_name", "client_addr", "backend_type", "state", "since")
    return {
        "proven": not reasons,
        "readable": not hidden,
        "reasons": reasons,
        "blocking_count": len(blocking),
        "blocking": [{name: row[name] for name in columns} for row in blocking[:SHOWN]],
        "prepared_transaction_count": len(prepared),
        "prepared_transactions": list(prepared[:SHOWN]),
    }


def look(session: Session, more: Iterable[str] = ()) -> dict[str, Any]:
    """Read the server's backends and prepared transactions, and judge them."""
    prepared = [row["gid"] for row in session.rows("SELECT gid FROM pg_prepared_xacts ORDER BY prepared")]
    return judge(session.rows(_ACTIVITY), prepared, more)


def nobody_to_ask() -> dict[str, Any]:
    """The judgement on a server that isn't there yet: nothing found, nothing proven."""
    return {
        **judge([], []), "proven": False, "readable": False,
        "reasons": ["the server isn't there yet: nothing was measured"],
    }
