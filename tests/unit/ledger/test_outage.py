# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outage: the longest time the clients of a route went without an acknowledged commit."""

from __future__ import annotations

import pytest
from cloudpg_ledger.journal import ACKED, FAILED, Attempt, Run
from cloudpg_ledger.outage import longest_outage, rates


def acks(*times: float, route: str = "pooler", outcome: str = ACKED) -> list[Attempt]:
    return [Attempt("w", n, "entry", route, at - 0.1, {}, outcome, at) for n, at in enumerate(times)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1, 2, 3, 8, 9, 10], (3, 8, True)),
        ([6, 7, 8, 9, 10], (0, 6, True)),  # nothing at first
        ([1, 2, 3], (3, 10, False)),  # it never came back
        ([], (0, 10, False)),
    ],
)
def test_it_is_the_longest_gap_of_the_run(times: list[float], expected: tuple[float, float, bool]) -> None:
    outage = longest_outage(acks(*times), [Run(0, 10, ["pooler"])], "pooler")

    assert (outage.began, outage.ended, outage.recovered) == expected


def test_other_routes_and_failures_fill_no_gap() -> None:
    attempts = acks(1, 9) + acks(3, 5, route="direct") + acks(4, 6, outcome=FAILED)

    assert longest_outage(attempts, [Run(0, 10, ["pooler", "direct"])], "pooler").seconds == 8


def test_the_time_between_two_runs_is_no_outage() -> None:
    runs = [Run(0, 3, ["pooler"]), Run(100, 103, ["pooler"])]

    assert longest_outage(acks(1, 2, 101, 102), runs, "pooler").seconds == 1


def test_a_route_never_used_has_none() -> None:
    assert longest_outage(acks(1), [Run(0, 2, ["direct"])], "pooler") is None


def test_the_rates_are_those_of_the_seconds_beside_it() -> None:
    attempts = acks(*range(0, 40), *(60 + n / 2 for n in range(40)))
    outage = longest_outage(attempts, [Run(0, 80, ["pooler"])], "pooler")

    assert rates(attempts, outage) == (1, 2)


def test_there_is_no_rate_where_nothing_was_committed() -> None:
    attempts = acks(1, 2)
    outage = longest_outage(attempts, [Run(0, 30, ["pooler"])], "pooler")

    assert rates(attempts, outage) == (1, None)
