# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict in words and as JSON."""
from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any

from .journal import ACKED, DOUBT, FAILED, Attempt, History
from .outage import longest_outage, rates
from .verdict import CATEGORIES, DUPLICATED, LOST, Finding, Verdict

EXAMPLES = 100  # findings told in full; all are counted


def report(history: History, verdict: Verdict, route: str, latest: bool = False) -> dict[str, Any]:
    """Everything `verify` tells, ready for JSON; times of day are UTC, durations seconds.

    With `latest` the outage is that of the last run of writers alone.
    """
    outage = longest_outage(history.attempts, history.runs[-1:] if latest else history.runs, route)
    before, after = rates(history.attempts, outage) if outage else (None, None)
    return {
        "acked": verdict.outcomes[ACKED],
        "in_doubt": verdict.outcomes[DOUBT],
        "in_doubt_committed": verdict.doubt_committed,
        "failed": verdict.outcomes[FAILED],
        **{category: verdict.count(category) for category in CATEGORIES},
        "passed": verdict.passed,
        "outage_s": _rounded(outage and outage.seconds),
        "outage": outage
        and {
            "route": outage.route,
            "began": _wall(history, outage.began),
            "ended": _wall(history, outage.ended),
            "recovered": outage.recovered,
        },
        "commits_per_second": {"before": _rounded(before, 1), "after": _rounded(after, 1)},
        "servers": _servers(history),
        "kinds": _kinds(history.attempts, verdict),
        "errors": dict(Counter(a.error for a in history.attempts if a.error).most_common()),
        "findings": [_finding(history, finding) for finding in verdict.findings[:EXAMPLES]],
    }


def summary(told: dict[str, Any]) -> str:
    """The report for a person, a few lines."""
    counts = " ".join(f"{key}={told[key]}" for key in ("acked", "in_doubt", "failed", *CATEGORIES))
    lines = [f"ledger: {'passed' if told['passed'] else 'FAILED'}: {counts}"]
    if not told["acked"]:
        lines.append("ledger: the journal holds no acknowledged write: nothing is proven")
    if told["outage"]:
        outage, speed = told["outage"], told["commits_per_second"]
        end = "" if outage["recovered"] else ", and it was still going on when the writers stopped"
        lines.append(
            f"ledger: longest outage on {outage['route']}: {told['outage_s']} s,"
            f" {outage['began']} to {outage['ended']}{end}"
        )
        lines.append(f"ledger: commits a second: {speed['before']} before, {speed['after']} after")
    for server in told["servers"]:
        span = f"{server['first']} to {server['last']}"
        lines.append(f"ledger: {server['address']} acknowledged {server['acked']}, {span}")
    lines += [f"ledger: {finding['category']}: {finding['why']}{_of(finding)}" for finding in told["findings"][:10]]
    return "\n".join(lines)


def _of(finding: dict[str, Any]) -> str:
    if "writer" not in finding:
        return ""
    how = ", synchronous_commit off" if finding["asynchronous"] else ""
    return f" ({finding['kind']} {finding['writer']}/{finding['seq']}, {finding['outcome']}, {finding['at']}{how})"


def _finding(history: History, finding: Finding) -> dict[str, Any]:
    told: dict[str, Any] = {"category": finding.category, "why": finding.why}
    attempt = finding.attempt
    if attempt:
        told |= {
            "kind": attempt.kind,
            "writer": attempt.writer,
            "seq": attempt.seq,
            "route": attempt.route,
            "outcome": attempt.outcome,
            "at": _wall(history, attempt.began),
            "server": attempt.server,
            "asynchronous": attempt.data.get("asynchronous", False),
        }
    return told


def _kinds(attempts: list[Attempt], verdict: Verdict) -> dict[str, dict[str, int]]:
    outcomes = Counter((attempt.kind, attempt.outcome) for attempt in attempts)
    wrong = Counter((finding.attempt.kind, finding.category) for finding in verdict.findings if finding.attempt)
    return {
        kind: {outcome: outcomes[kind, outcome] for outcome in (ACKED, DOUBT, FAILED)}
        | {category: wrong[kind, category] for category in (LOST, DUPLICATED)}
        for kind in sorted({attempt.kind for attempt in attempts})
    }


def _servers(history: History) -> list[dict[str, Any]]:
    acked = [attempt for attempt in history.attempts if attempt.outcome == ACKED]
    times: dict[str, list[float]] = {}
    for at, server in sorted((attempt.ended, attempt.server or "local") for attempt in acked):
        times.setdefault(server, []).append(at)
    return [
        {"address": server, "acked": len(at), "first": _wall(history, at[0]), "last": _wall(history, at[-1])}
        for server, at in times.items()
    ]


def _wall(history: History, monotonic: float) -> str:
    moment = datetime.fromtimestamp(monotonic + history.wall_offset, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
