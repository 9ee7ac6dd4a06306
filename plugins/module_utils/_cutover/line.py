# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a cutover may wait for an answer, and what a signal means to it."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from psycopg2 import extensions
except ImportError:
    extensions = None

from .._errors import MigrationError
from .._pg.errors import PgError

# Seconds for one answer where nothing else is said, and for a connection.
ANSWER, CONNECTION = 600.0, 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(MigrationError):
    """Somebody wants the run to end."""


class Line:
    """Bounds every answer of every connection of the process: a way that swallows packets mustn't outlast the outage.

    ``until`` is a moment of the monotonic clock, None without one. A statement that gets no answer in time, or is
    interrupted, costs its connection: what the server made of it is to be read from the journal.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.until: float | None = None
        self._clock = clock

    @contextmanager
    def bounding(self) -> Iterator[Line]:
        extensions.set_wait_callback(self._wait)
        try:
            yield self
        finally:
            extensions.set_wait_callback(None)

    def left(self) -> float:
        """Seconds until then."""
        return ANSWER if self.until is None else self.until - self._clock()

    def _wait(self, connection: Any) -> None:
        began = self._clock()
        connecting = connection.status not in (extensions.STATUS_READY, extensions.STATUS_BEGIN)
        limit = CONNECTION if connecting else ANSWER
        while (state := connection.poll()) != extensions.POLL_OK:
            left = min(limit - (self._clock() - began), self.left())
            ends = [connection.fileno()]
            reading, writing = (ends, []) if state == extensions.POLL_READ else ([], ends)
            if left <= 0 or not any(select.select(reading, writing, [], left)):
                raise PgError(
                    "a server gave no answer in time. Cure: see that it is well and the way to it is free.",
                    code="no_answer",
                )


@contextmanager
def signals_raised() -> Iterator[Callable[[bool], None]]:
    """Turns the signals that end a process into ``Interrupted``, while ``arm(True)`` was said last; else they wait.

    A signal that came meanwhile is raised by ``arm(True)``, and forgotten at the end.
    """
    came: list[int] = []
    armed = [False]

    def stop() -> None:
        armed[0] = False
        raise Interrupted(f"{signal.Signals(came[0]).name} has asked the run to end.", code="interrupted")

    def handle(number: int, _frame: Any) -> None:
        came.append(number)
        if armed[0]:
            stop()

    def arm(now: bool) -> None:
        armed[0] = now
        if now and came:
            stop()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield arm
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
