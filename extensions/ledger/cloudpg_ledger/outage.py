# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outage as clients of one route saw it, and how fast commits went before and after."""
from __future__ import annotations

from dataclasses import dataclass

from .journal import ACKED, Attempt, Run

WINDOW = 10.0  # seconds on either side that the rates are taken from


@dataclass(frozen=True)
class Outage:
    """The longest time without an acknowledged commit, in monotonic seconds; `recovered` unless the run ended in it."""

    route: str
    began: float
    ended: float
    recovered: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def longest_outage(attempts: list[Attempt], runs: list[Run], route: str) -> Outage | None:
    """The longest gap between consecutive acknowledged commits of a route, or between one and either end of its run.

    None when no run used the route. Gaps between two runs don't count.
    """
    acks = _acks(attempts, route)
    gaps = []
    for run in runs:
        if route not in run.routes:
            continue
        inside = [at for at in acks if run.began <= at <= run.ended]
        points = [run.began, *inside, run.ended]
        gaps += [Outage(route, one, two, two != points[-1]) for one, two in zip(points, points[1:])]
    return max(gaps, key=lambda gap: gap.seconds, default=None)


def rates(attempts: list[Attempt], outage: Outage) -> tuple[float | None, float | None]:
    """Acknowledged commits a second of all routes in the seconds before and after; None where there were none."""
    acks = _acks(attempts)
    before = [at for at in acks if outage.began - WINDOW <= at <= outage.began]
    after = [at for at in acks if outage.ended <= at <= outage.ended + WINDOW]
    return _rate(before), _rate(after)


def _acks(attempts: list[Attempt], route: str | None = None) -> list[float]:
    return sorted(a.ended for a in attempts if a.outcome == ACKED and route in (None, a.route))


def _rate(times: list[float]) -> float | None:
    if len(times) < 2 or times[-1] == times[0]:
        return None
    return (len(times) - 1) / (times[-1] - times[0])
