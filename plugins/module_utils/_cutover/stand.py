# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a cutover works on, opened and locked, and what one server or the other is asked to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .._journal import Queue
from .._logical import sequence_work, sequences
from .._logical.results import refuse_blockers
from .._logical.selection import Selection
from .._pg.address import database_of
from .._pg.errors import PgError
from . import ways
from .fence_work import Fence
from .hold import Side, open_side
from .poolers import Pooler
from .ways import Drain, Way

Write = Callable[[Path, str], None]
# No connection, or none that answers.
_AWAY = ("08001", "no_answer")
# Seconds for what may pass; a worker that ended is started again after five.
_PATIENCE, _POLL = 15.0, 0.05


class Stand:
    """Both servers with their fences, the ways between them and the poolers in front.

    ``lost`` says why the source can't be read, None when it can: behind the point of no return it needn't be.
    """

    def __init__(
        self, source: Side | None, target: Side, params: Mapping[str, Any], databases: Sequence[str], write: Write,
        lost: PgError | None = None,
    ) -> None:
        self.target, self.lost, self.databases = target, lost, list(databases)
        self._source, self._params = source, params
        self.target_fence = self._fence(target)
        self.look_again()
        host, port = params["target"]["host"], params["target"]["port"]
        self.poolers = [Pooler(one, host, port, write) for one in params["poolers"]]
        self._selection = Selection((), params["exclude_sequences"])
        self._numbers: dict[str, list[sequences.Sequence]] = {}
        self._max_lag = params["max_lag_bytes"]

    def look_again(self) -> None:
        """Read which subscriptions there are, and which are enabled."""
        migration = self._params["journal"]["migration"]
        self.forward = ways.find(self.target.sessions, migration)
        self.back = ways.find(self._source.sessions, migration) if self._source else {}

    def _fence(self, side: Side) -> Fence:
        params = self._params
        return Fence(side.home, side.where, params["journal"], self.databases, params["keep"], side.pids())

    @property
    def source(self) -> Side:
        if self._source is None:
            raise self.lost
        return self._source

    @cached_property
    def source_fence(self) -> Fence:
        return self._fence(self.source)

    def target_closed(self) -> bool:
        """Whether this migration holds the target closed, in every database."""
        return set(self.target_fence.events()) >= set(self.databases)

    def check(self, following: bool = True) -> None:
        """Raise MigrationError for what would make the cutover fail: asked while nobody is held up yet.

        ``following`` says whether the target is to have everything by replication.
        """
        source = self.source_fence
        self.check_target()
        if source.events():
            raise PgError(
                f"{self.source.where}: database {', '.join(sorted(source.events()))} is closed already, and not by a "
                "cutover in this direction. Cure: see the migration's status; open it by pg_quiesce if that is right."
            )
        source.preflight()
        said = self._not_following() if following else [
            f"subscription {way.name} of database {database} brings rows as well"
            for database, way in self.forward.items()
        ]
        said += [f"subscription {way.name} of the source is enabled already: changes would go round in circles (P25)"
                 for way in self.back.values() if way.enabled]
        if said:
            raise PgError(f"{self.target.where}: {'; '.join(said)}. Cure: see the migration's status, then run again.")
        for pooler in self.poolers:
            pooler.check()

    def check_target(self) -> None:
        """Raise PgError unless the target is closed, every database of it."""
        doors, kept = self.target_fence.doors(), self.target_fence.kept()
        unguarded = [door.name for door in doors if not door.roles() <= kept] if self.target_closed() else doors
        if unguarded:
            raise PgError(
                f"{self.target.where}: not every database is closed, so somebody could write to it before its time. "
                "Cure: close the target by pg_quiesce, then run again."
            )

    def _not_following(self) -> list[str]:
        """Why the target doesn't follow. A worker that was just turned on again gets the time to come."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            slots = ways.slots(self.source.home, [way.slot for way in self.forward.values() if way.slot])
            said, passing = ways.obstacles(self.forward, self.databases, slots, self._max_lag)
            if said or not passing or time.monotonic() >= deadline:
                return said + passing
            time.sleep(_POLL)

    def read_numbers(self, write: bool) -> None:
        """Bring the sequences near, so that only those that move meanwhile are left for the outage (P33)."""
        for database, session in self.target.sessions.items():
            self._numbers[database] = sequence_work.read(session)
            self.bring_numbers(database, write)

    def bring_numbers(self, database: str, write: bool = True) -> None:
        """Read the source's sequences, set the target's that are behind, each in one statement (P32 to P34)."""
        source = sequence_work.read(self.source.sessions[database], self._selection)
        moves, findings = sequences.compare(source, self._numbers[database])
        refuse_blockers(findings)
        behind = [move for move in moves if move.verdict == sequences.SET]
        if not write or not behind:
            return
        sequence_work.write(
            self.target.sessions[database], [(move.target.oid, move.value, move.is_called) for move in behind]
        )
        moved = {move.target.oid: move for move in behind}
        self._numbers[database] = [
            replace(one, last_value=move.value, is_called=move.is_called) if (move := moved.get(one.oid)) else one
            for one in self._numbers[database]
        ]

    def advance_back(self) -> None:
        """Move the slots of the way back past what came from the source, which has it already (P25)."""
        for database, way in self.back.items():
            ways.advance(self.target.sessions[database], way.slot)

    def set_forward(self, enabled: bool, databases: Sequence[str] | None = None) -> None:
        """Turn replication to the target on or off."""
        for database in self.forward if databases is None else databases:
            way = self.forward.get(database)
            if way and way.enabled is not enabled:
                ways.set_enabled(self.target.sessions[database], way.name, enabled)

    def idle_back(self) -> dict[str, Way]:
        """The subscriptions of the way back that are to be enabled."""
        return {database: way for database, way in self.back.items() if not way.enabled}

    def drain(self) -> Drain:
        return Drain(self.source.home, self.target.home, self.forward)

    def alive(self) -> None:
        """Raise PgError when a session with the lock is gone: then another run may have it."""
        for side in (self.target, self._source):
            if side:
                side.home.run("SELECT 1")


@contextmanager
def open_stand(params: Mapping[str, Any], write: Write, locked: bool) -> Iterator[Stand]:
    """Connect to everything; the servers in the order of their names, so that two runs can't wait for each other."""
    databases = params["databases"] or [database_of(params["target"])]
    queue = Queue(params["take_over"], params["wait_timeout"])
    migration = params["journal"]["migration"] if locked else None
    sides: dict[str, Side | None] = {}
    lost = None
    with ExitStack() as stack:
        for name in sorted(("source", "target"), key=lambda side: (params[side]["host"], params[side]["port"])):
            try:
                sides[name] = stack.enter_context(open_side(params[name], databases, migration, queue))
            except PgError as error:
                if name == "target" or error.code not in _AWAY:
                    raise
                sides[name], lost = None, error
        yield Stand(sides["source"], sides["target"], params, databases, write, lost)
