# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that fall asleep, lose their migration to another, and wake up: they must change nothing any more."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from typing import Any

from kills import shortest, tail
from points import HOLD, Point, at_boundaries, in_modules
from report import Row
from runs import Run, begin, finish
from stand import Stand
from verdict import TAKE_OVER

GIVE_BACK = "Cutover / cloudpg.migration.migration : held | Give the migration back on AWS #1"
READS = ("Describe", "List", "Get")
SLEEPERS = 8  # in a round


def turns(trace: list[dict[str, Any]], seed: int) -> list[tuple[list[Point], str]]:
    """Where runs fall asleep, and which verb takes over: every boundary before a change, moments in the modules."""
    dice = random.Random(seed)
    first = next(place for place, entry in enumerate(trace) if HOLD in entry["boundary"])
    changing = [
        point for point in at_boundaries(trace, dice)
        if point.place > first and trace[point.place]["action"].rpartition(".")[2] in (
            "aurora_replica", "aws_journal", "pg_carried_jobs", "pg_replication_info", "pgbouncer_route", "rds_quiesce",
            "aurora_parameter_group", "rds_maintenance_hold",
        ) and not point.boundary.endswith((f"{HOLD}1", "| Give the migration back on AWS #1"))
    ]
    within = [point for point in in_modules(trace, dice) if point.place > first]
    chosen = [*changing, *dice.sample(within, min(len(within), 4))]
    points = sorted(chosen, key=lambda point: (point.place, point.after_ms or 0))
    count = -(-len(points) // SLEEPERS)
    # Once the target is open there is a way back or a refusal, which is what other rounds are about.
    closed, opened = (
        next(place for place, entry in enumerate(trace) if step in entry["boundary"])
        for step in ("cutover | close", "cutover | open")
    )
    late = [point for point in changing if closed <= point.place < opened]
    return [(points[start::count], "migrate") for start in range(count)] + [
        ([point], "rollback") for point in dice.sample(late, min(2, len(late)))
    ]


def asleep(stand: Stand, verb: str, point: Point) -> Run:
    """A run, and all it has started, stopped at a point."""
    run = begin(stand, verb, halt=None if point.after_ms else point.boundary, extra=TAKE_OVER)
    if run.await_boundary(point.boundary):
        if point.after_ms:
            began = next(entry["at"] for entry in run.trace if entry["boundary"] == point.boundary)
            time.sleep(max(0.0, began + point.after_ms / 1000 - time.time()))
        run.signal_all(signal.SIGSTOP)
    return run


def take_turns(stand: Stand, points: Sequence[Point], rival: str, say) -> tuple[list[Row], list[Run], list[str]]:
    """One run after the other falls asleep, the next takes over; the last holds on while the others wake up."""
    rows, sleepers, wrong = [], [], []
    try:
        for point in points:
            verb = shortest("migrate", point, rows)
            run = asleep(stand, verb, point)
            row = Row("asleep", verb, point.name, "STOP, CONT", reached=not run.ended())
            rows.append(row)
            say(row)
            if row.reached:
                sleepers.append(run)
        if rival == "migrate":
            last = begin(stand, "migrate", halt=GIVE_BACK, extra=TAKE_OVER)
            if not last.await_boundary(GIVE_BACK):
                return rows, [*sleepers, last], [f"the run that took over failed: {tail(last)}"]
        else:
            last = finish(stand, rival, extra=TAKE_OVER)
            if last.process.returncode:
                return rows, [*sleepers, last], [f"the run that took over failed: {tail(last)}"]
        for run in sleepers:
            wrong += wake(stand, run)
        if rival == "migrate":
            last.let_go()
            if last.wait():
                wrong.append(f"the run that took over failed in the end: {tail(last)}")
        return rows, [*sleepers, last], wrong
    finally:
        for run in sleepers:
            if not run.ended():
                run.kill_all()


def wake(stand: Stand, run: Run) -> list[str]:
    """Let it go on to its end; what it did that it may not do any more."""
    before = (_pooler(stand), stand.sandbox.mark())
    run.let_go()
    run.signal_all(signal.SIGCONT)
    code, wrong, name = run.wait(), [], run.directory.name
    changes = [
        f"{entry['operation']} ({entry['status']})" for entry in stand.sandbox.log(before[1])
        if not entry["operation"].startswith(READS)
    ]
    if changes:
        wrong.append(f"{name} woke up and called {', '.join(changes)}")
    if _pooler(stand) != before[0]:
        wrong.append(f"{name} woke up and changed the pooler: {before[0]} to {_pooler(stand)}")
    if code == 0:
        wrong.append(f"{name} woke up and ended well, as if the migration were its own")
    elif "the lock of" not in run.output or not any(
        word in run.output for word in ("held by", "taken over and given back since", "is gone")
    ):
        wrong.append(f"{name} woke up and did not say who holds the migration: {tail(run)}")
    return wrong


def _pooler(stand: Stand) -> tuple[str, bool]:
    return stand.pooler.leads_to("shop"), stand.pooler_is_held()
