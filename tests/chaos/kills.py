# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed again and again, and go on from what is there until they come to their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from points import Point
from report import Row
from runs import HERE, Run, await_silence, begin, finish
from stand import Stand
from verdict import TAKE_OVER

DYING = 20.0  # seconds a killed run gets to be gone


def runner_command(extra: dict[str, Any]):
    """A rewriter of the command line: the same run, as AWX starts it."""

    def command(line: list[str], directory: Path) -> list[str]:
        private = directory / "runner"
        private.mkdir()
        return [sys.executable, str(HERE / "as_runner.py"), str(private), line[1], line[3], json.dumps(extra)]

    return command


def strike(run: Run, how: str) -> None:
    """Kill it the way that is named."""
    number = signal.SIGTERM if how.startswith("TERM") or how == "runner cancel" else signal.SIGKILL
    if how == "KILL everything":
        run.signal_all(signal.SIGKILL)
    elif how.endswith("group"):
        os.killpg(run.process.pid, number)
    else:
        run.process.send_signal(number)
    if number == signal.SIGTERM:
        run.let_go()


def killed_run(stand: Stand, verb: str, point: Point, extra: dict[str, Any]) -> tuple[Run, bool]:
    """A run up to a point, where it is killed; whether it came there."""
    as_awx = runner_command(extra) if point.how == "runner cancel" else None
    halt = None if point.after_ms else point.boundary
    run = begin(stand, verb, halt=halt, extra=extra, command=as_awx)
    if not run.await_boundary(point.boundary):
        return run, False
    if point.after_ms:
        began = next(entry["at"] for entry in run.trace if entry["boundary"] == point.boundary)
        time.sleep(max(0.0, began + point.after_ms / 1000 - time.time()))
    strike(run, point.how)
    try:
        run.process.wait(DYING)
    except subprocess.TimeoutExpired:
        run.kill_all()
        raise TimeoutError(f"{point.name}: {point.how} didn't end the run within {DYING:.0f} s") from None
    return run, True


def chain(
    stand: Stand, verb: str, points: Sequence[Point], say, *, extra: dict[str, Any] | None = None, wait: bool = False
) -> tuple[list[Row], list[Run], list[str]]:
    """Kill a run at each of the points in turn, then let one come to its end. Rows, all runs, and what went wrong.

    ``wait`` takes nothing over: the lease has to lapse.
    """
    rows, runs, given = [], [], {**(extra or {}), **({} if wait else TAKE_OVER)}
    for point in points:
        this = shortest(verb, point, rows)
        run, reached = killed_run(stand, this, point, given)
        runs.append(run)
        code = run.process.returncode
        if not reached and code and not (wait and _told_who(run)):
            return rows, runs, [f"on the way to {point.name} a run that nobody killed failed: {tail(run)}"]
        alive = len(run.processes())
        row = Row("kill", this, point.name, point.how, reached=reached, note=f"{alive} left" if alive else "")
        rows.append(row)
        say(row)
        if wait:
            await_silence([run])
    last = finish(stand, verb, extra=given)
    runs.append(last)
    if wait and last.process.returncode and _told_who(last):
        last = finish(stand, verb, extra=given)
        runs.append(last)
    return rows, runs, [] if last.process.returncode == 0 else [f"the last run failed: {tail(last)}"]


def shortest(verb: str, point: Point, before: Sequence[Row]) -> str:
    """migrate.yml is three playbooks in a row: where the first ones have been gone through, the last will do."""
    done = any(row.reached and row.point.startswith(point.name.split(" /")[0]) for row in before)
    return point.name.split(" /")[0].lower() if verb == "migrate" and done else verb


def _told_who(run: Run) -> bool:
    """Whether it ended because another run holds the migration, and said which."""
    return "is held by " in run.output


def tail(run: Run, size: int = 900) -> str:
    """The end of what a run said: the errors, not the recap."""
    lines = [line for line in run.output.splitlines() if "[ERROR]" in line or "fatal:" in line or '"msg"' in line]
    return " | ".join(lines)[-size:] or run.output[-size:]
