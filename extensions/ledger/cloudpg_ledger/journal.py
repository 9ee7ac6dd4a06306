# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local journal: what was tried, before it was sent, and how it ended, as soon as that was known.

One JSON object a line. `run` opens a run of writers and `stop` ends it, `try` announces an attempt, and `acked`,
`failed` or `doubt` settles it. An attempt that was never settled (the ledger itself was killed) is in doubt. Times are
seconds of the monotonic clock; `run` holds both clocks, so that they can be shown as times of day.
"""
from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

ACKED = "acked"  # the server said COMMIT
FAILED = "failed"  # certainly not committed
DOUBT = "doubt"  # COMMIT was sent, the answer was lost


class JournalError(Exception):
    """The journal can't be used: locked by another run, damaged, or it can't be written."""


@dataclass(slots=True)
class Attempt:
    """One transaction of one writer. `began` and `ended` are monotonic seconds, `server` the address that answered."""

    writer: str
    seq: int
    kind: str
    route: str
    began: float
    data: dict[str, Any] = field(default_factory=dict)
    outcome: str = DOUBT
    ended: float = math.inf
    server: str | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.writer, self.seq


@dataclass
class Run:
    """One run of writers, in monotonic seconds; without a `stop` it ended with the last thing it wrote."""

    began: float
    ended: float
    routes: list[str]


@dataclass
class History:
    """A journal that was read: attempts in the order they were begun, and what turns monotonic into wall time."""

    attempts: list[Attempt] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    wall_offset: float = 0.0

    @property
    def writers(self) -> list[str]:
        return sorted({attempt.writer for attempt in self.attempts})


class Journal:
    """An append-only file, written a whole line at a time so that threads may share it; one process at a time."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise JournalError(f"{path} is being written by another run") from None
        self._drop_torn_line()

    def record(self, event: str, **fields: Any) -> None:
        """Append one line; it survives the death of this process. Raises JournalError when it can't be written."""
        line = json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._fd, line)
        except OSError as exc:
            raise JournalError(f"the journal can't be written: {exc.strerror}") from exc
        if written != len(line):
            raise JournalError("the journal can't be written: the disk is full")

    def close(self) -> None:
        os.close(self._fd)

    def _drop_torn_line(self) -> None:
        # A line without its end was never acted on: a `try` not yet sent, or an outcome that stays in doubt.
        content = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        if content and not content.endswith(b"\n"):
            os.ftruncate(self._fd, content.rfind(b"\n") + 1)


def read(path: str) -> History:
    """Read a journal file. Raises OSError, and JournalError on a damaged line (a torn last one is left out)."""
    with open(path, encoding="utf-8") as file:
        return parse(file)


def parse(lines: Iterable[str]) -> History:
    """Read the lines of a journal."""
    history = History()
    open_attempts: dict[tuple[str, int], Attempt] = {}
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break
        try:
            _apply(json.loads(line), history, open_attempts)
        except (LookupError, TypeError, ValueError) as exc:
            raise JournalError(f"line {number} of the journal is damaged: {exc!r}") from exc
    history.attempts.sort(key=lambda attempt: attempt.began)
    return history


def _apply(entry: dict[str, Any], history: History, open_attempts: dict[tuple[str, int], Attempt]) -> None:
    event = entry["event"]
    if event == "run":
        history.wall_offset = entry["wall"] - entry["at"]
        history.runs.append(Run(entry["at"], entry["at"], entry["routes"]))
        return
    run = history.runs[-1]
    if event == "stop":
        run.ended = entry["at"]
        return
    run.ended = max(run.ended, entry["at"])
    if event == "try":
        attempt = Attempt(entry["writer"], entry["seq"], entry["kind"], entry["route"], entry["at"], entry["data"])
        if attempt.key in open_attempts:
            raise ValueError(f"{attempt.key} was tried twice")
        history.attempts.append(attempt)
        open_attempts[attempt.key] = attempt
    elif event in (ACKED, FAILED, DOUBT):
        attempt = open_attempts.pop((entry["writer"], entry["seq"]))
        attempt.outcome, attempt.ended = event, entry["at"]
        attempt.server, attempt.error = entry.get("server"), entry.get("error")
        attempt.data.update(entry.get("data", {}))
    else:
        raise ValueError(f"unknown event {event!r}")
