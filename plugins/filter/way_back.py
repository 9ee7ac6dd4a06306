# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for the way back of the path ``replica``."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._logical import selection
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import way_back


def way_back_databases(server, wanted=()):
    return way_back.databases(server, wanted or ())


def way_back_findings(server, name, wanted, tried=(), token=False, databases=(), insisted=True, own_login=False):
    found = way_back.findings(wanted, name, server, tried, token, databases, insisted, own_login)
    return [one.as_dict() for one in found]


def way_back_refusal(copy, cluster, owner=None):
    return way_back.refusal(copy, cluster, owner)


def slot_name(migration, database):
    return selection.slot_name(migration, database)


class FilterModule:
    def filters(self):
        return {
            "slot_name": slot_name,
            "way_back_databases": way_back_databases,
            "way_back_findings": way_back_findings,
            "way_back_refusal": way_back_refusal,
        }
