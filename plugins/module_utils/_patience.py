# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patience: a poll loop that says what it last saw, with its clock and its sleep passed in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._errors import WaitTimeout

SHORTEST_PAUSE = 0.25
LONGEST_PAUSE = 15.0


@dataclass(frozen=True)
class Sight:
    """What one look saw: ``line`` is for a person, ``value`` for whoever waits."""

    done: bool
    line: str
    value: Any = None


def pause(elapsed: float) -> float:
    """Seconds until the next look: a tenth of the time waited so far, within bounds; no wait overshoots by more."""
    return min(max(SHORTEST_PAUSE, elapsed / 10), LONGEST_PAUSE)


@dataclass(frozen=True)
class Patience:
    """How to wait: ``timeout`` in seconds, and what to do between two looks.

    Each wait has the whole of it, unless ``since``, a moment of ``clock``, says from when on all count together.
    """

    timeout: float
    keep_alive: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    since: float | None = None

    def until(self, look: Callable[[], Sight], aim: str) -> Any:
        """Look until it is done and return the last look's value. Raises WaitTimeout, and what ``look`` raises."""
        began = self.clock()
        started = began if self.since is None else self.since
        while True:
            sight = look()
            if sight.done:
                return sight.value
            now = self.clock()
            elapsed, rest = now - started, pause(now - began)
            if elapsed + rest > self.timeout:
                raise WaitTimeout(
                    f"waited {elapsed:.0f} s (wait_timeout {self.timeout:.0f}) for {aim}; last seen: {sight.line}. "
                    "Cure: run again to go on waiting, or give a longer wait_timeout.",
                    state=sight.line,
                )
            self.keep_alive()
            self.sleep(rest)
