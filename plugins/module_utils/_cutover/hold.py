# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sessions of a cutover, each with the lock of the migration: what has lost its lock can't change anything more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from .._journal import Queue
from .._pg.address import database_of, place
from .._pg.connection import Session, connect
from .._pg.errors import PgError

_POLL = 0.1

_TRY = "SELECT pg_try_advisory_lock(%s)"
_HOLDER = """
    SELECT l.pid, a.usename AS user, a.application_name, a.client_addr::text, a.backend_start AS since
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = %s AND l.pid <> pg_backend_pid()
"""


@dataclass
class Side:
    """One server: ``home`` is the session in the database with the journal, ``sessions`` are those in each database."""

    where: str
    home: Session
    sessions: dict[str, Session] = field(default_factory=dict)

    def all(self) -> list[Session]:
        return list({id(one): one for one in (self.home, *self.sessions.values())}.values())

    def pids(self) -> set[int]:
        return {one.value("SELECT pg_backend_pid()") for one in self.all()}

    def limit(self, seconds: float) -> None:
        """No statement goes on longer than that, even when nobody waits for it any more."""
        for one in self.all():
            one.run("SELECT set_config('statement_timeout', %s, false)", (f"{seconds * 1000:.0f}ms",))


def key(migration: str) -> int:
    """The number of the migration's advisory lock. Pure; positive, so that pg_locks shows it as it is."""
    return int.from_bytes(hashlib.sha256(f"cloudpg.migration {migration}".encode()).digest()[:8], "big") >> 1


@contextmanager
def open_side(
    address: Mapping[str, Any], databases: Sequence[str], migration: str | None, queue: Queue = Queue()
) -> Iterator[Side]:
    """Sessions in all databases, each locked; ``migration`` None locks nothing. PgError when another run holds it."""
    home_name = database_of(address)
    with ExitStack() as stack:
        side = Side(place(address), stack.enter_context(connect(address)))
        for name in databases:
            same = name == home_name
            side.sessions[name] = side.home if same else stack.enter_context(connect(address, name))
        for session in side.all() if migration else ():
            _lock(session, migration, queue)
        yield side


def _lock(session: Session, migration: str, queue: Queue) -> None:
    number, deadline = key(migration), queue.clock() + queue.timeout
    while not session.value(_TRY, (number,)):
        holders = session.rows(_HOLDER, (number,))
        if queue.take_over:
            session.run("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", ([r["pid"] for r in holders],))
        if holders and queue.clock() >= deadline:
            one = holders[0]
            raise PgError(
                f"{session.where}: another cutover of {migration} is running: pid {one['pid']}, user {one['user']}, "
                f"from {one['client_addr']}, since {one['since']} (waited {queue.timeout:.0f} s). Nothing was changed. "
                "Cure: wait for its end; if that run is known to be dead, give take_over: true.", code="held",
            )
        queue.sleep(_POLL)
