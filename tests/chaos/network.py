# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's ways to the two servers, which can be lost: nothing comes through any more, and nobody says so."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Callable

PORT = 15432
NOTICED = 25.0  # seconds until TCP gives up a peer that doesn't answer, as the collection's connections ask it to
Place = tuple[str, int]


class Way(socketserver.ThreadingTCPServer):
    """A way to where ``onward`` says, looked up for each connection."""

    daemon_threads, block_on_close, allow_reuse_address = True, False, True

    def __init__(self, address: str, onward: Callable[[], Place]) -> None:
        super().__init__((address, PORT), _Connection)
        self.onward = onward
        self.passable = threading.Event()
        self.passable.set()
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def lose(self, seconds: float | None = None) -> None:
        """Let nothing through, for so many seconds, or until it is restored."""
        self.passable.clear()
        if seconds:
            timer = threading.Timer(seconds, self.restore)
            timer.daemon = True
            timer.start()

    def restore(self) -> None:
        self.passable.set()

    def close(self) -> None:
        self.passable.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        """A server that refuses or goes away: the client sees its connection end."""


class _Connection(socketserver.BaseRequestHandler):
    server: Way

    def handle(self) -> None:
        if not self.server.passable.wait(NOTICED):
            return
        with socket.create_connection(self.server.onward(), timeout=10) as onward:
            other = {self.request: onward, onward: self.request}
            while True:
                ready = select.select(list(other), [], [], 1.0)[0]
                if not self.server.passable.wait(NOTICED):
                    return
                for one in ready:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    other[one].sendall(data)
