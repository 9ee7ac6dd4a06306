# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sandbox for a test session: started on a free port and network, gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from . import home as homes
from .home import read_state

PROGRAM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 90.0
MEMORY = "/dev/shm"
PLENTY_BYTES = 8 << 30


class ControlError(Exception):
    """The control API refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Sandbox:
    """A running sandbox as a test sees it."""

    home: str
    endpoint: str
    network: str
    env: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def bastion(self) -> str:
        """The address the controllers come from."""
        return f"{self.network}.0.1"

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of a service in the default region."""
        return boto3.session.Session().client(
            service, endpoint_url=self.endpoint, region_name=options.pop("region_name", self.env["AWS_REGION"]),
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            config=options.pop("config", None) or Config(retries={"total_max_attempts": 1}), **options,
        )

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API; `path` is what follows /_sandbox/. Raises ControlError."""
        request = urllib.request.Request(
            f"{self.endpoint}/_sandbox/{path.lstrip('/')}", method=method,
            data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ControlError(error.code, error.read().decode(errors="replace")) from error

    def planetscale(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Call PlanetScale's API; `path` is what follows /v1/. Returns status, body and headers, of errors too."""
        known = f"{self.env['PLANETSCALE_SERVICE_TOKEN_ID']}:{self.env['PLANETSCALE_SERVICE_TOKEN']}"
        request = urllib.request.Request(
            f"{self.env['PLANETSCALE_API_URL']}/{path.lstrip('/')}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": known if token is None else token},
        )
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """The API calls after a number, oldest first."""
        return self.control("GET", f"log?since={since}")

    def mark(self) -> int:
        """The number of the last call, to be given to `log`."""
        return max((entry["seq"] for entry in self.log()), default=0)

    def sandbox_log(self) -> str:
        """What the sandbox itself has written."""
        with open(homes.log_path(self.home), encoding="utf-8", errors="replace") as log:
            return log.read()


def wait_until(condition: Callable[[], Any], seconds: float = 30.0, every: float = 0.05) -> Any:
    """Poll until the condition returns something true, and return it; AssertionError with the last answer otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {seconds} s")
        time.sleep(every)


def _quick_directory() -> str | None:
    """Memory where there is plenty: a new server is a thousand small files. None is the usual place."""
    try:
        free = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    return MEMORY if free > PLENTY_BYTES and os.access(MEMORY, os.W_OK) else None


@contextmanager
def running(home: str | None = None, pace: float = 0.05, linger: float = 15.0) -> Iterator[Sandbox]:
    """A sandbox in the foreground of this process: it ends with the context, or with the process.

    Without a home its servers live in memory, if there are more than 8 GiB of it: name one for large data.
    """
    own = home is None
    place = home or tempfile.mkdtemp(prefix="cloudpg-", dir=_quick_directory())
    command = [
        sys.executable, PROGRAM, "serve", "--home", place, "--port", "0", "--network", "auto", "--pace", str(pace),
        "--linger", str(linger),
    ]
    os.makedirs(place, exist_ok=True)
    with open(homes.log_path(place), "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        state = _await_state(place, process)
        yield Sandbox(place, state["endpoint"], state["network"], state["environment"], process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        homes.remove(place)
        if own:
            shutil.rmtree(place, ignore_errors=True)


def _await_state(home: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        state = read_state(home)
        if state:
            return state
        time.sleep(0.05)
    process.kill()
    with open(homes.log_path(home), encoding="utf-8", errors="replace") as log:
        raise AssertionError(f"the sandbox didn't start: {log.read()[-3000:]}")
