# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks as a user runs them, and what they said."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from playbook import environment
from processes import end_with_parent

CHECKOUT = Path(__file__).parents[3]
READS = ("Describe", "List", "Get")
# Seconds; a run takes less than a minute on an idle machine, and many times that on a busy one.
PATIENCE = 900


@dataclass(frozen=True)
class Task:
    """The result of one task on one host."""

    play: str
    name: str
    host: str
    result: dict[str, Any]

    @property
    def msg(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))

    @property
    def actions(self) -> list[str]:
        """What one of our modules did or would do, a sentence each."""
        return self.result.get("actions", [])


@dataclass(frozen=True)
class Run:
    """A playbook that has ended. ``said`` are the lines it printed beside its events."""

    rc: int
    stdout: str
    said: list[str]
    tasks: list[Task]
    stats: dict[str, dict[str, int]]
    custom: dict[str, Any]

    @property
    def changed(self) -> list[str]:
        """Tasks that changed something; empty for a second run."""
        return [f"{task.host}: {task.name}" for task in self.tasks if task.changed]

    @property
    def failed(self) -> list[str]:
        return [f"{task.host}: {task.name}: {task.msg}" for task in self.tasks if task.failed]

    def of(self, host: str, play: str | None = None) -> list[Task]:
        return [task for task in self.tasks if task.host == host and play in (None, task.play)]

    def error(self, host: str) -> str:
        """What the host failed with at last; it is what a person reads above the recap."""
        errors = [task.msg for task in self.of(host) if task.failed]
        assert errors, f"{host} didn't fail: {[task.name for task in self.of(host)][-3:]}"
        return errors[-1]

    def actions(self, host: str, play: str | None = None) -> list[str]:
        """What was changed or would be; what a look only tried out is none of it."""
        return [action for task in self.of(host, play) if task.changed for action in task.actions]


def read_events(rc: int, stdout: str) -> Run:
    """A run out of the lines that ansible.posix.jsonl wrote."""
    said, tasks, stats, custom, play = [], [], {}, {}, ""
    for line in stdout.splitlines():
        if not line.startswith('{"_event"'):
            said.append(re.sub(r"\x1b\[[0-9;]*m", "", line))
            continue
        event = json.loads(line)
        kind = event["_event"]
        if kind == "v2_playbook_on_play_start":
            play = event["play"]["name"]
        elif kind == "v2_playbook_on_stats":
            stats, custom = event["stats"], event["global_custom_stats"]
        elif kind.startswith("v2_runner_on_") and kind != "v2_runner_on_start":
            tasks += [Task(play, event["task"]["name"], host, result) for host, result in event["hosts"].items()]
    return Run(rc, stdout, said, tasks, stats, custom)


class Playbooks:
    """Runs playbooks as a user does, in processes that end with this one."""

    def __init__(self, cloud: dict[str, str], home: Path) -> None:
        self.home = home
        self.cloud = cloud

    def command(
        self, verbs: str | Sequence[str], inventories: Sequence[Path], *, check: bool = False, by_name: bool = False,
        extra: dict[str, Any] | None = None, arguments: Sequence[str] = (),
    ) -> list[str]:
        named = [verbs] if isinstance(verbs, str) else verbs
        where = "cloudpg.migration.{}" if by_name else f"{CHECKOUT}/playbooks/{{}}.yml"
        books = [where.format(verb) for verb in named]
        places = [part for inventory in inventories for part in ("-i", str(inventory))]
        options = ["--check", "--diff"] if check else []
        given = ["-e", json.dumps(extra)] if extra else []
        return ["ansible-playbook", *books, *places, *options, *given, *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of this machine's user: neither configuration nor directories."""
        kept = {
            name: value for name, value in environment(self.cloud).items() if not name.startswith("ANSIBLE_")
        }
        return {
            **kept, "ANSIBLE_HOME": str(self.home), "HOME": str(self.home), "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl", "ANSIBLE_SHOW_CUSTOM_STATS": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0", **more,
        }

    def start(self, command: list[str], output: IO[str] | int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        """Start it in a directory that has nothing to do with the checkout."""
        return subprocess.Popen(
            command, cwd=self.home, env=self.environment(**more), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, text=True, preexec_fn=end_with_parent,
        )

    def __call__(
        self, verbs: str | Sequence[str], *inventories: Path, env: dict[str, str] | None = None, **options: Any
    ) -> Run:
        """``play("cutover", inventory, extra={…})``: run a verb, or several one after the other, to the end."""
        process = self.start(self.command(verbs, inventories, **options), **(env or {}))
        try:
            stdout, _none = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return read_events(process.returncode, stdout)


def changes(calls: Sequence[dict[str, Any]]) -> list[str]:
    """The calls that aren't mere looking."""
    return [f"{call['service']}:{call['operation']}" for call in calls if not call["operation"].startswith(READS)]
