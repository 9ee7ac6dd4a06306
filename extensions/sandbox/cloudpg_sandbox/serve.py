# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The running sandbox: one process, from the network's lock to the last server's end."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import sys
import threading
from dataclasses import replace

from . import home, registry
from .app import http_server
from .home import Settings, StartError
from .world import World

LOCK_PORT = 15431
PARENT_LOOK_SECONDS = 0.3


def take_network(wanted: str) -> tuple[str, socket.socket]:
    """Reserve 127.N for this process by a listening socket on its first address; `auto` takes a free one."""
    if wanted == "auto":
        numbers = random.sample(range(100, 250), 150)
    else:
        try:
            first, second = (int(part) for part in wanted.split("."))
        except ValueError:
            first, second = 0, 0
        if first != 127 or not 1 <= second <= 254:
            raise StartError(f"--network takes 127.1 to 127.254 or auto, not {wanted!r}")
        numbers = [second]
    for number in numbers:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((f"127.{number}.0.1", LOCK_PORT))
            holder.listen(1)
            return f"127.{number}", holder
        except OSError:
            holder.close()
    raise StartError(f"the network {wanted} is in use by another sandbox; choose another with --network 127.N")


def _watch_parent(stop: threading.Event) -> None:
    parent = os.getppid()
    while not stop.wait(PARENT_LOOK_SECONDS):
        if os.getppid() != parent:
            stop.set()


def serve(settings: Settings, *, detached: bool) -> int:
    """Run until told to stop, the life time is over or, unless detached, the parent is gone."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    if home.read_state(settings.home):
        raise StartError(f"a sandbox runs in {settings.home} already; `down` stops it, --home names another place")
    network, holder = take_network(settings.network)
    home.make(settings.home)
    settings = replace(settings, network=network)
    registry_path = home.registry_path(settings.home)
    registry.clear(registry_path)
    home.remove_data(settings.home)
    pipe = registry.start_watchdog(registry_path)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stop.set())
    world = World(settings)
    try:
        server = http_server(world, stop.set, "127.0.0.1", settings.port)
    except (OSError, SystemExit) as error:
        raise StartError(f"port {settings.port} is in use; choose another with --port, or 0 for a free one") from error
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    if not detached:
        threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    state = {
        "pid": os.getpid(), "start": registry.start_time(os.getpid()), "endpoint": endpoint,
        "port": server.server_port, "network": network, "environment": home.environment(endpoint, settings.home),
    }
    home.write_state(settings.home, state)
    try:
        stop.wait(settings.ttl)
    finally:
        world.stop()
        server.shutdown()
        registry.clear(registry_path)
        os.unlink(home.state_path(settings.home))
        os.close(pipe)
        holder.close()
    return 0
