# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A finding: what preflight has to say about one object, and how a list of them is judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

BLOCKER = "blocker"
WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """``id`` is stable and names the kind (``source-backups-off``); ``object`` is the thing it is about;
    ``fact`` the number of the fact behind it (``R3``). ``acknowledgeable`` is true for every warning and for
    those blockers which are not about correctness.
    """

    id: str
    severity: str
    object: str
    reason: str
    cure: str
    fact: str = ""
    acknowledgeable: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def line(self) -> str:
        """One line for a person."""
        return f"{self.severity.upper():7} {self.id} [{self.object}]: {self.reason} -> {self.cure}"


def blocker(id: str, object: str, reason: str, cure: str, fact: str = "", acknowledgeable: bool = False) -> Finding:
    return Finding(id, BLOCKER, object, reason, cure, fact, acknowledgeable)


def warning(id: str, object: str, reason: str, cure: str, fact: str = "") -> Finding:
    return Finding(id, WARNING, object, reason, cure, fact)


@dataclass(frozen=True)
class Verdict:
    """``blockers`` stop the run. ``unknown`` are acknowledged ids which no finding has (a misspelling, or cured)."""

    blockers: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    acknowledged: tuple[Finding, ...]
    unknown: tuple[str, ...]


def judge(findings: Iterable[Finding], acknowledged: Sequence[str] = ()) -> Verdict:
    """Sort findings by what they mean for the run.

    A finding is acknowledged by its id, or by ``id:object`` for one object only. A blocker about correctness
    stays a blocker whatever is acknowledged.
    """
    wanted = set(acknowledged)
    hit: set[str] = set()
    blockers: list[Finding] = []
    warnings: list[Finding] = []
    accepted: list[Finding] = []
    for finding in findings:
        names = {finding.id, f"{finding.id}:{finding.object}"} & wanted
        hit |= names
        if names and finding.acknowledgeable:
            accepted.append(finding)
        elif finding.severity == BLOCKER:
            blockers.append(finding)
        else:
            warnings.append(finding)
    return Verdict(tuple(blockers), tuple(warnings), tuple(accepted), tuple(sorted(wanted - hit)))


# What an earlier task of the same play makes can't be there in check mode, nor is what it removes gone.
_MADE_EARLIER = frozenset({
    "publication-missing", "slot-missing", "tables-missing", "target-table-missing", "table-still-published",
})


def in_the_way(findings: Iterable[Finding], check_mode: bool) -> list[Finding]:
    """The findings without those that only check mode is the reason for."""
    return [finding for finding in findings if not (check_mode and finding.id in _MADE_EARLIER)]


def from_dicts(rows: Iterable[dict[str, Any]]) -> list[Finding]:
    """Findings as they come back out of a module's result."""
    names = Finding.__dataclass_fields__
    return [Finding(**{key: row[key] for key in names if key in row}) for row in rows]
