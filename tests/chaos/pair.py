# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rounds of the SQL tools happen to: two servers, a database under write load, its migration's inventory."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from network import Way
from stand import CHECKOUT  # puts the checkout's extensions on the path
from processes import end_with_parent, eventually  # isort: skip

sys.path.append(str(CHECKOUT))

from cloudpg_sandbox.installations import Account, Installations  # noqa: E402  beside the checkout's extensions
from cloudpg_sandbox.registry import Registry, start_watchdog  # noqa: E402
from cloudpg_sandbox.serve import take_network  # noqa: E402
from cloudpg_sandbox.servers import Server  # noqa: E402
from tests.integration.sql.load_stand import WRONG, Load  # noqa: E402  on these the tests of the modules stand, too
from tests.integration.sql.sql_stand import Side, start_server  # noqa: E402

RATE = 40  # commits a second of all writers
JOBS = 2
NAME, DATABASE = "moving", "shop"
MADE, SLOT = "cloudpg_moving", "cloudpg_moving_shop"
SPLIT_ABOVE = 16 << 20
# Beside the ledger's own tables: some that take their time, one that is split, keys in between.
TABLES = "CREATE SCHEMA load;" + "".join(
    f"CREATE TABLE load.t{number} (id int NOT NULL, other int NOT NULL, pad text NOT NULL);"
    f"INSERT INTO load.t{number} SELECT i, 1 + i %% 1000, md5(i::text) || repeat('x', 150)"
    f" FROM generate_series(1, {rows}) AS i;"
    f"ALTER TABLE load.t{number} ADD PRIMARY KEY (id); CREATE INDEX ON load.t{number} (pad, id);"
    for number, rows in enumerate((140_000, 60_000, 50_000, 40_000, 30_000, 20_000, 10_000, 5_000))
).replace("%%", "%") + "".join(
    f"ALTER TABLE load.t{number} ADD FOREIGN KEY (other) REFERENCES load.t0;" for number in range(1, 8)
)


class Ground:
    """What all pairs have in common: an address range, templates of data directories, a watchdog. Made when needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(10)
        self.home: Path | None = None

    def server(self, name: str, major: int, made: list[Server], **settings: str) -> Server:
        """A running server with the logins of the tests of the SQL modules."""
        address = self.address()
        with self._lock:
            self.installations.template(major)
        return start_server(
            name, major, address, self.home / f"{address}-{name}", self.installations, self._registry, settings,
            made.append,
        )

    def address(self) -> str:
        """One that nobody else has."""
        with self._lock:
            self._prepare()
            number = next(self._numbers)
        return f"{self._network}.{number // 200}.{number % 200 + 1}"

    def majors(self) -> list[tuple[int, int]]:
        """The pairs of majors there are servers for."""
        with self._lock:
            self._prepare()
            there = set(self.installations.all())
        return [pair for pair in ((16, 18), (15, 16), (15, 18)) if set(pair) <= there]

    def _prepare(self) -> None:
        if self.home is None:
            self.home = Path(tempfile.mkdtemp(prefix="cloudpg-chaos-sql-"))
            self.home.chmod(0o755)
            self._pipe = start_watchdog(str(self.home / "registry"))
            self._registry = Registry(str(self.home / "registry"))
            self._network, self._holder = take_network("auto")
            self.installations = Installations(str(self.home / "cache"), Account.for_servers())

    def close(self) -> None:
        if self.home is not None:
            os.close(self._pipe)
            self._holder.close()
            shutil.rmtree(self.home, ignore_errors=True)
            self.home = None


GROUND = Ground()


@dataclass
class Module:
    """A module in a process group of its own."""

    process: subprocess.Popen[str]

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self, group: bool = True) -> None:
        """End it as nothing can be that has no time to clean up: with its workers, or they are to notice."""
        if group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()

    def result(self, seconds: float = 240.0) -> dict[str, Any]:
        """What it returned, or a failure that says what it printed instead."""
        try:
            said, _none = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            said, _none = self.process.communicate()
            return {"failed": True, "msg": f"still at work after {seconds:.0f} s: {said[-500:]}"}
        lines = [line for line in said.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {"failed": True, "msg": f"no result: {said[-1500:]}"}


@dataclass
class Pair:
    """``source`` and ``target`` are the database on either server. Also what playbooks run against (see runs)."""

    directory: Path
    source: Side
    target: Side
    load: Load
    environment: dict[str, str] = field(default_factory=dict)
    runs: list[Any] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    way: Way | None = None

    @property
    def both(self) -> dict[str, Any]:
        return {"source": self.source.address(), "target": self.target.address(), "database": DATABASE}

    def module(self, name: str, **options: Any) -> Module:
        """Start a module as Ansible does, in a process that can be killed."""
        given = self.directory / f"{name}-{secrets.token_hex(4)}.json"
        given.touch(mode=0o600)
        given.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}), encoding="utf-8")
        begun = Module(subprocess.Popen(
            [sys.executable, str(CHECKOUT / "plugins" / "modules" / f"{name}.py"), str(given)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / "build" / "collections"), "PYTHONUNBUFFERED": "1"},
            start_new_session=True, preexec_fn=end_with_parent,
        ))
        self.modules.append(begun)
        return begun

    def told(self, name: str, **options: Any) -> dict[str, Any]:
        """Run a module to its end; RuntimeError when it fails."""
        said = self.module(name, **options).result()
        if said.get("failed"):
            raise RuntimeError(f"{name}: {said.get('msg')}")
        return said

    def copy(self) -> Module:
        """The copy as the role starts it."""
        return self.module(
            "pg_copy", **self.both, migration=NAME, slot=SLOT, max_jobs=JOBS, split_above=SPLIT_ABOVE,
            reconnect_timeout=60,
        )

    def prepare(self) -> None:
        """Publication and empty tables, as the role makes them before the copy."""
        self.told("pg_publication", server=self.source.address(), database=DATABASE, migration=NAME)
        self.told("pg_schema", **self.both, sections=["pre-data"], bindir=self.target.bindir)

    def begin_anew(self) -> None:
        """Forget the copy and what it has brought."""
        self.told("pg_copy", **self.both, migration=NAME, slot=SLOT, state="absent")
        self.renew_target()
        self.prepare()

    def renew_target(self) -> None:
        """The database on the target anew, with nothing in it."""
        self.target.server.query(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        _make_database(self.target.server)

    def progress(self) -> str:
        """How far the ledger of the copy is, in words."""
        if not self.target.query("SELECT to_regclass('cloudpg_migration.copy_table')")[0][0]:
            return "nothing begun"
        states = self.target.query("SELECT state, count(*) FROM cloudpg_migration.copy_table GROUP BY 1 ORDER BY 1")
        [(ranges,)] = self.target.query("SELECT count(*) FROM cloudpg_migration.copy_range")
        return ", ".join([f"{count} {state}" for state, count in states] + ([f"{ranges} ranges"] if ranges else []))

    def in_step(self, seconds: float = 60.0) -> None:
        """Wait until all that the source has flushed is flushed on the target."""
        self.source.query("SELECT pg_logical_emit_message(true, 'chaos', '')")
        [(position,)] = self.source.query("SELECT pg_current_wal_flush_lsn()::text")
        eventually(lambda: self.source.query(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", [position, SLOT]
        ) == [(True,)], "the target in step", seconds)

    def write_inventory(self, **variables: Any) -> None:
        """The inventory of the one migration."""
        inventory = self.directory / "inventory"
        inventory.mkdir(exist_ok=True)
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        path = inventory / "hosts.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({"migrations": {"vars": local, "hosts": {NAME: {
            "migration_path": "logical", "migration_approved": [NAME], "migration_databases": [DATABASE],
            "migration_source": {"postgres": self.source.address()},
            "migration_target": {"postgres": self.target.address()},
            "migration_build_timeout": 200, "logical_max_jobs": JOBS, "logical_split_above": SPLIT_ABOVE,
            # Before 16 the login may make no subscription on the source.
            "logical_bindir": self.target.bindir, "logical_way_back": self.source.major >= 16, **variables,
        }}}}), encoding="utf-8")

    def past_the_fence(self, *statements: str) -> None:
        """Statements on the target while it is closed, as its superuser."""
        with closing(self.target.server.connect(DATABASE)) as connection, connection.cursor() as cursor:
            for statement in ("SET default_transaction_read_only = off", *statements):
                cursor.execute(statement)

    def lay_way(self, **variables: Any) -> None:
        """Let the target come to the source by a way that can be lost, and say so in the inventory."""
        where = self.source.address()
        self.way = Way(GROUND.address(), lambda: (where["host"], where["port"]))
        host, port = self.way.server_address
        self.write_inventory(logical_connection={"host": host, "port": port}, **variables)

    def close(self) -> None:
        if self.way:
            self.way.close()
        for module in self.modules:
            if module.running():
                module.kill()
        for run in self.runs:
            run.kill_all()
        self.load.stop()


def _make_database(server: Server) -> None:
    server.query(f"CREATE DATABASE {DATABASE} OWNER owner")
    server.query(f"GRANT CREATE ON DATABASE {DATABASE} TO migration")


@contextmanager
def moving(
    majors: tuple[int, int], *, tables: str = TABLES, source_settings: dict[str, str] | None = None, **variables: Any
) -> Iterator[Pair]:
    """A pair with writers under way and nothing built; everything is gone afterwards."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="cloudpg-chaos-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)
        made: list[Server] = []
        stack.callback(lambda: [server.discard() for server in reversed(made)])
        sides = []
        for name, major, settings in (("source", majors[0], source_settings or {}), ("target", majors[1], {})):
            server = GROUND.server(name, major, made, **settings)
            _make_database(server)
            sides.append(Side(server, DATABASE))
        pair = Pair(directory, sides[0], sides[1], Load(sides[0], directory / "load", RATE))
        stack.callback(pair.close)
        pair.load.init()
        pair.source.run(tables)
        pair.load.start()
        pair.load.await_commits()
        pair.write_inventory(**variables)
        yield pair


__all__ = ["DATABASE", "GROUND", "MADE", "NAME", "SLOT", "WRONG", "Module", "Pair", "moving"]
