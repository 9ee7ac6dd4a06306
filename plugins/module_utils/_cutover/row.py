# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The row in the target's journal that says how far a cutover is: the only place where that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import LeaseLost
from .._pg import journal
from .._pg.connection import Session
from .fence_work import hold

EVENT = "cutover"
BEGUN, UNDOING, PUT_BACK, OPENED = "begun", "undoing", "put_back", "opened"
# What is to be done about a cutover that is found.
START, UNDO, FORWARD = "start", "undo", "forward"

_LOCKED = f"SELECT now FROM {journal.TABLE} WHERE migration = %s AND id = '{EVENT}' FOR UPDATE"


def decide(now: Mapping[str, Any] | None, target_closed: bool) -> str:
    """What the row of the target means. Pure.

    A target that was opened and is closed again has been left since, by a cutover the other way.
    """
    if now is None or now["state"] == PUT_BACK:
        return START
    if now["state"] == OPENED:
        return START if target_closed else FORWARD
    return UNDO


def read(session: Session, migration: str) -> Mapping[str, Any] | None:
    """The row's content, None without one."""
    event = journal.read(session, migration, EVENT).get(EVENT)
    return event.now if event else None


class Row:
    """The row as this run sees it; ``generation`` is this run's own, None until it has begun."""

    def __init__(self, lock: Mapping[str, Any], way: str) -> None:
        self.lock, self.migration, self.way = lock, lock["migration"], way
        self.generation: int | None = None

    def begin(self, session: Session, details: Mapping[str, Any]) -> None:
        """Write that a cutover has begun, with the next generation."""
        with session.transaction():
            now = self._locked(session)
            self.generation = now.get("generation", 0) + 1
            self._write(session, {**details, "state": BEGUN, "lease": self.lock.get("generation")})

    def go_on(self, session: Session) -> bool:
        """Take on what another process of this run has begun; whether there is such. LeaseLost without the lock."""
        with session.transaction():
            now = self._locked(session)
        mine = now.get("state") == BEGUN and now.get("lease") == self.lock.get("generation")
        if mine:
            self.generation = now["generation"]
        return mine

    def check(self, session: Session) -> None:
        """Inside the opening transaction: raise LeaseLost when another run has raised the generation meanwhile."""
        now = self._locked(session)
        if (now.get("state"), now.get("generation")) != (BEGUN, self.generation):
            raise self._lost(session, now)

    def opened(self, session: Session, details: Mapping[str, Any]) -> None:
        """Inside the opening transaction."""
        self._write(session, {**details, "state": OPENED})

    def reconsider(self, session: Session, target_closed: bool) -> tuple[str, Mapping[str, Any]]:
        """Decide, with the row locked. What isn't open can't be opened any more by who is only asleep.

        LeaseLost when another run has taken over what this one began.
        """
        with session.transaction():
            now = self._locked(session)
            found = now.get("generation", 0)
            if self.generation is not None and found > self.generation:
                raise self._lost(session, now)
            begun = self.generation is None or found == self.generation
            decision = decide(now or None, target_closed) if begun else START
            if decision == UNDO:
                self.generation = found + 1
                self._write(session, {**now, "state": UNDOING})
        return decision, now

    def put_back(self, session: Session, details: Mapping[str, Any]) -> None:
        with session.transaction():
            now = self._locked(session)
            if now.get("generation") != self.generation:
                raise self._lost(session, now)
            self._write(session, {**details, "state": PUT_BACK})

    def _locked(self, session: Session) -> dict[str, Any]:
        session.run("SET TRANSACTION READ WRITE; SET LOCAL synchronous_commit = on")
        hold(session, self.lock)
        journal.prepare(session)
        rows = session.rows(_LOCKED, (self.migration,))
        return rows[0]["now"] if rows else {}

    def _write(self, session: Session, now: Mapping[str, Any]) -> None:
        journal.record(session, self.migration, [
            journal.Entry(EVENT, self.way, None, {**now, "generation": self.generation})
        ], self.lock.get("holder"))

    def _lost(self, session: Session, now: Mapping[str, Any]) -> LeaseLost:
        return LeaseLost(
            f"migration {self.migration} on {session.where}: another run has taken the cutover over (it is "
            f"{now.get('state', 'forgotten')} in generation {now.get('generation')}, this run's is {self.generation}). "
            "Nothing more was changed. Cure: run again; it goes on from the real state.", code="lease_lost",
        )
