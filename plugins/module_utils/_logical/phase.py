# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a migration by logical replication stands, derived from what both sides are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._findings import from_dicts, judge
from .._status import status

ABSENT, BUILDING, READY, REPLICATING, QUIESCED, OPEN, FINISHED = (
    "absent", "building", "ready", "replicating", "quiesced", "open", "finished",
)

# Whatever a look at the servers tells: before there is a target nobody was led anywhere, and afterwards nobody may be
# able to log in to it any more.
_SERVES = {ABSENT: None, BUILDING: None, FINISHED: "target"}


def follows(way: Mapping[str, Any]) -> bool:
    """Whether every table of the subscription is in and follows (P18), though keys may be missing yet.

    ``way`` is a database, for what leads to the target, or its ``back``.
    """
    subscription = way["subscription"]
    return bool(subscription) and subscription["tables"]["ready"] == subscription["tables"]["count"]


def copied_of(database: Mapping[str, Any]) -> str:
    """``replicating`` when all is copied and follows, ``absent`` when nothing was begun, else ``building``.

    ``ready`` where the cutover is to copy: what a try that was put back has left there counts for nothing.
    """
    copied = database["copy"]
    if database["awaits"]:
        return READY
    if not (copied or database["subscription"] or database["publication"]):
        return ABSENT
    if not copied or copied["state"] != "done" or copied["left"]:
        return BUILDING
    return REPLICATING if follows(database) else BUILDING


def phase_of(seen: Mapping[str, Any]) -> str:
    """The phase of the whole: what the journals say of a cutover, and before any how far the copies are."""
    if seen["finished"]:
        return FINISHED
    if seen["halfway"]:
        return QUIESCED
    if seen["serves"] == "target":
        return OPEN
    phases = {copied_of(one) for one in seen["databases"]}
    return phases.pop() if len(phases) == 1 else BUILDING if phases else ABSENT


def returnable(seen: Mapping[str, Any]) -> bool:
    """Whether every database has a way back."""
    return bool(seen["databases"]) and all(one["back"]["subscription"] for one in seen["databases"])


def _sentence(name: str, seen: Mapping[str, Any]) -> str:
    databases, back = seen["databases"], "there is no way back"
    if name == ABSENT:
        return "nothing was built yet"
    if name == FINISHED:
        return "the migration is finished, and the target serves"
    if name == QUIESCED:
        if seen["halfway"] == "there":
            return "a cutover to the target is half-way, and nobody may be served: cutover goes on, rollback puts back"
        return "a way back to the source is half-way, and nobody may be served: rollback goes on, cutover puts back"
    count = len(databases)
    word = "database" if count == 1 else "databases"
    if name == OPEN:
        if returnable(seen):
            back = "the source follows it, so rollback loses no write"
        return f"the target serves {count} {word} since {seen['opened_at']}; {back}"
    if name == READY:
        return f"the target is ready for {count} {word}: cutover closes the source, copies and opens the target; {back}"
    copies = [one["copy"] for one in databases if one["copy"]]
    ready, tables = sum(one["ready"] for one in copies), sum(one["tables"] for one in copies)
    if name == BUILDING:
        return f"{count} {word} being copied, {ready}/{tables} tables"
    if returnable(seen):
        back = "the way back is ready"
    again = "serves again, and " if seen["returned"] else ""
    return f"the source {again}is followed by {count} {word}, {tables} tables; {back}"


def document(
    migration: str, path: str, seen: Mapping[str, Any], acknowledged: Sequence[str] = (),
) -> dict[str, Any]:
    """The status document out of what ``logical_info`` returned. What isn't known is null: a lag only where every
    database has one."""
    databases, name = seen["databases"], phase_of(seen)
    findings = [] if name == FINISHED else [one for database in databases for one in database["findings"]]
    found = judge(from_dicts(findings), acknowledged)
    behind = [one["bytes_behind"] for one in databases]
    return status(
        migration, path, name, _sentence(name, seen),
        lag_bytes=max(behind) if name in (REPLICATING, OPEN) and behind and None not in behind else None,
        blockers=sorted({f"{one.id} [{one.object}]" for one in found.blockers}),
        holder=seen["holder"],
        details={
            "serves": _SERVES.get(name, seen["serves"]),
            "halfway": seen["halfway"],
            "returned": seen["returned"],
            "opened_at": seen["opened_at"],
            "way_back": returnable(seen),
            "databases": [
                {
                    "name": one["name"], "phase": name if name in (OPEN, QUIESCED, FINISHED) else copied_of(one),
                    "bytes_behind": one["bytes_behind"],
                    "copy": one["copy"], "tables": one["subscription"] and one["subscription"]["tables"],
                }
                for one in databases
            ],
            "warnings": [one.as_dict() for one in found.warnings],
        },
    )
