# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the path ``planetscale`` with downtime."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import dump


def dump_findings(found, migration, server, databases, max_outage=0):
    """Those of the findings that matter where nothing is replicated, and one about the downtime."""
    sizes = [one["size_bytes"] for one in server["databases"] if one["name"] in databases]
    return [*dump.told(found), dump.downtime(migration, sizes, float(max_outage)).as_dict()]


class FilterModule:
    def filters(self):
        return {"dump_findings": dump_findings}
