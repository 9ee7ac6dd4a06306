# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turning logical replication on at an RDS instance or an Aurora cluster, and off again (R25, R27, R28). Pure.

It is never done in a group that somebody else made, which others may use: a group of the migration's own says the same
and a little more, takes its place, and gives it back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._journal import Event
from .._plan import Plan, Step
from .errors import RdsError
from .parameter_groups import IN_FORCE, Group, Wish, check_name, plan_present
from .parameters import CLUSTER, INSTANCE, Defaults, allows, is_formula, same
from .quiesce import Door
from .state import MIGRATION_TAG

SWITCH = "rds.logical_replication"
# PostgreSQL's own, for what a group leaves to the engine.
BUILT_IN = {
    "max_replication_slots": 10, "max_wal_senders": 10, "max_logical_replication_workers": 4, "max_worker_processes": 8,
}
_AT_LEAST = re.compile(r"GREATEST\((?P<formula>.+),\s*(?P<least>\d+)\)")


@dataclass(frozen=True)
class Member:
    """An instance that the group is to be in force on; ``status`` is AWS's word for how far it is (R27)."""

    identifier: str
    writer: bool
    status: str


@dataclass(frozen=True)
class Seen:
    """What is there. ``group`` is in use, ``own`` is the migration's, or None while there is none.

    ``documents`` are all parameters of the group in use as AWS describes them. ``running`` is what the server itself
    says, or None when nobody has a login. ``restarted``: every member was, since the journal's last change.
    """

    group: Group
    documents: Sequence[Mapping[str, Any]]
    members: Sequence[Member]
    own: Group | None = None
    running: Mapping[str, str] | None = None
    restarted: bool = False
    shared_with: Sequence[str] = ()
    replicas: Sequence[str] = ()

    def document(self, name: str) -> Mapping[str, Any]:
        return next((each for each in self.documents if each["ParameterName"] == name), {})

    @property
    def default(self) -> bool:
        return self.group.name.startswith("default.")


@dataclass(frozen=True)
class Order:
    """What is asked for: ``least`` are settings that are raised to it and never lowered; ``own`` the group's name."""

    door: Door
    migration: str
    own: str
    least: Mapping[str, int] = field(default_factory=dict)
    reboot: bool = False

    @property
    def level(self) -> str:
        return CLUSTER if self.door.kind == "cluster" else INSTANCE


def own_name(migration: str, identifier: str, asked: str | None) -> str:
    """The name of the migration's group, lower case as AWS keeps it. Raises RdsError for what can't be one."""
    name = asked or f"cloudpg-{migration}-{identifier}"
    check_name("parameter_group", name)
    return name.lower()


# What has to change

def raised(document: Mapping[str, Any], least: int, running: str | None) -> str | None:
    """The value that makes a setting at least so high, or None when it is, or can't be told, or nobody may set it."""
    name, value = document.get("ParameterName"), document.get("ParameterValue")
    if not document.get("IsModifiable"):
        return None
    if value and is_formula(value):
        found = _AT_LEAST.fullmatch(value)
        low = int(running) < least if running is not None else bool(found) and int(found["least"]) < least
        if not low:
            return None
        if found and int(found["least"]) < least:
            return f"GREATEST({found['formula']},{least})"
        return _allowed(document, str(least))
    figure = int(value) if value else int(running) if running is not None else BUILT_IN.get(name, 0)
    return _allowed(document, str(least)) if figure < least else None


def _allowed(document: Mapping[str, Any], value: str) -> str:
    if not allows(document, value):
        raise RdsError(
            f"minimum: {document['ParameterName']} cannot be {value}: AWS allows {document['AllowedValues']}. "
            "Cure: ask for less."
        )
    return value


def changes(seen: Seen, order: Order) -> dict[str, str]:
    """What the group in use doesn't say yet, by name. Raises RdsError where there is no such switch."""
    switch = seen.document(SWITCH)
    if not switch.get("IsModifiable"):
        raise RdsError(
            f"{order.door}: {SWITCH} cannot be set in its parameter group {seen.group.name} ({seen.group.family}). "
            "Cure: it takes an RDS for PostgreSQL instance or an Aurora PostgreSQL cluster."
        )
    running = seen.running or {}
    wanted = {} if same(switch.get("ParameterValue"), "1") else {SWITCH: "1"}
    for name, least in sorted(order.least.items()):
        value = raised(seen.document(name), least, running.get(name))
        if value is not None:
            wanted[name] = value
    return wanted


def low(seen: Seen, order: Order) -> dict[str, str]:
    """Settings of which the server itself says that they are lower than asked for."""
    running = seen.running or {}
    return {name: running[name] for name, least in sorted(order.least.items())
            if name in running and int(running[name]) < least}


# Whether it is in force

def current_entry(seen: Seen, entry: Event | None) -> Mapping[str, Any] | None:
    """What the journal says of the group in use; None when it is not about that one."""
    now = entry.now if entry else None
    return now if now and now.get("group") == seen.group.name else None


def behind(seen: Seen, entry: Event | None) -> list[Member]:
    """Members that lack what the group in use says, the writer last: a failover on the way finds a reader that has it.

    For a while after a change AWS may still say in-sync, so a change that the journal knows needs a reboot after it.
    """
    known = current_entry(seen, entry)
    unproven = bool(known) and not known.get("rebooted") and not seen.restarted
    late = [member for member in seen.members if unproven or member.status != IN_FORCE]
    return sorted(late, key=lambda member: member.writer)


def missing_on_server(seen: Seen, entry: Event | None) -> list[Member]:
    """As :func:`behind`, and everybody when the server itself says that it is not on."""
    off = seen.running is not None and seen.running["wal_level"] != "logical"
    return sorted(seen.members, key=lambda member: member.writer) if off else behind(seen, entry)


def in_force(seen: Seen, entry: Event | None) -> bool:
    """On, and known to be: by AWS's word and, where there is a login, by the server's (R27, R28)."""
    switch = seen.document(SWITCH).get("ParameterValue")
    return bool(seen.members) and same(switch, "1") and not missing_on_server(seen, entry)


# Plans

def _reboots(members: Sequence[Member]) -> list[Step]:
    return [
        Step("reboot", f"reboot instance {member.identifier}, which puts its parameters into force and ends its "
             "sessions", {"identifier": member.identifier})
        for member in members
    ]


def _title(level: str, name: str) -> str:
    return f"cluster parameter group {name}" if level == CLUSTER else f"parameter group {name}"


def _attach(order: Order, seen: Seen, name: str) -> Step:
    said = f"give {order.door} the {_title(order.level, name)} (it has {seen.group.name})"
    return Step("attach", said, {"group": name, "was": seen.group.name})


def plan_enabled(seen: Seen, order: Order, entry: Event | None) -> Plan:
    """On, in a group of the migration's own unless the one in use says all of it already."""
    wanted = changes(seen, order)
    before = {
        "parameter_group": seen.group.name, **{name: seen.document(name).get("ParameterValue") for name in wanted},
    }
    steps: list[Step] = []
    after = dict(before)
    if wanted:
        ours = seen.group.name == order.own
        wish = Wish(order.level, order.own, seen.group.family, {**seen.group.values, **wanted})
        there = seen.group if ours else seen.own
        defaults = Defaults.of(*((seen.documents, ()) if order.level == CLUSTER else ((), seen.documents)))
        steps += [
            *([Step("renew", f"note that {order.door} is to be rebooted", {"group": order.own})] if ours else []),
            *plan_present([there], [wish], order.migration, defaults).steps,
            *([] if ours else [_attach(order, seen, order.own)]),
        ]
        after = {"parameter_group": order.own, **wanted}
    late = seen.members if wanted else missing_on_server(seen, entry)
    if order.reboot:
        steps += _reboots(sorted(late, key=lambda member: member.writer))
    return Plan(tuple(steps), before, after)


def plan_restored(seen: Seen, order: Order, entry: Event | None, was: Group | None, used_by: Sequence[str]) -> Plan:
    """The group it had, which the journal knows. ``was`` is that group, None when it is gone; ``used_by`` are others
    that have the migration's group.
    """
    steps: list[Step] = []
    before, after = {"parameter_group": seen.group.name}, {"parameter_group": seen.group.name}
    if seen.group.name == order.own:
        _check_original(order, entry, was)
        steps.append(_attach(order, seen, was.name))
        after["parameter_group"] = was.name
        late: Sequence[Member] = seen.members
    else:
        late = behind(seen, entry) if current_entry(seen, entry) else ()
    if order.reboot:
        steps += _reboots(sorted(late, key=lambda member: member.writer))
    if seen.own and seen.own.tags.get(MIGRATION_TAG) == order.migration and not used_by:
        steps.append(Step("delete", f"delete {_title(order.level, order.own)}",
                          {"level": order.level, "name": order.own}))
        before["own"], after["own"] = order.own, None
    return Plan(tuple(steps), before, after)


def _check_original(order: Order, entry: Event | None, was: Group | None) -> None:
    if entry is None:
        raise RdsError(
            f"{order.door}: it has the parameter group {order.own}, and the journal has no entry {order.door.event} "
            "that says which it had before. Cure: give it its group yourself, reboot it, then run again."
        )
    if was is None:
        raise RdsError(
            f"{order.door}: parameter group {entry.was}, which it had before, doesn't exist any more. Nothing was "
            "changed. Cure: make it again, or give it another group yourself."
        )


def turns_off(seen: Seen, plan: Plan, was: Group | None) -> bool:
    """Whether the way back takes logical replication away: a server that has a logical slot wouldn't start then."""
    kinds = {step.op for step in plan.steps}
    if "attach" in kinds:
        return was is None or not same(was.values.get(SWITCH), "1")
    return "reboot" in kinds and not same(seen.document(SWITCH).get("ParameterValue"), "1")
