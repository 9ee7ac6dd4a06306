# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: up, down, status, env, fault, log, serve."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any

from . import home as homes
from . import registry
from .home import Settings, StartError, read_state
from .installations import InstallationError

START_SECONDS = 90.0
STOP_SECONDS = 60.0


def _default_home() -> str:
    return os.path.join(tempfile.gettempdir(), f"cloudpg-sandbox-{os.geteuid()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="An AWS API with real PostgreSQL servers behind it.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", default=_default_home(), help="directory of this sandbox (default %(default)s)")
    start = argparse.ArgumentParser(add_help=False)
    start.add_argument("--port", type=int, default=4577, help="port of the API, 0 for a free one (default %(default)s)")
    start.add_argument("--network", default="127.77", help="first two octets of the addresses, or auto (%(default)s)")
    start.add_argument("--pace", type=float, default=0.5, help="seconds a state transition takes (default %(default)s)")
    start.add_argument("--ttl", type=float, default=12 * 3600.0, help="seconds until it ends by itself (12 h)")
    start.add_argument(
        "--linger", type=float, default=15.0,
        help="seconds an amazon.aws module's describe call waits for a transition to end (default %(default)s)",
    )
    start.add_argument("--cache", help="directory of templates and copied programs, shared by sandboxes")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", parents=[common, start], help="start in the background, if it doesn't run yet")
    commands.add_parser("serve", parents=[common, start], help="run in the foreground, no longer than the parent")
    commands.add_parser("down", parents=[common], help="stop, and remove everything")
    commands.add_parser("status", parents=[common], help="what runs here")
    env = commands.add_parser("env", parents=[common], help="the environment of a client")
    env.add_argument("--json", action="store_true", help="as JSON instead of shell")
    fault = commands.add_parser("fault", parents=[common], help="inject, list or remove faults")
    fault.add_argument("name", nargs="?", help="the fault to inject; without one the faults in force are listed")
    fault.add_argument("details", nargs="*", metavar="KEY=VALUE", help="operation=…, rate=…, times=…")
    fault.add_argument("--remove", metavar="ID", help="remove one fault, or `all`")
    log = commands.add_parser("log", parents=[common], help="API calls, one JSON object a line")
    log.add_argument("--since", type=int, default=0, help="only calls after this number")
    for each in (commands.choices["up"], commands.choices["serve"]):
        each.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    cache = options.cache or os.path.join(tempfile.gettempdir(), f"cloudpg-sandbox-cache-{os.geteuid()}")
    return Settings(
        os.path.abspath(options.home), os.path.abspath(cache), options.port, options.network, options.pace,
        options.ttl, options.linger,
    )


def _print_environment(state: dict[str, Any], *, as_json: bool = False) -> None:
    if as_json:
        print(json.dumps(state["environment"]))
    else:
        print("\n".join(f"export {name}={value}" for name, value in state["environment"].items()))


def _running(home: str) -> dict[str, Any]:
    state = read_state(home)
    if state is None:
        raise StartError(f"no sandbox runs in {home}; start one with `up`")
    return state


def _call(state: dict[str, Any], method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{state['endpoint']}/_sandbox/{path}", method=method,
        data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise StartError(error.read().decode(errors="replace").strip()) from error


def up(options: argparse.Namespace) -> int:
    """Start the daemon unless it runs, and print the environment."""
    home = os.path.abspath(options.home)
    state = read_state(home) or _start(options, home)
    _print_environment(state)
    print(f"# the API is at {state['endpoint']}, the servers are at {state['network']}.1.1 and up", file=sys.stderr)
    return 0


def _start(options: argparse.Namespace, home: str) -> dict[str, Any]:
    homes.make(home)
    command = [sys.executable, os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "serve", "--detached"]
    for name in ("home", "port", "network", "pace", "ttl", "linger", "cache"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    log_path = homes.log_path(home)
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = read_state(home)
        if state:
            return state
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    with open(log_path, encoding="utf-8", errors="replace") as log:
        raise StartError(f"the sandbox didn't start: {log.read()[-2000:].strip()}")


def down(options: argparse.Namespace) -> int:
    """Stop the daemon, clear what a killed one left, remove the home."""
    home = os.path.abspath(options.home)
    state = read_state(home)
    if state:
        os.kill(state["pid"], signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while registry.start_time(state["pid"]) == state["start"]:
            if time.monotonic() > deadline:
                os.kill(state["pid"], signal.SIGKILL)
                break
            time.sleep(0.05)
    registry.clear(homes.registry_path(home))
    homes.remove(home)
    return 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def fault(options: argparse.Namespace) -> int:
    """Inject, list or remove faults."""
    state = _running(os.path.abspath(options.home))
    if options.remove:
        answer = _call(state, "DELETE", "faults" if options.remove == "all" else f"faults/{options.remove}")
    elif options.name:
        details = dict(item.split("=", 1) for item in options.details)
        spec = {"name": options.name, **{key: _value(value) for key, value in details.items()}}
        answer = _call(state, "POST", "faults", spec)
    else:
        answer = _call(state, "GET", "faults")
    print(json.dumps(answer, indent=2))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    home = os.path.abspath(options.home)
    try:
        if options.command == "serve":
            from .serve import serve  # moto takes a second to load, which the other commands needn't wait for

            return serve(_settings(options), detached=options.detached)
        if options.command in ("up", "down", "fault"):
            return {"up": up, "down": down, "fault": fault}[options.command](options)
        if options.command == "env":
            _print_environment(_running(home), as_json=options.json)
        elif options.command == "status":
            print(json.dumps(_call(_running(home), "GET", "status"), indent=2))
        elif options.command == "log":
            for entry in _call(_running(home), "GET", f"log?since={options.since}"):
                print(json.dumps(entry))
        return 0
    except (StartError, InstallationError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
