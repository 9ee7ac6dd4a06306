# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox has started, on disk: so that nothing survives a sandbox that was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 5.0


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot: with the pid it names one process for ever. None if gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


class Registry:
    """Process ids with their start times and directories, rewritten on every change."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, object]] = {}

    def add(self, pid: int, directory: str) -> None:
        """Note a process the sandbox has started."""
        with self._lock:
            self._entries[str(pid)] = {"start": start_time(pid), "directory": directory}
            self._save()

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        with self._lock:
            self._entries.pop(str(pid), None)
            self._save()

    def _save(self) -> None:
        building = f"{self.path}.new"
        with open(building, "w", encoding="utf-8") as handle:
            json.dump(self._entries, handle)
        os.replace(building, self.path)


def clear(path: str) -> int:
    """End every process a registry names and remove their directories; returns how many were still alive."""
    try:
        with open(path, encoding="utf-8") as handle:
            entries = {int(pid): entry for pid, entry in json.load(handle).items()}
    except (OSError, ValueError):
        return 0
    alive = [pid for pid, entry in entries.items() if entry["start"] and start_time(pid) == entry["start"]]
    for how in (signal.SIGQUIT, signal.SIGKILL):
        waiting = [pid for pid in alive if start_time(pid) == entries[pid]["start"]]
        for pid in waiting:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and any(start_time(pid) == entries[pid]["start"] for pid in waiting):
            time.sleep(0.02)
    for entry in entries.values():
        shutil.rmtree(str(entry["directory"]), ignore_errors=True)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return len(alive)


def start_watchdog(path: str) -> int:
    """A small process that clears the registry when this one ends, however it ends. Returns the pipe to keep open."""
    reader, writer = os.pipe()
    program = (
        "import os, runpy, sys\n"
        "os.read(int(sys.argv[1]), 1)\n"
        "runpy.run_path(sys.argv[2])['clear'](sys.argv[3])\n"
    )
    subprocess.Popen(
        [sys.executable, "-c", program, str(reader), os.path.abspath(__file__), path],
        pass_fds=(reader,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, cwd="/",
    )
    os.close(reader)
    return writer
