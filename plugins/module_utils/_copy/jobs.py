# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work as a graph: what must wait for what, what may run side by side, and what goes first. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# Kinds that read from the source; the throttle limits them.
READING = frozenset({"copy", "range"})


@dataclass
class Job:
    """One thing a worker does, in one transaction.

    ``shared`` and ``exclusive`` name the tables that it locks: two jobs that would only wait for each other's lock
    aren't started together. A ``gate`` does nothing but come after others.
    """

    kind: str
    subject: str
    details: dict[str, Any] = field(default_factory=dict)
    weight: int = 0
    after: list[Job] = field(default_factory=list)
    shared: frozenset[str] = frozenset()
    exclusive: frozenset[str] = frozenset()
    number: int = -1

    @property
    def reading(self) -> bool:
        return self.kind in READING


def helpers(jobs: int, busy: int, waiting: int, reading_left: int) -> int:
    """Parallel workers for an index that is begun beside ``busy`` others, while ``waiting`` jobs could begin too.

    They cost two fifths more processor time: worth it where processors are left over. So they soon will be for the
    last job, before whose end the others leave.
    """
    last = not reading_left and not waiting
    return max(0, jobs - busy - waiting - 1, jobs // 2 if last else 0)


class Schedule:
    """Hands out jobs whose predecessors have ended, the heaviest first, and knows what is left."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = list(jobs)
        self.finished = 0
        # By whether they read the source: the throttle holds back only those.
        self._ready: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._set_aside: list[Job] = []
        self._shared: Counter[str] = Counter()
        self._exclusive: set[str] = set()
        for number, job in enumerate(self.jobs):
            job.number = number
        self._waiting = [len(job.after) for job in self.jobs]
        self._followers: list[list[Job]] = [[] for _job in self.jobs]
        for job in self.jobs:
            for other in job.after:
                self._followers[other.number].append(job)
        for job in [job for job in self.jobs if not job.after]:
            self._make_ready(job)

    @property
    def over(self) -> bool:
        return self.finished == len(self.jobs)

    @property
    def waiting(self) -> int:
        """How many jobs could begin, were there workers for them and no locks against them."""
        return sum(map(len, (*self._ready.values(), self._set_aside)))

    def take(self, reading: bool, other: bool) -> Job | None:
        """The next job of a kind that is allowed now: one that reads the source, or one that doesn't."""
        for allowed, ready in ((reading, self._ready[True]), (other, self._ready[False])):
            while allowed and ready:
                job = self.jobs[heapq.heappop(ready)[1]]
                if self._free(job):
                    self._exclusive |= job.exclusive
                    self._shared.update(job.shared)
                    return job
                self._set_aside.append(job)
        return None

    def done(self, job: Job) -> None:
        """The job has ended well: what waited for it may begin."""
        self._unlock(job)
        self._end(job)

    def again(self, job: Job) -> None:
        """The job has to be done once more."""
        self._unlock(job)
        self._make_ready(job)

    def _free(self, job: Job) -> bool:
        """Whether no lock of a running job stands against those this one takes."""
        return self._exclusive.isdisjoint(job.shared | job.exclusive) and not any(
            self._shared[name] for name in job.exclusive
        )

    def _unlock(self, job: Job) -> None:
        self._exclusive -= job.exclusive
        self._shared.subtract(job.shared)
        if job.shared or job.exclusive:
            waiting, self._set_aside = self._set_aside, []
            for other in waiting:
                self._make_ready(other)

    def _make_ready(self, job: Job) -> None:
        if job.kind == "gate":
            self._end(job)
        else:
            heapq.heappush(self._ready[job.reading], (-job.weight, job.number))

    def _end(self, job: Job) -> None:
        ended = [job]
        while ended:
            self.finished += 1
            for follower in self._followers[ended.pop().number]:
                self._waiting[follower.number] -= 1
                if self._waiting[follower.number]:
                    continue
                if follower.kind == "gate":
                    ended.append(follower)
                else:
                    self._make_ready(follower)
