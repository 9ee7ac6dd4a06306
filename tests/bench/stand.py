# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers to measure on, and what all benches need: databases, programs, modules, a stopwatch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from cloudpg_sandbox.installations import Account, Installations
from cloudpg_sandbox.registry import Registry, start_watchdog
from cloudpg_sandbox.serve import take_network
from cloudpg_sandbox.servers import Server

CHECKOUT = Path(__file__).resolve().parents[2]
COLLECTIONS = CHECKOUT / "build" / "collections"
SECRET = "long-dummy-secret-of-the-benches"
DATABASE = "bench"
# The owner of all is no superuser, and neither is the login of the migration.
LOGINS = f"""
    CREATE ROLE owner LOGIN PASSWORD '{SECRET}';
    CREATE ROLE migration LOGIN REPLICATION PASSWORD '{SECRET}' IN ROLE owner, pg_monitor;
    CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{SECRET}';
"""
# As a server of a few GiB would have them; flushing is off, so that the disk of the machine isn't what is measured.
SETTINGS = {
    "wal_level": "logical", "shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "1h",
    "autovacuum": "off", "max_sync_workers_per_subscription": "2", "max_connections": "100",
}
POLL = 0.02
# A process begins with the peak of the one it was forked from, which therefore has to be a small one.
WEIGH = """
import os, sys
pid = os.fork()
if not pid:
    os.execv(sys.argv[2], sys.argv[2:])
_pid, status, used = os.wait4(pid, 0)
with open(sys.argv[1], "w") as peak:
    peak.write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


class BenchError(Exception):
    """Something couldn't be measured; the message says why."""


class Bench:
    """What a bench is given."""

    def __init__(self, rounds: int, scale: float, home: str | None) -> None:
        self.rounds, self.scale = rounds, scale
        self._base = home
        self._home: Path | None = None
        self._servers: dict[str, Server] = {}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    # -- servers ---------------------------------------------------------------------------------------------------

    def majors(self) -> list[int]:
        self._prepare()
        return sorted(self._installations.all())

    def pair_of_majors(self) -> tuple[int, int]:
        """15 to 16, because Debian's pgcopydb speaks with 15's programs; else the two oldest there are."""
        there = self.majors()
        return (15, 16) if {15, 16} <= set(there) else (there[0], there[1])

    def server(self, name: str, major: int, **settings: str) -> Server:
        """A running server with the logins, the same one for the same name until the bench ends."""
        self._prepare()
        if name not in self._servers:
            server = Server(
                name, f"{self._network}.0.{len(self._servers) + 10}", 5432, str(self._home / name),
                self._installations.get(major), self._installations.account, self._registry,
            )
            server.access, server.settings = ["127.0.0.0/8"], {**SETTINGS, **settings}
            self._servers[name] = server
            server.initialize(self._installations)
            server.start()
            server.query(LOGINS)
            if major >= 16:
                server.query("GRANT pg_create_subscription TO migration")
        return self._servers[name]

    def _prepare(self) -> None:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="cloudpg-bench-", dir=self._base))
            self._home.chmod(0o755)
            self._pipe = start_watchdog(str(self._home / "registry"))
            self._registry = Registry(str(self._home / "registry"))
            self._network, self._holder = take_network("auto")
            self._installations = Installations(str(self._home / "cache"), Account.for_servers())

    def clear(self) -> None:
        """Stop the servers and remove their data."""
        for server in reversed(self._servers.values()):
            server.discard()
        self._servers.clear()
        if self._home is not None:
            os.close(self._pipe)
            self._holder.close()
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    # -- databases -------------------------------------------------------------------------------------------------

    @staticmethod
    def address(server: Server, user: str = "migration", **more: Any) -> dict[str, Any]:
        """An address as a playbook gives it."""
        login = {"user": user, "password": SECRET, "dbname": DATABASE}
        return {"host": server.address, "port": server.port, **login, **more}

    @staticmethod
    def uri(server: Server, user: str = "boss", database: str = DATABASE) -> str:
        return f"postgresql://{user}:{SECRET}@{server.address}:{server.port}/{database}"

    @classmethod
    def execute(cls, server: Server, statement: str, user: str = "migration") -> None:
        """A statement as a login, over the network, by itself."""
        connection = psycopg2.connect(**cls.address(server, user))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    @staticmethod
    def fresh_database(server: Server) -> None:
        """The database anew and empty; subscriptions and slots of the old one go with it."""
        if server.query("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]):
            for (name,) in server.query("SELECT quote_ident(subname) FROM pg_subscription", dbname=DATABASE):
                for how in ("DISABLE", "SET (slot_name = NONE)"):
                    server.query(f"ALTER SUBSCRIPTION {name} {how}", dbname=DATABASE)
                server.query(f"DROP SUBSCRIPTION {name}", dbname=DATABASE)
            server.query(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        server.query(f"CREATE DATABASE {DATABASE} OWNER owner")

    @staticmethod
    def clean_source(server: Server) -> None:
        """Publications, slots and what a tool has left in the source's database."""
        server.query(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL"
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and server.query("SELECT 1 FROM pg_replication_slots WHERE active"):
            time.sleep(POLL)
        server.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        for (name,) in server.query("SELECT quote_ident(pubname) FROM pg_publication", dbname=DATABASE):
            server.query(f"DROP PUBLICATION {name}", dbname=DATABASE)
        for schema in ("pgcopydb", "cloudpg_migration"):
            server.query(f"DROP SCHEMA IF EXISTS {schema} CASCADE", dbname=DATABASE)

    # -- programs --------------------------------------------------------------------------------------------------

    def run(self, command: Sequence[str], **environment: str) -> str:
        """A program's output; raises BenchError with what it said."""
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **environment},
            cwd=str(self._home),
        )
        if answer.returncode != 0:
            raise BenchError(f"{command[0]} failed ({answer.returncode}): {(answer.stderr or answer.stdout)[-3000:]}")
        return answer.stdout

    def scratch(self, name: str) -> Path:
        """A path for a program's files, with nothing there."""
        path = self._home / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def module(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Run a module as Ansible does, in a process of its own; raises BenchError when it fails."""
        return self.weighed(name, arguments)[0]

    def weighed(self, name: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], float, float]:
        """A module's result, its seconds, and the MiB of the largest of its processes when it was largest."""
        given, peak = self._home / f"{name}.json", self._home / f"{name}.peak"
        given.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": dict(arguments)}), encoding="utf-8")
        module = str(CHECKOUT / "plugins" / "modules" / f"{name}.py")
        began = time.perf_counter()
        answer = subprocess.run(
            [sys.executable, "-ISc", WEIGH, str(peak), sys.executable, module, str(given)],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        )
        seconds = time.perf_counter() - began
        said = answer.stdout.strip()
        told = json.loads(said) if said.startswith("{") else {"failed": True, "msg": answer.stderr}
        if told.get("failed"):
            raise BenchError(f"{name}: {told.get('msg')}")
        return told, seconds, int(peak.read_text(encoding="utf-8")) / 1024


def link_checkout() -> None:
    """Modules import the collection by its name."""
    link = COLLECTIONS / "ansible_collections" / "cloudpg" / "migration"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path("..", "..", "..", ".."), target_is_directory=True)


link_checkout()


@contextmanager
def stopwatch(into: dict[str, float], name: str):
    """The seconds of the block, under its name."""
    began = time.perf_counter()
    yield
    into[name] = time.perf_counter() - began


def until(condition: Callable[[], Any], seconds: float = 3600) -> None:
    """Poll until it is true; raises BenchError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"still waiting after {seconds:.0f} s")
        time.sleep(POLL)
