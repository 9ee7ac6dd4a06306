# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a migration by logical replication stands, derived from what both sides are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._findings import from_dicts, judge
from .._status import status

ABSENT, BUILDING, REPLICATING = "absent", "building", "replicating"


def follows(database: Mapping[str, Any]) -> bool:
    """Whether every table of the subscription is in and follows (P18), though keys may be missing yet."""
    subscription = database["subscription"]
    return bool(subscription) and subscription["tables"]["ready"] == subscription["tables"]["count"]


def phase_of(database: Mapping[str, Any]) -> str:
    """``replicating`` when all is copied and follows, ``absent`` when nothing was begun, else ``building``."""
    copied = database["copy"]
    if not (copied or database["subscription"] or database["publication"]):
        return ABSENT
    if not copied or copied["state"] != "done" or copied["left"]:
        return BUILDING
    return REPLICATING if follows(database) else BUILDING


def _sentence(name: str, databases: Sequence[Mapping[str, Any]]) -> str:
    if name == ABSENT:
        return "nothing was built yet"
    copies = [one["copy"] for one in databases if one["copy"]]
    ready, tables = sum(one["ready"] for one in copies), sum(one["tables"] for one in copies)
    count = len(databases)
    word = "database" if count == 1 else "databases"
    if name == BUILDING:
        return f"{count} {word} being copied, {ready}/{tables} tables"
    return f"{count} {word} follow the source, {tables} tables"


def document(
    migration: str, path: str, databases: Sequence[Mapping[str, Any]], holder: Mapping[str, Any] | None = None,
    acknowledged: Sequence[str] = (),
) -> dict[str, Any]:
    """The status document. What isn't known is null: a lag only where every database has one."""
    phases = {phase_of(one) for one in databases}
    name = phases.pop() if len(phases) == 1 else BUILDING if phases else ABSENT
    found = judge(from_dicts([one for database in databases for one in database["findings"]]), acknowledged)
    behind = [one["bytes_behind"] for one in databases]
    return status(
        migration, path, name, _sentence(name, databases),
        lag_bytes=max(behind) if name == REPLICATING and None not in behind else None,
        blockers=sorted({f"{one.id} [{one.object}]" for one in found.blockers}),
        holder=holder,
        details={
            "databases": [
                {
                    "name": one["name"], "phase": phase_of(one), "bytes_behind": one["bytes_behind"],
                    "copy": one["copy"], "tables": one["subscription"] and one["subscription"]["tables"],
                }
                for one in databases
            ],
            "warnings": [one.as_dict() for one in found.warnings],
        },
    )
