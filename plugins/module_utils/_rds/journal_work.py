# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``aws_journal`` and ``aws_journal_info`` do with the journal: take, give back, let in, clear away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .._errors import WaitTimeout
from .._journal import EVENT_TAG, LEASE_TAG, Event, Queue, holder_of_this_run, stamp, utc_now
from .._plan import Plan, Step, carry_out
from . import api, groups, state
from .errors import RdsError
from .journal import Family, Generation, Lock, acquire, read, standing_of, write
from .waiters import Patience, Sight


def place(rds: Any, params: Mapping[str, Any]) -> str | None:
    """The VPC that is named, or of the instance or cluster that is named; None when neither is there (any more)."""
    if params.get("vpc_id"):
        return params["vpc_id"]
    if params.get("instance"):
        instance = api.describe_instance(rds, params["instance"])
        if instance:
            return state.vpc_of(instance)
    if params.get("cluster"):
        cluster = api.describe_cluster(rds, params["cluster"])
        group = api.describe_subnet_group(rds, cluster["DBSubnetGroup"]) if cluster else None
        if group:
            return group.get("VpcId")
    return None


def look(ec2: Any, rds: Any, journal: Mapping[str, Any], params: Mapping[str, Any]) -> Family:
    """The family, by the lock that is held or by the place that is named."""
    if journal.get("group_id"):
        return read(ec2, journal["migration"], group_id=journal["group_id"])
    return read(ec2, journal["migration"], place(rds, params))


def document(family: Family) -> dict[str, Any]:
    """The lock as it is handed on from module to module."""
    newest = family.newest
    return {
        "migration": family.migration,
        "generation": newest.number if newest else None,
        "holder": newest.lease.holder if newest and newest.lease else None,
        "group_id": newest.group_id if newest else None,
    }


def unheld(migration: str) -> dict[str, Any]:
    return {"migration": migration, "generation": None, "holder": None, "group_id": None}


def events_document(family: Family) -> dict[str, dict[str, Any]]:
    """The journal by id."""
    return {event.id: event.as_dict() for event in family.events.values()}


def journals(family: Family, now: datetime) -> list[dict[str, Any]]:
    """The family for a reader: a list of one, or of none."""
    if not family.newest:
        return []
    lease = family.newest.lease
    return [{
        **document(family),
        "since": stamp(lease.since) if lease else None,
        "until": stamp(lease.until) if lease else None,
        "lapsed": lease is None or lease.lapsed(now),
        "group_ids": family.group_ids,
        "events": events_document(family),
    }]


def result(
    family: Family, journal: Mapping[str, Any], *, taken_over: bool = False, plan: Plan = Plan(),
    kept: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The module's return value."""
    return {
        **plan.result(),
        "journal": dict(journal),
        "taken_over": taken_over,
        "events": events_document(family),
        "groups": family.group_ids,
        "kept": list(kept),
    }


def take(
    ec2: Any, rds: Any, migration: str, params: Mapping[str, Any], queue: Queue
) -> tuple[Family, bool]:
    """Take the lock in the place that is named; returns the family and whether another's lease was taken over."""
    vpc_id = place(rds, params)
    if not vpc_id:
        named = params.get("instance") or params.get("cluster")
        raise RdsError(
            f"migration {migration}: no VPC to make the lock in: "
            + (f"{named} doesn't exist" if named else "none of instance, cluster and vpc_id is given")
            + ". Cure: name an instance or cluster that exists, or vpc_id."
        )
    family, taken_over = acquire(ec2, migration, vpc_id, holder_of_this_run(params["job"]), queue)
    return sweep(ec2, rds, family), taken_over


def sweep(ec2: Any, rds: Any, family: Family) -> Family:
    """Delete older generations that nothing uses and that have nothing to remember: each run leaves one behind."""
    empty = [each for each in family.generations[:-1] if not _has_entries(each)]
    if not empty:
        return family
    used = _users(rds)
    gone = set()
    for generation in empty:
        if generation.group_id not in used:
            try:
                groups.delete(ec2, generation.group_id)
            except RdsError:
                continue  # Housekeeping: whatever keeps it must not stop a migration.
            gone.add(generation.group_id)
    return Family(family.migration, tuple(each for each in family.generations if each.group_id not in gone))


def _has_entries(generation: Generation) -> bool:
    return any(key.startswith(EVENT_TAG) for key in generation.tags)


def _users(rds: Any) -> dict[str, list[str]]:
    return groups.users(api.describe_instances(rds), api.describe_clusters(rds))


def let_in(
    ec2: Any, rds: Any, family: Family, cidrs: Sequence[str] | None, port: int, members: bool | None = None
) -> None:
    """Let these networks, and nobody else, through all groups of the family; None leaves the rules alone.

    ``members`` is about what is in one of the family's groups itself. A group that nothing uses isn't named in a rule:
    it couldn't be deleted then.
    """
    if cidrs is None and members is None:
        return
    used = _users(rds) if members else {}
    inside = None if members is None else [each for each in family.group_ids if each in used]
    for generation in family.generations:
        wanted = groups.ingress(generation.rules, cidrs, port, family.group_ids, inside)
        groups.converge(ec2, generation.group_id, set(generation.rules), wanted)


def release(ec2: Any, journal: Mapping[str, Any]) -> dict[str, Any]:
    """Give the lock back. One whose group was deleted meanwhile (``state: absent``) is given back already.

    Unless a newer one says that another run had taken the migration over, and cleared the group away: LeaseLost.
    """
    family = read(ec2, journal["migration"], group_id=journal.get("group_id"))
    superseded = family.newest and family.newest.number > (journal.get("generation") or family.newest.number)
    if superseded or journal.get("group_id") in family.group_ids:
        Lock(ec2, journal).release()
    return result(family, unheld(journal["migration"]))


# Clearing away

def remove(
    ec2: Any, rds: Any, journal: Mapping[str, Any], params: Mapping[str, Any], check_mode: bool
) -> dict[str, Any]:
    """Delete the groups that nothing uses and give the lock back; what is kept remembers the journal."""
    family = look(ec2, rds, journal, params)
    lock = Lock(ec2, journal) if journal.get("generation") and not check_mode else None
    if lock is None:
        standing_of(family, journal.get("holder"), utc_now())
    used = _users(rds)
    kept = {each.group_id: used[each.group_id] for each in family.generations if each.group_id in used}
    plan = plan_removal(family, kept, journal.get("group_id"))
    if not check_mode and family.newest:
        before_each = lock.guard if lock else lambda step: None
        before_each(None)
        keeper = next((each for each in reversed(family.generations) if each.group_id in kept), None)
        if keeper:
            hand_down(ec2, family, keeper)
        patience = Patience(params["wait_timeout"])
        carry_out(plan, {"delete": lambda group_id: _delete(ec2, group_id, patience, kept)}, before_each)
        _retire(ec2, family, {step.args["group_id"] for step in plan.steps}, kept)
    return result(family, unheld(family.migration), plan=plan, kept=[
        {"group_id": each.group_id, "group_name": each.name, "used_by": kept[each.group_id]}
        for each in family.generations if each.group_id in kept
    ])


def plan_removal(family: Family, kept: Mapping[str, Any], own: str | None) -> Plan:
    """Delete what is not kept, the lock last. The run's own lock is no change unless it has something to remember."""
    doomed = [
        each for each in family.generations
        if each.group_id not in kept and (each.group_id != own or _has_entries(each))
    ]
    before = [each.name for each in family.generations if each.group_id != own or _has_entries(each)]
    return Plan(
        tuple(
            Step("delete", f"delete security group {each.group_id} ({each.name})", {"group_id": each.group_id})
            for each in doomed
        ),
        {"groups": before},
        {"groups": [name for name in before if name not in {each.name for each in doomed}]},
    )


def hand_down(ec2: Any, family: Family, keeper: Generation) -> None:
    """Write the journal of all generations into the one that stays: it is the memory after the migration."""
    own: dict[str, Event] = {event.id: event for event in keeper.events}
    for event in family.events.values():
        if own.get(event.id) != event:
            stale = [key for key in keeper.tags if key.startswith(f"{EVENT_TAG}{event.id}:")]
            if stale:
                groups.untag(ec2, keeper.group_id, stale)
            write(ec2, keeper, event)


def _delete(ec2: Any, group_id: str, patience: Patience, kept: dict[str, list[str]]) -> None:
    """Delete a group; the interfaces of something deleted just now may keep it for a while."""

    def look_again() -> Sight:
        try:
            groups.delete(ec2, group_id)
        except RdsError as error:
            if error.code != groups.IN_USE:
                raise
            return Sight(False, error.message)
        return Sight(True, "deleted")

    try:
        patience.until(look_again, f"security group {group_id} to be unused")
    except WaitTimeout as timeout:
        kept[group_id] = [timeout.state or "something else"]


def _retire(ec2: Any, family: Family, deleted: set[str], kept: Mapping[str, Any]) -> None:
    """Give the lock back. An older generation that stays must not look held by whoever lost it to us."""
    for generation in family.generations:
        if generation.group_id in kept and generation.tags.get(LEASE_TAG):
            groups.tag(ec2, generation.group_id, {LEASE_TAG: ""})
    if family.newest.group_id not in deleted and family.newest.group_id not in kept:
        groups.delete(ec2, family.newest.group_id)
