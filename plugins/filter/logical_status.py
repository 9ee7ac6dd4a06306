# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the path ``logical``."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._logical import phase


def logical_status(seen, migration, path="logical", acknowledged=()):
    """The status document from what ``logical_info`` returned."""
    return phase.document(migration, path, seen, acknowledged)


class FilterModule:
    def filters(self):
        return {"logical_status": logical_status}
