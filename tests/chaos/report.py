# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of it: a line as it goes, a table at the end, a file for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One thing that was done to a run. ``wrong`` is what was wrong at the end of its round; empty: nothing."""

    kind: str
    verb: str
    point: str
    how: str
    reached: bool = True
    note: str = ""
    round: str = ""
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return "WRONG" if self.wrong else "ok" if self.reached else "not reached"

    def line(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        return f"{self.kind:8} {self.how:16} {self.verb:9} {self.point}{note}"


def table(rows: Sequence[Row]) -> list[str]:
    """Every row, grouped by round, with the figures of the round."""
    lines, last = [], None
    for row in sorted(rows, key=lambda row: row.round):
        if row.round != last:
            figures = " ".join(f"{key}={value}" for key, value in row.figures.items())
            lines += ["", f"{row.round}  {figures}"]
            last = row.round
        lines.append(f"  {row.verdict:12}{row.line()}")
        lines += [f"               {wrong}" for wrong in row.wrong]
    return lines


def totals(rows: Sequence[Row], seconds: float) -> dict[str, Any]:
    """The sum of it."""
    reached = [row for row in rows if row.reached]
    rounds = {row.round: row for row in rows}
    return {
        "rounds": len(rounds),
        "rounds_wrong": sum(bool(row.wrong) for row in rounds.values()),
        "struck": dict(Counter(row.kind for row in reached)),
        "kills": dict(sorted(Counter(row.how for row in reached if row.kind == "kill").items())),
        "restarts": dict(sorted(Counter(row.how for row in reached if row.kind == "restart").items())),
        "points": len({(row.verb, row.point) for row in reached}),
        "not_reached": sum(not row.reached for row in rows),
        "acked": sum(row.figures.get("acked", 0) for row in rounds.values()),
        "lost": sum(row.figures.get("lost", 0) for row in rounds.values()),
        "duplicated": sum(row.figures.get("duplicated", 0) for row in rounds.values()),
        "split_brain": sum(row.figures.get("split_brain", 0) for row in rounds.values()),
        "seconds": round(seconds),
    }


def write(path: Path, rows: Sequence[Row], sums: dict[str, Any], seed: int) -> None:
    """Everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"seed": seed, "totals": sums, "rows": [{**asdict(row), "verdict": row.verdict} for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
