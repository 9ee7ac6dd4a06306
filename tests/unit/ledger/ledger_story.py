# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builders: a history of attempts, and the database that such a history leaves behind."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

from cloudpg_ledger.contents import Contents
from cloudpg_ledger.effects import Effect
from cloudpg_ledger.journal import ACKED, Attempt
from cloudpg_ledger.verdict import CATEGORIES, Verdict

SOURCE, TARGET = "127.0.0.10", "127.0.0.20"
BASE = 5_000_000


class Story:
    """Attempts of one writer, one a second, and what a database that took them would hold."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.contents = Contents(
            effects={
                table: Counter() for table in ("entries", "counters", "queue", "transfers", "batch", "tickets", "laps")
            },
            next_values={"ticket": 1, "lap": BASE},
            server=SOURCE,
        )

    def attempt(
        self, kind: str, outcome: str = ACKED, *, committed: bool | None = None, server: str = SOURCE, **data: Any
    ) -> Attempt:
        """Add an attempt; `committed` tells what became of it, by default what its outcome says."""
        seq = len(self.attempts) + 1
        attempt = Attempt("w", seq, kind, "pooler", float(seq), data, outcome, seq + 0.5, server)
        self.attempts.append(attempt)
        if committed if committed is not None else outcome == ACKED:
            self._commit(attempt)
        return attempt

    def _commit(self, attempt: Attempt) -> None:
        effects, data = self.contents.effects, attempt.data
        if attempt.kind == "dequeue":
            effects["queue"][("w", data["ref"])] = 0
            return
        if attempt.kind == "truncate":
            effects["batch"].clear()
        if attempt.kind in ("ticket", "lap", "restart"):
            sequence = "ticket" if attempt.kind == "ticket" else "lap"
            if attempt.kind == "restart":
                self.contents.next_values["lap"] = data["base"]
            data.setdefault("number", self.contents.next_values[sequence])
            self.contents.next_values[sequence] = data["number"] + 1
        effects[TABLE_OF[attempt.kind]][attempt.key] += 1

    def copy(self) -> Contents:
        """The contents as they are now, as another server would hold them."""
        return deepcopy(self.contents)


TABLE_OF = {
    "entry": "entries", "counter": "counters", "enqueue": "queue", "transfer": "transfers", "ticket": "tickets",
    "lap": "laps", "restart": "laps", "batch": "batch", "truncate": "batch",
}


def counts(verdict: Verdict) -> dict[str, int]:
    """The categories that found something."""
    return {category: verdict.count(category) for category in CATEGORIES if verdict.count(category)}


def undo(effect: Effect, contents: Contents) -> None:
    """Make a database as if this one effect had never reached it."""
    for key in effect.keys:
        contents.effects[effect.table][key] = 1 if effect.removes else 0
