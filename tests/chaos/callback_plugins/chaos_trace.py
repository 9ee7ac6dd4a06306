# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a line for each task that begins, and waits at the one it is told to."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: chaos_trace
type: notification
short_description: Tell a harness which task begins, and wait at one of them
description:
  - Appends a JSON line with play, task, action and number to the file C(CHAOS_TRACE) before a task runs.
  - At the boundary C(CHAOS_HALT) it waits until the file named after the trace with C(.go) added is there.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "chaos_trace"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._path = os.environ["CHAOS_TRACE"]
        self._halt = os.environ.get("CHAOS_HALT")
        self._play, self._times = "", {}

    def v2_playbook_on_play_start(self, play):
        self._play, self._times = play.get_name(), {}

    def v2_playbook_on_task_start(self, task, is_conditional):
        name = task.get_name().strip()
        self._times[name] = number = self._times.get(name, 0) + 1
        boundary = f"{self._play} / {name} #{number}"
        halted = boundary == self._halt
        line = {"boundary": boundary, "action": task.action, "halted": halted, "at": time.time()}
        with open(self._path, "a", encoding="utf-8") as trace:
            trace.write(json.dumps(line) + "\n")
        while halted and not os.path.exists(f"{self._path}.go"):
            time.sleep(0.02)
