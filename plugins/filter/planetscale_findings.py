# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the path ``planetscale``."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import preflight


def planetscale_findings(offers, target, source, branch, wanted, bytes_needed, imports_are_let_in=True):
    """Findings out of what ``planetscale_database_info``, ``pg_server_info``, ``planetscale_parameters_info`` say."""
    database = next(iter(offers["databases"]), None)
    now = branch.get("pgconf", {}) if database else {}
    facts = preflight.Facts(
        target, database, offers["regions"], offers["sizes"], source["version_num"] // 10000,
        sorted({one["name"] for each in source["databases"] for one in each["extensions"]}), int(bytes_needed),
        imports_are_let_in, wanted, {
            name: {**branch["parameters"][name], "changes": preflight.raises(value, wanted[name])}
            for name, value in now.items() if name in wanted
        },
        branch.get("extensions") if database else None,
    )
    return [finding.as_dict() for finding in preflight.findings(facts)]


class FilterModule:
    def filters(self):
        return {"planetscale_findings": planetscale_findings}
