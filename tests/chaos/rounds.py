# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds: each on a stand of its own, from an untouched source to a verdict."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import disturbances
from disturbances import CHECK, DRAIN, Disturbance
from kills import chain, tail
from path_rounds import path_plays
from points import HOLD, Point, at_boundaries, at_changes, chains, choose, short
from report import Row
from runs import Run, begin, finish
from sql_moves import move_plays
from sql_rounds import sql_plays
from stand import OUTAGE, Stand, standing
from takeover import GIVE_BACK, take_turns, turns
from verdict import TAKE_OVER, judge_finished, judge_open, judge_rolled_back, judged

Say = Callable[[Row], None]
CHAIN = 16  # kills on one stand
PLAN = ["--check"]
ERROR = re.compile(r"^\[ERROR\]: (?:Task failed: )?(?:Action failed|Module failed): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Round:
    """``play`` gives a line for each thing it does, and returns all of them with the verdict in.

    ``thorough``: played only when that is asked for.
    """

    name: str
    play: Callable[[Say, Path], list[Row]]
    thorough: bool = False


# Kills

def kill_round(points: Sequence[Point], wait: bool) -> Callable[[Say, Path], list[Row]]:
    """migrate.yml, killed at each of the points, then run to its end."""

    def play(say: Say, evidence: Path) -> list[Row]:
        with standing() as stand:
            rows, runs, wrong = chain(stand, "migrate", points, say, wait=wait)
            figures: dict[str, Any] = {}
            if not wrong:
                wrong, figures = judge_open(stand, runs)
            return judged(rows, stand, runs, wrong, figures, evidence)

    return play


def kill_rounds(trace: list[dict[str, Any]], kills: int, seed: int) -> list[Round]:
    """Every boundary of a clean run, and moments within modules, dealt out to rounds; two wait for the lease."""
    dice = random.Random(seed)
    dealt = chains(choose(trace, kills, dice), CHAIN)
    rounds = [Round(f"kills {number:02}", kill_round(points, False)) for number, points in enumerate(dealt, 1)]
    held = [place for place, entry in enumerate(trace) if HOLD in entry["boundary"]]
    late = [point for point in at_boundaries(trace, dice) if point.place > min(held, default=0)]
    return rounds + [
        Round(f"kills lapse {number}", kill_round([point], True))
        for number, point in enumerate(dice.sample(late, min(2, len(late))), 1)
    ]


def undo_round(until: str | None, count: int, seed: int) -> Callable[[Say, Path], list[Row]]:
    """rollback.yml, killed at ``count`` points, after a migration that came as far as ``until``."""

    def play(say: Say, evidence: Path) -> list[Row]:
        with standing() as stand:
            if until is None:
                runs = [finish(stand, "replicate")]
            else:
                runs = [begin(stand, "migrate", halt=until)]
                runs[0].await_boundary(until)
                runs[0].kill_all()
            plan = finish(stand, "rollback", arguments=PLAN)
            points = at_changes(plan.trace, count, random.Random(seed))
            rows, more, wrong = chain(stand, "rollback", points, say)
            figures: dict[str, Any] = {}
            if not wrong:
                wrong, figures = judge_rolled_back(stand, [*runs, *more])
            return judged(rows, stand, [*runs, plan, *more], wrong, figures, evidence)

    return play


def finish_round(old: str, count: int, seed: int) -> Callable[[Say, Path], list[Row]]:
    """finish.yml, killed at ``count`` points; ``old`` is what becomes of the old instance."""

    def play(say: Say, evidence: Path) -> list[Row]:
        with standing() as stand:
            runs, extra = [finish(stand, "migrate")], {"replica_old_source": old}
            plan = finish(stand, "finish", arguments=[*PLAN, "-e", json.dumps(extra)])
            points = at_changes(plan.trace, count, random.Random(seed))
            rows, more, wrong = chain(stand, "finish", points, say, extra=extra)
            figures: dict[str, Any] = {}
            if not wrong:
                wrong, figures = judge_finished(stand, [*runs, *more], extra)
            return judged(rows, stand, [*runs, plan, *more], wrong, figures, evidence)

    return play


# What happens around a run

def disturbed_round(several: Sequence[Disturbance]) -> Callable[[Say, Path], list[Row]]:
    """migrate.yml while something happens, again for each that happens; then what is needed to come to the same end."""

    def play(say: Say, evidence: Path) -> list[Row]:
        changes = {key: value for what in several for key, value in what.variables.items()}
        with standing(far=any(what.far for what in several), **changes) as stand:
            rows, runs, wrong = [], [], []
            for what in several:
                run, reached = disturb(stand, what, TAKE_OVER if runs else None)
                runs.append(run)
                said = "went on" if run.process.returncode == 0 else f"stopped: {message(run)[-300:]}"
                place = short(what.halt) if what.halt else "from the beginning"
                rows.append(Row("around", "migrate", place, what.name, reached, said))
                say(rows[-1])
                if run.process.returncode:
                    wrong += complaints(run, what)
                elif what.must_stop:
                    wrong.append(f"{what.name}: it went on, and can't have known what it has to know")
            if runs[-1].process.returncode:
                runs += recover(stand)
            if runs[-1].process.returncode:
                wrong.append(f"it did not come to its end afterwards: {tail(runs[-1])}")
                return judged(rows, stand, runs, wrong, {}, evidence)
            more, figures = judge_open(stand, runs, crashed=any(what.crash for what in several))
            return judged(rows, stand, runs, wrong + more, figures, evidence)

    return play


def disturb(stand: Stand, what: Disturbance, extra: dict[str, Any] | None) -> tuple[Run, bool]:
    """migrate.yml to its end while it happens, and whether the run came to where it was to happen."""
    run, reached = begin(stand, "migrate", halt=what.halt, settings=what.settings, extra=extra), True
    if what.halt is None:
        what.strike(stand)
    elif reached := run.await_boundary(what.halt):
        what.strike(stand)
        run.let_go()
    run.wait()
    what.mend(stand)
    return run, reached


def recover(stand: Stand) -> list[Run]:
    """What the status tells an operator to do: go on, or remove a dead target and begin again."""
    patient = {**TAKE_OVER, "migration_max_outage": OUTAGE}
    runs = [finish(stand, "migrate", extra=patient)]
    if runs[0].process.returncode:
        runs += [finish(stand, "rollback", extra=patient), finish(stand, "migrate", extra=patient)]
    return runs


def message(run: Run) -> str:
    """The last error of a run: the one a person reads."""
    found = ERROR.findall(run.output)
    return found[-1] if found else ""


def complaints(run: Run, what: Disturbance) -> list[str]:
    """What is wrong with the way a run ended: it has to say why, and what to do, in words."""
    said, wrong = message(run), []
    if not said:
        wrong.append(f"it ended without a message: {run.output[-600:]}")
    if "Traceback" in run.output or "MODULE FAILURE" in run.output or "Unhandled" in run.output:
        wrong.append("it ended in a traceback")
    if said and what.cause and not re.search(what.cause, said):
        wrong.append(f"{what.name}: the message doesn't name the cause ({what.cause}): {said[:500]}")
    if not what.may_stop:
        wrong.append(f"{what.name}: it stopped: {said[:500]}")
    return wrong


def around_rounds(name: str, list_of: Sequence[Sequence[Disturbance]], thorough: bool = False) -> list[Round]:
    return [
        Round(f"{name} {number:02}", disturbed_round(several), thorough) for number, several in enumerate(list_of, 1)
    ]


# All of them

def takeover_round(points: Sequence[Point], rival: str) -> Callable[[Say, Path], list[Row]]:
    def play(say: Say, evidence: Path) -> list[Row]:
        with standing() as stand:
            rows, runs, wrong = take_turns(stand, points, rival, say)
            figures: dict[str, Any] = {}
            if not wrong:
                judge = judge_open if rival == "migrate" else judge_rolled_back
                wrong, figures = judge(stand, runs)
            return judged(rows, stand, runs, wrong, figures, evidence)

    return play


def survey() -> list[dict[str, Any]]:
    """The tasks of a clean run of migrate.yml."""
    with standing(writers=False) as stand:
        run = finish(stand, "migrate")
        if run.process.returncode:
            raise RuntimeError(f"a run that nobody disturbs fails: {tail(run)}")
        trace, named = run.trace, {CHECK, DRAIN, GIVE_BACK, *disturbances.halts()}
        if strange := named - {entry["boundary"] for entry in trace}:
            raise RuntimeError(f"no run comes to {', '.join(sorted(strange))}: was a task given another name?")
        return trace


def sql_rounds(copy_kills: int, move_kills: int, seed: int) -> list[Round]:
    """Those of the SQL tools, which need no cloud, and no clean run before."""
    return [Round(name, play) for name, play in (*move_plays(move_kills, seed), *sql_plays(copy_kills, seed))]


def path_rounds(seed: int) -> list[Round]:
    """Those of whole paths, there and back; none of them needs a clean run before."""
    return [Round(name, play) for name, play in path_plays(seed)]


def replica_rounds(trace: list[dict[str, Any]], kills: int, seed: int) -> list[Round]:
    """Those of the path replica, the long ones first."""
    return [
        *kill_rounds(trace, kills, seed),
        *(Round(f"rollback {number}", undo_round(until, 8, seed + number))
          for number, until in enumerate((None, DRAIN, CHECK), 1)),
        *(Round(f"finish {old}", finish_round(old, 6, seed + number))
          for number, old in enumerate(("keep", "delete"), 1)),
        *(Round(f"takeover {number:02}", takeover_round(points, rival))
          for number, (points, rival) in enumerate(turns(trace, seed), 1)),
        *around_rounds("network", disturbances.NETWORK),
        *around_rounds("server", disturbances.SERVERS),
        *around_rounds("timeout", disturbances.TIMEOUTS),
        *around_rounds("fault", disturbances.FAULTS, thorough=True),
    ]
