# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the SQL modules' tests stand on: servers, databases as their modules see them, and certificates."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
from cloudpg_sandbox.installations import Installations
from cloudpg_sandbox.registry import Registry
from cloudpg_sandbox.servers import Server
from cloudpg_sandbox.testing import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SECRET = "long-dummy-secret-of-the-logins"
# The one of the installations that speaks TLS is Debian's.
WITH_TLS = 15
SETTINGS = {"wal_level": "logical", "max_prepared_transactions": "5", "autovacuum": "off", "max_connections": "100"}
LOGINS = f"""
    CREATE ROLE owner LOGIN PASSWORD '{SECRET}';
    CREATE ROLE migration LOGIN REPLICATION PASSWORD '{SECRET}' IN ROLE owner, pg_monitor;
    CREATE ROLE plain LOGIN PASSWORD '{SECRET}';
    CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{SECRET}';
"""


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


def start_server(
    name: str, major: int, address: str, directory: Path, installations: Installations, registry: Registry,
    settings: Mapping[str, str], made: Callable[[Server], None],
) -> Server:
    """A running server with the logins; ``made`` is told of it before it runs. With Debian's it speaks TLS."""
    server = Server(name, address, 5432, str(directory), installations.get(major), installations.account, registry)
    made(server)
    server.access = ["127.0.0.0/8"]
    server.settings = {**SETTINGS, **settings}
    server.initialize(installations)
    if server.installation.major == WITH_TLS:
        for path in certify(Path(server.directory), server.address):
            installations.account.own(str(path))
        server.settings |= {"ssl": "on", "ssl_cert_file": f"{server.directory}/server.crt",
                            "ssl_key_file": f"{server.directory}/server.key"}
    server.start()
    server.query(LOGINS)
    if server.installation.major >= 16:
        server.query("GRANT pg_create_subscription TO migration")
    return server


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
    server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    wait_until(lambda: not server.query("SELECT FROM pg_stat_activity WHERE datname = %s", [name]))
    server.query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name]
    )
    server.query(f'DROP DATABASE "{name}"')


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
