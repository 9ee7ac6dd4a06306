# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.cloudpg.migration.plugins.module_utils._status import line


class ActionModule(ActionBase):
    """Print the status document as one line."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec({"status": {"type": "dict", "required": True}})
        status = args["status"]
        colour = None if status["healthy"] else "yellow"
        text = line(status)
        Display().display(f"[{task_vars.get('inventory_hostname', 'localhost')}] {text}", color=colour)
        return {"changed": False, "msg": text, "status": status}
