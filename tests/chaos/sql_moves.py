# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of the path logical that move the writes, there and back: runs are killed on the way, servers restart."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sql_mishaps
from kills import chain, tail
from pair import GROUND, WRONG, Pair, moving  # puts the checkout's extensions on the path
from points import Point, at_boundaries, at_changes, at_moments
from report import Row
from runs import Run, await_silence, begin, finish
from sql_rounds import SIGNALS, keep
from sql_verdict import follow, status
from verdict import FIGURES, TAKE_OVER, again
from processes import eventually  # isort: skip

A_ROUND = 16  # kills on one pair, there and back
MOVE = "pg_cutover"
# Milliseconds from its begin: Python starts, connections are made, the critical section, the pooler, the end.
WITHIN = (300, 2600)
# Where the writes go, and with which door.
WAYS = (("cutover", "target"), ("rollback", "source"))
# At a task of the cutover, which server goes down how.
RESTARTS: Sequence[tuple[str, str]] = (
    ("target", "fast"), ("source", "fast"), ("target", "immediate"), ("source", "immediate"),
)
# Sessions of runs that are over.
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cloudpg.migration'"
Say = Callable[[Row], None]
Play = Callable[[Say, Path], list[Row]]


def points_of(trace: Sequence[dict[str, Any]], count: int, dice: random.Random) -> list[Point]:
    """So many moments of a run that moves the writes: a third between tasks, a third in modules, the rest in MOVE."""
    third = count // 3
    found = [
        *dice.sample(at_boundaries(trace, dice), third),
        *at_changes([entry for entry in trace if MOVE not in entry["action"]], third, dice),
        *at_moments(trace, MOVE, [dice.randrange(*WITHIN) for _number in range(count - 2 * third)], dice),
    ]
    places = {entry["boundary"]: place for place, entry in enumerate(trace)}
    return sorted(found, key=lambda point: (places[point.boundary], point.after_ms or 0))


def moved(pair: Pair, verb: str, side: str, runs: Sequence[Run]) -> list[str]:
    """The clients go where the writes are now; what is wrong with that, and with what the runs left behind."""
    pair.load.lead(getattr(pair, side))
    pair.load.await_commits()
    wrong = [f"processes are left: {alive}"] if (alive := await_silence(runs)) else []
    wrong += again(pair, verb) + status(pair)
    for name in ("source", "target"):
        eventually(lambda of=getattr(pair, name): of.query(_SESSIONS) == [(0,)], f"no session of a run on the {name}")
    return wrong


def judged(
    pair: Pair, rows: list[Row], runs: Sequence[Run], wrong: list[str], crashed: bool, evidence: Path
) -> list[Row]:
    """The ledger's word on the side that serves in the end, in every row."""
    figures: dict[str, Any] = {}
    if not wrong:
        pair.load.stop()
        told = pair.load.verify(pair.source, pair.target, "boss")
        figures = {name: told[name] for name in FIGURES}
        damage = [f"ledger: {name}={told[name]}" for name in WRONG if told[name]]
        if damage and not (crashed and all(one.get("asynchronous") for one in told["findings"])):
            wrong = [*damage, str(told["findings"])[:600]]
    if wrong:
        keep(evidence, {"wrong": "\n".join(wrong), **{f"{run.directory.name}.output": run.output for run in runs}})
    for row in rows:
        row.wrong, row.figures = wrong, figures
    return rows


def kill_round(number: int, kills: int, seed: int) -> Play:
    """A cutover under load that is killed again and again until one comes to its end; then the way back likewise."""

    def play(say: Say, evidence: Path) -> list[Row]:
        dice = random.Random(seed * 1000 + number)
        rows: list[Row] = []
        with moving(GROUND.majors()[0], tables=sql_mishaps.TABLES) as pair:
            run, wrong = follow(pair)
            runs = [run]
            for (verb, side), count in zip(WAYS, (kills - kills // 2, kills // 2)):
                if wrong:
                    break
                plan = finish(pair, verb, arguments=["--check"])
                struck, more, wrong = chain(pair, verb, points_of(plan.trace, count, dice), say)
                rows += struck
                runs += [plan, *more]
                wrong = wrong or moved(pair, verb, side, more)
            return judged(pair, rows, runs, wrong, False, evidence)

    return play


def restart_round(number: int, side: str, how: str, seed: int) -> Play:
    """A server restarts while a cutover waits before one of its tasks; the run goes on, or stops and another does."""

    def play(say: Say, evidence: Path) -> list[Row]:
        dice = random.Random(seed * 1000 + number)
        rows: list[Row] = []
        with moving(GROUND.majors()[0], tables=sql_mishaps.TABLES) as pair:
            run, wrong = follow(pair)
            runs = [run]
            for verb, led in WAYS:
                if wrong:
                    break
                plan = finish(pair, verb, arguments=["--check"])
                boundary = dice.choice([entry["boundary"] for entry in plan.trace if MOVE in entry["action"]]
                                       + [dice.choice(plan.trace)["boundary"]])
                run = begin(pair, verb, halt=boundary)
                reached = run.await_boundary(boundary)
                server = getattr(pair, side).server
                server.stop(SIGNALS[how])
                server.start()
                run.let_go()
                code = run.wait()
                row = Row("restart", verb, boundary, f"{how} {side}", reached, "" if code == 0 else "stopped")
                rows.append(row)
                say(row)
                runs += [plan, run]
                if code:
                    if "Traceback" in run.output:
                        wrong = [f"{verb} ended in a traceback: {tail(run)}"]
                    runs.append(finish(pair, verb, extra=TAKE_OVER))
                    if runs[-1].process.returncode:
                        wrong.append(f"{verb} doesn't come to its end afterwards: {tail(runs[-1])}")
                wrong = wrong or moved(pair, verb, led, runs)
            return judged(pair, rows, runs, wrong, how == "immediate", evidence)

    return play


def move_plays(kills: int, seed: int) -> list[tuple[str, Play]]:
    """Name and play of each round."""
    shares = [min(A_ROUND, kills - done) for done in range(0, kills, A_ROUND)]
    return [
        *((f"sql move kills {number:02}", kill_round(number, share, seed)) for number, share in enumerate(shares, 1)),
        *((f"sql move restart {number:02}", restart_round(number, side, how, seed))
          for number, (side, how) in enumerate(RESTARTS, 1)),
    ]
