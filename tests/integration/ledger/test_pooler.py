# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writers behind a real PgBouncer, while it is led to another server."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cloudpg_sandbox.servers import Server
from pooler import ADMIN, Pooler

from .live_ledger import SECRET, Ledger, drained, eventually, wrong


@pytest.fixture
def pooler(dsn: str, network: str) -> Iterator[Pooler]:
    """PgBouncer in front of the test's database, as `shop`."""
    with tempfile.TemporaryDirectory(prefix="pooler-test-") as directory:
        Path(directory).chmod(0o711)
        pooler = Pooler(Path(directory, "pooler"), f"{network}.0.2")
        words = dict(word.split("=") for word in dsn.split())
        target = f"host={words['host']} port={words['port']} dbname={words['dbname']}"
        pooler.start({"shop": target}, {"app": SECRET, ADMIN: SECRET})
        yield pooler
        pooler.stop()


@pytest.fixture
def console(pooler: Pooler) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Runs a command on the admin console."""
    conn = psycopg2.connect(host=pooler.address, port=pooler.port, user=ADMIN, password=SECRET, dbname="pgbouncer")
    conn.autocommit = True

    def run(command: str) -> list[tuple[Any, ...]]:
        with conn.cursor() as cur:
            cur.execute(command)
            return cur.fetchall() if cur.description else []

    yield run
    conn.close()


def test_r32_clients_see_a_pause_and_no_error(
    ledger: Ledger,
    source: Server,
    standby: Server,
    pooler: Pooler,
    console: Callable[[str], list[tuple[Any, ...]]],
    dsn: str,
) -> None:
    route = f"pooler=host={pooler.address} port={pooler.port} user=app dbname=shop passfile={ledger.passfile}"
    writers = ledger.start("--route", route, "--rate", "200")
    eventually(lambda: ledger.acked(source) > 100, "writes before")
    console("PAUSE shop")
    source.allow([])
    source.restart()
    eventually(lambda: drained(source, standby), "the drain")
    standby.promote()
    pooler.config.write_text(pooler.config.read_text().replace(source.address, standby.address))
    console("RELOAD")
    console("RESUME shop")
    eventually(lambda: ledger.acked(standby) > 100, "writes after")
    writers.send_signal(signal.SIGTERM)
    assert writers.wait(20) == 0
    source.allow(["127.0.0.1/32"])

    code, told = ledger.verify(dsn.replace(source.address, standby.address), "--source", dsn)

    assert (code, wrong(told)) == (0, {}), told["findings"]
    assert (told["failed"], told["in_doubt"]) == (0, 0)
    assert pooler.leads_to("shop") == standby.address
    assert told["outage"]["recovered"]


def test_a_pooler_that_dies_leaves_nothing_uncertain_but_what_it_was_asked_to_commit(
    ledger: Ledger, source: Server, pooler: Pooler, dsn: str
) -> None:
    route = f"pooler=host={pooler.address} port={pooler.port} user=app dbname=shop passfile={ledger.passfile}"
    writers = ledger.start("--route", route, "--rate", "400", "--writers", "8")
    eventually(lambda: ledger.acked(source) > 100, "writes")
    pooler.stop()
    writers.send_signal(signal.SIGTERM)
    assert writers.wait(20) == 0

    code, told = ledger.verify(dsn)

    assert (code, wrong(told)) == (0, {}), told["findings"]
    assert told["in_doubt"] <= 8
