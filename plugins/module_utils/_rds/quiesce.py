# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Closing and opening a database by its security groups: the fence that needs no login (R18, R19)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._journal import Event, stamp
from .._plan import Plan, Step
from . import api, reboots, state, waiters
from .errors import RdsError
from .journal import Lock
from .waiters import Patience, Sight

FENCED = "source.fenced"
ALLOW_LIST = "allow_list"


@dataclass(frozen=True)
class Door:
    """What is closed or opened: ``kind`` is ``instance`` or ``cluster``; ``event`` its journal entry for the groups."""

    kind: str
    identifier: str
    event: str

    def __str__(self) -> str:
        return f"{self.kind} {self.identifier}"


def door_of(params: Mapping[str, Any], what: str) -> Door:
    """The door that a module's options name, with the journal's entry for ``what`` of it: ``instance.what.orders``."""
    kind = "instance" if params["instance"] else "cluster"
    if not params[kind]:
        raise RdsError("neither instance nor cluster names anything. Cure: name one of them.")
    return Door(kind, params[kind], f"{kind}.{what}.{params[kind]}")


def entry(events: Mapping[str, Event], name: str, door: Door) -> Event | None:
    """The journal's entry about this door. Raises RdsError when it is about another one."""
    event = events.get(name)
    if event and event.object != door.identifier:
        raise RdsError(
            f"journal entry {name} is about {event.object}, not about {door.identifier}. "
            "Cure: name the migration this belongs to, or another event."
        )
    return event


def fenced_at(events: Mapping[str, Event], door: Door, current: Sequence[str], family: Collection[str]) -> str | None:
    """Since when an instance is closed and without old sessions (ISO), or None: then it is not proven to be."""
    fence, change = events.get(FENCED), events.get(door.event)
    closed = bool(current) and set(current) <= set(family)
    if door.kind != "instance" or not closed or not fence or fence.object != door.identifier or not fence.now:
        return None
    return None if change and change.at > fence.at else fence.now


def plan_quiesced(
    door: Door, current: Sequence[str] | None, events: Mapping[str, Event], family: Collection[str],
    quarantine: str | None, reboot: bool,
) -> Plan:
    """Behind the migration's groups and, for an instance, rebooted since: only that ends the sessions it has (R18).

    ``current`` None: it is not there yet, which only check mode accepts. Any group of the family closes it.
    """
    entry(events, door.event, door)
    now = list(current or [])
    before = {"security_groups": now, "fenced_at": fenced_at(events, door, now, family)}
    after = dict(before)
    steps = []
    if not now or not set(now) <= set(family):
        named = quarantine or "the quarantine group"
        had = f" (it had {', '.join(now)})" if now else ""
        steps.append(Step("close", f"put {door} behind {named}{had}", {"was": now}))
        after["security_groups"] = [named]
    if door.kind == "instance" and reboot and not before["fenced_at"]:
        steps.append(Step("reboot", f"reboot {door}, which ends the sessions it has"))
        after["fenced_at"] = "(after the reboot)"
    return Plan(tuple(steps), before, after)


def wanted_groups(door: Door, asked: Sequence[str] | None, events: Mapping[str, Event]) -> list[str]:
    """The groups to open with: those asked for, else the originals from the journal; empty when neither is known.

    The migration's allow list comes along while it stands, and doesn't once it was taken away.
    """
    event = entry(events, door.event, door)
    groups = set(asked or (event.was if event else None) or [])
    # Its group as `was`, and as `now` while it is to be there.
    allowed = events.get(f"{door.kind}.{ALLOW_LIST}.{door.identifier}")
    if groups and allowed:
        groups = groups - {allowed.was} | {allowed.now} - {None}
    return sorted(groups)


def plan_open(door: Door, current: Sequence[str] | None, wanted: Sequence[str]) -> Plan:
    """Its real groups. ``current`` None as for :func:`plan_quiesced`."""
    before = {"security_groups": list(current or [])}
    if current is not None and set(current) == set(wanted):
        return Plan((), before, before)
    named = ", ".join(wanted) or "its groups, which are not known yet"
    return Plan(
        (Step("open", f"give {door} the security groups {named}", {"groups": list(wanted)}),),
        before, {"security_groups": list(wanted)},
    )


@dataclass(frozen=True)
class Work:
    """The operations that the steps name."""

    rds: Any
    door: Door
    lock: Lock
    patience: Patience
    now: Callable[[], datetime]

    def operations(self) -> dict[str, Callable[..., None]]:
        return {"close": self.close, "reboot": self.reboot, "open": self.open}

    def describe(self) -> dict[str, Any] | None:
        describe = api.describe_instance if self.door.kind == "instance" else api.describe_cluster
        return describe(self.rds, self.door.identifier)

    def close(self, was: list[str]) -> None:
        """The originals are in the journal before the first call that changes anything (R18)."""
        self.available()
        family = self.lock.guard()
        self.clear_fence(family.events)
        originals = [group for group in was if group not in family.group_ids]
        quarantine = [family.newest.group_id]
        # None of the family attached: whatever was journalled before has been put back, and may be outdated.
        self.lock.record(self.door.event, self.door.identifier, originals, quarantine, anew=originals == was)
        self.set_groups(quarantine)

    def open(self, groups: list[str]) -> None:
        self.available()
        family = self.lock.guard()
        self.clear_fence(family.events)
        known = family.events.get(self.door.event)
        self.set_groups(groups)
        if known:
            self.lock.record(self.door.event, self.door.identifier, known.was, groups)

    def clear_fence(self, events: Mapping[str, Event]) -> None:
        """From now on nobody may take the instance for fenced."""
        fence = events.get(FENCED)
        if self.door.kind == "instance" and fence and fence.now:
            self.lock.record(FENCED, fence.object, None, None)

    def reboot(self) -> None:
        """Reboot, and know that it really was."""
        self.await_groups()
        identifier = self.door.identifier
        reboots.reboot(self.rds, identifier, self.patience, self.lock.guard, self.now)
        # CloudWatch's samples are compared with this moment, so AWS's clock counts where it is ahead of ours.
        moment = max(self.now(), api.service_time(self.rds, identifier))
        self.lock.record(FENCED, identifier, None, stamp(moment))

    def set_groups(self, groups: list[str]) -> None:
        modify = api.modify_instance if self.door.kind == "instance" else api.modify_cluster
        modify(self.rds, self.door.identifier, VpcSecurityGroupIds=groups)
        self.await_groups(groups)

    def await_groups(self, groups: list[str] | None = None) -> dict[str, Any]:
        """Until the groups asked for, or else those that it is to have already, are in force (R18)."""
        def look() -> Sight:
            document = self.describe()
            status = waiters.living(self.door.kind, self.door.identifier, document, ())
            done = state.groups_in_force(document, groups or state.security_groups(document))
            return Sight(done, f"{self.door} is {status}, its groups are on their way", document)

        return self.patience.until(look, f"the security groups of {self.door} to be in force")

    def available(self) -> None:
        sight = waiters.instance_sight if self.door.kind == "instance" else waiters.cluster_sight
        self.patience.until(lambda: sight(self.rds, self.door.identifier), f"{self.door} to be available")
