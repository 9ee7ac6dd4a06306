# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters over what ``pg_server_info`` returned, for the gate of a cutover."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._findings import blocker


def long_transactions(server, databases, side="source"):
    """Findings about transactions of clients that a cutover would have to wait for, or to end (P36)."""
    if server and server["long_transactions"] is None:
        return [blocker(
            "long-transactions-hidden", side, "without pg_monitor the login doesn't see them", "GRANT pg_monitor", "P52"
        ).as_dict()]
    return [
        blocker(
            "long-transaction-open", f"{side}/{one['user']} (pid {one['pid']})",
            f"its transaction in {one['database']} has been open for {one['age_seconds']:.0f} s"
            f" ({one['application_name'] or 'no name'}, {one['state']}): the cutover would wait for it, then end it",
            "let it end, or end it; acknowledged, the cutover ends it", "P36", acknowledgeable=True,
        ).as_dict()
        for one in (server["long_transactions"] if server else ()) if one["user"] and one["database"] in databases
    ]


class FilterModule:
    def filters(self):
        return {"long_transactions": long_transactions}
