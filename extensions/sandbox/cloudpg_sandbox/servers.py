# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real PostgreSQL server: its directory, process, settings and access rules."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn

from .configuration import BASE_SETTINGS, conf_lines, hba_lines, not_lower
from .installations import RDS, Account, Installation, Installations
from .registry import Registry, start_time

# Also the name of the database the sandbox itself uses, as RDS does: whatever is done to the others, it stays open.
SUPERUSER = "rdsadmin"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


class ServerError(Exception):
    """A server didn't do what it was told; the message carries the end of its log."""


@dataclass(frozen=True)
class Upstream:
    """Where a standby takes its stream from: the source's socket directory and port, and the slot kept for it there."""

    server: Server
    slot: str


class Server:
    """A PostgreSQL server on its own loopback address; the sandbox itself talks to it over the Unix socket."""

    service = RDS
    # The database that the sandbox connects to where none is named.
    own_database = SUPERUSER

    def __init__(
        self, identifier: str, address: str, port: int, directory: str, installation: Installation,
        account: Account, registry: Registry,
    ) -> None:
        self.identifier = identifier
        self.address = address
        self.port = port
        self.directory = directory
        self.data_dir = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "postgresql.log")
        self.installation = installation
        self.account = account
        self.registry = registry
        self.extra_addresses: list[str] = []
        self.settings: dict[str, str] = {}
        self.access: list[str] = []
        self.upstream: Upstream | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    # -- the directory ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the server's own directory; the socket in it is the sandbox's private door."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self.account.own(self.directory)

    def initialize(self, installations: Installations) -> None:
        """A fresh data directory from the major's template."""
        self.prepare()
        self.copy_from(installations.template(self.installation.major, self.service))

    def copy_from(self, data_dir: str) -> None:
        """Take over a copy of a stopped server's data directory."""
        self.prepare()
        subprocess.run(["cp", "-a", "--reflink=auto", data_dir, self.data_dir], check=True, capture_output=True)

    def clone(self, source: Server, slot: str | None) -> None:
        """A base backup of a running server; with a slot it becomes its streaming standby."""
        self.prepare()
        command = [
            self.installation.program("pg_basebackup"), "-D", self.data_dir, "-h", source.directory,
            "-p", str(source.port), "-U", SUPERUSER, "--checkpoint=fast", "--no-sync", "--wal-method=stream",
        ]
        if slot:
            source.ensure_slot(slot)
            command += ["--slot", slot]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", **self.account.popen_options()
        )
        if answer.returncode != 0:
            raise ServerError(f"the copy of {source.identifier} failed: {answer.stderr[-2000:]}")
        if slot:
            self.follow(source, slot)
            self._touch("standby.signal")

    def _touch(self, name: str) -> None:
        path = os.path.join(self.data_dir, name)
        with open(path, "w", encoding="utf-8"):
            pass
        self.account.own(path)

    def _write(self, name: str, lines: Iterable[str]) -> None:
        path = os.path.join(self.data_dir, name)
        building = f"{path}.new"
        with open(building, "w", encoding="utf-8") as handle:
            handle.writelines(f"{line}\n" for line in lines)
        os.chmod(building, 0o600)
        self.account.own(building)
        os.replace(building, path)

    def configure(self) -> None:
        """Write postgresql.conf and pg_hba.conf; what they say is in force after the next start or reload."""
        settings = {**BASE_SETTINGS, **self.settings}
        if self.upstream:
            source = self.upstream.server
            settings = {
                **not_lower(settings, {**BASE_SETTINGS, **source.settings}),
                "primary_conninfo": make_dsn(
                    host=source.directory, port=str(source.port), user=SUPERUSER, application_name=self.identifier
                ),
                "primary_slot_name": self.upstream.slot,
            }
        settings |= {
            "listen_addresses": ",".join([self.address, *self.extra_addresses]),
            "port": str(self.port),
            "unix_socket_directories": self.directory,
        }
        self._write("postgresql.conf", conf_lines(settings))
        self._write("postgresql.auto.conf", ())
        self._write("pg_hba.conf", self.access_file())

    def access_file(self) -> list[str]:
        """pg_hba.conf: whom the security groups let in."""
        return hba_lines(SUPERUSER, self.access)

    # -- the process -----------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Start and wait until it answers; raises ServerError with the end of the log."""
        with self._lock:
            if self.running:
                return
            self.configure()
            with open(self.log_path, "ab") as log:
                self._process = subprocess.Popen(
                    [self.installation.program("postgres"), "-D", self.data_dir],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                    **self.account.popen_options(),
                )
            self.registry.add(self._process.pid, self.directory)
            self._await_answer()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.query("SELECT 1")
                return
            except psycopg2.OperationalError as error:
                if not self.running or time.monotonic() > deadline:
                    raise ServerError(f"{self.identifier} doesn't start: {self.log_tail() or error}") from error
                time.sleep(0.02)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Shut down: SIGINT ends the sessions (fast), SIGQUIT doesn't wait for them, SIGKILL is a crash."""
        with self._lock:
            process = self._process
            if process is None:
                return
            children = _children(process.pid)
            if process.poll() is None:
                process.send_signal(how)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGQUIT)
                    try:
                        process.wait(STOP_SECONDS)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
            self.registry.remove(process.pid)
            self._process = None
            self._await_end(children)

    @staticmethod
    def _await_end(orphans: list[int]) -> None:
        """After a kill the backends notice by themselves; a new start before the last is gone would be refused."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(start_time(pid) for pid in orphans):
            time.sleep(0.02)

    def restart(self) -> None:
        """A fast restart: every session ends, static settings come into force."""
        with self._lock:
            self.stop()
            self.start()

    def reload(self) -> None:
        """Make changed files count for new sessions; returns when they do."""
        with self._lock:
            if not self.running:
                return
            before = self.query("SELECT pg_conf_load_time()")[0][0]
            self.configure()
            os.kill(self.pid or 0, signal.SIGHUP)
            deadline = time.monotonic() + STOP_SECONDS
            while self.query("SELECT pg_conf_load_time()")[0][0] <= before:
                if time.monotonic() > deadline:
                    raise ServerError(f"{self.identifier} doesn't reload: {self.log_tail()}")
                time.sleep(0.005)

    def allow(self, networks: list[str]) -> None:
        """Let these networks in and nobody else; sessions that are open stay open (P30)."""
        with self._lock:
            if networks != self.access:
                self.access = networks
                self.reload()

    def promote(self) -> None:
        """Leave recovery for good; returns when the server takes writes."""
        self.query("SELECT pg_promote(true, 60)")
        deadline = time.monotonic() + START_SECONDS
        while self.query("SELECT pg_is_in_recovery()")[0][0]:
            if time.monotonic() > deadline:
                raise ServerError(f"{self.identifier} doesn't promote: {self.log_tail()}")
            time.sleep(0.02)
        self.upstream = None
        self.configure()

    def follow(self, source: Server, slot: str) -> None:
        """Stream from another server from the next start on, with a slot of its own there."""
        source.ensure_slot(slot)
        self.upstream = Upstream(source, slot)

    def discard(self) -> None:
        """Stop without ceremony and remove the directory."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-12:]).strip()
        except OSError:
            return ""

    # -- SQL over the socket ---------------------------------------------------------------------------------------

    def connect(self, dbname: str | None = None) -> Any:
        """A psycopg2 connection as the real superuser, in autocommit."""
        connection = psycopg2.connect(
            host=self.directory, port=self.port, user=self.service.superuser, dbname=dbname or self.own_database,
            connect_timeout=10, application_name="sandbox",
        )
        connection.autocommit = True
        return connection

    def query(
        self, sql: str, parameters: Iterable[Any] | None = None, dbname: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows of one statement as the real superuser; an empty list when it returns none."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def ensure_slot(self, name: str) -> None:
        """A physical slot that keeps WAL from now on."""
        if not self.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [name]):
            self.query("SELECT pg_create_physical_replication_slot(%s, true)", [name])

    def drop_slot(self, name: str) -> None:
        """Drop a physical slot, ending its walsender first; a missing one is fine, and so is a server that stops."""
        deadline = time.monotonic() + STOP_SECONDS
        while self.running:
            try:
                rows = self.query("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", [name])
                if not rows:
                    return
                if rows[0][0] is None:
                    self.query("SELECT pg_drop_replication_slot(%s)", [name])
                    return
                self.query("SELECT pg_terminate_backend(%s)", [rows[0][0]])
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ServerError(f"the slot {name} of {self.identifier} can't be dropped: {error}") from error
            time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """The processes a postmaster has started; each leads a session of its own, so only the parent tells."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as children:
            return [int(child) for child in children.read().split()]
    except OSError:
        return []
