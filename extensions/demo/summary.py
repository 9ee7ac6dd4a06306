# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo has shown, in at most ten lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """A playbook that was run, what the ledger said about it, and what running it again changed."""

    path: str
    verb: str
    moved: str
    rows: int
    playbook_code: int
    ledger: dict[str, Any]
    rerun_changed: int | None  # None: it wasn't run again, or failed

    @property
    def passed(self) -> bool:
        """The playbook succeeded, nothing was lost, and a second run had nothing to do."""
        return self.playbook_code == 0 and bool(self.ledger["passed"]) and self.rerun_changed == 0


def summary(result: Result) -> list[str]:
    """The lines; the last one is for programs."""
    told = result.ledger
    before, after = (_or_unknown(told["commits_per_second"][when]) for when in ("before", "after"))
    side = "source" if result.verb == "rollback" else "target"
    place = f"on the {side}" if result.playbook_code == 0 else "where the clients are led"
    outage = told["outage"] or {"began": "?", "ended": "?", "recovered": False}
    lines = [
        f"{result.moved}: {result.rows:,} rows and what was written meanwhile",
        f"{result.verb}.yml "
        + ("succeeded" if result.playbook_code == 0 else f"failed with exit code {result.playbook_code}"),
        f"{told['acked']:,} commits acknowledged ({before}/s before the outage, {after}/s after),"
        f" {told['in_doubt']} in doubt, {told['failed']} refused",
        f"longest outage behind PgBouncer {told['outage_s']} s, {outage['began']} to {outage['ended']}"
        " (the sandbox's time, not AWS's)" + ("" if outage["recovered"] else ", and it didn't end"),
        f"every acknowledged write is {place} exactly once" if told["passed"] else "the ledger found fault:",
        *(f"  {finding['category']}: {finding['why']}" for finding in told["findings"][:3]),
    ]
    counts = {key: told[key] for key in ("acked", "lost", "duplicated", "split_brain", "outage_s")}
    figures = {"path": result.path, **counts, "rerun_changed": result.rerun_changed}
    lines.append(" ".join(f"{key}={_or_unknown(value)}" for key, value in figures.items()))
    return [f"demo: {line}" for line in lines]


def _or_unknown(value: float | str | None) -> float | str:
    return "?" if value is None else value
