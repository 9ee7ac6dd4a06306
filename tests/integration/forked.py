# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules run as Ansible runs them, each in a process of its own: forked, so that what is imported needn't be again."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import _internal, basic

MODULES = "ansible_collections.cloudpg.migration.plugins.modules"


@dataclass
class RunningModule:
    """A module in a process of its own. ``secret``: what nothing that it says may hold."""

    name: str
    pid: int
    output: int
    secret: str | None = None

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def text(self) -> str:
        """All that it said, once it has ended however it ended."""
        with os.fdopen(self.output, errors="replace") as pipe:
            try:
                said = pipe.read()
            except BaseException:
                # Whoever waits has lost patience: where does it hang? It may be asleep; a child may hold the pipe.
                for number in (signal.SIGABRT, signal.SIGCONT):
                    self.send(number)
                os.waitpid(self.pid, 0)
                os.set_blocking(self.output, False)
                with suppress(BlockingIOError):
                    print(f"{self.name} was stopped here:\n{os.read(self.output, 1 << 16).decode(errors='replace')}")
                raise
            os.waitpid(self.pid, 0)
        return said

    def result(self) -> dict[str, Any]:
        """Its result, once it has ended."""
        said = self.text()
        assert self.secret is None or self.secret not in said
        lines = [line for line in said.splitlines() if line.startswith("{")]
        assert lines, f"{self.name} gave no result but: {said[-3000:]}"
        return json.loads(lines[-1])


def start(
    name: str, args: dict[str, Any], check: bool = False, diff: bool = False, *,
    prepare: Callable[[], None] = lambda: None, secret: str | None = None,
) -> RunningModule:
    """Run a module's main(); ``prepare`` is called in its process, before it."""
    module = importlib.import_module(f"{MODULES}.{name}")
    given = {**args, "_ansible_check_mode": check, "_ansible_diff": diff}
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return RunningModule(name, pid, read_end, secret)
    code = 1
    try:
        for number in (1, 2):
            os.dup2(write_end, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        faulthandler.enable()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        # As on a host of its own: whatever of Ansible's other half was imported by tests that ran before.
        _internal.is_controller = False
        prepare()
        module.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
