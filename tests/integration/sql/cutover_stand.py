# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases on an old server that a new one follows, a way back, and a real PgBouncer with clients in front."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from cloudpg_sandbox.testing import wait_until
from pooler import ADMIN, Pooler

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.timeline import Timeline

from .sql_stand import SECRET, Side, drop_database

MIGRATION = "orders"
TABLES = """
    CREATE TABLE items (id bigserial PRIMARY KEY, writer text NOT NULL, number int NOT NULL);
    CREATE SEQUENCE "Odd one" INCREMENT BY -3;
"""


class Estate:
    """Databases moved from ``old`` to ``new``; the names are alike. Everything follows, and the way back is ready."""

    def __init__(self, servers: tuple[Any, Any], side_of: Any, count: int, run_module: Any) -> None:
        self.servers, self.run_module = servers, run_module
        self.names = [f"c{secrets.token_hex(3)}" for _number in range(count)]
        for server in servers:
            server.query("GRANT pg_signal_backend TO migration")
            for name in self.names:
                server.query(f"CREATE DATABASE {name} OWNER owner")
        self.old, self.new = ([side_of(server, name) for name in self.names] for server in servers)
        self.pooler: Pooler | None = None

    def build(self, more: str = "", back: bool = True) -> None:
        """The target closed, then schema, publication, subscription; then the same the other way, at rest (P25)."""
        assert self.quiesce(self.new[0])["proof"]["proven"]
        for old, new in zip(self.old, self.new):
            for side in (old, new):
                side.run(TABLES + more, "migration")
                side.run("ALTER TABLE items OWNER TO owner; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO owner",
                         "migration")
            self._follow(old, new, MIGRATION, enabled=True)
            if back:
                self._follow(new, old, f"{MIGRATION}_back", enabled=False)
        for new in self.new:
            wait_until(lambda: new.query(
                "SELECT count(*) FROM pg_stat_subscription WHERE subname = 'cloudpg_orders' AND pid IS NOT NULL"
            ) != [(0,)])
        wait_until(lambda: self.old[0].query(
            "SELECT count(*) FROM pg_replication_slots WHERE active AND database = ANY (%s)", [self.names]
        ) == [(len(self.names),)])

    @staticmethod
    def _follow(publisher: Side, subscriber: Side, way: str, enabled: bool) -> None:
        name, slot = f"cloudpg_{way}", f"cloudpg_{way}_{publisher.database}"
        publisher.run(f"CREATE PUBLICATION {name} FOR TABLE items", "migration")
        publisher.run(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')", "migration")
        to = f"host={publisher.server.address} user=migration password={SECRET} dbname={publisher.database}"
        subscriber.run(
            f"CREATE SUBSCRIPTION {name} CONNECTION '{to}' PUBLICATION {name} WITH (create_slot = false,"
            f" slot_name = {slot}, copy_data = false, enabled = {str(enabled).lower()})", "migration",
        )

    def quiesce(self, side: Side, **more: Any) -> dict[str, Any]:
        return self.run_module("pg_quiesce", {
            "server": side.address(), "databases": self.names, "migration": MIGRATION, **more,
        })

    def given(self, back: bool = False, **more: Any) -> dict[str, Any]:
        """The module's arguments."""
        source, target = (self.new[0], self.old[0]) if back else (self.old[0], self.new[0])
        poolers = [] if self.pooler is None else [{
            "admin": {"host": self.pooler.address, "port": self.pooler.port, "user": ADMIN, "password": SECRET},
            "config": str(self.pooler.config),
        }]
        return {
            "source": source.address(), "target": target.address(), "databases": self.names,
            "migration": MIGRATION, "poolers": poolers, "wait_timeout": 20, **more,
        }

    def front(self) -> Pooler:
        """A PgBouncer that leads to the old side, in a directory that its account can reach."""
        self.directory = Path(tempfile.mkdtemp(prefix="cloudpg-cutover-"))
        self.directory.chmod(0o755)
        address = "127.94.0.9"
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = probe.getsockname()[1]
        self.pooler = Pooler(self.directory / "pooler", address, port)
        host = self.old[0].server.address
        self.pooler.start(
            {name: f"host={host} dbname={name}" for name in self.names}, {"owner": SECRET, ADMIN: SECRET}
        )
        return self.pooler

    def writable(self, sides: list[Side]) -> list[bool]:
        """Whether the owner may connect and write."""
        found = []
        for side in sides:
            try:
                side.run("INSERT INTO items (writer, number) VALUES ('probe', 0)")
                found.append(True)
            except (psycopg2.OperationalError, psycopg2.errors.ReadOnlySqlTransaction):
                found.append(False)
        return found

    def row(self, side: Side) -> dict[str, Any]:
        return side.query("SELECT now FROM cloudpg_migration.event WHERE id = 'cutover'")[0][0]

    def gone(self) -> None:
        if self.pooler:
            self.pooler.stop()
            shutil.rmtree(self.directory, ignore_errors=True)
        for server in reversed(self.servers):
            for name in self.names:
                # What is behind a fence is read-only for the superuser as well.
                server.query(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        for server in reversed(self.servers):
            for name in self.names:
                drop_database(server, name)
        for server in self.servers:
            server.query("REVOKE pg_signal_backend FROM migration")


class Clients:
    """Writers through the pooler or past it; every number that was acknowledged, and how long it took at most."""

    def __init__(self, count: int, **address: Any) -> None:
        self.acked: list[tuple[str, int]] = []
        self.failed: list[str] = []
        self.longest = 0.0
        self._stop, self._address = threading.Event(), address
        self._threads = [threading.Thread(target=self._write, args=(f"w{number}",)) for number in range(count)]

    def _write(self, writer: str) -> None:
        number, last, connection = 0, time.monotonic(), None
        while not self._stop.is_set():
            number += 1
            try:
                connection = connection or psycopg2.connect(**self._address)
                with connection, connection.cursor() as cursor:
                    cursor.execute("INSERT INTO public.items (writer, number) VALUES (%s, %s)", (writer, number))
                self.acked.append((writer, number))
                self.longest = max(self.longest, time.monotonic() - last)
                last = time.monotonic()
            except psycopg2.Error as error:
                self.failed.append(str(error))
                with suppress(AttributeError, psycopg2.Error):
                    connection.close()
                connection = None
                self._stop.wait(0.05)
            self._stop.wait(0.005)

    @contextmanager
    def writing(self) -> Iterator[Clients]:
        for thread in self._threads:
            thread.start()
        try:
            # All are connected before anything is forked: it would inherit the locks of who connects.
            wait_until(lambda: len({writer for writer, _number in self.acked}) == len(self._threads))
            wait_until(lambda: len(self.acked) > 20)
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def lost(self, side: Side) -> set[tuple[str, int]]:
        """What was acknowledged and isn't there; AssertionError for what is there twice."""
        rows = side.query("SELECT writer, number, count(*) FROM items WHERE writer <> 'probe' GROUP BY 1, 2")
        assert [row for row in rows if row[2] > 1] == []
        return set(self.acked) - {(writer, number) for writer, number, _count in rows}


def at_step(monkeypatch: Any, step: str, deed: Callable[[], Any]) -> None:
    """Have a module that is started from now on do something as it enters a step."""
    whole = Timeline.step

    @contextmanager
    def disturbed(line: Timeline, name: str) -> Iterator[None]:
        with whole(line, name):
            if name == step:
                deed()
            yield

    monkeypatch.setattr(Timeline, "step", disturbed)


def send(number: int) -> Callable[[], None]:
    """What a module does to itself."""
    return lambda: os.kill(os.getpid(), number)
