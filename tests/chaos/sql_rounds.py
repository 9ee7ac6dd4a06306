# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of the SQL tools: copies that are killed, servers that restart under them, mishaps that have to be named."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sql_mishaps
from pair import GROUND, Pair, moving
from report import Row
from runs import STOP, Interrupted
from sql_verdict import follow, judge_followed

KILLS, A_ROUND = 50, 5
# Seconds that a copy takes which is begun (True), and which goes on; after the first of its kind it is known better.
LONGEST = {True: 4.0, False: 2.0}
EARLIEST = 0.2  # before, it is Python that starts
# Nine of ten are the whole group at once; then the workers have to notice by themselves.
HOW = ("KILL group",) * 9 + ("KILL module",)
RESTARTS: Sequence[tuple[tuple[str, str], ...]] = (
    (("target", "fast"), ("target", "immediate")),
    (("source", "fast"),),
    (("source", "immediate"),),
    (("target", "immediate"), ("source", "fast"), ("target", "fast")),
    (("source", "immediate"), ("target", "immediate")),
)
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
Say = Callable[[Row], None]
Play = Callable[[Say, Path], list[Row]]


def closing(pair: Pair, rows: list[Row], crashed: bool, evidence: Path, wrong: Sequence[str] = ()) -> list[Row]:
    """The role brings it to its end and the verdict is passed; what a person needs of a wrong one is kept."""
    run, stopped = follow(pair)
    figures: dict[str, Any] = {}
    told = [*wrong, *stopped]
    if not stopped:
        more, figures = judge_followed(pair, crashed)
        told += more
    if told:
        keep(evidence, {
            "output": run.output, "wrong": "\n".join(told),
            **{side: Path(getattr(pair, side).server.log_path).read_text(errors="replace")[-200_000:]
               for side in ("source", "target")},
        })
    for row in rows:
        row.wrong, row.figures = told, figures
    return rows


def keep(evidence: Path, files: dict[str, str]) -> None:
    evidence.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (evidence / name).write_text(text + "\n", encoding="utf-8")


def kill_round(number: int, kills: int, seed: int) -> Play:
    """A copy, killed so many times at any moment of its life, begun again each time.

    One that comes to its end in between is thrown away: there would be nothing more to interrupt.
    """

    def play(say: Say, evidence: Path) -> list[Row]:
        dice = random.Random(seed * 1000 + number)
        majors = GROUND.majors()
        rows: list[Row] = []
        with moving(majors[number % len(majors)]) as pair:
            pair.prepare()
            longest, fresh, wrong = dict(LONGEST), True, []
            while len(rows) < kills and not wrong:
                began, how = time.monotonic(), dice.choice(HOW)
                moment = dice.uniform(EARLIEST, longest[fresh])
                copy = pair.copy()
                while copy.running() and time.monotonic() - began < moment:
                    if STOP.wait(0.005):
                        raise Interrupted
                if copy.running():
                    copy.kill(how == "KILL group")
                    rows.append(Row("kill", "pg_copy", f"{moment:.2f} s", how, note=pair.progress()))
                    say(rows[-1])
                    # What has brought no table is as good as not begun.
                    fresh = " copied" not in rows[-1].note
                    continue
                longest[fresh], fresh = time.monotonic() - began, True
                said = copy.result()
                wrong += [f"pg_copy failed: {said.get('msg')}"] if said.get("failed") else []
                pair.begin_anew()
            return closing(pair, rows, False, evidence, wrong)

    return play


def restart_round(number: int, restarts: Sequence[tuple[str, str]], seed: int) -> Play:
    """One copy that nobody kills, while servers restart under it; it goes on with what is left."""

    def play(say: Say, evidence: Path) -> list[Row]:
        dice = random.Random(seed * 1000 + number)
        majors = GROUND.majors()
        rows: list[Row] = []
        with moving(majors[number % len(majors)]) as pair:
            pair.prepare()
            copy, began = pair.copy(), time.monotonic()
            for side, how in restarts:
                moment = time.monotonic() - began + dice.uniform(0.7, 2.5)
                while copy.running() and time.monotonic() - began < moment:
                    if STOP.wait(0.005):
                        raise Interrupted
                row = Row("restart", "pg_copy", f"{moment:.2f} s", f"{how} {side}", copy.running(), pair.progress())
                server = getattr(pair, side).server
                server.stop(SIGNALS[how])
                server.start()
                rows.append(row)
                say(row)
            said = copy.result()
            wrong = [f"pg_copy failed: {said.get('msg')}"] if said.get("failed") else []
            crashed = ("source", "immediate") in restarts
            reconnected = said.get("progress", {}).get("reconnected")
            rows[-1].note += f"; in the end {len(said.get('left', []))} left, {reconnected} times begun again"
            return closing(pair, rows, crashed, evidence, wrong)

    return play


def mishap_round(mishap: Callable[[Pair, Callable[[Row], None]], list[str]], **options: Any) -> Play:
    """Something goes wrong that leaves the figures looking well: it is found, named, and can be mended."""

    def play(say: Say, evidence: Path) -> list[Row]:
        rows: list[Row] = []

        def tell(row: Row) -> None:
            rows.append(row)
            say(row)

        with moving(GROUND.majors()[0], tables=sql_mishaps.TABLES, **options) as pair:
            wrong = mishap(pair, tell)
            return closing(pair, rows, False, evidence, wrong)

    return play


def sql_plays(kills: int, seed: int) -> list[tuple[str, Play]]:
    """Name and play of each round, the long ones first."""
    shares = [min(A_ROUND, kills - done) for done in range(0, kills, A_ROUND)]
    return [
        *((f"sql kills {number:02}", kill_round(number, share, seed)) for number, share in enumerate(shares, 1)),
        *((f"sql restart {number:02}", restart_round(number, several, seed))
          for number, several in enumerate(RESTARTS, 1)),
        *((f"sql mishap {name}", mishap_round(mishap, **options))
          for name, (mishap, options) in sql_mishaps.MISHAPS.items()),
    ]
