# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a migration by Aurora replica stands, derived from the real state and the journal. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import way_back
from ansible_collections.cloudpg.migration.plugins.module_utils._status import status

OWNER_TAG = "cloudpg:migration"
LAG_METRIC = "RDSToAuroraPostgreSQLReplicaLag"
SLOT_METRIC = "OldestReplicationSlotLag"


def _now(events: Mapping[str, Any], name: str) -> Any:
    """What the journal says of ``name`` at present; None when it says nothing or was taken back."""
    return (events.get(name) or {}).get("now")


def ours(replica: Mapping[str, Any], migration: str) -> bool:
    return (replica.get("tags") or {}).get(OWNER_TAG) == migration


def fence(
    events: Mapping[str, Any], source: Mapping[str, Any] | None = None, family: Collection[str] | None = None
) -> str | None:
    """Since when the source is closed and without old sessions; None when it isn't.

    The journal's word alone isn't enough where the source can be seen: somebody may have opened it by hand.
    """
    attached = {group["id"] for group in (source or {}).get("security_groups", [])}
    known = source is None or family is None or attached <= set(family)
    return _now(events, "source.fenced") if known else None


def phase(
    replica: Mapping[str, Any] | None, events: Mapping[str, Any], migration: str,
    source: Mapping[str, Any] | None = None, family: Collection[str] | None = None,
) -> tuple[str, str, list[str]]:
    """The phase, a sentence for a person and the ids of what blocks. ``family``: the migration's security groups.

    An Aurora cluster that isn't a replica any more is told apart by the journal: it was opened, or its cutover was put
    back (it is dead then, R19), or the run stopped between promotion and opening. Only a promotion that was asked for
    behind the fence that is still in force made a whole copy: any other left out what the source has taken since.
    """
    closed = fence(events, source, family)
    if _now(events, "source.reopened"):
        return _returned(replica, events)
    if replica is None:
        if _now(events, "source.fenced"):
            said = "the source is closed and there is no target: rollback.yml opens the source"
            return "aborted", said, ["source-closed"]
        return "absent", "nothing was built yet", []
    name = replica["identifier"]
    if not ours(replica, migration):
        return "absent", f"a cluster {name} exists and is not this migration's", ["target-foreign"]
    # Before `opened`: whoever wrote this down had the migration, so the run that then wrote `opened` had lost it.
    if _now(events, "target.dead"):
        return _dead(replica, name)
    behind_it = closed is not None and _now(events, "target.promotion") == closed
    if replica["is_replica"] and not (replica["status"] == "promoting" and behind_it):
        return _replicating(replica, events, name, closed, family)
    if _now(events, "migration.finished") or not events:
        return "finished", f"{name} serves, and what the migration made is gone", []
    if _now(events, "target.opened"):
        if _now(events, "source.returning"):
            return "open", f"{name} is being left again: rollback.yml goes on with it", ["returning"]
        return "open", f"{name} serves since {events['target.opened']['at']}", []
    if not behind_it:
        return "aborted", (
            f"{name} was promoted, but not behind the fence that closes the source now: it lacks what the source has "
            "taken since, so it is dead; rollback.yml removes it"
        ), ["target-dead"]
    return "promoted", f"{name} is promoted and still closed: cutover.yml goes on, rollback.yml puts back", []


def _returned(replica: Mapping[str, Any] | None, events: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    """The writes are on the source again. Cutting over anew is another migration, with a copy of its own."""
    serving, left = events["source.reopened"]["object"], replica["identifier"] if replica else "the target"
    if _now(events, "migration.finished"):
        return "finished", f"{serving} serves again, and what the migration made is gone", []
    since = events["source.reopened"]["at"]
    return "returned", f"{serving} serves again since {since}, {left} is closed: finish.yml clears away", []


def _dead(replica: Mapping[str, Any], name: str) -> tuple[str, str, list[str]]:
    if replica["is_replica"]:
        return "aborted", f"{name} is being removed: rollback.yml goes on with it", ["target-dead"]
    return "aborted", (
        f"{name} was promoted by a cutover that was put back: it is dead; rollback.yml removes it"
    ), ["target-dead"]


def _replicating(
    replica: Mapping[str, Any], events: Mapping[str, Any], name: str, closed: str | None,
    family: Collection[str] | None,
) -> tuple[str, str, list[str]]:
    members = replica.get("members") or []
    if replica["status"] != "available" or not members or any(m["status"] != "available" for m in members):
        states = ", ".join([replica["status"], *(m["status"] for m in members)])
        return "building", f"{name} is being built ({states})", []
    if closed:
        return "quiesced", "the source is closed: cutover.yml goes on, rollback.yml puts back", []
    if _closing(events, family):
        return "quiesced", "the source is being closed: cutover.yml goes on, rollback.yml puts back", []
    return "replicating", f"{name} follows the source", []


def _closing(events: Mapping[str, Any], family: Collection[str] | None) -> bool:
    """Whether a run began to close the source: its groups are written down, and not yet written down as put back."""
    groups = events.get("source.security_groups")
    if not groups or not groups["now"]:
        return False
    return sorted(groups["now"]) != sorted(groups["was"] or []) if family is None else set(groups["now"]) <= set(family)


def _value(metrics: Mapping[str, Any] | None, name: str) -> float | None:
    sample = (metrics or {}).get(name)
    return None if sample is None else sample["value"]


def document(
    migration: str,
    replica: Mapping[str, Any] | None,
    events: Mapping[str, Any],
    holder: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    family: Collection[str] | None = None,
    back: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The status document of the path ``replica``. Lag comes from CloudWatch and is null where it is missing (R12).

    ``back`` is what ``way_back.standing`` says of the way back of an open migration; None where nobody looked.
    """
    name, sentence, blockers = phase(replica, events, migration, source, family)
    if back and name == "open" and not blockers:
        sentence, blockers = f"{sentence}; {back['sentence']}", back["blockers"]
    following = name in ("replicating", "quiesced")
    slot_lag = _value(metrics, SLOT_METRIC) if following else None
    return status(
        migration, "replica", name, sentence,
        blockers=blockers,
        lag_seconds=_value(metrics, LAG_METRIC) if following else None,
        lag_bytes=back["bytes_behind"] if back else None if slot_lag is None else int(slot_lag),
        holder=holder,
        details={
            "source": {key: (source or {}).get(key) for key in ("identifier", "status", "engine_version")},
            "target": {key: (replica or {}).get(key) for key in ("identifier", "status", "engine_version", "endpoint")},
            "fenced_at": fence(events, source, family),
            "opened_at": (events.get("target.opened") or {}).get("at"),
            # The databases that can be led back; null when there is no way back.
            "way_back": (_now(events, way_back.EVENT) or {}).get("databases"),
            "returning": bool(_now(events, "source.returning")),
        },
    )
