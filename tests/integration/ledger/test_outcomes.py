# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a transaction's end is told apart: acknowledged, certainly not committed, or in doubt."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from cloudpg_ledger.connection import connect
from cloudpg_ledger.journal import ACKED, DOUBT, FAILED
from cloudpg_ledger.workload import Entries, Write
from cloudpg_ledger.writers import perform
from cloudpg_sandbox.servers import Server
from psycopg2.extensions import connection

from .live_ledger import SECRET

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Relay(threading.Thread):
    """A wire between client and server that is cut at COMMIT: before it is passed on, or before its answer is."""

    def __init__(self, server: Server, passes_commit: bool) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server = socket.create_connection((server.address, server.port))
        self._passes_commit = passes_commit
        self._cut = False

    def run(self) -> None:
        client, _address = self._listener.accept()
        answers = threading.Thread(target=self._pass_answers_on, args=(client,), daemon=True)
        answers.start()
        with client, self._server, self._listener:
            while (data := client.recv(65536)) != COMMIT:
                self._server.sendall(data)
            self._cut = True
            if self._passes_commit:
                self._server.sendall(data)
            else:
                self._server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _pass_answers_on(self, client: socket.socket) -> None:
        while (data := self._server.recv(65536)) and not self._cut:
            client.sendall(data)


@pytest.fixture
def conn(dsn: str) -> Iterator[connection]:
    conn = connect(dsn)
    yield conn
    conn.close()


def entries(conn: connection) -> int:
    with conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM ledger.entries")
        return cur.fetchone()[0]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_the_server_committed_is_acknowledged(conn: connection, source: Server, asynchronous: bool) -> None:
    outcome = perform(conn, Entries().next("w", 1), asynchronous=asynchronous)

    assert (outcome.outcome, outcome.server, entries(conn)) == (ACKED, source.address, 1)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT 1/0, 1", "22012"),
        ("SELECT host(inet_server_addr()) WHERE false", "row missing"),
        ("SELECT host(inet_server_addr()) FROM generate_series(1, 2)", "row doubled"),
    ],
)
def test_what_breaks_before_commit_is_certainly_not_committed(conn: connection, sql: str, error: str) -> None:
    write = Write("entry", f"INSERT INTO ledger.entries (writer, seq, body) VALUES ('w', 1, ''); {sql}", {})

    outcome = perform(conn, write)

    assert (outcome.outcome, outcome.error, entries(conn)) == (FAILED, error, 0)
    assert perform(conn, Entries().next("w", 2)).outcome == ACKED


def test_a_session_ended_before_commit_has_certainly_not_committed(dsn: str, conn: connection) -> None:
    sql = "INSERT INTO ledger.entries (writer, seq, body) VALUES ('w', 1, ''); SELECT pg_terminate_backend({})"
    victim = connect(dsn)

    outcome = perform(victim, Write("entry", sql.format(victim.info.backend_pid), {}))

    assert (outcome.outcome, bool(victim.closed), entries(conn)) == (FAILED, True, 0)


def test_a_commit_that_the_server_refuses_is_certainly_not_committed(conn: connection) -> None:
    with conn.cursor() as cur:
        cur.execute("CREATE TABLE late (one integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    write = Write("entry", "INSERT INTO late VALUES (1), (1); SELECT host(inet_server_addr())", {})

    outcome = perform(conn, write)

    assert (outcome.outcome, outcome.error) == (FAILED, "23505")
    assert perform(conn, Entries().next("w", 1)).outcome == ACKED


@pytest.mark.parametrize("arrived", [True, False])
def test_a_commit_without_an_answer_is_in_doubt(source: Server, dsn: str, conn: connection, arrived: bool) -> None:
    relay = Relay(source, passes_commit=arrived)
    relay.start()
    cut_off = connect(f"{dsn} host=127.0.0.1 port={relay.port} sslmode=disable")

    outcome = perform(cut_off, Entries().next("w", 1))
    relay.join()

    assert (outcome.outcome, bool(cut_off.closed)) == (DOUBT, True)
    assert entries(conn) == int(arrived)
    assert SECRET not in str(outcome)
