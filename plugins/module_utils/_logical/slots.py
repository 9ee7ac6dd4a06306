# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The slots of a migration's databases, made before anybody follows them and dropped when nobody does any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._pg.connection import Session
from .._pg.errors import PgError
from .._pg.server import Connect
from .._plan import Plan, Step
from .selection import object_name, slot_name

PLUGIN = "pgoutput"
_POLL = 0.05
# SQLSTATEs: in use; isn't there; called off by statement_timeout.
_IN_USE, _MISSING, _CALLED_OFF = "55006", "42704", "57014"

_SLOTS = """
    SELECT slot_name AS name, slot_type AS type, plugin, database, active, to_jsonb(s) ->> 'wal_status' AS wal_status
    FROM pg_replication_slots s WHERE slot_name = ANY (%s)
"""
_PUBLISHED = "SELECT count(*) FROM pg_publication WHERE pubname = %s"
_CREATE = "SELECT pg_create_logical_replication_slot(%s, %s)"
_END = """
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active_pid IS NOT NULL
"""
_DROP = "SELECT pg_drop_replication_slot(%s)"


@dataclass(frozen=True)
class Wanted:
    """A slot by its database and name."""

    database: str
    name: str

    def as_dict(self) -> dict[str, str]:
        return {"database": self.database, "name": self.name}


def wanted(migration: str, databases: Sequence[str]) -> list[Wanted]:
    """The slots of a migration. Pure."""
    return [Wanted(database, slot_name(migration, database)) for database in databases]


def read(session: Session, slots: Sequence[Wanted]) -> dict[str, Mapping[str, Any]]:
    """Those that are there, by name."""
    return {row["name"]: row for row in session.rows(_SLOTS, ([slot.name for slot in slots],))}


def plan_present(slots: Sequence[Wanted], found: Mapping[str, Mapping[str, Any]]) -> Plan:
    """Make what is missing. Pure; raises PgError for a slot of that name that can't be followed (P14)."""
    for slot in slots:
        row = found.get(slot.name)
        if row is None:
            continue
        if (row["type"], row["plugin"], row["database"]) != ("logical", PLUGIN, slot.database):
            raise PgError(
                f"slot {slot.name} is there and is no logical slot with {PLUGIN} of database {slot.database}. Cure: "
                "drop it, or give the migration another name."
            )
        if row["wal_status"] in ("lost", "unreserved"):
            raise PgError(
                f"slot {slot.name} is {row['wal_status']}: WAL that it needs was dropped, so nobody can follow it any "
                "more (P14). Cure: drop it and copy the data again.", code="slot_lost",
            )
    return _plan("create", "make logical slot {name} in database {database}",
                 [slot for slot in slots if slot.name not in found], slots, found, [*found, *(s.name for s in slots)])


def plan_absent(slots: Sequence[Wanted], found: Mapping[str, Mapping[str, Any]]) -> Plan:
    """Drop what is there. Pure."""
    return _plan("drop", "drop logical slot {name} of database {database}",
                 [slot for slot in slots if slot.name in found], slots, found, [])


def _plan(
    op: str, said: str, changing: Sequence[Wanted], slots: Sequence[Wanted], found: Mapping[str, Any],
    after: Sequence[str],
) -> Plan:
    return Plan(
        tuple(Step(op, said.format(**slot.as_dict()), {"slot": slot}) for slot in changing),
        {"slots": sorted(found)}, {"slots": sorted({*after})},
    )


class Work:
    """The operations. ``home`` is a session anywhere on the server; ``seconds`` bound each of them."""

    def __init__(
        self, connect: Connect, address: Mapping[str, Any], migration: str, home: Session, seconds: float,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect, self._address, self._home, self._seconds = connect, address, home, seconds
        self._publication = object_name(migration)
        self._clock, self._sleep = clock, sleep

    def operations(self) -> dict[str, Callable[..., None]]:
        return {"create": self.create, "drop": self.drop}

    def create(self, slot: Wanted) -> None:
        """In the slot's own database; the publication has to be there, or changes before it would be lost (P10)."""
        with self._connect(self._address, slot.database) as session:
            if not session.value(_PUBLISHED, (self._publication,)):
                raise PgError(
                    f"{session.where}: there is no publication {self._publication} yet, and a slot that is older than "
                    "it loses changes (P10). Cure: make it by pg_publication first."
                )
            session.run("SELECT set_config('statement_timeout', %s, false)", (f"{self._seconds * 1000:.0f}ms",))
            try:
                session.run(_CREATE, (slot.name, PLUGIN))
            except PgError as error:
                if error.code == _CALLED_OFF:
                    raise PgError(
                        f"{session.where}: slot {slot.name} wasn't made within {self._seconds:.0f} s: it waits for "
                        "every transaction that writes, and for prepared ones (P9). Cure: end those, then run again.",
                        code="slot_not_made",
                    ) from error
                raise

    def drop(self, slot: Wanted) -> None:
        """An active slot can't be dropped: its walsender is ended first, as often as the follower comes back (P13)."""
        deadline = self._clock() + self._seconds
        while True:
            self._home.rows(_END, (slot.name,))
            try:
                self._home.run(_DROP, (slot.name,))
                return
            except PgError as error:
                if error.code == _MISSING:
                    return
                if error.code != _IN_USE or self._clock() >= deadline:
                    raise
            self._sleep(_POLL)
