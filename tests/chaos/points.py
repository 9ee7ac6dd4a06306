# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where and how a run is killed: every boundary between two tasks, and moments inside the long ones. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOLD = "| Hold the migration on AWS #"  # the task that takes the lock
# What is done to a run. Modules have sessions of their own: all but `everything` leave the one that runs alive.
KILLS = ("KILL", "TERM", "KILL group", "TERM group", "runner cancel", "KILL everything")
# Modules that change something, or last: worth to be killed in the middle.
LONG = (
    "aurora_parameter_group", "aurora_replica", "aurora_replica_wait", "aws_journal", "logical_wait",
    "pg_carried_jobs", "pg_cutover", "pg_journal", "pg_publication", "pg_quiesce", "pg_replication_info",
    "pg_replication_wait", "pgbouncer_route", "rds_instance", "rds_maintenance_hold", "rds_quiesce",
)
# Milliseconds from a task's begin: before a module's first call, amid its calls, while it waits.
MOMENTS = (350, 500, 700, 950, 1300, 1700)
MOVE = "pg_cutover"
# Milliseconds from its begin: Python starts, connections are made, the critical section, the pooler, the end.
WITHIN = (300, 2600)


def short(boundary: str) -> str:
    """A boundary for a person, without what every one has."""
    return boundary.replace("cloudpg.migration.", "").removesuffix(" #1")


@dataclass(frozen=True)
class Point:
    """A moment of a run: a task's begin, or some milliseconds after it. ``place`` is its number in a clean run."""

    place: int
    boundary: str
    after_ms: int | None
    how: str

    @property
    def name(self) -> str:
        """For a person."""
        return f"{short(self.boundary)} +{self.after_ms} ms" if self.after_ms else short(self.boundary)


def at_boundaries(trace: Sequence[Mapping[str, Any]], dice: random.Random) -> list[Point]:
    """Every boundary once, the ways to be killed in turn."""
    turn = dice.randrange(len(KILLS))
    return [
        Point(place, entry["boundary"], None, KILLS[(turn + place) % len(KILLS)])
        for place, entry in enumerate(trace)
    ]


def in_modules(trace: Sequence[Mapping[str, Any]], dice: random.Random) -> list[Point]:
    """Moments within the modules that change something or wait, as long as they took in the clean run."""
    found = []
    for place, entry in enumerate(trace):
        if entry["action"].rpartition(".")[2] not in LONG:
            continue
        lasted = (trace[place + 1]["at"] - entry["at"]) * 1000 if place + 1 < len(trace) else 0
        found += [
            Point(place, entry["boundary"], moment, dice.choice(KILLS)) for moment in MOMENTS if moment < lasted
        ]
    return found


def at_changes(trace: Sequence[Mapping[str, Any]], count: int, dice: random.Random) -> list[Point]:
    """So many moments before and within the modules that change something or wait."""
    found = [
        Point(place, entry["boundary"], moment, dice.choice(KILLS))
        for place, entry in enumerate(trace) if entry["action"].rpartition(".")[2] in LONG
        for moment in (None, *MOMENTS[:4])
    ]
    return sorted(dice.sample(found, min(count, len(found))), key=_order)


def at_moments(
    trace: Sequence[Mapping[str, Any]], module: str, moments: Sequence[int], dice: random.Random
) -> list[Point]:
    """These moments (ms) within the tasks of one module, dealt out among them."""
    tasks = [
        (place, entry["boundary"]) for place, entry in enumerate(trace) if entry["action"].rpartition(".")[2] == module
    ]
    return [Point(*dice.choice(tasks), moment, dice.choice(KILLS)) for moment in moments if tasks]


def thirds(trace: Sequence[Mapping[str, Any]], count: int, dice: random.Random) -> list[Point]:
    """So many moments of a run: a third between tasks, a third in modules, the rest in MOVE where the run has that."""
    third = count // 3
    moving = at_moments(trace, MOVE, [dice.randrange(*WITHIN) for _number in range(count - 2 * third)], dice)
    others = [entry for entry in trace if MOVE not in entry["action"]]
    found = [
        *moving,
        *at_changes(others, third, dice),
        *dice.sample(at_boundaries(trace, dice), count - third - len(moving)),
    ]
    places = {entry["boundary"]: place for place, entry in enumerate(trace)}
    return sorted(found, key=lambda point: (places[point.boundary], point.after_ms or 0))


def choose(trace: Sequence[Mapping[str, Any]], kills: int, dice: random.Random) -> list[Point]:
    """As many points as were asked for: the boundaries first, moments within modules for what is left."""
    boundaries, moments = at_boundaries(trace, dice), in_modules(trace, dice)
    if kills < len(boundaries):
        return sorted(dice.sample(boundaries, kills), key=_order)
    return sorted([*boundaries, *dice.sample(moments, min(len(moments), kills - len(boundaries)))], key=_order)


def _order(point: Point) -> tuple[int, int]:
    return point.place, point.after_ms or 0


def chains(points: Sequence[Point], length: int) -> list[list[Point]]:
    """Points in the order of a run, dealt out so that each chain goes through the whole of it."""
    count = -(-len(points) // length)
    return [list(points[first::count]) for first in range(count)]
