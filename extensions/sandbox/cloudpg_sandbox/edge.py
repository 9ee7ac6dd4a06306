# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PlanetScale's edge: TLS ends here, and the user's name says which branch is meant (S8).

A client connects as `role.branch`. The edge takes the branch off, so that the server sees the role alone: that is the
name in GRANTs, and of the session.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Any

from .bastion import BUFFER_BYTES, Front, Relay, Side

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
TLS_HANDSHAKE = 0x16
LONGEST_STARTUP = 10_000
HEAD_BYTES = 8


class Refused(Exception):
    """The client is told why, with an SQLSTATE, and sent away."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    def packet(self) -> bytes:
        """ErrorResponse, as PostgreSQL's protocol has it."""
        fields = {"S": "FATAL", "V": "FATAL", "C": self.sqlstate, "M": str(self)}
        body = b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items()) + b"\0"
        return b"E" + struct.pack("!I", len(body) + 4) + body


def routed(packet: bytes, branch: str) -> bytes:
    """A startup packet with the role's own name in the place of `role.branch`; Refused for another branch's."""
    words = packet[HEAD_BYTES:].split(b"\0")
    told = dict(zip(words[0::2], words[1::2]))
    user = told.get(b"user", b"").decode(errors="replace")
    role, dot, named = user.rpartition(".")
    if not dot or named != branch:
        raise Refused("28000", f"the user {user!r} names no branch of this address: it has to be role.{branch}")
    told[b"user"] = role.encode()
    body = b"".join(key + b"\0" + value + b"\0" for key, value in told.items() if key) + b"\0"
    return struct.pack("!I", len(body) + HEAD_BYTES) + packet[4:HEAD_BYTES] + body


class _Tls:
    """The server's side of TLS, in memory: takes the transport's place for whoever writes to the client."""

    def __init__(self, raw: asyncio.Transport, context: ssl.SSLContext) -> None:
        self._raw = raw
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=True)
        self._shaken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def plain(self, data: bytes) -> bytes:
        """What the client has said; its goodbye closes the connection. Raises ssl.SSLError when it speaks no TLS."""
        self._arrived.write(data)
        said = []
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while piece := self._tls.read(BUFFER_BYTES):
                said.append(piece)
            self._raw.close()
            return b"".join(said)
        except ssl.SSLWantReadError:
            return b"".join(said)
        finally:
            self._flush()

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def _flush(self) -> None:
        if encrypted := self._leaving.read():
            self._raw.write(encrypted)


class EdgeFront(Front):
    """The client's end: TLS first, then the startup packet, and only then a connection to the server."""

    def __init__(self, relay: Relay, branch: str, context: ssl.SSLContext | None) -> None:
        super().__init__(relay)
        self.branch = branch
        self.context = context
        self._head = b""
        self._tls: _Tls | None = None
        self._started = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Side.connection_made(self, transport)
        self.relay.fronts.add(self)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if self.transport.is_closing():
            return
        try:
            if self._tls is not None:
                data = self._tls.plain(data)
            if self._started:
                super().data_received(data)
            else:
                self._head += data
                self._greet()
        except Refused as refusal:
            self.transport.write(refusal.packet())
            self.transport.close()
        except ssl.SSLError:
            self.transport.close()

    def _greet(self) -> None:
        """Answer the requests that come before a session, and start the session."""
        assert self.transport is not None
        while self._head and not self._started:
            if self._head[0] == TLS_HANDSHAKE and self._tls is None and self.context:
                hello, self._head = self._head, b""
                self._begin_tls()
                self.data_received(hello)
                return
            if len(self._head) < HEAD_BYTES:
                return
            length, code = struct.unpack("!II", self._head[:HEAD_BYTES])
            if not HEAD_BYTES <= length <= LONGEST_STARTUP:
                raise Refused("08P01", "invalid length of startup packet")
            if len(self._head) < length:
                return
            packet, self._head = self._head[:length], self._head[length:]
            if code in (SSL_REQUEST, GSS_REQUEST):
                self._answer(code)
            else:
                self._start(packet, code)

    def _answer(self, code: int) -> None:
        assert self.transport is not None
        agreed = code == SSL_REQUEST and self.context is not None and self._tls is None
        if agreed and self._head:
            raise Refused("08P01", "received unencrypted data after SSL request")
        self.transport.write(b"S" if agreed else b"N")
        if agreed:
            self._begin_tls()

    def _begin_tls(self) -> None:
        assert self.transport is not None and self.context is not None
        self._tls = _Tls(self.transport, self.context)
        self.transport = self._tls  # type: ignore[assignment]

    def _start(self, packet: bytes, code: int) -> None:
        if code != CANCEL_REQUEST:
            if self.context and self._tls is None:
                raise Refused("28000", "connections without TLS are refused here: use sslmode=verify-full")
            packet = routed(packet, self.branch)
        self._started = True
        self.early = [packet, self._head]
        self.connect()
