# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the SQL modules' tests stand on: databases as their modules see them, certificates, modules in processes."""

from __future__ import annotations

import importlib
import ipaddress
import json
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
from ansible.module_utils import basic
from cloudpg_sandbox.servers import Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MODULES = "ansible_collections.cloudpg.migration.plugins.modules"
SECRET = "long-dummy-secret-of-the-logins"


@dataclass(frozen=True)
class Side:
    """One database of one server."""

    server: Server
    database: str
    # The certificate to trust, where the server speaks TLS.
    root_certificate: str | None = None

    @property
    def major(self) -> int:
        return self.server.installation.major

    @property
    def bindir(self) -> str:
        """Where the programs of the server's major are."""
        return self.server.installation.bindir

    def address(self, user: str = "migration", **more: Any) -> dict[str, Any]:
        """The address as a playbook gives it; over TLS, fully verified, where the server has it."""
        tls = {"sslmode": "verify-full", "sslrootcert": self.root_certificate} if self.root_certificate else {}
        return {
            "host": self.server.address, "port": self.server.port, "user": user, "password": SECRET,
            "dbname": self.database, **tls, **more,
        }

    def query(self, statement: str, parameters: Iterable[Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a statement as the real superuser."""
        return self.server.query(statement, parameters, dbname=self.database)

    def connect(self, user: str = "owner") -> Any:
        """A psycopg2 connection in autocommit, over the network as an application has it."""
        connection = psycopg2.connect(**self.address(user))
        connection.autocommit = True
        return connection

    def run(self, statements: str, user: str = "owner") -> list[tuple[Any, ...]]:
        """Run statements as a login (the database's owner); rows of the last one."""
        with closing(self.connect(user)) as connection, connection.cursor() as cursor:
            cursor.execute(statements)
            return cursor.fetchall() if cursor.description else []


def drop_database(server: Server, name: str) -> None:
    """Drop a database with its subscriptions and slots, whoever uses them."""
    for (subscription,) in server.query(
        "SELECT quote_ident(subname) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = %s",
        [name],
    ):
        server.query(f"ALTER SUBSCRIPTION {subscription} DISABLE", dbname=name)
        server.query(f"ALTER SUBSCRIPTION {subscription} SET (slot_name = NONE)", dbname=name)
        server.query(f"DROP SUBSCRIPTION {subscription}", dbname=name)
    for (gid,) in server.query("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name]):
        server.query("ROLLBACK PREPARED %s", [gid], dbname=name)
    server.query(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    server.query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
    server.query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name]
    )
    server.query(f'DROP DATABASE "{name}" WITH (FORCE)')


def certify(directory: Path, address: str) -> tuple[Path, Path]:
    """A self-signed certificate for an address and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "server.crt", directory / "server.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    paths[1].chmod(0o600)
    return paths


@dataclass
class RunningModule:
    """A module in a process of its own."""

    name: str
    pid: int
    output: int

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def text(self) -> str:
        """All that it said, once it has ended however it ended."""
        with os.fdopen(self.output, errors="replace") as pipe:
            said = pipe.read()
        os.waitpid(self.pid, 0)
        return said

    def result(self) -> dict[str, Any]:
        """Its result, in which no secret may be."""
        said = self.text()
        assert SECRET not in said
        lines = [line for line in said.splitlines() if line.startswith("{")]
        assert lines, f"{self.name} gave no result but: {said[-3000:]}"
        return json.loads(lines[-1])


def start_module(name: str, args: dict[str, Any], check: bool = False, diff: bool = False) -> RunningModule:
    """Run a module's main() in a forked process: what is imported already need not be imported again."""
    module = importlib.import_module(f"{MODULES}.{name}")
    given = {**args, "_ansible_check_mode": check, "_ansible_diff": diff}
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return RunningModule(name, pid, read_end)
    code = 1
    try:
        for number in (1, 2):
            os.dup2(write_end, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        module.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
