# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way to wait: poll an info module, print a whole line when something changes, keep the lease alive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

HEARTBEAT = 30.0
KEEPALIVE = 20.0
NEAR_THE_END = 0.5
# What a lease on AWS needs from a task's own arguments to speak to the same account in the same way.
SESSION = (
    "access_key", "aws_ca_bundle", "aws_config", "debug_botocore_endpoint_logs", "endpoint_url", "profile", "region",
    "secret_key", "session_token", "validate_certs",
)


@dataclass(frozen=True)
class Look:
    """What one poll said. ``line`` is for a person; ``near`` asks for quicker polls; ``failed`` ends the wait."""

    line: str
    done: bool = False
    failed: str | None = None
    near: bool = False


def pause(look: Look, hosts: int) -> float:
    """Seconds until the next poll: a fleet is polled more slowly, the end of a wait quickly."""
    return NEAR_THE_END if look.near else max(2.0, hosts / 10)


class WaitAction(ActionBase):
    """Base of the ``*_wait`` actions. A subclass names its info module and judges what it returned.

    Options every one of them has: ``wait_timeout`` (seconds) and ``journal`` (the lease to renew while waiting).
    """

    TRANSFERS_FILES = False
    info_module = ""
    # Where the lock is: on AWS, or beside the data.
    journal_module = "cloudpg.migration.aws_journal"
    journal_options = SESSION
    clock = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def options(self, args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Split the task's arguments into those of the wait and those of the info module."""
        raise NotImplementedError

    def look(self, result: Mapping[str, Any], wanted: Mapping[str, Any]) -> Look:
        """Judge one result of the info module. Pure."""
        raise NotImplementedError

    def describe(self, wanted: Mapping[str, Any]) -> str:
        """What is waited for, for check mode and for the message of a timeout."""
        raise NotImplementedError

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        journal = args.pop("journal", None)
        limit = self._seconds(args.pop("wait_timeout", 1800))
        wanted, asked = self.options(args)
        aim = self.describe(wanted)
        if self._task.check_mode:
            return {"changed": False, "msg": f"would wait for {aim}", "state": None}
        started = self.clock()
        self._begin(task_vars)
        while True:
            result = self._execute_module(module_name=self.info_module, module_args=asked, task_vars=task_vars)
            if result.get("failed"):
                return {**result, "changed": False}
            look = self.look(result, wanted)
            elapsed = self.clock() - started
            self._say(look, elapsed)
            last = {"changed": False, "state": result, "elapsed": round(elapsed, 1)}
            if look.failed:
                return {**last, "failed": True, "msg": look.failed}
            if look.done:
                return {**last, "msg": look.line}
            wait = pause(look, self._hosts)
            if elapsed + wait > limit:
                return {
                    **last, "failed": True,
                    "msg": f"waited {elapsed:.0f} s (wait_timeout {limit:.0f}) for {aim}; last seen: {look.line}",
                }
            self._keep_alive(journal, asked, task_vars)
            self.sleep(wait)

    @staticmethod
    def _seconds(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise AnsibleActionFail(f"wait_timeout is a number of seconds, not {value!r}") from error

    def _begin(self, task_vars: Mapping[str, Any]) -> None:
        self._host = task_vars.get("inventory_hostname", "localhost")
        self._hosts = len(task_vars.get("ansible_play_hosts", [])) or 1
        self._said, self._said_at, self._kept_at = "", 0.0, self.clock()

    def _say(self, look: Look, elapsed: float) -> None:
        if look.line != self._said or elapsed - self._said_at >= HEARTBEAT:
            Display().display(f"[{self._host}] {look.line} · {int(elapsed) // 60:02}:{int(elapsed) % 60:02}")
            self._said, self._said_at = look.line, elapsed

    def _keep_alive(self, journal: Mapping[str, Any] | None, asked: Mapping[str, Any], task_vars) -> None:
        if not journal or self.clock() - self._kept_at < KEEPALIVE:
            return
        result = self._execute_module(
            module_name=self.journal_module,
            module_args={
                "state": "held", "journal": dict(journal),
                **{key: asked[key] for key in self.journal_options if key in asked},
            },
            task_vars=task_vars,
        )
        if result.get("failed"):
            raise AnsibleActionFail(
                result.get("msg", "the lease could not be renewed"), result={"code": result.get("code")}
            )
        self._kept_at = self.clock()
