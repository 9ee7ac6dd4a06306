# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers for the ledger."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloudpg_sandbox.installations import Account, Installations
from cloudpg_sandbox.registry import Registry, start_watchdog
from cloudpg_sandbox.serve import take_network
from cloudpg_sandbox.servers import Server

from .live_ledger import SECRET, Ledger


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """The first two octets of addresses that nobody else on this machine has, another worker or checkout neither."""
    octets, holder = take_network("auto")
    yield octets
    holder.close()


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A directory the servers' account can reach; what runs in it ends with this process, however that ends."""
    directory = Path(tempfile.mkdtemp(prefix="ledger-test-"))
    directory.chmod(0o755)
    pipe = start_watchdog(str(directory / "registry"))
    yield directory
    os.close(pipe)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def installations(home: Path) -> Installations:
    return Installations(str(home / "cache"), Account.for_servers())


@pytest.fixture(scope="session")
def new_server(home: Path, network: str, installations: Installations) -> Iterator[Callable[[str], Server]]:
    """Makes a server on an address of its own, neither initialized nor started."""
    registry = Registry(str(home / "registry"))
    made: list[Server] = []

    def make(name: str) -> Server:
        address = f"{network}.0.{len(made) + 10}"
        directory = str(home / name)
        server = Server(name, address, 5432, directory, installations.get(16), installations.account, registry)
        server.access = ["127.0.0.1/32"]
        made.append(server)
        return server

    yield make
    for server in made:
        server.discard()


@pytest.fixture(scope="session")
def source(new_server: Callable[[str], Server], installations: Installations) -> Server:
    """A running server with the login `app`."""
    server = new_server("source")
    server.initialize(installations)
    server.start()
    server.query(f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'")
    return server


@pytest.fixture(scope="session")
def passfile(home: Path) -> Path:
    path = home / "passfile"
    path.touch(mode=0o600)
    path.write_text(f"*:*:*:app:{SECRET}\n", encoding="utf-8")
    return path


@pytest.fixture
def ledger(tmp_path: Path, passfile: Path) -> Ledger:
    return Ledger(tmp_path / "journal", passfile)


@pytest.fixture
def dsn(source: Server, ledger: Ledger, tmp_path: Path) -> str:
    """The address of a database of the test's own, with the ledger's schema in it."""
    name = "".join(letter for letter in tmp_path.name if letter.isalnum()).lower()
    source.query(f"CREATE DATABASE {name} OWNER app")
    address = ledger.dsn(source, name)
    ledger.init(address)
    return address


@pytest.fixture
def standby(source: Server, new_server: Callable[[str], Server], dsn: str, tmp_path: Path) -> Iterator[Server]:
    """A streaming standby of the source."""
    server = new_server(f"standby-{tmp_path.name.replace('_', '-')}")
    server.clone(source, "standby")
    server.start()
    yield server
    server.discard()
    source.drop_slot("standby")
    source.allow(["127.0.0.1/32"])
