# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters over what ``pg_server_info`` returned."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._pg import collations


def collation_findings(server, name):
    return [finding.as_dict() for finding in collations.collation_findings(server, name)]


class FilterModule:
    def filters(self):
        return {"collation_findings": collation_findings}
