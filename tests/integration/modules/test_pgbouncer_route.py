# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PgBouncer between real clients and two real servers: held, led elsewhere, let go (R32)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until
from pooler import ADMIN, Pooler

from ansible_collections.cloudpg.migration.plugins.module_utils._traffic import pgbouncer

from .conftest import PASSWORD, USER, Cloud, start_module

ADDRESS = "127.94.0.2"
ADMIN_PASSWORD = "a-long-password-of-the-console-0815"
WHERE = "SELECT host(inet_server_addr())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


@contextmanager
def swallowing(word: bytes, port: int) -> Iterator[int]:
    """A way to the console on which a statement gets lost, for ever."""
    with socket.create_server((ADDRESS, 0)) as door:

        def relay(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while (chunk := source.recv(65536)) and word not in chunk:
                    sink.sendall(chunk)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, server = door.accept()[0], socket.create_connection((ADDRESS, port))
                    for ends in ((client, server), (server, client)):
                        threading.Thread(target=relay, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)


class Stand:
    """A PgBouncer that leads `shop`, `crm` and `web` to a server, and its clients."""

    # A port on which something listens and never answers.
    silent = 0

    def __init__(self, directory: Path, servers: tuple[str, str], environment: dict[str, str]) -> None:
        self.old, self.new = servers
        self.environment = environment
        self.pooler = Pooler(directory / "pooler", ADDRESS, free_port())
        to = f"host={self.old} dbname=shop"
        self.pooler.start(
            {"shop": to, "crm": f"{to} connect_query='SELECT 1'", "web": f"{to} pool_mode=session"},
            {USER: PASSWORD, ADMIN: ADMIN_PASSWORD, "stranger": ADMIN_PASSWORD},
        )
        self.config = self.pooler.config

    def admin(self, **changes: Any) -> dict[str, Any]:
        address = {"host": ADDRESS, "port": self.pooler.port, "user": ADMIN, "password": ADMIN_PASSWORD}
        return {**address, **changes}

    def run(self, state: str | None, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        """A module's result, in which no password may be; without a state it is the one that only looks."""
        given = {"admin": self.admin(), "databases": ["shop"], **options}
        name = "pgbouncer_route" if state else "pgbouncer_route_info"
        if state:
            given = {"state": state, **given}
        if state == "routed":
            given = {"config": str(self.config), "host": self.new, **given}
        result = start_module(name, given, self.environment, check, diff).result()
        assert not [word for word in (ADMIN_PASSWORD, PASSWORD, "wrong-password") if word in json.dumps(result)]
        return result

    def console(self, statement: str) -> list[dict[str, Any]]:
        connection = psycopg2.connect(**self.admin(), dbname="pgbouncer")
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                names = [column.name for column in cursor.description or ()]
                return [dict(zip(names, row)) for row in cursor.fetchall()] if names else []
        finally:
            connection.close()

    def state(self, name: str = "shop") -> tuple[str, bool]:
        """Where the running pooler leads a database, and whether it is paused."""
        [row] = [row for row in self.console("SHOW DATABASES") if row["name"] == name]
        return row["host"], bool(row["paused"])

    @contextmanager
    def client(self, name: str = "shop") -> Iterator[Any]:
        """A client's cursor; every statement is a transaction."""
        connection = psycopg2.connect(
            host=ADDRESS, port=self.pooler.port, user=USER, password=PASSWORD, dbname=name, connect_timeout=10
        )
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    @contextmanager
    def transaction(self, name: str = "shop") -> Iterator[Any]:
        """A client that has begun and doesn't end."""
        with self.client(name) as cursor:
            cursor.execute("BEGIN")
            cursor.execute(WHERE)
            yield cursor
            cursor.execute("COMMIT")

    def serves(self, name: str = "shop") -> str:
        """The server that a new client's statement reaches."""
        with self.client(name) as cursor:
            return ask(cursor)

    def waiting(self, name: str = "shop") -> int:
        return sum(row["cl_waiting"] for row in self.console("SHOW POOLS") if row["database"] == name)

    def hurry(self, **settings: int) -> None:
        """Change settings of the running pooler."""
        for name, value in settings.items():
            self.console(f"SET {name} = {value}")

    def leave_pause_waiting(self, name: str) -> None:
        """What a run that was killed during PAUSE leaves behind."""
        connection = psycopg2.connect(**self.admin(), dbname="pgbouncer", async_=True)
        psycopg2.extras.wait_select(connection)
        connection.cursor().execute(f"PAUSE {name}")
        wait_until(lambda: self.state(name)[1])
        connection.close()


def ask(cursor: Any) -> str:
    cursor.execute(WHERE)
    return cursor.fetchone()[0]


@pytest.fixture(scope="module")
def servers(cloud: Cloud) -> Iterator[tuple[str, str]]:
    """The addresses of two servers, each with a database `shop`."""
    names = [cloud.name("pooled"), cloud.name("pooled")]
    yield tuple(cloud.create_instance(name)["Endpoint"]["Address"] for name in names)
    for name in names:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@pytest.fixture
def stand(servers: tuple[str, str], sandbox: Sandbox) -> Iterator[Stand]:
    directory = Path(tempfile.mkdtemp(prefix="cloudpg-pooler-"))
    directory.chmod(0o711)
    made = Stand(directory, servers, sandbox.env)
    yield made
    made.pooler.stop()
    shutil.rmtree(directory)


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., Future[Any]]]:
    """Begin something that takes as long as it takes."""
    with ThreadPoolExecutor(4) as threads:
        yield threads.submit


# Held, led, let go

def test_r32_clients_are_held_led_and_let_go_and_a_second_run_changes_nothing(stand: Stand) -> None:
    assert stand.serves() == stand.old
    for state, expected, sentences in (
        ("paused", (stand.old, True), ["hold the clients of shop"]),
        ("resumed", (stand.old, False), ["let the clients of shop go on"]),
        ("paused", (stand.old, True), ["hold the clients of shop"]),
        ("routed", (stand.new, False), [
            f"lead shop to {stand.new}:5432", "have PgBouncer read its configuration again",
            "let the clients of shop go on",
        ]),
    ):
        first = stand.run(state)
        assert (first["changed"], first["actions"]) == (True, sentences)
        assert stand.state() == expected
        again = stand.run(state)
        assert (again["changed"], again["actions"]) == (False, [])
        assert again["diff"]["before"] == again["diff"]["after"] == first["diff"]["after"]
        assert stand.state() == expected
    assert stand.serves() == stand.new
    assert (stand.pooler.leads_to("shop"), stand.pooler.leads_to("crm")) == (stand.new, stand.old)
    assert stand.state("crm") == (stand.old, False)


def test_r32_clients_that_run_are_led_too_without_a_pause(stand: Stand) -> None:
    with stand.client() as cursor, stand.transaction() as busy:
        assert ask(cursor) == stand.old
        result = stand.run("routed")
        assert [action.split()[0] for action in result["actions"]] == ["lead", "have"]
        assert (ask(cursor), ask(busy)) == (stand.new, stand.old)


def test_without_names_all_databases_are_meant(stand: Stand) -> None:
    stand.run("paused", databases=[])
    assert [stand.state(name)[1] for name in ("shop", "crm", "web")] == [True, True, True]
    stand.run("routed", databases=[])
    assert [stand.state(name) for name in ("shop", "crm", "web")] == [(stand.new, False)] * 3


@pytest.mark.parametrize("state, held, after", [
    ("paused", False, {"paused": True}), ("resumed", True, {"paused": False}), ("routed", True, {"paused": False}),
])
def test_check_mode_says_what_would_be_and_touches_nothing(
    stand: Stand, state: str, held: bool, after: dict[str, Any]
) -> None:
    if held:
        stand.run("paused")
    before, text, file = stand.console("SHOW DATABASES"), stand.config.read_bytes(), os.stat(stand.config)
    planned = stand.run(state, check=True, diff=True)
    assert (stand.console("SHOW DATABASES"), stand.config.read_bytes()) == (before, text)
    assert (os.stat(stand.config).st_ino, os.stat(stand.config).st_mtime_ns) == (file.st_ino, file.st_mtime_ns)
    assert planned["diff"]["before"]["shop"] == {"host": stand.old, "port": 5432, "paused": held, "draining": False}
    assert planned["diff"]["after"]["shop"] == {
        "host": stand.new if state == "routed" else stand.old, "port": 5432, "draining": False, **after,
    }
    done = stand.run(state)
    assert {key: done[key] for key in ("changed", "actions", "diff")} == {
        key: planned[key] for key in ("changed", "actions", "diff")
    }


def test_check_mode_plans_for_a_server_that_is_not_there_yet(stand: Stand) -> None:
    planned = stand.run("routed", check=True, host=None)
    assert planned["actions"][0] == "lead shop to (not known yet):5432"


@pytest.mark.parametrize("state, expected", [("routed", "new"), ("resumed", "old")])
def test_r32_a_client_that_waits_through_the_pause_sees_no_error(
    stand: Stand, meanwhile: Callable[..., Future[Any]], state: str, expected: str
) -> None:
    with stand.client() as cursor:
        assert ask(cursor) == stand.old
        stand.run("paused")
        answer, newcomer = meanwhile(ask, cursor), meanwhile(stand.serves)
        wait_until(lambda: stand.waiting() == 2)
        assert not answer.done()
        stand.run(state)
        assert (answer.result(10), newcomer.result(10)) == (getattr(stand, expected),) * 2


# A transaction that doesn't end

def test_r32_a_pause_that_takes_too_long_is_taken_back(stand: Stand) -> None:
    with stand.transaction(), stand.client("crm") as other:
        assert ask(other) == stand.old
        result = stand.run("paused", databases=["crm", "shop"], pause_timeout=1)
        assert result["failed"]
        for word in ("shop", "within 1 s", "a transaction is still running", "pause was taken back", "pause_timeout"):
            assert word in result["msg"]
        assert (stand.state("shop"), stand.state("crm")) == ((stand.old, False), (stand.old, False))
        assert (stand.serves(), ask(other)) == (stand.old, stand.old)
    assert stand.run("paused", databases=["crm", "shop"])["changed"]


def test_r32_in_session_mode_one_idle_client_is_enough(stand: Stand) -> None:
    with stand.client("web") as cursor:
        assert ask(cursor) == stand.old
        result = stand.run("paused", databases=["web"], pause_timeout=1)
        assert "in session mode a client is still there. The pause was taken back." in result["msg"]
        assert ask(cursor) == stand.old


def test_r32_a_transaction_that_ends_in_time_is_waited_for(
    stand: Stand, meanwhile: Callable[..., Future[Any]]
) -> None:
    with stand.transaction():
        paused = meanwhile(stand.run, "paused", pause_timeout=20)
        wait_until(lambda: stand.state()[1])
        assert not paused.done()
    assert paused.result(20)["changed"]
    assert stand.state() == (stand.old, True)


def test_r32_a_pause_that_a_killed_run_left_waiting_is_not_taken_for_held(stand: Stand) -> None:
    with stand.transaction():
        stand.leave_pause_waiting("shop")
        planned = stand.run("paused", check=True)
        assert planned["actions"] == ["hold the clients of shop"]
        assert planned["diff"]["before"]["shop"]["draining"] is True
        assert "a transaction is still running" in stand.run("paused", pause_timeout=1)["msg"]
        assert stand.state() == (stand.old, False)
        stand.leave_pause_waiting("shop")
    assert wait_until(lambda: not stand.run("paused", check=True)["changed"])


# What is refused, and how it is said

REFUSALS: list[tuple[str, str, Callable[[Stand], dict[str, Any]], list[str]]] = [
    ("unknown database", "paused", lambda stand: {"databases": ["nowhere"]},
     ["no database nowhere", "crm, shop, web", "Correct `databases`", "nothing was changed"]),
    ("no host", "routed", lambda stand: {"host": None}, ["host is empty", "Cure: name the server"]),
    ("no file", "routed", lambda stand: {"config": "/nowhere/pgbouncer.ini"},
     ["config: /nowhere/pgbouncer.ini can't be read: No such file", "Cure: name PgBouncer's own file", "Nothing was"]),
    ("a directory", "routed", lambda stand: {"config": str(stand.config.parent)},
     [f"config: {os.sep}", "can't be read: Is a directory", "Cure:"]),
    ("wrong password", "paused", lambda stand: {"admin": stand.admin(password="wrong-password")},
     ["can't be reached", "SASL authentication failed", "Cure: correct `admin`"]),
    ("no admin", "paused", lambda stand: {"admin": stand.admin(user="stranger")},
     ["can't be reached", "not allowed", "name its user in admin_users"]),
    ("no console", "paused", lambda stand: {"admin": stand.admin(port=free_port())},
     [f"PgBouncer {ADDRESS}:", "can't be reached", "Connection refused", "Cure: correct `admin`"]),
    ("silent console", "paused", lambda stand: {"admin": stand.admin(port=stand.silent, connect_timeout=1)},
     ["gave no answer within 1 s (connecting)", "Cure: see that it runs and that `admin` leads to it"]),
    ("no console named", "paused", lambda stand: {"admin": stand.admin(host=None)}, ["admin.host is empty. Cure:"]),
]


@pytest.mark.parametrize("state, wrong, words", [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_what_cannot_be_is_refused_with_option_and_cure(
    stand: Stand, state: str, wrong: Callable[[Stand], dict[str, Any]], words: list[str]
) -> None:
    with socket.create_server((ADDRESS, 0)) as silent:
        stand.silent = silent.getsockname()[1]
        text = stand.config.read_bytes()
        result = stand.run(state, **wrong(stand))
        assert result["failed"]
        assert [word for word in words if word not in result["msg"]] == [], result["msg"]
        assert (stand.config.read_bytes(), stand.state()) == (text, (stand.old, False))


def test_an_entry_from_an_included_file_is_refused(stand: Stand) -> None:
    included = stand.config.with_name("more.ini")
    included.write_text(f"far = host={stand.old} dbname=shop\n")
    included.chmod(0o644)
    text = stand.config.read_text().replace("[databases]\n", f"[databases]\n%include {included}\n")
    stand.config.write_text(text)
    stand.console("RELOAD")
    result = stand.run("routed", databases=["shop", "far"])
    for word in ("no entry for far", "give it one of its own", "not by %include", "nothing was changed"):
        assert word in result["msg"]
    assert stand.config.read_text() == text
    assert stand.state("far") == stand.state() == (stand.old, False)


def test_a_pooler_that_somebody_else_holds_is_not_taken_for_held(stand: Stand) -> None:
    stand.console("PAUSE")
    result = stand.run("paused")
    assert "refused PAUSE" in result["msg"] and "already suspended/paused" in result["msg"]
    assert "nobody else may hold the pooler" in result["msg"]
    stand.console("RESUME")
    assert stand.serves() == stand.old


def test_a_file_that_is_not_the_pooler_s_own_lets_nobody_go(stand: Stand) -> None:
    other = stand.config.with_name("copy.ini")
    shutil.copy(stand.config, other)
    stand.run("paused")
    result = stand.run("routed", config=str(other))
    assert f"still leads shop to {stand.old}:5432 after RELOAD" in result["msg"]
    assert f"It reads {stand.config}, and {other} (config) was written. Cure:" in result["msg"]
    assert stand.state() == (stand.old, True)
    assert stand.run("routed")["changed"]
    assert stand.serves() == stand.new


# The file

def test_the_file_keeps_owner_mode_and_every_other_byte(stand: Stand) -> None:
    text = b";; caf\xe9 \xff\r\n" + stand.config.read_bytes()
    real = stand.config.with_name("real.ini")
    real.write_bytes(text)
    real.chmod(0o640)
    os.chown(real, os.stat(stand.config).st_uid, os.stat(stand.config).st_gid)
    owner = os.stat(real).st_uid, os.stat(real).st_gid
    stand.config.unlink()
    stand.config.symlink_to(real.name)
    assert stand.run("routed", port=5432)["changed"]
    old, new = f"shop = host={stand.old} dbname=shop", f"shop = port=5432 host={stand.new} dbname=shop"
    assert real.read_bytes() == text.replace(old.encode(), new.encode())
    assert stand.config.is_symlink()
    facts = os.stat(real)
    assert (facts.st_mode & 0o7777, (facts.st_uid, facts.st_gid)) == (0o640, owner)
    assert [path.name for path in real.parent.iterdir() if path.name.startswith((".ansible", "tmp"))] == []


def test_a_run_that_was_killed_between_writing_and_reload_goes_on(stand: Stand) -> None:
    stand.run("paused")
    with swallowing(b"RELOAD", stand.pooler.port) as port:
        killed = start_module("pgbouncer_route", {
            "state": "routed", "admin": stand.admin(port=port), "databases": ["shop"], "config": str(stand.config),
            "host": stand.new,
        }, stand.environment)
        wait_until(lambda: stand.pooler.leads_to("shop") == stand.new)
        killed.send(signal.SIGKILL)
        os.waitpid(killed.pid, 0)
        os.close(killed.output)
    assert stand.state() == (stand.old, True)
    result = stand.run("routed")
    assert result["actions"] == ["have PgBouncer read its configuration again", "let the clients of shop go on"]
    assert (stand.state(), stand.serves()) == ((stand.new, False), stand.new)


def test_a_run_that_died_between_reload_and_resume_goes_on(stand: Stand) -> None:
    stand.run("routed")
    stand.run("paused")
    assert stand.run("routed")["actions"] == ["let the clients of shop go on"]
    assert stand.serves() == stand.new


# What the other module reads

def test_routes_are_told_as_they_are(stand: Stand) -> None:
    stand.run("paused", databases=["crm"])
    told = stand.run(None, databases=[])
    assert (told["changed"], told["name"]) == (False, f"{ADDRESS}:{stand.pooler.port}")
    to = {"host": stand.old, "port": 5432, "pool_mode": "transaction", "paused": False}
    assert told["routes"] == {"shop": to, "crm": {**to, "paused": True}, "web": {**to, "pool_mode": "session"}}
    assert list(stand.run(None)["routes"]) == ["shop"]
    assert "no database nowhere" in stand.run(None, databases=["nowhere"])["msg"]


def test_r32_what_keeps_it_from_holding_clients_is_found(stand: Stand) -> None:
    stand.hurry(query_wait_timeout=50, client_login_timeout=70)

    def found(outage: int, database: str = "shop") -> list[tuple[str, str]]:
        told = stand.run(None, databases=[database], max_outage=outage)
        return [(one["id"], one["severity"]) for one in told["findings"]]

    assert found(49) == []
    assert found(50) == [("pooler-gives-up-early", "warning")]
    assert found(49, "web") == [("pooler-session-mode", "blocker")]


def test_s8_connected_clients_follow_the_login_of_their_entry_and_those_that_cannot_are_found(stand: Stand) -> None:
    first, second = f"{USER}.b1", f"{USER}.b2"
    with stand.client() as cursor:
        for login in (first, second):
            cursor.execute(f"""DROP ROLE IF EXISTS "{login}"; CREATE ROLE "{login}" LOGIN PASSWORD '{PASSWORD}'""")
            stand.pooler.know(login, PASSWORD)

    def lead(user: str) -> None:
        stand.config.write_text(pgbouncer.reroute(stand.config.read_text(), ["shop"], stand.old, 5432, user))
        stand.console("RELOAD")

    def found() -> list[tuple[str, str]]:
        told = stand.run(None, user=second)
        return [(one["id"], one["severity"]) for one in told["findings"]]

    def who(cursor: Any) -> str:
        cursor.execute("SELECT session_user")
        return cursor.fetchone()[0]

    with stand.client() as early:
        assert (who(early), found()) == (USER, [("pooler-login", "blocker")])
        lead(first)
        with stand.client() as late:
            assert (who(early), who(late), found()) == (USER, first, [("pooler-login", "blocker")])
    with stand.client() as cursor:
        assert (who(cursor), wait_until(lambda: found() == [])) == (first, True)
        lead(second)
        assert (wait_until(lambda: who(cursor) == second), found()) == (True, [])


def test_r32_held_longer_than_query_wait_timeout_clients_are_thrown_out(
    stand: Stand, meanwhile: Callable[..., Future[Any]]
) -> None:
    stand.hurry(query_wait_timeout=1)
    with stand.client() as cursor:
        assert ask(cursor) == stand.old
        stand.run("paused")
        with pytest.raises(psycopg2.OperationalError, match="query_wait_timeout|server closed the connection"):
            meanwhile(ask, cursor).result(20)


def test_r32_the_first_client_of_a_pool_waits_no_longer_than_client_login_timeout(stand: Stand) -> None:
    stand.hurry(client_login_timeout=1)
    stand.run("paused")
    with pytest.raises(psycopg2.OperationalError, match="client_login_timeout"):
        stand.serves()


# Late

@pytest.mark.parametrize("state", ["paused", "resumed", "routed"])
def test_what_comes_after_the_lease_changes_nothing(stand: Stand, state: str) -> None:
    if state != "paused":
        stand.run("paused")
    before, text = stand.state(), stand.config.read_bytes()
    result = stand.run(state, not_after=time.time() - 1)
    assert result["failed"] and result["msg"].startswith("too late to ")
    assert (stand.state(), stand.config.read_bytes()) == (before, text)
    assert stand.run(state, not_after=time.time() + 50)["changed"]
