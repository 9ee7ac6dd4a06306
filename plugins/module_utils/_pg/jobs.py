# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What travels with a physical copy and writes on its own: subscriptions and the jobs of pg_cron (R19, P44)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._plan import Plan, Step
from . import apply
from .connection import Session
from .databases import SUBSCRIPTIONS, cron_is_hidden, has_cron
from .errors import PgError
from .server import Connect, databases


@dataclass(frozen=True)
class Carried:
    """What one database brought along: enabled subscriptions by name, jobs as ``{jobid: active}``."""

    database: str
    subscriptions: tuple[str, ...] = ()
    jobs: Mapping[int, bool] = field(default_factory=dict)

    @property
    def active(self) -> list[int]:
        return sorted(job for job, active in self.jobs.items() if active)


def observe(connect: Connect, address: Mapping[str, Any], wanted: Sequence[str] = ()) -> list[Carried]:
    """What every database brought along. Jobs that can't all be seen raise PgError: one of them may be writing."""
    with connect(address) as session:
        names = [row["name"] for row in databases(session, wanted)]
    return [_in_database(connect, address, name) for name in names]


def _in_database(connect: Connect, address: Mapping[str, Any], database: str) -> Carried:
    with connect(address, database) as session:
        enabled = tuple(row["name"] for row in session.rows(SUBSCRIPTIONS) if row["enabled"])
        if not has_cron(session):
            return Carried(database, enabled)
        if cron_is_hidden(session):
            raise PgError(
                f"{session.where}: a policy on cron.job hides jobs of other users from this login, and one of them "
                "may be writing (P41). Cure: log in as a member of the table's owner, or with BYPASSRLS."
            )
        jobs = {row["jobid"]: row["active"] for row in session.rows("SELECT jobid, active FROM cron.job")}
        return Carried(database, enabled, jobs)


def plan_stop(found: Iterable[Carried]) -> Plan:
    """Disable every subscription and make every job inactive. Pure."""
    found = list(found)
    steps = []
    for carried in found:
        for name in carried.subscriptions:
            steps.append(Step(
                "disable", f"disable subscription {name} in database {carried.database}",
                {"database": carried.database, "subscription": name},
            ))
        if carried.active:
            steps.append(_switch(carried.database, carried.active, False))
    return Plan(
        tuple(steps),
        {one.database: {"subscriptions": list(one.subscriptions), "jobs": one.active} for one in found},
        {one.database: {"subscriptions": [], "jobs": []} for one in found},
    )


def plan_resume(found: Iterable[Carried], jobs: Mapping[str, Iterable[int]]) -> Plan:
    """Make the jobs named by database active again; subscriptions stay as they are. Pure.

    Raises PgError for a job that isn't there: a job that doesn't run any more must not go unnoticed.
    """
    by_name = {carried.database: carried for carried in found}
    steps, before, after = [], {}, {}
    for database, wanted in sorted(jobs.items()):
        there = by_name.get(database, Carried(database)).jobs
        missing = sorted(set(wanted) - set(there))
        if missing:
            raise PgError(f"database {database} has no cron job {', '.join(map(str, missing))}. Cure: correct jobs.")
        resting = sorted(job for job in set(wanted) if not there[job])
        before[database] = {"jobs": sorted(job for job, active in there.items() if active)}
        after[database] = {"jobs": sorted({*before[database]["jobs"], *resting})}
        if resting:
            steps.append(_switch(database, resting, True))
    return Plan(tuple(steps), before, after)


def _switch(database: str, jobs: Sequence[int], active: bool) -> Step:
    listed = ", ".join(map(str, jobs))
    return Step(
        "switch", f"{'resume' if active else 'pause'} cron jobs {listed} in database {database}",
        {"database": database, "jobs": list(jobs), "active": active},
    )


class Operations:
    """The steps of the plans, carried out; ``queries`` are the statements that were run."""

    def __init__(
        self, connect: Connect, address: Mapping[str, Any],
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect, self._address, self._clock, self._sleep = connect, address, clock, sleep
        self.queries: list[str] = []

    def table(self) -> dict[str, Callable[..., None]]:
        return {"disable": self.disable, "switch": self.switch}

    def disable(self, database: str, subscription: str) -> None:
        with self._connect(self._address, database) as session:
            self._run(session, sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(sql.Identifier(subscription)))
            apply.until_they_ended(session, subscription, self._clock, self._sleep)

    def switch(self, database: str, jobs: Sequence[int], active: bool) -> None:
        statement = sql.SQL("UPDATE cron.job SET active = {} WHERE jobid = ANY ({})").format(
            sql.Literal(active), sql.Literal(list(jobs))
        )
        with self._connect(self._address, database) as session:
            self._run(session, statement)

    def _run(self, session: Session, statement: Any) -> None:
        session.run(statement)
        self.queries.append(session.text(statement))
