# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relays: the controllers' way in, the reader endpoints of clusters, and what an edge is made of.

Port 15432 of every instance's address is relayed from one known source address, so that a security group can let the
controllers in and keep the applications out, as it can with a bastion host on AWS. A reader endpoint is an address of
its own, relayed to a member under the client's own address.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

PORT = 15432
BUFFER_BYTES = 1 << 18


class Side(asyncio.Protocol):
    """One end of a relayed connection; what arrives goes to the peer, which holds it up when it can't follow."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.abort() if exc else self.peer.transport.close()


class Front(Side):
    """The client's end: keeps what arrives before the server's end is connected.

    Pausing the reading from the start would be simpler, but asyncio of Python 3.11.2 ignores that in connection_made.
    """

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self.relay = relay
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.relay.fronts.add(self)
        self.connect()

    def connect(self) -> None:
        """Connect the server's end; what arrives meanwhile is kept."""
        self.relay.tasks.add(task := asyncio.ensure_future(self._connect()))
        task.add_done_callback(self.relay.tasks.discard)

    async def _connect(self) -> None:
        assert self.transport is not None
        back = Side()
        source = self.relay.source or self.transport.get_extra_info("peername")[0]
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: back, *self.relay.target, local_addr=(source, 0)
            )
        except OSError:
            self.transport.abort()
            return
        back.peer, self.peer = self, back
        if self.transport.is_closing():
            assert back.transport is not None
            back.transport.close()
            return
        assert back.transport is not None
        back.transport.writelines(self.early)

    def data_received(self, data: bytes) -> None:
        if self.peer is None:
            self.early.append(data)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.relay.fronts.discard(self)
        super().connection_lost(exc)


class Relay:
    """One listening address and the connections made through it."""

    def __init__(
        self, target: tuple[str, int], source: str | None, front: Callable[[Relay], Front] | None = None
    ) -> None:
        self.target = target
        self.source = source
        self.front = front or Front
        self.fronts: set[Front] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.listener: asyncio.AbstractServer | None = None

    def drop(self) -> int:
        fronts = list(self.fronts)
        for front in fronts:
            if front.transport:
                front.transport.abort()
        return len(fronts)


class Bastion:
    """All relays, on one event loop in a thread of their own."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._relays: dict[tuple[str, int], Relay] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bastion", daemon=True)
        self._thread.start()

    def open(self, address: str, port: int, target: str | None = None) -> None:
        """Relay address:15432 to port of the same (or the target's) address, from the bastion's own address."""
        self.forward((address, PORT), (target or address, port), self.source)

    def forward(
        self, listen: tuple[str, int], target: tuple[str, int], source: str | None = None,
        front: Callable[[Relay], Front] | None = None,
    ) -> None:
        """Relay to a target, from the client's own address when no source is given. A new target counts for new
        connections. A `front` of one's own may look at what a client says first."""
        if listen in self._relays:
            self._relays[listen].target = target
            return
        self._relays[listen] = relay = Relay(target, source, front)
        asyncio.run_coroutine_threadsafe(self._listen(relay, listen), self._loop).result(10)

    async def _listen(self, relay: Relay, listen: tuple[str, int]) -> None:
        relay.listener = await self._loop.create_server(lambda: relay.front(relay), *listen, reuse_address=True)

    def close(self, address: str) -> None:
        """Stop listening on an address and end what runs through it."""
        for listen in [listen for listen in self._relays if listen[0] == address]:
            asyncio.run_coroutine_threadsafe(self._close(self._relays.pop(listen)), self._loop).result(10)

    @staticmethod
    async def _close(relay: Relay) -> None:
        if relay.listener:
            relay.listener.close()
        relay.drop()

    def drop(self, address: str) -> int:
        """Cut every connection through an address without a goodbye; returns how many."""

        async def cut() -> int:
            return sum(relay.drop() for listen, relay in self._relays.items() if listen[0] == address)

        return asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

    def stop(self) -> None:
        """Close everything."""
        for address in {listen[0] for listen in self._relays}:
            self.close(address)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
