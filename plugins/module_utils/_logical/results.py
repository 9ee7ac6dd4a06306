# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that follow a source have to say: bounded results, and wishes refused for what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .._errors import MigrationError
from .._findings import Finding, judge
from .._plan import Plan
from .selection import NAMED, SHOWN


class Refused(MigrationError):
    """Findings stand in the way; ``findings`` are the first of them, as data."""

    def __init__(self, message: str, findings: Iterable[Finding]) -> None:
        super().__init__(message, code="refused")
        self.findings = as_dicts(findings)


def as_dicts(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings for a module's result: blockers first, bounded."""
    ordered = sorted(findings, key=lambda finding: finding.severity)
    return [finding.as_dict() for finding in ordered[:SHOWN]]


def refuse_blockers(findings: Iterable[Finding], acknowledged: Sequence[str] = ()) -> None:
    """Raise Refused when a blocker is among the findings that isn't acknowledged."""
    found = list(findings)
    blockers = judge(found, acknowledged).blockers
    if blockers:
        more = len(blockers) - NAMED
        lines = [f"{one.object}: {one.reason} ({one.id}, {one.fact}). Cure: {one.cure}." for one in blockers[:NAMED]]
        raise Refused(" ".join(lines) + (f" {more} more findings are like these." if more > 0 else ""), found)


def bounded(plan: Plan) -> dict[str, Any]:
    """What every module returns of its plan, however many steps it has."""
    result = plan.result()
    more = len(result["actions"]) - SHOWN
    if more > 0:
        result["actions"] = [*result["actions"][:SHOWN], f"and {more} more"]
    return result
