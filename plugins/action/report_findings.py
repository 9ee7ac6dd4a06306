# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.cloudpg.migration.plugins.module_utils._findings import BLOCKER, from_dicts, judge

COLOURS = {BLOCKER: "red", "warning": "yellow"}
SHOWN = 100


class ActionModule(ActionBase):
    """Print findings for a person and fail on a blocker."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec({
            "findings": {"type": "list", "elements": "dict", "required": True},
            "acknowledged": {"type": "list", "elements": "str", "default": []},
        })
        host = task_vars.get("inventory_hostname", "localhost")
        try:
            findings = from_dicts(args["findings"])
        except TypeError as error:
            raise AnsibleActionFail(f"a finding lacks a field: {error}") from error
        verdict = judge(findings, args["acknowledged"])
        for finding in (*verdict.blockers, *verdict.warnings)[:SHOWN]:
            Display().display(f"[{host}] {finding.line()}", color=COLOURS[finding.severity])
        for finding in verdict.acknowledged:
            Display().display(f"[{host}] known   {finding.id} [{finding.object}]")
        for name in verdict.unknown:
            Display().display(f"[{host}] no finding is {name}, which migration_acknowledged names")
        result = {
            "changed": False,
            "verdict": {
                "blockers": [finding.as_dict() for finding in verdict.blockers[:SHOWN]],
                "warnings": [finding.as_dict() for finding in verdict.warnings[:SHOWN]],
                "acknowledged": [finding.as_dict() for finding in verdict.acknowledged[:SHOWN]],
                "unknown": list(verdict.unknown),
            },
            "msg": f"{len(verdict.blockers)} blockers, {len(verdict.warnings)} warnings, "
                   f"{len(verdict.acknowledged)} acknowledged",
        }
        if verdict.blockers:
            result.update(failed=True, msg=result["msg"] + ". " + " ".join(
                f"{finding.id} [{finding.object}]: {finding.reason.rstrip('.')}. Cure: {finding.cure.rstrip('.')}."
                for finding in verdict.blockers[:SHOWN]
            ) + " Nothing was changed.")
        return result
