# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways from one server to another, each up to the moment that all is there with all indexes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloudpg_sandbox.servers import Server
from stand import DATABASE, SECRET, Bench, BenchError, until

NAME = "bench"
SLOT = "cloudpg_bench"


class Contest:
    """A source that stays as it is and a target that every contender finds empty.

    ``through`` is the address the source is reached at, where that isn't its own (a slow line in between).
    """

    def __init__(self, bench: Bench, source: Server, target: Server, jobs: int, through: str | None = None) -> None:
        self.bench, self.source, self.target, self.jobs = bench, source, target, jobs
        self.host = through or source.address

    def begin(self) -> None:
        """The same beginning for everybody."""
        self.bench.fresh_database(self.target)
        self.bench.clean_source(self.source)
        for server in (self.source, self.target):
            server.query("CHECKPOINT")

    def _program(self, name: str) -> str:
        return self.source.installation.program(name)

    def _source_uri(self, user: str = "boss") -> str:
        return f"postgresql://{user}:{SECRET}@{self.host}:{self.source.port}/{DATABASE}"

    def _schema(self, *sections: str) -> None:
        """The schema or parts of it, by pg_dump and the source's own psql (which knows what its pg_dump writes)."""
        dump = self.bench.scratch("schema.sql")
        self.bench.run([
            self._program("pg_dump"), "--schema-only", "--no-publications", "--no-subscriptions", f"--file={dump}",
            *(f"--section={section}" for section in sections), self._source_uri(),
        ])
        restore = self.target.installation.program("psql")
        psql = restore if Path(restore).exists() else "psql"
        self.bench.run([psql, "-Xq", "-v", "ON_ERROR_STOP=1", "-f", str(dump), self.bench.uri(self.target)])
        dump.unlink()

    def _source_keywords(self) -> str:
        return f"host={self.host} port={self.source.port} dbname={DATABASE} user=boss password={SECRET}"

    def _in_step(self, slot: str) -> None:
        """Everything that the source has written so far is flushed on the target."""
        [(position,)] = self.source.query("SELECT pg_current_wal_flush_lsn()::text")
        until(lambda: self.source.query(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", [position, slot]
        ) == [(True,)])

    # -- the contenders ----------------------------------------------------------------------------------------------

    def ours(self, split_above: int = 0, **more: Any) -> None:
        """Tables, slot and copy by pg_copy, then a subscription on the slot."""
        self._schema("pre-data")
        self.source.query(f"CREATE PUBLICATION {SLOT} FOR ALL TABLES", dbname=DATABASE)
        self.target.query(f"GRANT CREATE ON DATABASE {DATABASE} TO migration", dbname=DATABASE)
        told = self.bench.module("pg_copy", {
            "source": {**self.bench.address(self.source), "host": self.host}, "target": self.bench.address(self.target),
            "migration": NAME, "max_jobs": self.jobs, "split_above": split_above, **more,
        })
        if not told["done"]:
            raise BenchError(f"pg_copy isn't done: {told}")
        self.target.query(
            f"CREATE SUBSCRIPTION {SLOT} CONNECTION '{self._source_keywords()}' PUBLICATION {SLOT}"
            f" WITH (copy_data = false, create_slot = false, slot_name = '{SLOT}')", dbname=DATABASE,
        )
        self._in_step(SLOT)

    def plain_recipe(self) -> None:
        """The whole schema, then a subscription that copies."""
        self._schema()
        self.source.query("CREATE PUBLICATION plain FOR ALL TABLES", dbname=DATABASE)
        self.target.query(
            f"CREATE SUBSCRIPTION plain CONNECTION '{self._source_keywords()}' PUBLICATION plain", dbname=DATABASE
        )
        until(lambda: self.target.query(
            "SELECT count(*) FILTER (WHERE srsubstate <> 'r') FROM pg_subscription_rel", dbname=DATABASE
        ) == [(0,)])
        self._in_step("plain")

    def dump_and_restore(self) -> None:
        """pg_dump -Fd and pg_restore, without compression, which would only cost time here."""
        directory = self.bench.scratch("dump")
        jobs = ["--jobs", str(self.jobs)]
        self.bench.run([
            self._program("pg_dump"), "-Fd", "-Z0", *jobs, f"--file={directory}", "--no-publications",
            self._source_uri(),
        ])
        self.bench.run([
            self._program("pg_restore"), *jobs, "--exit-on-error", f"--dbname={self.bench.uri(self.target)}",
            str(directory),
        ])
        shutil.rmtree(directory)

    def pgcopydb(self, *options: str) -> None:
        """pgcopydb clone with the same number of jobs."""
        directory = self.bench.scratch("pgcopydb")
        jobs = str(self.jobs)
        self.bench.run(
            ["pgcopydb", "clone", "--table-jobs", jobs, "--index-jobs", jobs, "--dir", str(directory), *options],
            PGCOPYDB_SOURCE_PGURI=self._source_uri(), PGCOPYDB_TARGET_PGURI=self.bench.uri(self.target),
            PATH=f"{self.source.installation.bindir}:/usr/bin:/bin",
        )
        shutil.rmtree(directory, ignore_errors=True)

    def fingerprint(self, server: Server) -> list[tuple[Any, ...]]:
        """Rows and indexes, to see that nobody was quick by leaving something out."""
        tables = [row[0] for row in server.query(
            "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables"
            " WHERE schemaname NOT IN ('cloudpg_migration', 'pgcopydb') ORDER BY 1", dbname=DATABASE,
        )]
        return [
            (table, *server.query(f"SELECT count(*) FROM {table}", dbname=DATABASE)[0], *server.query(
                "SELECT count(*) FROM pg_index WHERE indrelid = to_regclass(%s) AND indisvalid", [table],
                dbname=DATABASE,
            )[0]) for table in tables
        ]


def play(
    contest: Contest, contenders: dict[str, Callable[[], None]], rounds: int,
) -> list[dict[str, float]]:
    """Everybody in turn, round by round, each checked; seconds by name.

    Whoever is first writes into memory and files that nothing has used before, which takes a third longer: not counted.
    """
    from stand import stopwatch

    wanted = contest.fingerprint(contest.source)
    contest.begin()
    next(iter(contenders.values()))()
    told = []
    for number in range(rounds):
        seconds: dict[str, float] = {}
        for name, contender in contenders.items():
            contest.begin()
            with stopwatch(seconds, name):
                contender()
            found = contest.fingerprint(contest.target)
            if found != wanted:
                raise BenchError(f"{name} has brought {found} instead of {wanted}")
            contest.bench.say(f"   round {number + 1}: {name} {seconds[name]:.2f} s")
        told.append(seconds)
    contest.begin()
    return told


def has_pgcopydb() -> bool:
    """Debian's package, installed when that is allowed."""
    if shutil.which("pgcopydb"):
        return True
    answer = subprocess.run(
        ["apt-get", "install", "-y", "-qq", "pgcopydb"], capture_output=True, check=False, env={
            "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
    ) if shutil.which("apt-get") else None
    return answer is not None and answer.returncode == 0
