# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of whole paths: there and back again, killed on the way or with servers that restart; a pooler not held."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2

from kills import chain, tail
from points import MOVE, thirds
from report import Row
from runs import Run, begin, finish
from shakes import shake
from stand import Stand, standing
from verdict import again, judge_served, judged
import path_logical  # isort: skip
import path_planetscale  # isort: skip  beside the checkout's extensions, not installed
import path_replica  # isort: skip

Say = Callable[[Row], None]
Play = Callable[[Say, Path], list[Row]]


@dataclass(frozen=True)
class Journey:
    """A path, in which order its playbooks are run and how often each is killed, and what else the inventory says."""

    path: ModuleType
    legs: Sequence[tuple[str, int]]
    variables: Mapping[str, Any] = field(default_factory=dict)


JOURNEYS = {
    # migrate.yml of it is killed in rounds of its own, and after its way back there is nothing to cut over to.
    "replica": Journey(path_replica, (("migrate", 0), ("rollback", 16))),
    "planetscale": Journey(
        path_planetscale, (("replicate", 12), ("cutover", 8), ("rollback", 8), ("cutover", 4)),
    ),
    # Rows come with the cutover, and there is no way back.
    "dump": Journey(path_planetscale, (("replicate", 3), ("cutover", 14)), {
        "planetscale_method": "dump", "migration_acknowledged": ["downtime", "pooler-gives-up-early"],
    }),
}
LAST = ("finish", 6)
# In which playbook which server of the path planetscale restarts, and whether that is just before the writes move.
RESTARTS: Sequence[tuple[str, str, bool]] = (
    ("replicate", "source", False), ("cutover", "target", True), ("rollback", "target", True),
    ("cutover", "source", True), ("rollback", "source", False), ("cutover", "target", False),
)
HOLDING = "SELECT pg_current_xact_id()"  # in a transaction that stays open


def journey_round(journey: Journey, seed: int) -> Play:
    """The playbooks one after the other, killed on their way; then the ledger's word, and kills of finish."""

    def play(say: Say, evidence: Path) -> list[Row]:
        dice = random.Random(seed)
        rows: list[Row] = []
        runs: list[Run] = []
        figures: dict[str, Any] = {}
        with standing(journey.path, **journey.variables) as stand:
            for verb, kills in journey.legs:
                wrong = _leg(stand, verb, kills, dice, rows, runs, say)
                if wrong:
                    break
                _lead(stand, verb)
            else:
                wrong, figures = judge_served(stand, runs, journey.legs[-1][0])
                if not wrong:
                    wrong = _leg(stand, *LAST, dice, rows, runs, say) or again(stand, LAST[0])
            return judged(rows, stand, runs, wrong, figures, evidence)

    return play


def _leg(
    stand: Stand, verb: str, kills: int, dice: random.Random, rows: list[Row], runs: list[Run], say: Say
) -> list[str]:
    """One playbook to its end, however often it is killed on the way; what went wrong."""
    if not kills:
        runs.append(finish(stand, verb))
        return [f"{verb} failed: {tail(runs[-1])}"] if runs[-1].process.returncode else []
    plan = finish(stand, verb, arguments=["--check"])
    if plan.process.returncode:
        return [f"check mode of {verb} failed: {tail(plan)}"]
    struck, more, wrong = chain(stand, verb, thirds(plan.trace, kills, dice), say)
    rows += struck
    runs += [plan, *more]
    return wrong


def _lead(stand: Stand, verb: str) -> None:
    """What the owners of the clients do after a playbook.

    Before a cutover they see to their logins; behind one they lead whoever goes past the pooler to where the writes
    are now, and all of them write again.
    """
    if verb == "replicate":
        getattr(stand.path, "before_cutover", lambda _stand: None)(stand)
    else:
        stand.lead_direct_clients(stand.sides_after(verb)[0])
        stand.await_commits(20)


def restart_round(seed: int) -> Play:
    """There and back, and a server restarts under each run: it goes on, or stops with a message and another ends it."""

    def play(say: Say, evidence: Path) -> list[Row]:
        dice = random.Random(seed)
        rows: list[Row] = []
        runs: list[Run] = []
        figures: dict[str, Any] = {}
        with standing(path_planetscale) as stand:
            for verb, side, moving in RESTARTS:
                wrong = _restarted(stand, verb, side, moving, dice, rows, runs, say)
                if wrong:
                    break
                _lead(stand, verb)
            else:
                wrong, figures = judge_served(stand, runs, RESTARTS[-1][0])
            return judged(rows, stand, runs, wrong, figures, evidence)

    return play


def _restarted(
    stand: Stand, verb: str, side: str, moving: bool, dice: random.Random, rows: list[Row], runs: list[Run], say: Say
) -> list[str]:
    """One playbook, before one of whose tasks a server restarts; what went wrong."""
    plan = finish(stand, verb, arguments=["--check"])
    trace = [entry for entry in plan.trace if (MOVE in entry["action"]) == moving]
    if plan.process.returncode or not trace:
        return [f"check mode of {verb} failed or moves nothing: {tail(plan)}"]
    boundary = dice.choice(trace)["boundary"]
    row, more, wrong = shake(stand, verb, boundary, f"fast {side}", lambda: stand.restart(side), say)
    rows.append(row)
    runs += [plan, *more]
    return wrong


def held_round() -> Play:
    """A client keeps its transaction open, so the pooler doesn't pause in time: nothing moves until the client ends."""

    def play(say: Say, evidence: Path) -> list[Row]:
        figures: dict[str, Any] = {}
        with standing(path_logical, migration_max_outage=60) as stand:
            runs = [finish(stand, "replicate"), finish(stand, "cutover", arguments=["--check"])]
            boundary = next(entry["boundary"] for entry in runs[1].trace if MOVE in entry["action"])
            run = begin(stand, "cutover", halt=boundary)
            reached = run.await_boundary(boundary)
            with closing(psycopg2.connect(stand.dsn(stand.pooler.address, stand.pooler.port))) as client:
                client.cursor().execute(HOLDING)
                run.let_go()
                code = run.wait()
                stand.await_commits(20)
            runs += [run, finish(stand, "cutover")]
            wrong = [] if code and "Traceback" not in run.output and re.search("pause|PAUSE", tail(run)) else [
                f"the message doesn't name the pooler: {code} {tail(run)}"]
            if runs[-1].process.returncode:
                wrong.append(f"it doesn't come to its end afterwards: {tail(runs[-1])}")
            row = Row("mishap", "cutover", MOVE, "pooler held", reached, f"stopped: {tail(run, 300)}")
            say(row)
            if not wrong:
                wrong, figures = judge_served(stand, runs, "cutover")
            return judged([row], stand, runs, wrong, figures, evidence)

    return play


def path_plays(seed: int) -> list[tuple[str, Play]]:
    """Name and play of each round."""
    return [
        *((f"path {name}", journey_round(journey, seed * 1000 + number))
          for number, (name, journey) in enumerate(JOURNEYS.items(), 1)),
        ("path planetscale restarts", restart_round(seed)),
        ("path held pooler", held_round()),
    ]
