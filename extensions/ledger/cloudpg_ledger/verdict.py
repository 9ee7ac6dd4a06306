# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict: compares what the journal expects with what target and source hold. Pure: no file, no server."""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .contents import Contents
from .effects import Effect, effects_of, took_effect
from .journal import ACKED, DOUBT, FAILED, Attempt
from .workload import LAP_WIDTH

LOST = "lost"  # acknowledged, and its effect isn't on the target
DUPLICATED = "duplicated"  # its effect is there more than once, or a sequence gives a number out again
SPLIT_BRAIN = "split_brain"  # accepted by the source after the fence; the target doesn't have it
TORN = "torn"  # a part of a transaction is there without the rest
PHANTOM = "phantom"  # there, and certainly never committed by us
CATEGORIES = (LOST, DUPLICATED, SPLIT_BRAIN, TORN, PHANTOM)
UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the attempt it concerns when there is one."""

    category: str
    why: str
    attempt: Attempt | None = None


@dataclass
class Verdict:
    """Everything that is wrong, and how many attempts ended how. A write that is split-brain and was acknowledged is
    also lost."""

    findings: list[Finding] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    doubt_committed: int = 0

    def count(self, category: str) -> int:
        return sum(finding.category == category for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Nothing is wrong, and there was something to prove."""
        return not self.findings and self.outcomes[ACKED] > 0


def judge(attempts: list[Attempt], target: Contents, source: Contents | None = None) -> Verdict:
    """Judge a target by the journal, and a source as well when its contents are given."""
    effects = effects_of(attempts, target)
    findings = [
        *_lost(effects, target),
        *_surplus(effects, target),
        *_unknown(effects, target),
        *_torn(attempts, target),
        *_keys_refused(attempts),
        *_tickets(attempts, target),
        *_laps(attempts, target),
        *(_split_brain(effects, target, source) if source else ()),
    ]
    return Verdict(
        findings,
        Counter(attempt.outcome for attempt in attempts),
        sum(effect.attempt.outcome == DOUBT and effect.applied(target) for effect in effects),
    )


def _lost(effects: list[Effect], target: Contents) -> Iterator[Finding]:
    lost = {
        effect.attempt.key: effect for effect in effects if effect.outcome == ACKED and not effect.applied(target)
    }
    for effect in lost.values():
        what = "rows it removed are there" if effect.removes else "its row is missing or differs"
        yield Finding(LOST, f"{effect.table}: {what}", effect.attempt)


def _surplus(effects: list[Effect], target: Contents) -> Iterator[Finding]:
    for effect in effects:
        if effect.removes:
            continue
        count = effect.count(target)
        if effect.outcome == FAILED:
            if count:
                yield Finding(PHANTOM, f"{effect.table}: there although it failed", effect.attempt)
            continue
        for _copy in range(count - 1):
            yield Finding(DUPLICATED, f"{effect.table}: there {count} times", effect.attempt)


def _unknown(effects: list[Effect], target: Contents) -> Iterator[Finding]:
    known = {(effect.table, key) for effect in effects for key in effect.keys}
    for table, found in target.effects.items():
        for key, count in found.items():
            if count and (table, key) not in known:
                yield Finding(PHANTOM, f"{table}: {key[0]}/{key[1]} is there, the journal doesn't know it")


def _torn(attempts: list[Attempt], target: Contents) -> Iterator[Finding]:
    transfers = {attempt.key: attempt for attempt in attempts if attempt.kind == "transfer"}
    for key in sorted(target.torn_transfers):
        yield Finding(TORN, f"transfers: only a part of {key[0]}/{key[1]} is there", transfers.get(key))
    for text in target.torn:
        yield Finding(TORN, text)


def _keys_refused(attempts: list[Attempt]) -> Iterator[Finding]:
    for attempt in attempts:
        if attempt.error == UNIQUE_VIOLATION:
            yield Finding(DUPLICATED, "an identity column gave a key out again", attempt)


def _repeated(attempts: list[Attempt], sequence: str) -> Iterator[Finding]:
    seen: set[int] = set()
    for attempt in attempts:
        number = attempt.data["number"]
        if number in seen:
            yield Finding(DUPLICATED, f"sequence {sequence} gave {number} out again", attempt)
        seen.add(number)


def _tickets(attempts: list[Attempt], target: Contents) -> Iterator[Finding]:
    acked = [attempt for attempt in attempts if attempt.kind == "ticket" and attempt.outcome == ACKED]
    yield from _repeated(acked, "ticket")
    yield from _would_repeat("ticket", target, acked)


def _laps(attempts: list[Attempt], target: Contents) -> Iterator[Finding]:
    acked = [attempt for attempt in attempts if attempt.kind in ("lap", "restart") and attempt.outcome == ACKED]
    yield from _repeated(acked, "lap")
    for attempt in acked:
        if not _in_lap(attempt.data["number"], attempt.data["base"]):
            yield Finding(LOST, "sequence lap: its last restart was forgotten", attempt)
    restarts = [attempt for attempt in attempts if took_effect(attempt, "restart", "laps", target)]
    if not restarts:
        return
    restart = restarts[-1]
    base = restart.data["base"]
    if not _in_lap(target.next_values["lap"], base):
        yield Finding(LOST, "sequence lap: its last restart isn't on the target", restart)
        return
    yield from _would_repeat("lap", target, [attempt for attempt in acked if attempt.data["base"] == base])


def _in_lap(number: int, base: int) -> bool:
    return base <= number < base + LAP_WIDTH


def _would_repeat(sequence: str, target: Contents, acked: list[Attempt]) -> Iterator[Finding]:
    if not acked:
        return
    highest = max(attempt.data["number"] for attempt in acked)
    upcoming = target.next_values[sequence]
    if upcoming <= highest:
        yield Finding(DUPLICATED, f"sequence {sequence} would give {upcoming} next, {highest} was given out already")


def fence_time(effects: list[Effect], target: Contents, source: Contents) -> float:
    """When the source was last known to be open: the last write it acknowledged that the target has.

    Minus infinity when there is none, so that everything else the source holds counts as written behind the fence.
    """
    by_source = [effect for effect in effects if source.server and effect.attempt.server == source.server]
    # the delete of a row that never arrived looks like one that did: only what is there counts
    kept = [effect for effect in by_source if effect.outcome == ACKED and not effect.removes and effect.applied(target)]
    return max((effect.attempt.ended for effect in kept), default=-math.inf)


def _split_brain(effects: list[Effect], target: Contents, source: Contents) -> Iterator[Finding]:
    fence = fence_time(effects, target, source)
    seen = set()
    for effect in effects:
        attempt = effect.attempt
        if effect.outcome == FAILED or attempt.key in seen or attempt.ended <= fence:
            continue
        if effect.applied(source) and not effect.applied(target):
            seen.add(attempt.key)
            yield Finding(SPLIT_BRAIN, f"{effect.table}: the source took it after the fence", attempt)
