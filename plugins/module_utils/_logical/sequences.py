# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sequences of two sides: where each stands, and which are behind (P32 to P35). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence as ListOf
from dataclasses import dataclass
from typing import Any

from .._findings import Finding, blocker, warning
from .._plan import Plan, Step
from .selection import SHOWN, named

SET, EQUAL, AHEAD = "set", "equal", "ahead"


@dataclass(frozen=True)
class Sequence:
    """A sequence as read from itself (P32): while ``is_called`` is false, ``last_value`` is still to be drawn.

    Both are None where the login may not read it.
    """

    name: str
    schema: str
    oid: int
    last_value: int | None
    is_called: bool | None
    increment: int = 1
    min_value: int = 1
    max_value: int = 2**63 - 1
    cycle: bool = False
    writable: bool = True

    def moved(self, steps: int) -> int:
        """The value after that many more, in the direction of the increment."""
        return self.last_value + steps * self.increment

    def position(self, value: int, is_called: bool) -> tuple[int, bool]:
        """Greater means further along: the safe side of a descending sequence is down (P33)."""
        return (value if self.increment > 0 else -value), is_called


@dataclass(frozen=True)
class Move:
    """What becomes of one target sequence; ``verdict`` is set, equal or ahead."""

    verdict: str
    target: Sequence
    value: int
    is_called: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "sequence": self.target.name,
            "was": {"last_value": self.target.last_value, "is_called": self.target.is_called},
            "now": {"last_value": self.value, "is_called": self.is_called},
        }


def compare(
    source: Iterable[Sequence], target: Iterable[Sequence], margin: int = 0
) -> tuple[list[Move], list[Finding]]:
    """What each of the source's sequences asks of the target's, and what stands in the way.

    ``margin`` counts values still to be drawn, so it is multiplied by the increment (P35).
    """
    there = {one.name: one for one in target}
    moves, findings = [], []
    for one in source:
        other = there.get(one.name)
        found = (
            _missing(one) if other is None
            else _hidden(one, other) or _unlike(one, other) or _no_headroom(one, other, margin)
        )
        findings += found
        if other is None or any(finding.severity == "blocker" for finding in found):
            continue
        value = one.last_value if found and margin else one.moved(margin)
        move = _move(one, other, value)
        moves.append(move)
        findings += _judge(one, move)
    return moves, findings


def _missing(one: Sequence) -> list[Finding]:
    return [blocker(
        "sequence-missing", one.name, "the target has no such sequence",
        "bring the schema over first, or name the sequence in exclude", "P33",
    )]


def _hidden(one: Sequence, other: Sequence) -> list[Finding]:
    return [blocker(
        "sequence-not-readable", one.name, f"the login of the {side} may not read it",
        "grant it SELECT on the sequence and USAGE on its schema, or name it in exclude", "P32",
    ) for side, seen in (("source", one), ("target", other)) if seen.last_value is None]


def _unlike(one: Sequence, other: Sequence) -> list[Finding]:
    if (one.increment > 0) is (other.increment > 0):
        return []
    return [blocker(
        "sequence-direction", one.name,
        f"it counts by {one.increment} on the source and by {other.increment} on the target",
        "give the target's sequence the source's increment (ALTER SEQUENCE), or name it in exclude", "P33",
    )]


def _no_headroom(one: Sequence, other: Sequence, margin: int) -> list[Finding]:
    """Whether the value fits between the bounds of the sequence that gets it."""
    value = one.moved(margin)
    if other.min_value <= value <= other.max_value:
        return []
    if margin and other.min_value <= one.last_value <= other.max_value:
        bound = other.max_value if one.increment > 0 else other.min_value
        left = (bound - one.last_value) // one.increment
        reason = f"{left} values are left up to {bound}, fewer than the margin of {margin}"
        if one.cycle:
            return [warning("sequence-margin-left-out", one.name, f"it cycles, and {reason}", "leave it so", "P35")]
        return [blocker("sequence-headroom", one.name, reason, "ask for a smaller margin, or none", "P35")]
    return [blocker(
        "sequence-bounds", one.name,
        f"the source stands at {one.last_value}, the target allows {other.min_value} to {other.max_value}",
        "give the target's sequence the source's type and bounds (ALTER SEQUENCE)", "P33",
    )]


def _move(one: Sequence, other: Sequence, value: int) -> Move:
    wanted, has = (value, one.is_called), (other.last_value, other.is_called)
    if wanted == has:
        return Move(EQUAL, other, *has)
    if other.position(*has) > other.position(*wanted):
        return Move(AHEAD, other, *has)
    return Move(SET, other, *wanted)


def _judge(one: Sequence, move: Move) -> list[Finding]:
    if move.verdict == SET and not move.target.writable:
        return [blocker(
            "sequence-not-writable", one.name, "the login of the target may not set it",
            "grant it UPDATE on the sequence, or membership in its owner", "P31",
        )]
    if move.verdict == AHEAD and one.cycle:
        return [warning(
            "sequence-cycled", one.name,
            f"the target stands at {move.target.last_value}, beyond the source's {one.last_value}, which may have "
            "begun a new round; it is never moved back", "set it by hand if the source has begun a new round", "P34",
        )]
    return []


def plan(moves: Iterable[Move]) -> Plan:
    """One step for all that are behind: they are set in one round trip (P33)."""
    behind = [move for move in moves if move.verdict == SET]
    if not behind:
        return Plan()
    said = [f"{move.target.name} to {move.value}{'' if move.is_called else ' (not called)'}" for move in behind]
    return Plan(
        (Step("set", f"set {len(behind)} sequences: {named(said)}", {
            "values": [[move.target.oid, move.value, move.is_called] for move in behind],
        }),),
        {move.target.name: move.as_dict()["was"] for move in behind[:SHOWN]},
        {move.target.name: move.as_dict()["now"] for move in behind[:SHOWN]},
    )


def counts(moves: ListOf[Move]) -> dict[str, int]:
    """How many are ``set``, ``equal`` and ``ahead``."""
    return {verdict: sum(move.verdict == verdict for move in moves) for verdict in (SET, EQUAL, AHEAD)}
