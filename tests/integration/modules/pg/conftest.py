# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A primary and its streaming standby, and the modules run against them as Ansible runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from cloudpg_sandbox.installations import Account, Installations
from cloudpg_sandbox.registry import Registry, start_watchdog
from cloudpg_sandbox.serve import take_network
from cloudpg_sandbox.servers import Server

CHECKOUT = Path(__file__).parents[4]
COLLECTIONS = CHECKOUT / "build" / "collections"
SECRET = "long-dummy-secret-of-the-logins"

LOGINS = f"""
    CREATE ROLE migration LOGIN PASSWORD '{SECRET}' IN ROLE rds_superuser;
    CREATE ROLE plain LOGIN PASSWORD '{SECRET}';
    CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{SECRET}';
    CREATE ROLE app LOGIN PASSWORD '{SECRET}';
"""


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """The first two octets of addresses that nobody else on this machine has, another worker or checkout neither."""
    octets, holder = take_network("auto")
    yield octets
    holder.close()


@pytest.fixture(scope="session")
def pg_home() -> Iterator[Path]:
    """A directory the servers' account can reach; what runs in it ends with this process, however that ends."""
    directory = Path(tempfile.mkdtemp(prefix="cloudpg-pg-test-"))
    directory.chmod(0o755)
    pipe = start_watchdog(str(directory / "registry"))
    yield directory
    os.close(pipe)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def installations(pg_home: Path) -> Installations:
    return Installations(str(pg_home / "cache"), Account.for_servers())


@pytest.fixture(scope="session")
def new_server(pg_home: Path, network: str, installations: Installations) -> Iterator[Callable[..., Server]]:
    """Makes a server, not started. What isn't committed synchronously stays unflushed in it for seconds (P17)."""
    registry = Registry(str(pg_home / "registry"))
    made: list[Server] = []

    def make(name: str, major: int = 16) -> Server:
        server = Server(
            name, f"{network}.0.{len(made) + 10}", 5432, str(pg_home / name), installations.get(major),
            installations.account, registry,
        )
        server.access = ["127.0.0.1/32"]
        server.settings = {
            "wal_level": "logical", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB",
            "max_prepared_transactions": "5", "autovacuum": "off",
        }
        made.append(server)
        return server

    yield make
    for server in reversed(made):
        server.discard()


def begin(server: Server, installations: Installations) -> Server:
    server.initialize(installations)
    server.start()
    server.query(LOGINS)
    return server


@pytest.fixture(scope="session")
def pair(new_server: Callable[..., Server], installations: Installations) -> tuple[Server, Server]:
    primary, standby = begin(new_server("primary"), installations), new_server("standby")
    standby.clone(primary, "standby_slot")
    standby.start()
    return primary, standby


@pytest.fixture
def other_major(request: pytest.FixtureRequest, new_server, installations: Installations) -> Iterator[Server]:
    """A server of the major the test asks for, where this machine has one."""
    if request.param not in installations.all():
        pytest.skip(f"no PostgreSQL {request.param} here")
    server = begin(new_server(f"major-{request.param}", request.param), installations)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def primary(pair: tuple[Server, Server]) -> Server:
    return pair[0]


@pytest.fixture(scope="session")
def standby(pair: tuple[Server, Server]) -> Server:
    return pair[1]


@pytest.fixture
def database(primary: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own."""
    name = f"t{crc32(request.node.nodeid.encode()):08x}"
    primary.query(f"CREATE DATABASE {name}")
    yield name
    for (gid,) in primary.query("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name]):
        primary.query("ROLLBACK PREPARED %s", [gid], dbname=name)
    for (subscription,) in primary.query(
        "SELECT quote_ident(subname) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = %s",
        [name],
    ):
        primary.query(f"ALTER SUBSCRIPTION {subscription} DISABLE", dbname=name)
        primary.query(f"ALTER SUBSCRIPTION {subscription} SET (slot_name = NONE)", dbname=name)
        primary.query(f"DROP SUBSCRIPTION {subscription}", dbname=name)
    primary.query(f"DROP DATABASE {name} WITH (FORCE)")


def address(server: Server, user: str = "migration", **more: Any) -> dict[str, Any]:
    """The address of a server as a playbook gives it."""
    return {"host": server.address, "port": server.port, "user": user, "password": SECRET, **more}


@pytest.fixture(scope="session")
def at() -> Callable[..., dict[str, Any]]:
    return address


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a module in a process of its own and returns its result, in which no secret may be."""

    def module(name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        given = tmp_path / "arguments.json"
        given.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}}))
        answer = subprocess.run(
            [sys.executable, str(CHECKOUT / "plugins" / "modules" / f"{name}.py"), str(given)],
            capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        )
        assert SECRET not in answer.stdout + answer.stderr
        assert answer.stdout, answer.stderr
        return json.loads(answer.stdout)

    return module


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """Runs one task by ansible itself, as an action plugin needs it; returns its result and what was printed."""

    def task(name: str, check: bool = False, **arguments: Any) -> tuple[dict[str, Any], str]:
        result = tmp_path / "result.json"
        result.unlink(missing_ok=True)
        book = [{
            "hosts": "localhost", "gather_facts": False, "connection": "local",
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                {"cloudpg.migration." + name: arguments, "register": "told", "ignore_errors": True},
                {"ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(result)}, "check_mode": False},
            ],
        }]
        (tmp_path / "play.yml").write_text(json.dumps(book))
        answer = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml", *(["--check"] if check else [])],
            capture_output=True, text=True, check=False, timeout=90, cwd=tmp_path,
            env={
                **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
            },
        )
        assert result.exists(), answer.stdout + answer.stderr
        assert SECRET not in answer.stdout + answer.stderr + result.read_text()
        return json.loads(result.read_text()), answer.stdout

    return task
