# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of the path logical that move the writes, there and back: runs are killed on the way, servers restart."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sql_mishaps
from kills import chain, tail
from pair import GROUND, MADE, WRONG, Pair, moving  # puts the checkout's extensions on the path
from points import MOVE, thirds
from report import Row
from runs import Run, await_silence, begin, finish
from shakes import shake
from sql_rounds import SIGNALS, keep
from sql_verdict import follow, status
from verdict import FIGURES, again
from processes import eventually  # isort: skip

A_ROUND = 16  # kills on one pair, there and back
# Where the writes go, and with which door.
WAYS = (("cutover", "target"), ("rollback", "source"))
OUTAGE = 12  # seconds a cutover may take where something keeps it from its end
# At a task of the cutover, which server goes down how.
RESTARTS: Sequence[tuple[str, str]] = (
    ("target", "fast"), ("source", "fast"), ("target", "immediate"), ("source", "immediate"),
)
# Sessions of runs that are over.
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cloudpg.migration'"
Say = Callable[[Row], None]
Play = Callable[[Say, Path], list[Row]]


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
    pair: Pair, rows: list[Row], runs: Sequence[Run], wrong: list[str], crashed: bool, evidence: Path,
    sides: Sequence[str] = ("source", "target"),
) -> list[Row]:
    """The ledger's word on the side that serves in the end, the first of ``sides``, in every row."""
    figures: dict[str, Any] = {}
    if not wrong:
        pair.load.stop()
        told = pair.load.verify(*(getattr(pair, side) for side in sides), "boss")
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
                struck, more, wrong = chain(pair, verb, thirds(plan.trace, count, dice), say)
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
            server = getattr(pair, side).server

            def restart() -> None:
                server.stop(SIGNALS[how])
                server.start()

            run, wrong = follow(pair)
            runs = [run]
            for verb, led in WAYS:
                if wrong:
                    break
                plan = finish(pair, verb, arguments=["--check"])
                boundary = dice.choice([entry["boundary"] for entry in plan.trace if MOVE in entry["action"]]
                                       + [dice.choice(plan.trace)["boundary"]])
                row, more, wrong = shake(pair, verb, boundary, f"{how} {side}", restart, say)
                rows.append(row)
                runs += [plan, *more]
                wrong = wrong or moved(pair, verb, led, runs)
            return judged(pair, rows, runs, wrong, how == "immediate", evidence)

    return play


@dataclass(frozen=True)
class Mishap:
    """``strike`` happens when the cutover stands before MOVE; its message has to hold ``cause``."""

    name: str
    strike: Callable[[Pair], None]
    mend: Callable[[Pair], None]
    cause: str


def switched(word: str) -> Callable[[Pair], None]:
    """S11: who has no room left pauses what comes in."""
    return lambda pair: pair.past_the_fence(f"ALTER SUBSCRIPTION {MADE} {word}")


def cut(pair: Pair) -> None:
    """Nothing that the source sends reaches the target, and nobody says so."""
    pair.way.lose()
    pair.load.await_commits(1)


MISHAPS = (
    Mishap("paused (S11)", switched("DISABLE"), switched("ENABLE"), "subscription"),
    Mishap("line cut", cut, lambda pair: pair.way.restore(), "is confirmed to .*, not yet to"),
)


def mishap_round(mishap: Mishap) -> Play:
    """A cutover that can't come to its end: everything is put back, the message says why, and the next one does."""

    def play(say: Say, evidence: Path) -> list[Row]:
        with moving(GROUND.majors()[0], tables=sql_mishaps.TABLES) as pair:
            pair.lay_way(migration_max_outage=OUTAGE)
            run, wrong = follow(pair)
            runs = [run]
            rows = [Row("mishap", "cutover", MOVE, mishap.name)]
            if not wrong:
                plan = finish(pair, "cutover", arguments=["--check"])
                boundary = next(entry["boundary"] for entry in plan.trace if MOVE in entry["action"])
                run = begin(pair, "cutover", halt=boundary)
                rows[0].reached = run.await_boundary(boundary)
                mishap.strike(pair)
                run.let_go()
                if run.wait() == 0:
                    wrong.append("the cutover came to its end all the same")
                elif "Traceback" in run.output or not re.search(mishap.cause, tail(run)):
                    wrong.append(f"the message doesn't name the cause ({mishap.cause}): {tail(run)}")
                rows[0].note = f"stopped: {tail(run, 300)}"
                pair.load.await_commits()
                mishap.mend(pair)
                runs += [plan, run, finish(pair, "cutover")]
                if runs[-1].process.returncode:
                    wrong.append(f"it doesn't come to its end afterwards: {tail(runs[-1])}")
                wrong = wrong or moved(pair, "cutover", "target", runs)
            say(rows[0])
            return judged(pair, rows, runs, wrong, False, evidence, ("target", "source"))

    return play


def move_plays(kills: int, seed: int) -> list[tuple[str, Play]]:
    """Name and play of each round."""
    shares = [min(A_ROUND, kills - done) for done in range(0, kills, A_ROUND)]
    return [
        *((f"sql move kills {number:02}", kill_round(number, share, seed)) for number, share in enumerate(shares, 1)),
        *((f"sql move restart {number:02}", restart_round(number, side, how, seed))
          for number, (side, how) in enumerate(RESTARTS, 1)),
        *((f"sql move mishap {mishap.name}", mishap_round(mishap)) for mishap in MISHAPS),
    ]
