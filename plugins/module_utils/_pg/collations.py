# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a physical copy does to text that is sorted by a library: findings about the copy (P42). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._findings import Finding, blocker


def collation_findings(copy: Mapping[str, Any], name: str) -> list[Finding]:
    """A finding for each database of the copy whose collations sort by another version than the source's did.

    ``copy`` is what ``pg_server_info`` returned for the replica. Its text indexes may then be out of order: equal keys
    get past a unique index, rows land in the wrong partition. Accepted by name only, once a REINDEX is planned.
    """
    return [
        blocker(
            "collation-changed", f"{name}/{database['name']}",
            f"collations {', '.join(database['collation_mismatches'])} sort by another version here than on the source:"
            " indexes on text may be out of order.",
            "Plan REINDEX of indexes on text before the target is used (unique ones and partition keys above all), "
            "then acknowledge this id.",
            "P42", acknowledgeable=True,
        )
        for database in copy["databases"] if database["collation_mismatches"]
    ]
