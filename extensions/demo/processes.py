# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes in the background that nobody has to hunt for afterwards."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def end_with_parent() -> None:
    """In a child before exec: be ended by the kernel when the thread that started it is gone, however it went."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that ends with this process, but not by the terminal's Ctrl-C."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_parent, **options
    )


def stop(process: subprocess.Popen[Any] | None, seconds: float = 20.0) -> None:
    """Ask a program to end, and see to it when it doesn't; one that has ended is fine."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def unprivileged() -> pwd.struct_passwd | None:
    """The account for servers that refuse to run as root; None when this process isn't root itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("started by root, but there is neither an account 'postgres' nor 'nobody'; create one")


def eventually(look: Callable[[], Answer], what: str, seconds: float = 30.0) -> Answer:
    """Look again and again until there is something true, and return it; TimeoutError says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)
    return answer
