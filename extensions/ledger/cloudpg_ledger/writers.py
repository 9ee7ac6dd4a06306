# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writers: threads that commit at a steady rate, reconnect when cut off, and journal every attempt."""
from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2.extensions import connection

from .connection import Routes, connect
from .journal import ACKED, DOUBT, FAILED, Journal
from .workload import Write, mix

ASYNCHRONOUS = "SET LOCAL synchronous_commit = off; "
BACKOFF = (0.05, 0.5)  # seconds: first and longest pause between two attempts to connect
# SQLSTATE classes in answer to COMMIT that leave the connection up and yet say nothing about the transaction
UNCERTAIN_CLASSES = ("08", "57", "XX")


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, who answered, what came back, and the SQLSTATE (or a word) when it failed."""

    outcome: str
    server: str | None = None
    error: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def perform(conn: connection, write: Write, *, asynchronous: bool = False) -> Outcome:
    """Run one transaction: everything up to COMMIT in one round trip, COMMIT in another.

    What breaks before COMMIT is sent is certainly not committed. What breaks at COMMIT is in doubt, unless the server
    itself refused it and is still there. A connection that can't be used any more is closed.
    """
    with conn.cursor() as cur:
        try:
            cur.execute("BEGIN; " + (ASYNCHRONOUS if asynchronous else "") + write.sql, write.params)
            rows = cur.fetchall()
            if len(rows) != write.rows:
                cur.execute("ROLLBACK")
                return Outcome(FAILED, error="row missing" if len(rows) < write.rows else "row doubled")
        except psycopg2.Error as exc:
            _roll_back(conn)
            return Outcome(FAILED, error=exc.pgcode or "connection lost")
        server, values = rows[0][0], dict(zip(write.returns, rows[0][1:]))
        try:
            cur.execute("COMMIT")
        except psycopg2.Error as exc:
            refused = not conn.closed and exc.pgcode and not exc.pgcode.startswith(UNCERTAIN_CLASSES)
            _roll_back(conn)
            error = exc.pgcode or "connection lost"
            return Outcome(FAILED if refused else DOUBT, server, error, values)
        if cur.statusmessage != "COMMIT":
            return Outcome(FAILED, server, "rolled back")
        return Outcome(ACKED, server, data=values)


def _roll_back(conn: connection) -> None:
    try:
        if not conn.closed:
            with conn.cursor() as cur:
                cur.execute("ROLLBACK")
    except psycopg2.Error:
        conn.close()


class Writer(threading.Thread):
    """One client: its own connection, its own memory, its own pace (`interval` seconds between two beginnings)."""

    def __init__(
        self, fleet: Fleet, name: str, route: str, *, interval: float, asynchronous: bool, first: bool, rising: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._fleet = fleet
        self._route = route
        self._interval = interval
        self._asynchronous = asynchronous
        self._rng = random.Random(name)
        self._kinds, self._weights = mix(self._rng, first=first, rising=rising)
        self._conn: connection | None = None
        self._dsn = ""
        self._seq = 0
        self.tally = {ACKED: 0, FAILED: 0, DOUBT: 0}
        self.unreachable: str | None = None  # why the last attempt to connect failed; None once it is up again

    def run(self) -> None:
        try:
            self._write_until_stopped()
        except Exception as exc:  # a writer that died unseen would make a proof of nothing
            self._fleet.fail(exc)
        finally:
            if self._conn is not None:
                self._conn.close()

    def _write_until_stopped(self) -> None:
        stop, pause = self._fleet.stop, BACKOFF[0]
        due = time.monotonic() + self._rng.random() * self._interval
        while not stop.wait(max(0.0, due - time.monotonic())):
            if not self._connected():
                due, pause = time.monotonic() + pause, min(pause * 2, BACKOFF[1])
                continue
            self._attempt()
            pause = BACKOFF[0]
            # no catching up after an outage: it would be a burst no application makes
            due = max(due + self._interval, time.monotonic())

    def _connected(self) -> bool:
        dsn = self._fleet.routes.dsn(self._route)
        if self._conn is not None and (self._conn.closed or dsn != self._dsn):
            self._conn.close()
            self._conn = None
        if self._conn is None:
            try:
                self._conn, self._dsn = connect(dsn), dsn
            except psycopg2.Error as exc:
                self.unreachable = " ".join(str(exc).split())
                return False
            self.unreachable = None
        return True

    def _attempt(self) -> None:
        self._seq += 1
        (kind,) = self._rng.choices(self._kinds, self._weights)
        write = kind.next(self.name, self._seq)
        name = {"writer": self.name, "seq": self._seq}
        data = {**write.data, **({"asynchronous": True} if self._asynchronous else {})}
        journal = self._fleet.journal
        journal.record("try", **name, kind=write.kind, route=self._route, at=_now(), data=data)
        result = perform(self._conn, write, asynchronous=self._asynchronous)
        told = {"server": result.server, "error": result.error, "data": result.data}
        journal.record(result.outcome, **name, at=_now(), **{key: value for key, value in told.items() if value})
        kind.settle(write, result.outcome)
        self.tally[result.outcome] += 1


def _now() -> float:
    return round(time.monotonic(), 6)


class Fleet:
    """All writers of a run. `rate` is commits a second in total, `writers` the number of them on each route.

    `rising` restarts sequences upwards only.
    """

    def __init__(self, journal: Journal, routes: Routes, *, rate: float, writers: int, rising: bool = False) -> None:
        self.journal = journal
        self.routes = routes
        self.stop = threading.Event()
        self.failure: Exception | None = None
        run = f"{random.SystemRandom().getrandbits(32):08x}"
        journal.record("run", run=run, at=_now(), wall=round(time.time(), 6), routes=routes.labels, rate=rate)
        places = [label for _number in range(writers) for label in routes.labels]
        self._writers = [
            Writer(
                self,
                f"{run}.{number}",
                route,
                interval=len(places) / rate,
                asynchronous=number // len(routes.labels) % 3 == 1,  # a third of each route
                first=number == 0,
                rising=rising,
            )
            for number, route in enumerate(places)
        ]

    def start(self) -> None:
        """Start every writer."""
        for writer in self._writers:
            writer.start()

    def fail(self, exc: Exception) -> None:
        """Stop the run because a writer can't go on."""
        self.failure = self.failure or exc
        self.stop.set()

    def end(self) -> None:
        """Begin nothing more; the journal says when, so that an outage that lasted until then can be measured."""
        self.journal.record("stop", at=_now())
        self.stop.set()

    def join(self, grace: float) -> int:
        """Wait up to `grace` seconds for attempts under way; how many were left hanging (they stay in doubt)."""
        deadline = time.monotonic() + grace
        for writer in self._writers:
            writer.join(max(0.0, deadline - time.monotonic()))
        return sum(writer.is_alive() for writer in self._writers)

    @property
    def tally(self) -> dict[str, int]:
        return {key: sum(writer.tally[key] for writer in self._writers) for key in (ACKED, FAILED, DOUBT)}

    @property
    def unreachable(self) -> dict[str, str]:
        """Routes with a writer that can't connect at the moment, and why."""
        return {writer._route: writer.unreachable for writer in self._writers if writer.unreachable}
