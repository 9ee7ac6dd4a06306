# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sandbox's home directory: what it says about itself there, and what of it may be removed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import Any

from . import registry
from .planetscale_catalogue import ORGANIZATION, PREFIX, TOKEN, TOKEN_ID

REGION = "eu-west-1"
ACCESS_KEY = "AKIAIOSFODNN7SANDBOX"
SECRET_KEY = "sandbox-secret-key-that-opens-nothing-at-all-4577"
LONGEST = 80
FILES = ("registry.json", "registry.json.new", "state.json", "state.json.new", "sandbox.log", "ca.pem")
# One directory a server (s) and a snapshot (p), with a number.
KINDS = "sp"


class StartError(Exception):
    """The sandbox can't start or isn't there; the message names the option that helps."""


@dataclass(frozen=True)
class Settings:
    """What the command line decides: times in seconds, `network` as 127.N or auto."""

    home: str
    cache: str
    port: int
    network: str
    pace: float
    ttl: float
    linger: float


def environment(endpoint: str, home: str) -> dict[str, str]:
    """What a client of the sandbox has in its environment."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "PLANETSCALE_API_URL": f"{endpoint}{PREFIX}",
        "PLANETSCALE_ORGANIZATION": ORGANIZATION,
        "PLANETSCALE_SERVICE_TOKEN_ID": TOKEN_ID,
        "PLANETSCALE_SERVICE_TOKEN": TOKEN,
        "CLOUDPG_SANDBOX_CA": ca_path(home),
    }


def ca_path(home: str) -> str:
    """The certificate of the sandbox's own authority, for `sslrootcert`."""
    return os.path.join(home, "ca.pem")


def registry_path(home: str) -> str:
    """Where the processes of a sandbox are written down."""
    return os.path.join(home, "registry.json")


def state_path(home: str) -> str:
    """Where a running sandbox says how to reach it."""
    return os.path.join(home, "state.json")


def log_path(home: str) -> str:
    """What the sandbox itself writes."""
    return os.path.join(home, "sandbox.log")


def read_state(home: str) -> dict[str, Any] | None:
    """What a running sandbox of this home has said about itself; None when none runs."""
    try:
        with open(state_path(home), encoding="utf-8") as handle:
            state = json.load(handle)
    except (OSError, ValueError):
        return None
    return state if registry.start_time(state["pid"]) == state["start"] else None


def write_state(home: str, state: dict[str, Any]) -> None:
    """Say that the sandbox is ready; whoever reads it sees all of it or nothing."""
    building = f"{state_path(home)}.new"
    with open(building, "w", encoding="utf-8") as handle:
        json.dump(state, handle)
    os.replace(building, state_path(home))


def make(home: str) -> None:
    """Make the directory: others may pass through it (the servers' account must), not look."""
    if len(home) > LONGEST:
        raise StartError(f"{home} is too long: a socket's path must fit in 107 bytes; choose a shorter --home")
    os.makedirs(home, mode=0o711, exist_ok=True)
    if os.stat(home).st_uid != os.geteuid():
        raise StartError(f"{home} belongs to somebody else; choose another --home")
    os.chmod(home, 0o711)


def is_data(name: str) -> bool:
    """Whether a name in the home is a server's or a snapshot's directory."""
    return name[:1] in KINDS and name[1:].isdigit()


def remove_data(home: str) -> None:
    """Remove the servers' and snapshots' directories."""
    for name in os.listdir(home):
        if is_data(name):
            shutil.rmtree(os.path.join(home, name), ignore_errors=True)


def remove(home: str) -> None:
    """Remove what a sandbox makes in its home, and the home itself when nothing else is in it."""
    if not os.path.isdir(home):
        return
    remove_data(home)
    for name in FILES:
        if os.path.exists(os.path.join(home, name)):
            os.unlink(os.path.join(home, name))
    if not os.listdir(home):
        os.rmdir(home)
