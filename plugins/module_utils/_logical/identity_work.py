# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replica identities set and put back, each together with its line in the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg import journal
from .._pg.connection import Session
from .._pg.errors import PgError
from .identity import PREFIX
from .tables import DEFAULT, FULL, INDEX, NOTHING

# Seconds one attempt waits for the lock: all that comes after it waits too, mere readers included (P4). Longer than
# deadlock_timeout, after which an autovacuum in the way is cancelled.
_ATTEMPT = 2.0
_PAUSE = 1.0
_LOCKED = "55P03"

_HOLDERS = """
    SELECT coalesce(format('%%s (pid %%s, %%s, since %%s)', a.usename, a.pid, a.application_name, a.xact_start),
                    'a prepared transaction') AS who
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.relation = %s AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY a.xact_start LIMIT 3
"""

_CLAUSES = {DEFAULT: "DEFAULT", NOTHING: "NOTHING", FULL: "FULL"}


class Operations:
    """The steps of the plans. ``wait`` is how many seconds a table that is in use is tried for."""

    def __init__(
        self, session: Session, migration: str, wait: float,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session, self._migration, self._wait = session, migration, wait
        self._clock, self._sleep = clock, sleep
        self.queries: list[str] = []

    def table(self) -> dict[str, Callable[..., None]]:
        return {"set": self.set, "restore": self.restore}

    def set(self, table: str, oid: int, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        entry = journal.Entry(f"{PREFIX}{table}", table, was, now)
        journal.prepare(self._session)
        self._alter(table, oid, now, lambda: journal.record(self._session, self._migration, [entry]))

    def restore(self, table: str, oid: int, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        self._alter(
            table, oid, now, lambda: journal.forget(self._session, self._migration, [f"{PREFIX}{table}"])
        )

    def _alter(self, table: str, oid: int, now: Mapping[str, Any], note: Callable[[], None]) -> None:
        # The name comes from format('%I.%I') and is quoted already.
        clause = sql.SQL(_CLAUSES.get(now["identity"], ""))
        if now["identity"] == INDEX:
            clause = sql.SQL("USING INDEX {}").format(sql.Identifier(now["index"]))
        statement = sql.SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(sql.SQL(table), clause)
        deadline = self._clock() + self._wait
        while True:
            try:
                with self._session.transaction():
                    self._session.run(f"SET LOCAL lock_timeout = '{_ATTEMPT}s'")
                    self._session.run(statement)
                    note()
                break
            except PgError as error:
                if error.code != _LOCKED:
                    raise
                if self._clock() >= deadline:
                    raise self._in_use(table, oid) from error
                self._sleep(_PAUSE)
        self.queries.append(self._session.text(statement))

    def _in_use(self, table: str, oid: int) -> PgError:
        holders = ", ".join(row["who"] for row in self._session.rows(_HOLDERS, (oid,))) or "somebody"
        return PgError(
            f"{self._session.where}: {table} was in use for {self._wait:.0f} s, by {holders}; even a reader stands in "
            "the way of its replica identity (P4). Cure: end that transaction, or give a longer wait_timeout.",
            code=_LOCKED,
        )
