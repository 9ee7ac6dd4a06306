# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worker processes: started by fork, told what to do over a pipe, gone with their parent."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any

from .jobs import Job
from .worker import Setting, serve


class Pool:
    """``size`` workers, started when first needed; each does one job at a time."""

    def __init__(self, setting: Setting, size: int) -> None:
        self._context = multiprocessing.get_context("fork")
        self._setting = setting
        self.size = size
        self.moved = self._context.RawArray("q", size)
        self.paused = self._context.RawArray("b", size)
        # The servers' processes behind a worker's two connections: the source's, then the target's.
        self.backends = self._context.RawArray("i", 2 * size)
        self._processes: list[Any] = [None] * size
        self._channels: list[Any] = [None] * size
        self.busy: dict[int, Job] = {}

    def idle(self) -> int | None:
        """The number of a worker that has nothing to do."""
        return next((number for number in range(self.size) if number not in self.busy), None)

    def give(self, job: Job, attempt: int, helpers: int) -> None:
        """Have an idle worker do a job, for the ``attempt``-th time after the first, with parallel ``helpers``."""
        number = self.idle()
        if self._processes[number] is None or not self._processes[number].is_alive():
            self._start(number)
        self.busy[number] = job
        self.paused[number] = 0
        self._channels[number].send((Job(job.kind, job.subject, job.details), attempt, helpers))

    def _start(self, number: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, daemon=True,
            args=(self._setting, theirs, self.moved, self.paused, self.backends, number, os.getpid()),
        )
        process.start()
        theirs.close()
        self._processes[number], self._channels[number] = process, ours

    def answers(self, seconds: float) -> Iterator[tuple[Job, str, Any]]:
        """What ended within the time: the job, how it ended, facts. A worker that died has lost its job."""
        channels = {self._channels[number]: number for number in self.busy}
        for channel in wait(list(channels), seconds):
            number = channels[channel]
            job = self.busy.pop(number)
            try:
                outcome, facts = channel.recv()
            except (EOFError, ConnectionResetError):
                self._processes[number].join()
                code = self._processes[number].exitcode
                self._processes[number] = None
                outcome, facts = "lost", {"message": f"a worker ended by itself (exit {code})", "code": None}
            self.moved[number] = 0
            yield job, outcome, facts

    def limit_readers(self, allowed: int) -> None:
        """Let so many of the workers that read go on; the others wait where they are."""
        for place, number in enumerate(sorted(number for number, job in self.busy.items() if job.reading)):
            self.paused[number] = place >= allowed
        for number in range(self.size):
            if number not in self.busy:
                self.paused[number] = 0

    @property
    def readers(self) -> int:
        return sum(job.reading for job in self.busy.values())

    def in_flight(self) -> list[tuple[Job, int]]:
        """Bytes of the jobs that read, so far."""
        return [(job, self.moved[number]) for number, job in self.busy.items() if job.reading]

    def stop(self) -> None:
        for process in self._processes:
            if process is not None:
                process.kill()
                process.join()
        self._processes = [None] * self.size
        self.busy.clear()
