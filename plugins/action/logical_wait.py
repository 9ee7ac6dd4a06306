# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait until the databases of a migration follow their source."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import phase
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import insist
from ansible_collections.cloudpg.migration.plugins.module_utils._status import size
from ansible_collections.cloudpg.migration.plugins.plugin_utils._wait import Look, WaitAction

# What goes away by itself while a subscription starts is waited for.
PASSING = ("worker-missing", "errors-in-the-past")


class ActionModule(WaitAction):
    info_module = "cloudpg.migration.logical_info"
    journal_module = "cloudpg.migration.pg_journal"
    journal_options = ("source", "target")

    def options(self, args):
        args = dict(args)
        wanted = {
            "max_lag_bytes": int(args.pop("max_lag_bytes", 16777216)), "acknowledged": args.pop("acknowledged", []),
            "migration": args.get("migration"), "whole": boolean(args.pop("whole", True)),
        }
        return wanted, args

    def look(self, result, wanted):
        seen = phase.document(wanted["migration"], "logical", result, wanted["acknowledged"])
        # A slot that is lost has no position.
        positions = [one["bytes_behind"] for one in result["databases"]]
        behind = max(positions, default=None) if None not in positions else None
        there = seen["phase"] == phase.REPLICATING
        if seen["phase"] == phase.OPEN:
            there = all(phase.follows(one["back"]) for one in result["databases"])
        elif not wanted["whole"]:
            there = bool(positions) and all(map(phase.follows, result["databases"]))
        parts = [seen["sentence"], *([] if behind is None else [f"{size(behind)} behind"]), *seen["blockers"]]
        hard = [one for one in seen["blockers"] if not one.startswith(PASSING)]
        follows = there and behind is not None and behind <= wanted["max_lag_bytes"]
        failed = f"{seen['sentence']}: {', '.join(hard)}. See status.yml for the cures." if hard else None
        return Look(" · ".join(parts), done=follows and not seen["blockers"], failed=failed, near=follows)

    def _keep_alive(self, journal, asked, task_vars):
        try:
            if journal:
                insist(journal)
        except MigrationError as error:
            raise AnsibleActionFail(error.message) from error
        super()._keep_alive(journal, asked, task_vars)

    def describe(self, wanted):
        return f"the databases of {wanted['migration']} to follow their source"
