# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cutovers there and back by pg_cutover, as clients of a real PgBouncer see them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from cloudpg_sandbox.servers import Server
from pooler import ADMIN, Pooler
from report import Measured, medians
from stand import DATABASE, SECRET, Bench, BenchError, until

NAME = "bench"
CUTOVERS = 5
CLIENTS, SEQUENCES, TABLES = 4, 1000, 50
ROWS = 1000
# Before a subscription can be made without a superuser there is no way back.
OLDEST = 16
PORT = 6432
# Seconds of the clients before and after a cutover, of looking for the most that the machine can do, and at most.
BEFORE, AFTER, MOST, END = 2, 2, 5, 300

SCHEMA = f"""
    DO $do$ BEGIN
        FOR i IN 1..{TABLES} LOOP
            EXECUTE format('CREATE TABLE t%s (id bigint PRIMARY KEY, n int NOT NULL, note text)', i);
            EXECUTE format('INSERT INTO t%s SELECT i, 0, md5(i::text) FROM generate_series(1, {ROWS}) AS i', i);
        END LOOP;
        FOR i IN 1..{SEQUENCES} LOOP
            EXECUTE format('CREATE SEQUENCE s%s START {ROWS + 1}', i);
        END LOOP;
        -- One sequence more, so that keys are unique.
        CREATE SEQUENCE ids START {ROWS + 1};
    END $do$
"""
# A row is added and one changed, so that the rows tell afterwards how many transactions there were.
SCRIPT = f"""
\\set t random(1, {TABLES})
\\set s random(1, {SEQUENCES})
\\set id random(1, {ROWS})
BEGIN;
UPDATE t:t SET n = n + 1 WHERE id = :id;
INSERT INTO t:t VALUES (nextval('ids'), 0, nextval('s:s')::text);
COMMIT;
"""
# What isn't a step of the module.
SEEN = ("one client", "module")
PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")
FAILED = re.compile(r"number of failed transactions: (\d+)")
ABORTED = re.compile(r"client \d+ (?:script \d+ )?aborted")


class Clients:
    """One run of pgbench: what was acknowledged and when, what failed."""

    def __init__(self, command: list[str], log: Path, rate: float | None) -> None:
        pace = [f"--rate={rate:.0f}"] if rate else []
        self._log = log
        self._process = subprocess.Popen(
            [*command, f"--time={END}", *pace, "--log", f"--log-prefix={log}"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PGPASSWORD": SECRET, "PATH": "/usr/bin:/bin"},
        )
        self.done, self.failed, self.errors = 0, 0, ""
        self.commits: list[float] = []
        self.waits: list[tuple[float, float]] = []

    def end(self) -> None:
        """End it, and read what became of it; raises BenchError. Times are seconds since the epoch."""
        # What ends it when its time is over; transactions that are under way come to their end.
        self._process.send_signal(signal.SIGALRM)
        out, errors = self._process.communicate()
        processed, failed = PROCESSED.search(out), FAILED.search(out)
        if not processed or not failed:
            raise BenchError(f"pgbench: {errors[-2000:]}")
        self.done = int(processed[1])
        self.failed = int(failed[1]) + len(ABORTED.findall(errors))
        self.errors = errors
        for path in self._log.parent.glob(f"{self._log.name}.*"):
            for line in path.read_text(encoding="utf-8").splitlines():
                _client, _number, took, _script, second, micro, *_rest = line.split()
                at = int(second) + int(micro) / 1e6
                self.commits.append(at)
                self.waits.append((at, int(took) / 1e6))
            path.unlink()
        self.commits.sort()

    def kill(self) -> None:
        """For when nobody wants to know any more."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def gap(self, since: float, until_then: float) -> float:
        """The longest time between two commits next to each other, of which the later one is within."""
        return max(later - sooner for sooner, later in pairwise(self.commits) if since <= later <= until_then)

    def wait(self, since: float, until_then: float) -> float:
        """The longest that one client waited for one transaction, from the moment it was due."""
        return max(took for at, took in self.waits if since <= at <= until_then)


class Traffic:
    """Two servers that follow each other in turn, a PgBouncer in front, and pgbench as its clients."""

    def __init__(self, bench: Bench, old: Server, new: Server, pooler: Pooler) -> None:
        self.bench, self.sides, self.pooler = bench, [old, new], pooler
        self.done = 0
        script = bench.scratch("clients.sql")
        script.write_text(SCRIPT, encoding="utf-8")
        own = new.installation.program("pgbench")
        self._pgbench = [
            own if Path(own).exists() else shutil.which("pgbench") or own, "--no-vacuum", f"--client={CLIENTS}",
            f"--file={script}", f"--host={pooler.address}", f"--port={pooler.port}", "--username=owner", DATABASE,
        ]

    @contextmanager
    def clients(self, rate: float | None = None) -> Iterator[Clients]:
        """Clients for the time of the block; then all that they wrote is on the other side."""
        clients = Clients(self._pgbench, self.bench.scratch("clients.log"), rate)
        try:
            yield clients
            clients.end()
        finally:
            clients.kill()
        self.done += clients.done
        until(self.in_step, 120)

    def in_step(self) -> bool:
        """Whether the side that follows has all, but for what the server writes by itself."""
        return self.sides[0].query(
            "SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn < 4096 FROM pg_replication_slots WHERE active"
        ) == [(True,)]

    def most(self) -> float:
        """Transactions a second, with nothing to hold the clients back."""
        with self.clients() as clients:
            time.sleep(MOST)
        return clients.done / MOST

    def cut_over(self, rate: float) -> dict[str, float]:
        """A cutover under that load, and exchange the sides; milliseconds."""
        with self.clients(rate) as clients:
            time.sleep(BEFORE)
            began = time.time()
            told = self.bench.module("pg_cutover", {
                "source": self.bench.address(self.sides[0]), "target": self.bench.address(self.sides[1]),
                "migration": NAME, "max_outage": 10,
                "poolers": [{
                    "admin": {"host": self.pooler.address, "port": self.pooler.port, "user": ADMIN,
                              "password": SECRET}, "config": str(self.pooler.config),
                }],
            })
            self.sides.reverse()
            time.sleep(AFTER)
        if clients.failed:
            self.bench.say(clients.errors)
        window = (began, clients.commits[-1])
        return {
            "gap": clients.gap(*window) * 1000, "failed": clients.failed,
            "one client": clients.wait(*window) * 1000, "module": told["outage_ms"],
            **{step["name"]: step["ms"] for step in told["steps"]},
        }

    def proven(self) -> None:
        """Raises BenchError unless every acknowledged transaction is there, once, on both sides."""
        rows = " + ".join(f"(SELECT count(*) FROM t{number})" for number in range(1, TABLES + 1))
        changes = " + ".join(f"(SELECT sum(n) FROM t{number})" for number in range(1, TABLES + 1))
        wanted = [(self.done + TABLES * ROWS, self.done)]
        for side in self.sides:
            found = side.query(f"SELECT {rows}, {changes}", dbname=DATABASE)
            if found != wanted:
                raise BenchError(f"{side.identifier} has {found} rows and changes instead of {wanted}")


@contextmanager
def traffic(bench: Bench) -> Iterator[Traffic]:
    """Everything as docs/cutover.md wants it: the target closed, following, and the way back prepared."""
    majors = [major for major in bench.majors() if major >= OLDEST]
    if len(majors) < 2:
        raise BenchError(f"two majors from {OLDEST} on are needed, and there are {bench.majors()}")
    old, new = bench.server("old", majors[0]), bench.server("new", majors[-1])
    for server in (old, new):
        bench.fresh_database(server)
        server.query("GRANT pg_signal_backend TO migration")
        server.query(f"GRANT CREATE ON DATABASE {DATABASE} TO migration")
    bench.module("pg_quiesce", {"server": bench.address(new), "databases": [DATABASE], "migration": NAME})
    for server in (old, new):
        session = server.connect(DATABASE)
        with session.cursor() as cursor:
            for statement in (
                "SET default_transaction_read_only = off", "GRANT CREATE ON SCHEMA public TO owner", "SET ROLE owner",
                SCHEMA, "RESET ROLE", "ANALYZE",
            ):
                cursor.execute(statement)
        session.close()
    follow(bench, old, new, f"cloudpg_{NAME}", True)
    follow(bench, new, old, f"cloudpg_{NAME}_back", False)
    address = f"{old.address.rsplit('.', 1)[0]}.98"
    pooler = Pooler(bench.scratch("pooler"), address, PORT)
    try:
        pooler.start({DATABASE: f"host={old.address} port={old.port} dbname={DATABASE}"},
                     {"owner": SECRET, ADMIN: SECRET})
        yield Traffic(bench, old, new, pooler)
    finally:
        pooler.stop()


def follow(bench: Bench, publisher: Server, subscriber: Server, name: str, enabled: bool) -> None:
    """Publication, slot and subscription, all by the login of the migration."""
    slot = f"{name}_{DATABASE}"
    tables = ", ".join(f"t{number}" for number in range(1, TABLES + 1))
    bench.execute(publisher, f"CREATE PUBLICATION {name} FOR TABLE {tables}")
    bench.execute(publisher, f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    bench.execute(
        subscriber,
        f"CREATE SUBSCRIPTION {name} CONNECTION 'host={publisher.address} port={publisher.port} dbname={DATABASE}"
        f" user=migration password={SECRET}' PUBLICATION {name} WITH (create_slot = false, slot_name = '{slot}',"
        f" copy_data = false, enabled = {enabled})",
    )


def measure_outage(bench: Bench, name: str, target: float, load: Callable[[float], float]) -> Iterator[Measured]:
    """Five cutovers, there and back in turn; ``load`` says the rate by the most that the machine can do."""
    with traffic(bench) as run:
        most = run.most()
        rate = load(most)
        bench.say(f"   {most:.0f} transactions a second at most; with {rate:.0f} now")
        rounds = []
        for number in range(CUTOVERS):
            rounds.append(run.cut_over(rate))
            each = ", ".join(f"{what} {took:.0f}" for what, took in rounds[-1].items())
            bench.say(f"   cutover {number + 1}: {each}")
        if not sum(one["failed"] for one in rounds):
            run.proven()
    yield from told(name, target, rate, most, rounds)


def told(name: str, target: float, rate: float, most: float, rounds: list[dict[str, float]]) -> Iterator[Measured]:
    """The outage in milliseconds, with where they went, and the failed transactions."""
    failed = sum(one["failed"] for one in rounds)
    middle = medians([{what: each for what, each in one.items() if what != "failed"} for one in rounds])
    gap = middle.pop("gap")
    steps = {what: each for what, each in middle.items() if what not in SEEN}
    longest = sorted(steps, key=steps.get, reverse=True)[:3]
    limits = (
        f"{rate:.0f} transactions a second, of {most:.0f} that the machine can do beside the replication; most of "
        f"the time goes to {', '.join(f'{what} ({steps[what]:.0f} ms)' for what in longest)}"
    )
    yield Measured(name, gap, "ms", target, True, middle, rounds, limits)
    yield Measured(f"{name}_failed", failed, "transactions", 0, True, limits="what pgbench said is above the table")
