# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing while replication runs: what differs is looked at again after the lag has passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .._errors import WaitTimeout
from .._pg.connection import Session
from .._pg.errors import PgError
from .drill import Key, Value

POLL = 0.02
# So few keys can be looked at often while the lag passes, and so often right before the target is read.
FEW = 200
LOOKS = 10
# A commit without a table: it moves positions at once (P16, P20), where else they follow within half a second.
_NUDGE = "SELECT pg_logical_emit_message(true, 'cloudpg_migration', '')"
_READY = """
    SELECT set_config('default_transaction_read_only', 'off', false), set_config('synchronous_commit', 'on', false)
"""
# 12 has no wal_status: it reads NULL this way.
_SLOT = """
    SELECT confirmed_flush_lsn >= %(lsn)s::pg_lsn AS passed, confirmed_flush_lsn::text AS confirmed, active,
           to_jsonb(s) ->> 'wal_status' AS wal_status
    FROM pg_replication_slots s WHERE slot_name = %(slot)s
"""


class Looking(Protocol):
    """One side of one table: what is under these keys now; ``quick`` unless looking reads the whole table."""

    quick: bool

    def look(self, keys: list[Key]) -> Mapping[Key, Value]: ...


@dataclass
class Lag:
    """Waits until the target has applied what the source had committed.

    ``nudge`` commits an empty message on both sides, which is all that a comparison ever writes; off in check mode.
    """

    source: Session
    target: Session
    slot: str
    deadline: float
    nudge: bool = True
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _sides: list[Session] = field(default_factory=list)

    def __post_init__(self) -> None:
        for session in (self.source, self.target) if self.nudge else ():
            session.run(_READY)
            if not session.value("SELECT pg_is_in_recovery()"):
                self._sides.append(session)

    def passed(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Return once it has passed; ``meanwhile`` is called after each look that found it hadn't.

        Raises PgError for a slot that is gone or lost (P14), WaitTimeout when the time is up.
        """
        lsn = self.source.value("SELECT pg_current_wal_insert_lsn()::text")
        while True:
            for session in self._sides:
                session.run(_NUDGE)
            found = self.source.rows(_SLOT, {"slot": self.slot, "lsn": lsn})
            if not found:
                raise PgError(
                    f"{self.source.where}: no slot {self.slot}, so nobody knows how far the target is. Cure: correct "
                    "slot, or compare without live when nothing replicates."
                )
            [state] = found
            if state["passed"]:
                return
            if state["wal_status"] == "lost":
                raise PgError(
                    f"{self.source.where}: slot {self.slot} has lost WAL, the target will never catch up (P14). "
                    "Cure: start the copy anew."
                )
            if self.clock() >= self.deadline:
                raise WaitTimeout(
                    f"{self.source.where}: the target hasn't applied {lsn} in time; slot {self.slot} stands at "
                    f"{state['confirmed']}{'' if state['active'] else ' and nobody reads it'}. Cure: look at the "
                    "subscription, or raise wait_timeout.",
                    state=state["confirmed"],
                )
            meanwhile()
            self.sleep(POLL)


def settle(
    keys: Iterable[Key], source: Looking, target: Looking, lag: Lag, rounds: int
) -> tuple[dict[Key, tuple[Value, Value]], list[Key]]:
    """Which of these keys really differ (with what both sides hold), and which kept changing for all ``rounds``.

    A key agrees when the target holds what the source had after the wait began: an older version doesn't count, for
    the change that followed it may have been lost. It differs when twice running the source held the same before the
    wait and after the target was read, and the target the same other thing.
    """
    left, real = list(dict.fromkeys(keys)), {}
    suspects: dict[Key, tuple[Value, Value]] = {}
    for _round in range(rounds):
        if not left:
            break
        seen = [source.look(left)]
        few = len(left) <= FEW and source.quick
        lag.passed((lambda: seen.append(source.look(left))) if few else lambda: None)
        # A row that is written all the time is met by looking quickly, for the target shows a version just past.
        seen += [source.look(left) for _look in range(LOOKS if few else 1)]
        there = target.look(left)
        seen.append(source.look(left))
        again, doubted = [], {}
        for key in left:
            held, versions = there.get(key), [version.get(key) for version in seen]
            if held in versions[1:]:
                continue
            again.append(key)
            if versions.count(versions[0]) == len(versions):
                doubted[key] = (versions[0], held)
                if suspects.get(key) == doubted[key]:
                    real[key] = doubted[key]
                    again.pop()
        left, suspects = again, doubted
    return real, left
