# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A way into a server that asks for an IAM token over TLS, as RDS does; and one that never answers."""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PLAIN_PASSWORD = struct.pack("!cii", b"R", 8, 3)


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = directory / "server.crt", directory / "server.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    return files


class Door(threading.Thread):
    """Listens on an address of its own; a subclass says what happens to whoever comes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listening.getsockname()[:2]
        self.came = threading.Event()
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _address = self._listening.accept()
            except OSError:
                return
            self.came.set()
            threading.Thread(target=self.meet, args=(client,), daemon=True).start()

    def meet(self, client: socket.socket) -> None:
        """Say nothing until the client goes."""
        with client:
            while client.recv(4096):
                pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


class TokenDoor(Door):
    """Leads to the server behind a Unix socket, which lets everybody in, if the password is a token for this door."""

    def __init__(self, directory: Path, access_key: str, behind: Callable[[], str]) -> None:
        self.tokens: list[str] = []
        self.refused: list[str] = []
        self._access_key, self._behind = access_key, behind
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*certificate(directory))
        super().__init__()

    def meet(self, client: socket.socket) -> None:
        assert struct.unpack("!ii", _exactly(client, 8)) == (8, 80877103), "a token never travels in the clear"
        client.sendall(b"S")
        with self._tls.wrap_socket(client, server_side=True) as inside:
            startup = _packet(inside)
            words = startup[8:].split(b"\0")
            parameters = dict(zip(words[::2], words[1::2]))
            inside.sendall(PLAIN_PASSWORD)
            assert _exactly(inside, 1) == b"p"
            token = _packet(inside)[4:-1].decode()
            wrong = self.wrong(token, parameters[b"user"].decode())
            if wrong:
                self.refused.append(wrong)
                return
            self.tokens.append(token)
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(self._behind())
                server.sendall(startup)
                _pump(inside, server)

    def wrong(self, token: str, user: str) -> str:
        """What RDS would object to, without the signature; empty when nothing."""
        url = urlsplit(f"https://{token}")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        key, _day, region, service, _end = query.get("X-Amz-Credential", "////").split("/")
        expected = {
            "place": (url.hostname, url.port) == (self.host, self.port),
            "user": (query.get("Action"), query.get("DBUser")) == ("connect", user),
            "credential": (key, region, service) == (self._access_key, "eu-west-1", "rds-db"),
            "signature": len(query.get("X-Amz-Signature", "")) == 64,
        }
        return ", ".join(name for name, right in expected.items() if not right)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("the client has gone")
        data += more
    return data


def _packet(connection: socket.socket) -> bytes:
    """A message without its kind, but with its length."""
    head = _exactly(connection, 4)
    return head + _exactly(connection, struct.unpack("!i", head)[0] - 4)


def _pump(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [], 60)[0]
        for side, other in ((client, server), (server, client)):
            if side in ready:
                data = side.recv(65536)
                if not data:
                    return
                other.sendall(data)
        if not ready:
            return
