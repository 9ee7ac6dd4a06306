# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal says a database must hold: pure functions from attempts to expected effects."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .contents import Contents, Key
from .journal import ACKED, DOUBT, FAILED, Attempt

TABLES = {
    "entry": "entries",
    "counter": "counters",
    "transfer": "transfers",
    "ticket": "tickets",
    "lap": "laps",
    "restart": "laps",
}


@dataclass(frozen=True)
class Effect:
    """One attempt's effect: rows that are there because of it, or gone because of it.

    `outcome` is what may be asked of the rows: a row whose own insert was acknowledged is in doubt as well once its
    delete is.
    """

    attempt: Attempt
    table: str
    keys: tuple[Key, ...]
    outcome: str
    removes: bool = False

    def count(self, contents: Contents) -> int:
        return sum(contents.count(self.table, key) for key in self.keys)

    def applied(self, contents: Contents) -> bool:
        return (self.count(contents) == 0) == self.removes


def effects_of(attempts: list[Attempt], target: Contents) -> list[Effect]:
    """The effects that attempts (in the order they began) should have had; the target's markers settle a TRUNCATE."""
    plain = [
        Effect(attempt, TABLES[attempt.kind], (attempt.key,), attempt.outcome)
        for attempt in attempts
        if attempt.kind in TABLES
    ]
    return [*plain, *_queue_effects(attempts), *_batch_effects(attempts, target)]


def _queue_effects(attempts: list[Attempt]) -> Iterator[Effect]:
    deletes = {
        (attempt.writer, attempt.data["ref"]): attempt
        for attempt in attempts
        if attempt.kind == "dequeue" and attempt.outcome != FAILED
    }
    for key, delete in deletes.items():
        yield Effect(delete, "queue", (key,), delete.outcome, removes=True)
    for attempt in attempts:
        if attempt.kind != "enqueue":
            continue
        delete = deletes.get(attempt.key)
        if delete is None:
            yield Effect(attempt, "queue", (attempt.key,), attempt.outcome)
        elif delete.outcome == DOUBT:
            yield Effect(attempt, "queue", (attempt.key,), DOUBT)


def _batch_effects(attempts: list[Attempt], target: Contents) -> Iterator[Effect]:
    batch = [attempt for attempt in attempts if attempt.kind in ("batch", "truncate")]
    truncated = [number for number, attempt in enumerate(batch) if took_effect(attempt, "truncate", "batch", target)]
    last = truncated[-1] if truncated else 0
    for attempt in batch[last:]:
        yield Effect(attempt, "batch", (attempt.key,), attempt.outcome)
    if truncated:
        gone = tuple(attempt.key for attempt in batch[:last])
        yield Effect(batch[last], "batch", gone, ACKED, removes=True)


def took_effect(attempt: Attempt, kind: str, table: str, target: Contents) -> bool:
    """Whether an attempt of this kind must be seen as done: acknowledged, or in doubt and its row is there."""
    if attempt.kind != kind:
        return False
    return attempt.outcome == ACKED or (attempt.outcome == DOUBT and target.count(table, attempt.key) > 0)
