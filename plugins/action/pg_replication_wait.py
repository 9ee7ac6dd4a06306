# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait until a physical copy has replayed a position."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.gate import lsn_number, passage
from ansible_collections.cloudpg.migration.plugins.plugin_utils._wait import SESSION, Look, WaitAction

VIEWS = ("standby", "source")


class ActionModule(WaitAction):
    info_module = "cloudpg.migration.pg_replication_info"

    def options(self, args):
        args = dict(args)
        # The lease is on AWS, the positions aren't: these options are for the lease alone.
        self._session = {key: args.pop(key) for key in SESSION if key in args}
        wanted = {"lsn": args.pop("lsn", None), "via": args.pop("via", "standby"), "standby": args.pop("standby", None)}
        if wanted["via"] not in VIEWS:
            raise AnsibleActionFail(f"via is one of {', '.join(VIEWS)}, not {wanted['via']!r}")
        if not self._task.check_mode:
            self._insist_on_a_position(wanted["lsn"])
        return wanted, args

    @staticmethod
    def _insist_on_a_position(lsn):
        try:
            if lsn_number(lsn):
                return
        except MigrationError as error:
            raise AnsibleActionFail(error.message) from error
        raise AnsibleActionFail("lsn: 0/0 is before everything and proves nothing. Cure: mark the source first.")

    def look(self, result, wanted):
        seen = passage(result["replication"], **wanted)
        return Look(seen.line, done=seen.done, failed=seen.failed, near=seen.near)

    def describe(self, wanted):
        who = wanted["standby"] or "the replica"
        return f"{who} to have replayed {wanted['lsn'] or 'what the source writes last'}"

    def _keep_alive(self, journal, asked, task_vars):
        super()._keep_alive(journal, self._session, task_vars)
