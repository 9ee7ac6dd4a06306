# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of playbooks as a controller has them that is gone afterwards: own home, own directory, own processes."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stand import CHECKOUT, Stand  # puts the checkout's extensions on the path
from processes import end_with_parent  # isort: skip

HERE = Path(__file__).resolve().parent
RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(\d+)\s", re.MULTILINE)
LONGEST = 480.0  # seconds a run may take
NUMBERS = itertools.count(1)
MARK = "CHAOS_MARK"
STOP = threading.Event()  # set when the harness itself is to end


class Interrupted(Exception):
    """The harness is to end."""


@dataclass
class Run:
    """One run of ansible-playbook. ``mark`` is in the environment of everything it has started."""

    verb: str
    directory: Path
    mark: str
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def trace(self) -> list[dict[str, Any]]:
        """The tasks that have begun, oldest first."""
        path = self.directory / "trace"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def output(self) -> str:
        """What it has printed."""
        return (self.directory / "output").read_text(encoding="utf-8", errors="replace")

    @property
    def changed(self) -> int | None:
        """The `changed=` of its recaps; None when it came to none."""
        found = RECAP.findall(self.output)
        return sum(map(int, found)) if found else None

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, seconds: float = LONGEST) -> int:
        """Its exit code; what is still there after ``seconds`` is killed, and TimeoutError raised."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if STOP.is_set():
                raise Interrupted
            if time.monotonic() > deadline:
                said = self.output[-3000:]
                self.kill_all()
                raise TimeoutError(f"{self.verb} still ran after {seconds:.0f} s:\n{said}")
            time.sleep(0.05)
        return self.process.returncode

    def await_boundary(self, boundary: str, seconds: float = LONGEST) -> bool:
        """Wait until a task begins; False when the run ends before."""
        deadline = time.monotonic() + seconds
        while True:
            over = self.ended()
            if any(entry["boundary"] == boundary for entry in self.trace):
                return True
            if over:
                return False
            if STOP.is_set():
                raise Interrupted
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.verb} doesn't come to {boundary!r}:\n{self.output[-3000:]}")
            time.sleep(0.02)

    def let_go(self) -> None:
        """From a boundary at which it was told to wait."""
        (self.directory / "trace.go").touch()

    def processes(self) -> list[int]:
        """What it has started and is alive, itself first; modules have sessions of their own."""
        return sorted(marked(self.mark), key=lambda pid: (pid != self.process.pid, pid))

    def signal_all(self, number: int) -> None:
        """To everything at once, as a container ends: again until nothing new appears."""
        seen: set[int] = set()
        while fresh := set(self.processes()) - seen:
            for pid in fresh:
                _send(pid, number)
            seen |= fresh

    def kill_all(self) -> None:
        self.signal_all(signal.SIGKILL)
        self.process.wait()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def marked(mark: str) -> set[int]:
    """The living processes with this mark in their environment."""
    needle, found = f"{MARK}={mark}".encode(), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX" and needle in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except (OSError, IndexError):
                continue
    return found


def environment(stand: Stand, directory: Path, mark: str, trace: bool = True) -> dict[str, str]:
    """Nothing of this machine's user: no home, no configuration file, no way to a real AWS account."""
    home = directory / "home"
    home.mkdir()
    return {
        **stand.environment,
        "HOME": str(home), "TMPDIR": str(directory / "tmp"), "LC_ALL": "C.UTF-8", "TZ": "America/New_York",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true",
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
        "PYTHONUNBUFFERED": "1", MARK: mark,
        **({
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"), "ANSIBLE_CALLBACKS_ENABLED": "chaos_trace",
            "CHAOS_TRACE": str(directory / "trace"),
        } if trace else {}),
    }


def begin(
    stand: Stand, verb: str, *, halt: str | None = None, extra: dict[str, Any] | None = None,
    settings: dict[str, str] | None = None, command: Callable[[list[str], Path], list[str]] | None = None,
    arguments: Sequence[str] = (),
) -> Run:
    """Start a playbook; ``halt`` is the boundary to wait at, ``settings`` are environment variables beside."""
    directory = stand.directory / "runs" / f"{next(NUMBERS):03}-{verb}"
    (directory / "tmp").mkdir(parents=True)
    (directory / "here").mkdir()
    mark = secrets.token_hex(8)
    around = {**environment(stand, directory, mark), **(settings or {})}
    if halt:
        around["CHAOS_HALT"] = halt
    line = ["ansible-playbook", f"cloudpg.migration.{verb}", "-i", str(stand.directory / "inventory"), *arguments]
    if extra:
        line += ["-e", json.dumps(extra)]
    if command:
        line = command(line, directory)
    with open(directory / "output", "wb") as output:
        process = subprocess.Popen(
            line, cwd=directory / "here", env=around, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=end_with_parent,
        )
    run = Run(verb, directory, mark, process)
    stand.runs.append(run)
    return run


def finish(stand: Stand, verb: str, **options: Any) -> Run:
    """Run a playbook to its end."""
    run = begin(stand, verb, **options)
    run.wait()
    return run


def await_silence(runs: Sequence[Run], seconds: float = 60.0) -> list[int]:
    """Wait until nothing of these runs is alive; what is, in the end."""
    deadline = time.monotonic() + seconds
    while (left := [pid for run in runs for pid in run.processes()]) and time.monotonic() < deadline:
        if STOP.wait(0.1):
            raise Interrupted
    return left
