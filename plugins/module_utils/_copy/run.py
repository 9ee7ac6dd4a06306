# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run: jobs handed out and taken back, progress told, load looked at, until all is done or nothing goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._pg.errors import PgError
from .jobs import Job, Schedule, helpers
from .pool import Pool
from .progress import Progress
from .sessions import ConnectionLost
from .snapshot import Keeper, SnapshotLost
from .throttle import Throttle

TICK = 0.25
TELL = 1.0
LOOK = 5.0
# Before a job whose connection broke is tried again.
BREATH = 0.5


@dataclass
class Crew:
    """What a run works with; ``tell`` writes progress, ``look`` says how the source is doing.

    ``keep`` renews the lease when it is time, or now if so asked, and raises when the lock is lost (R33).
    """

    pool: Pool
    keeper: Keeper | None
    throttle: Throttle
    jobs: int
    patience: float
    tell: Callable[[Mapping[str, Any]], None]
    look: Callable[[], Mapping[str, Any]]
    sizes: Mapping[str, int]
    keep: Callable[..., None] = lambda now=False: None
    clock: Callable[[], float] = time.monotonic
    statements: list[str] = field(default_factory=list)


class Run:
    """One pass over a schedule. Ends when all is done; raises what ended it before."""

    def __init__(self, jobs: Sequence[Job], crew: Crew, progress: Progress) -> None:
        self._crew, self._progress = crew, progress
        self._schedule = Schedule(jobs)
        self._reading_left = sum(job.reading for job in jobs)
        self._attempts: dict[int, int] = {}
        self._good = crew.clock()
        self._not_before = 0.0
        self._told = self._looked = float("-inf")

    def carry_out(self) -> None:
        crew = self._crew
        while not self._schedule.over:
            crew.keep()
            self._hand_out()
            for job, outcome, facts in crew.pool.answers(TICK if crew.pool.busy else 0):
                self._take_back(job, outcome, facts)
            if not crew.pool.busy and crew.clock() < self._not_before:
                time.sleep(BREATH / 2)
            self._now_and_then()
        self._tell(crew.clock())

    def _hand_out(self) -> None:
        crew = self._crew
        if crew.clock() < self._not_before:
            return
        while crew.pool.idle() is not None:
            readers = crew.pool.readers
            job = self._schedule.take(
                reading=readers < crew.throttle.allowed, other=len(crew.pool.busy) - readers < crew.jobs
            )
            if job is None:
                return
            crew.pool.give(job, self._attempts.get(job.number, 0), helpers(
                crew.jobs, len(crew.pool.busy), self._schedule.waiting, self._reading_left
            ))

    def _take_back(self, job: Job, outcome: str, facts: Mapping[str, Any]) -> None:
        now = self._crew.clock()
        if outcome == "done":
            self._good = now
            self._count(job, facts)
            self._schedule.done(job)
            return
        if outcome == "snapshot":
            raise SnapshotLost(facts["message"], code="snapshot_lost")
        if outcome == "failed":
            raise PgError(facts["message"], code=facts["code"])
        if now - self._good > self._crew.patience:
            raise PgError(f"{facts['message']} Nothing went on for {self._crew.patience:.0f} s.", code=facts["code"])
        # Who takes a migration over ends the sessions of whoever had it.
        self._crew.keep(now=True)
        self._attempts[job.number] = self._attempts.get(job.number, 0) + 1
        self._not_before = now + BREATH
        self._schedule.again(job)

    def _count(self, job: Job, facts: Mapping[str, Any]) -> None:
        size = self._crew.sizes.get(job.subject, 0)
        if job.reading:
            self._reading_left -= 1
            share = size // job.details.get("of", 1)
            self._progress.table_done(share, facts.get("bytes", 0))
        if job.kind in ("copy", "close"):
            self._progress.tables_done += 1
        elif job.kind == "statement":
            self._progress.others_done += 1
        if job.kind == "statement":
            self._crew.statements.append(job.details["sql"])

    def _now_and_then(self) -> None:
        crew, now = self._crew, self._crew.clock()
        if now - self._told < TELL:
            return
        if crew.keeper is not None and self._reading_left:
            crew.keeper.check()
        self._tell(now)
        if self._reading_left and now - self._looked >= LOOK:
            self._looked = now
            crew.throttle.judge(crew.look())
        crew.pool.limit_readers(crew.throttle.allowed)

    def _tell(self, now: float) -> None:
        crew = self._crew
        self._told = now
        in_flight = [
            (crew.sizes.get(job.subject, 0) // job.details.get("of", 1), moved) for job, moved in crew.pool.in_flight()
        ]
        crew.tell({
            **self._progress.at(now, in_flight), "jobs": len(crew.pool.busy), "readers_allowed": crew.throttle.allowed,
            "throttled": crew.throttle.why,
            "snapshot_seconds": round(time.monotonic() - crew.keeper.began) if crew.keeper else None,
        })


def until_it_answers(attempt: Callable[[], Any], patience: float, clock: Callable[[], float] = time.monotonic) -> Any:
    """Try again while the connection can't be made, for ``patience`` seconds."""
    deadline = clock() + patience
    while True:
        try:
            return attempt()
        except ConnectionLost:
            if clock() >= deadline:
                raise
            time.sleep(BREATH)
