# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The running sandbox: one process, from the network's lock to the last server's end."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import sys
import threading
from dataclasses import replace
from typing import Any

from . import registry
from .app import http_server
from .world import Settings, World

LOCK_PORT = 15431
PARENT_LOOK_SECONDS = 0.3
REGION = "eu-west-1"
ACCESS_KEY = "AKIAIOSFODNN7SANDBOX"
SECRET_KEY = "sandbox-secret-key-that-opens-nothing-at-all-4577"


class StartError(Exception):
    """The sandbox can't start; the message names the option that helps."""


def environment(endpoint: str) -> dict[str, str]:
    """What a client of the sandbox has in its environment."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def state_path(home: str) -> str:
    return os.path.join(home, "state.json")


def read_state(home: str) -> dict[str, Any] | None:
    """What a running sandbox of this home has said about itself; None when none runs."""
    try:
        with open(state_path(home), encoding="utf-8") as handle:
            state = json.load(handle)
    except (OSError, ValueError):
        return None
    return state if registry.start_time(state["pid"]) == state["start"] else None


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


def make_home(home: str) -> None:
    """The sandbox's directory: others may pass through (the servers' account must), not look."""
    if len(home) > 80:
        raise StartError(f"{home} is too long: the servers' sockets in it must fit in 107 bytes; choose a shorter --home")
    os.makedirs(home, mode=0o711, exist_ok=True)
    if os.stat(home).st_uid != os.geteuid():
        raise StartError(f"{home} belongs to somebody else; choose another --home")
    os.chmod(home, 0o711)


def _watch_parent(stop: threading.Event) -> None:
    parent = os.getppid()
    while not stop.wait(PARENT_LOOK_SECONDS):
        if os.getppid() != parent:
            stop.set()


def serve(settings: Settings, *, detached: bool) -> int:
    """Run until told to stop, the life time is over or, unless detached, the parent is gone."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    make_home(settings.home)
    if read_state(settings.home):
        raise StartError(f"a sandbox runs in {settings.home} already; `down` stops it, --home names another place")
    network, holder = take_network(settings.network)
    settings = replace(settings, network=network)
    registry_path = os.path.join(settings.home, "registry.json")
    registry.clear(registry_path)
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
        "port": server.server_port, "network": network, "environment": environment(endpoint),
    }
    write_state(settings.home, state)
    try:
        stop.wait(settings.ttl)
    finally:
        world.stop()
        server.shutdown()
        registry.clear(registry_path)
        os.unlink(state_path(settings.home))
        os.close(pipe)
        holder.close()
    return 0


def write_state(home: str, state: dict[str, Any]) -> None:
    """Say that the sandbox is ready; whoever reads it sees all of it or nothing."""
    building = state_path(home) + ".new"
    with open(building, "w", encoding="utf-8") as handle:
        json.dump(state, handle)
    os.replace(building, state_path(home))
