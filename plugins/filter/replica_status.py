# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the path ``replica``."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import phase, way_back


def replica_status(seen, journals, migration, back=None, acknowledged=()):
    """The status document from what ``aurora_replica_info`` and ``aws_journal_info`` returned.

    ``back`` is what ``logical_info`` returned of the way back, or its failure.
    """
    journal = journals[0] if journals else {}
    held = journal.get("holder") and not journal.get("lapsed", True)
    return phase.document(
        migration,
        replica=(seen.get("replicas") or [None])[0],
        events=journal.get("events") or {},
        holder={key: journal.get(key) for key in ("holder", "since", "until", "generation")} if held else None,
        metrics=seen.get("metrics"),
        source=seen.get("source"),
        family=journal.get("group_ids"),
        back=None if back is None else way_back.standing(
            back.get("databases"), back.get("msg"), (seen.get("source") or {}).get("identifier"), acknowledged
        ),
    )


class FilterModule:
    def filters(self):
        return {"replica_status": replica_status}
