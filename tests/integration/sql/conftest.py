# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers of three majors with an owner and a migration login, neither of them superuser; pairs of fresh databases."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloudpg_sandbox.installations import Account, Installations
from cloudpg_sandbox.registry import Registry, start_watchdog
from cloudpg_sandbox.serve import take_network
from cloudpg_sandbox.servers import Server

from .. import forked
from ..forked import RunningModule
from .sql_stand import SECRET, WITH_TLS, Side, drop_database, start_server


@pytest.fixture(scope="session")
def pg_home() -> Iterator[Path]:
    """A directory the servers' account can reach; what runs in it ends with this process, however that ends."""
    directory = Path(tempfile.mkdtemp(prefix="cloudpg-sql-test-"))
    directory.chmod(0o755)
    pipe = start_watchdog(str(directory / "registry"))
    yield directory
    os.close(pipe)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """The first two octets of addresses that nobody else on this machine has, another worker or checkout neither."""
    octets, holder = take_network("auto")
    yield octets
    holder.close()


@pytest.fixture(scope="session")
def installations(pg_home: Path) -> Installations:
    return Installations(str(pg_home / "cache"), Account.for_servers())


@pytest.fixture(scope="session")
def new_server(pg_home: Path, network: str, installations: Installations) -> Iterator[Callable[..., Server]]:
    """new_server(name, major, **settings): a running server of the test's own, gone at the end of the session."""
    registry = Registry(str(pg_home / "registry"))
    made: list[Server] = []

    def make(name: str, major: int, **settings: str) -> Server:
        if major not in installations.all():
            pytest.skip(f"no PostgreSQL {major} here")
        place = f"{network}.0.{len(made) + 10}"
        server = start_server(name, major, place, pg_home / name, installations, registry, settings, made.append)
        if server.installation.major == WITH_TLS:
            shutil.copy(f"{server.directory}/server.crt", pg_home / f"{name}.crt")
        return server

    yield make
    for server in reversed(made):
        server.discard()


@pytest.fixture(scope="session")
def server_of(new_server: Callable[..., Server]) -> Callable[[int], Server]:
    """server_of(major): the session's shared server of a major, started when first asked for."""
    running: dict[int, Server] = {}

    def get(major: int) -> Server:
        if major not in running:
            running[major] = new_server(f"pg{major}", major)
        return running[major]

    return get


@pytest.fixture(scope="session")
def side_of(pg_home: Path) -> Callable[[Server, str], Side]:
    """side_of(server, database): a database that the test has made itself, as a Side."""

    def get(server: Server, database: str) -> Side:
        certificate = pg_home / f"{server.identifier}.crt"
        return Side(server, database, str(certificate) if certificate.exists() else None)

    return get


@pytest.fixture
def pair(server_of, side_of) -> Iterator[Callable[..., tuple[Side, Side]]]:
    """pair(source_major, target_major): two empty databases of one new name, owned by ``owner``."""
    made: list[tuple[Server, str]] = []

    def make(source_major: int, target_major: int, name: str | None = None) -> tuple[Side, Side]:
        name = name or f"t{secrets.token_hex(4)}"
        if source_major == target_major:
            raise ValueError("the two databases have one name: two servers are needed")
        sides = []
        for server in (server_of(source_major), server_of(target_major)):
            server.query(f'CREATE DATABASE "{name}" OWNER owner')
            made.append((server, name))
            sides.append(side_of(server, name))
        return sides[0], sides[1]

    yield make
    # The subscriber's side first: its workers hold the slots of the other.
    for server, name in reversed(made):
        drop_database(server, name)


@pytest.fixture(scope="session")
def run_module() -> Callable[..., dict[str, Any]]:
    """run_module(name, args, check=False, diff=False): the module's result, in which no secret may be."""

    def run(name: str, args: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
        return forked.start(name, args, check, diff, secret=SECRET).result()

    return run


@pytest.fixture
def begin_module() -> Callable[..., RunningModule]:
    """begin_module(name, args): the module in a process of its own, to be disturbed while it works."""
    return partial(forked.start, secret=SECRET)
