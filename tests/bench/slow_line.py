# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line with delay between two servers: a relay that holds back what it has read for as long as the way takes.

It stands in for a network, where the kernel here has no delay to offer: bytes arrive in order, ``seconds`` after they
were sent, and as with TCP no more than ``window`` of them are under way at once on a connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

# What Linux lets a connection grow to by default is 4 MiB to send, and 6 MiB to receive; between regions it is seldom
# reached, for a lost packet halves it. 256 KiB over 10 ms are 25 MB/s a connection.
WINDOW = 256 * 1024
_CHUNK = 64 * 1024


class SlowLine:
    """Listens on ``host`` and relays to ``target``; each direction takes ``seconds``."""

    def __init__(self, host: str, port: int, target: tuple[str, int], seconds: float, window: int = WINDOW) -> None:
        self._listen, self._target, self._seconds, self._window = (host, port), target, seconds, window
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> SlowLine:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._relay, *self._listen, limit=_CHUNK)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target, limit=_CHUNK)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._one_way(reader, back), self._one_way(there, writer), return_exceptions=True)

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Deliver each piece when its time has come; read no further than the window."""
        under_way: deque[tuple[float, bytes]] = deque()
        changed = asyncio.Event()
        size = 0
        ended = False

        async def deliver() -> None:
            while True:
                while not under_way:
                    if ended:
                        return
                    changed.clear()
                    await changed.wait()
                due, piece = under_way[0]
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                under_way.popleft()
                writer.write(piece)
                await writer.drain()
                # The sender hears of it when the acknowledgement has come back.
                self._loop.call_later(self._seconds, acknowledge, len(piece))

        def acknowledge(count: int) -> None:
            nonlocal size
            size -= count
            room.set()

        room = asyncio.Event()
        delivering = asyncio.ensure_future(deliver())
        try:
            while piece := await reader.read(_CHUNK):
                size += len(piece)
                under_way.append((self._loop.time() + self._seconds, piece))
                changed.set()
                while size >= self._window:
                    room.clear()
                    await room.wait()
        finally:
            ended = True
            changed.set()
            await asyncio.gather(delivering, return_exceptions=True)
            writer.close()
