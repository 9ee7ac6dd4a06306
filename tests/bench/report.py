# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ABREAST = 4  # others on one line


@dataclass(frozen=True)
class Measured:
    """``value`` against ``target`` (``at_most``: smaller is better).

    ``peers`` are the medians of the other contenders, and ``shares`` says of a peer which share of it ours may be at
    most; ``rounds`` are the figures of each round as they came; ``limits`` says in words what limits the value.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    peers: dict[str, float] = field(default_factory=dict)
    rounds: list[dict[str, float]] = field(default_factory=list)
    limits: str = ""
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """None where nothing was promised."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def ratios(self) -> dict[str, dict[str, Any]]:
        """Ours as a share of each peer of which something was promised."""
        return {
            peer: {"value": round(self.value / self.peers[peer], 4), "target": target,
                   "met": self.value <= target * self.peers[peer]}
            for peer, target in self.shares.items() if peer in self.peers
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "value": round(self.value, 4), "unit": self.unit,
            "target": None if self.target is None else round(self.target, 4), "met": self.met,
            "peers": {name: round(value, 3) for name, value in self.peers.items()}, "ratios": self.ratios,
            "rounds": [{name: round(value, 3) for name, value in one.items()} for one in self.rounds],
            "limits": self.limits,
        }


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each contender over the rounds it took part in."""
    names = {name: None for one in rounds for name in one}
    return {name: median(one[name] for one in rounds if name in one) for name in names}


def race(
    name: str, rounds: Sequence[dict[str, float]], ours: str, shares: dict[str, float], limits: str = ""
) -> Measured:
    """Seconds of ours against those of the others; the target is the time in which every promise would be kept."""
    middle = medians(rounds)
    value = middle.pop(ours)
    promised = [share * middle[peer] for peer, share in shares.items() if peer in middle]
    target = min(promised, default=None)
    short = target is not None and value > target
    return Measured(name, value, "s", target, True, middle, list(rounds), limits if short else "", shares)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _said(met: bool | None) -> str:
    return {True: "yes", False: "NO", None: "-"}[met]


def table(measured: Sequence[Measured]) -> str:
    """A line for each bench, and one below it for each peer that it is measured by."""
    rows = [("bench", "value", "target", "met", "others")]
    for one in measured:
        sign = "<=" if one.at_most else ">="
        others = [f"{name} {_number(value)}" for name, value in one.peers.items()]
        lines = [", ".join(others[place:place + ABREAST]) for place in range(0, len(others), ABREAST)] or [""]
        rows.append((
            one.name, f"{_number(one.value)} {one.unit}",
            "-" if one.target is None else f"{sign} {_number(one.target)}", _said(one.met), lines[0],
        ))
        rows += [("", "", "", "", line) for line in lines[1:]]
        rows += [
            (f"  / {peer}", f"{ratio['value']:.2f}", f"<= {ratio['target']:.2f}", _said(ratio["met"]), "")
            for peer, ratio in one.ratios.items()
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]).rstrip() for row in rows]
    lines[1:1] = ["-" * max(map(len, lines))]
    short = [f"{one.name} falls short: {one.limits or 'reason not known'}" for one in measured if one.met is False]
    return "\n".join([*lines, *short])


def write(path: Path, measured: Sequence[Measured], bench: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "benches": [one.as_dict() for one in measured],
        "machine": {"processors": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()[0]},
        "scale": bench.scale, "rounds": bench.rounds,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
