# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PgBouncer in transaction mode, on a loopback address of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
from processes import eventually, start, stop, unprivileged

ADMIN = "pooler_admin"

# server_login_retry: a server that was away is tried again at once, not after 15 s.
# server_tls_sslmode: RDS's servers here speak no TLS, and PlanetScale's nothing else.
SETTINGS = """\
[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users.txt
admin_users = {admin}
logfile = {directory}/pgbouncer.log
pool_mode = transaction
default_pool_size = 20
max_client_conn = 200
query_wait_timeout = 120
server_login_retry = 1
server_connect_timeout = 5
server_tls_sslmode = prefer
ignore_startup_parameters = extra_float_digits
"""


class PoolerError(Exception):
    """PgBouncer isn't there or doesn't start."""


def program() -> str:
    """The path of pgbouncer; distributions keep it where only root looks."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise PoolerError("pgbouncer isn't installed: install your distribution's package pgbouncer")
    return found


class Pooler:
    """PgBouncer with its private directory; `config` is the file a migration rewrites before RELOAD (R32)."""

    def __init__(self, directory: Path, address: str, port: int = 6432) -> None:
        self.directory = directory
        self.address = address
        self.port = port
        self.config = directory / "pgbouncer.ini"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, databases: dict[str, str], passwords: dict[str, str]) -> None:
        """Serve databases (name: connection string) to logins (name: password, `pooler_admin` among them)."""
        account = unprivileged()
        self.directory.mkdir(mode=0o700)
        self._write("users.txt", "".join(f"{_quoted(user)} {_quoted(word)}\n" for user, word in passwords.items()))
        entries = "".join(f"{name} = {value}\n" for name, value in databases.items())
        settings = SETTINGS.format(directory=self.directory, address=self.address, port=self.port, admin=ADMIN)
        self._write("pgbouncer.ini", f"[databases]\n{entries}\n{settings}")
        options: dict[str, Any] = {}
        if account:
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
            options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = start([program(), str(self.config)], cwd="/", **output, **options)
        eventually(lambda: self._answers(passwords[ADMIN]), "an answer of PgBouncer")

    def stop(self) -> None:
        """End it at once, clients and all."""
        stop(self._process)

    def admin(self, passfile: Path) -> dict[str, Any]:
        """The address of its console, by libpq's names."""
        return {
            "host": self.address, "port": self.port, "user": ADMIN, "passfile": str(passfile), "dbname": "pgbouncer"
        }

    def know(self, user: str, password: str) -> None:
        """Another login at the servers, known from the next RELOAD on."""
        with open(self.directory / "users.txt", "a", encoding="utf-8") as users:
            users.write(f"{_quoted(user)} {_quoted(password)}\n")

    def leads_to(self, database: str) -> str:
        """The host that the file leads a database to."""
        entry = re.search(rf"^{database} = .*?\bhost=(\S+)", self.config.read_text(encoding="utf-8"), re.MULTILINE)
        if entry is None:
            raise PoolerError(f"{self.config} has no entry {database} with a host")
        return entry[1]

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def _answers(self, password: str) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise PoolerError(f"pgbouncer doesn't start: {self._log()}")
        address = {"host": self.address, "port": self.port, "user": ADMIN, "dbname": "pgbouncer"}
        try:
            psycopg2.connect(**address, password=password).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _log(self) -> str:
        log = self.directory / "pgbouncer.log"
        return log.read_text(encoding="utf-8", errors="replace")[-1000:] if log.exists() else "it left no log"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
