# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server restarts under a run that waits before one of its tasks: the run goes on, or stops and another ends it."""

from __future__ import annotations

from collections.abc import Callable

from kills import tail
from report import Row
from runs import Run, begin, finish
from stand import Stand
from verdict import TAKE_OVER


def shake(
    stand: Stand, verb: str, boundary: str, how: str, restart: Callable[[], None], say: Callable[[Row], None]
) -> tuple[Row, list[Run], list[str]]:
    """Run a playbook to its end, with a restart at the boundary. The row, its runs, and what went wrong."""
    run = begin(stand, verb, halt=boundary)
    reached = run.await_boundary(boundary)
    restart()
    run.let_go()
    code, runs, wrong = run.wait(), [run], []
    row = Row("restart", verb, boundary, how, reached, f"stopped: {tail(run, 300)}" if code else "")
    say(row)
    if code:
        if "Traceback" in run.output:
            wrong.append(f"{verb} ended in a traceback: {tail(run)}")
        runs.append(finish(stand, verb, extra=TAKE_OVER))
        if runs[-1].process.returncode:
            wrong.append(f"{verb} doesn't come to its end afterwards: {tail(runs[-1])}")
    return row, runs, wrong
