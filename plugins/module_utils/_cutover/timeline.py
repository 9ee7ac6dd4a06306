# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cutover took, step by step, and how much of the outage that was promised is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._errors import MigrationError

# Seconds that putting everything back is given out of the outage.
UNDO = 2.0


class OutOfTime(MigrationError):
    """What was promised can't be kept any more."""


class Timeline:
    """Steps in order. ``began`` is the start of the outage, None before it; seconds, but shown as milliseconds."""

    def __init__(self, max_outage: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_outage, self._clock = max_outage, clock
        self.began: float | None = None
        self.ended: float | None = None
        self.steps: list[dict[str, Any]] = []
        self.current: str | None = None
        # Past the open there is no way back, and no time limit.
        self.returnable = True

    @property
    def undo(self) -> float:
        """Seconds that putting back may take: it counts into the outage."""
        return min(UNDO, self.max_outage / 2)

    @property
    def limit(self) -> float:
        """Seconds after which it is put back."""
        return self.max_outage - self.undo

    @property
    def until(self) -> float | None:
        """The moment of the clock by which the target has to be open."""
        return None if self.began is None else self.began + self.limit

    def begin(self) -> None:
        self.began = self._clock()

    def end(self) -> None:
        self.ended = self._clock()

    @property
    def outage_ms(self) -> float | None:
        """None when there was none. Of an outage that goes on, what it has taken so far."""
        if self.began is None:
            return None
        return _ms((self.ended if self.ended is not None else self._clock()) - self.began)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; the time of one that fails counts as well. OutOfTime before a step that would begin too late."""
        self.current = name
        if self.returnable and self.until is not None and self._clock() >= self.until:
            raise OutOfTime(f"the outage can't be kept below {self.max_outage:g} s any more.", code="out_of_time")
        began = self._clock()
        try:
            yield
        finally:
            self.steps.append({"name": name, "ms": _ms(self._clock() - began)})

    def where_it_went(self) -> str:
        """A sentence about the step that took longest, for who wants to know."""
        if self.began is None or not self.steps:
            return f"It stopped at step {self.current}, before anybody was held up."
        longest = max(self.steps, key=lambda step: step["ms"])
        return (
            f"It stopped at step {self.current}, {self.outage_ms:.0f} ms into the outage; step {longest['name']} took "
            f"the longest, {longest['ms']:.0f} ms."
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
