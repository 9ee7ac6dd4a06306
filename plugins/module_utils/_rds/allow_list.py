# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Letting the addresses of a service reach a database, by a security group beside those it has (S13)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._journal import Event
from .._plan import Plan, Step
from . import groups, quiesce, state
from .errors import RdsError
from .quiesce import Door
from .state import MIGRATION_TAG
from .waiters import Sight

_LOCK = re.compile(r"cloudpg-.+-\d+")


def group_name(migration: str, door: Door) -> str:
    """Never that of a lock, which ends in its generation."""
    return f"cloudpg-{migration}-{door.identifier}-allow"


@dataclass(frozen=True)
class Seen:
    """What is there. ``attached`` are the door's groups, ``fences`` those of them which are this migration's lock and
    quarantine. ``group_id`` and ``rules`` are the allow list's, None and empty while there is none.
    """

    attached: Sequence[str]
    fences: Sequence[str] = ()
    group_id: str | None = None
    rules: frozenset[groups.Rule] = frozenset()


@dataclass(frozen=True)
class Order:
    """``migration``'s allow list of a door."""

    door: Door
    migration: str
    rules: frozenset[groups.Rule] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        return group_name(self.migration, self.door)


def _said(rules: Collection[groups.Rule]) -> list[str]:
    return [f"{rule.value} to {rule.first}" for rule in sorted(rules)]


def _listed(seen: Seen, entry: Event | None) -> bool:
    """Whether the journal says that the group is to be there."""
    return bool(seen.group_id) and entry is not None and entry.now == seen.group_id


def plan_present(seen: Seen, order: Order, entry: Event | None) -> Plan:
    """The group with exactly these rules, attached. A closed door gets it when it is opened."""
    steps = []
    before = {"allowed": _said(seen.rules), "security_groups": list(seen.attached)}
    if seen.group_id is None:
        steps.append(Step("create", f"create security group {order.name}"))
    if seen.rules != order.rules:
        allowed = ", ".join(_said(order.rules)) or "nobody"
        steps.append(Step("let_in", f"let {allowed} through security group {order.name}"))
    after = {"allowed": _said(order.rules), "security_groups": list(seen.attached)}
    if seen.fences:
        if not _listed(seen, entry):
            said = f"note that {order.door}, which is closed, is to have security group {order.name} when it is opened"
            steps.append(Step("note", said))
    elif seen.group_id not in seen.attached:
        steps.append(Step("attach", f"give {order.door} security group {order.name} beside those it has"))
        after["security_groups"] = [*seen.attached, order.name]
    elif not _listed(seen, entry):
        steps.append(Step("note", f"note that security group {order.name} of {order.door} is the migration's"))
    return Plan(tuple(steps), before, after)


def _forget(order: Order) -> list[Step]:
    return [Step("forget", f"note that {order.door} is not to have security group {order.name} any more")]


def plan_absent(seen: Seen, order: Order, entry: Event | None, used_by: Sequence[str]) -> Plan:
    """Nothing of it. Raises RdsError when somebody else has the group too, and when it is the only one left."""
    if seen.group_id is None:
        return Plan(tuple(_forget(order) if entry and entry.now else ()))
    rest = [group for group in seen.attached if group != seen.group_id]
    if used_by:
        raise RdsError(
            f"security group {seen.group_id} ({order.name}) is also that of {', '.join(used_by)}. Nothing was changed. "
            "Cure: take it off there."
        )
    if seen.attached and not rest:
        raise RdsError(
            f"{order.door}: security group {seen.group_id} ({order.name}) is the only one it has, and it has to keep "
            "one. Nothing was changed. Cure: give it its own."
        )
    steps = []
    if seen.group_id in seen.attached:
        steps.append(Step("detach", f"take security group {order.name} off {order.door}"))
    elif _listed(seen, entry):
        steps += _forget(order)
    steps.append(Step("delete", f"delete security group {order.name}"))
    return Plan(
        tuple(steps), {"allowed": _said(seen.rules), "security_groups": list(seen.attached)},
        {"allowed": [], "security_groups": rest},
    )


def look(ec2: Any, order: Order, vpc_id: str | None, attached: Sequence[str], family: Collection[str]) -> Seen:
    """Raises RdsError for a group of that name which somebody else made, and for another migration's fence."""
    for group in groups.by_id(ec2, attached):
        owner = state.tags_of(group).get(MIGRATION_TAG)
        if owner and group["GroupId"] not in family and _LOCK.fullmatch(group["GroupName"]):
            raise RdsError(
                f"{order.door} is closed by the migration {owner} (security group {group['GroupName']}), and stays so. "
                "Cure: end that migration, or have it open the door."
            )
    fences = [group for group in attached if group in family]
    found = [group for group in groups.find(ec2, order.name) if vpc_id in (None, group.get("VpcId"))]
    if not found:
        return Seen(attached, fences)
    [group] = found
    if state.tags_of(group).get(MIGRATION_TAG) != order.migration:
        raise RdsError(
            f"security group {group['GroupId']} ({order.name}) was made by somebody else (tag {MIGRATION_TAG}). "
            "Cure: delete or rename it."
        )
    return Seen(attached, fences, group["GroupId"], frozenset(groups.rules_of(group)))


@dataclass
class Work:
    """The operations that the steps name. ``closing`` sets a door's groups."""

    ec2: Any
    order: Order
    seen: Seen
    vpc_id: str | None
    closing: quiesce.Work

    @property
    def group_id(self) -> str | None:
        return self.seen.group_id

    def operations(self) -> dict[str, Callable[[], None]]:
        return {
            "create": self.create, "let_in": self.let_in, "attach": self.attach, "note": self.note,
            "detach": self.detach, "forget": self.forget, "delete": self.delete,
        }

    def create(self) -> None:
        """A creation whose answer was lost is found again by its name."""
        name, migration = self.order.name, self.order.migration
        try:
            groups.create(
                self.ec2, name, self.vpc_id, f"Who may reach {self.order.door} for the migration {migration}",
                {"Name": name, MIGRATION_TAG: migration},
            )
        except RdsError as error:
            if error.code != groups.DUPLICATE:
                raise
        self.closing.patience.until(self._visible, f"security group {name} to be seen")

    def _visible(self) -> Sight:
        seen = self._look()
        self.seen = seen if seen.group_id else self.seen
        return Sight(seen.group_id is not None, f"security group {self.order.name} is not seen yet")

    def _look(self) -> Seen:
        return look(self.ec2, self.order, self.vpc_id, self.seen.attached, self.seen.fences)

    def let_in(self) -> None:
        """A rule that is there already was let in by a call whose answer was lost."""
        wanted = set(self.order.rules)
        try:
            groups.converge(self.ec2, self.group_id, set(self.seen.rules), wanted)
        except RdsError as error:
            if error.code != groups.DUPLICATE_RULE:
                raise
            groups.converge(self.ec2, self.group_id, set(self._look().rules), wanted)

    def _record(self, now: str | None) -> None:
        """``was`` is the group, so that whoever opens the door knows which one is meant."""
        lock, door = self.closing.lock, self.order.door
        known = lock.events().get(door.event)
        was = self.group_id or (known.was if known else None)
        lock.record(door.event, door.identifier, was, now, anew=bool(known) and known.was != was)

    def note(self) -> None:
        self._record(self.group_id)

    def forget(self) -> None:
        self._record(None)

    def _current(self) -> list[str]:
        self.closing.available()
        return state.security_groups(self.closing.await_groups())

    def attach(self) -> None:
        """The journal has it before. The door's groups are looked at once more: it may have been closed meanwhile."""
        current = self._current()
        family = self.closing.lock.guard().group_ids
        if set(current) & set(family):
            raise RdsError(f"{self.order.door} was closed meanwhile. Cure: run again.")
        self._record(self.group_id)
        self.closing.set_groups([*current, self.group_id])

    def detach(self) -> None:
        rest = [group for group in self._current() if group != self.group_id]
        self._record(None)
        self.closing.set_groups(rest)

    def delete(self) -> None:
        """The interfaces of the database may keep the group for a while."""
        def gone() -> Sight:
            try:
                groups.delete(self.ec2, self.group_id)
            except RdsError as error:
                if error.code != groups.IN_USE:
                    raise
                return Sight(False, error.message)
            return Sight(True, "deleted")

        self.closing.patience.until(gone, f"security group {self.order.name} to be unused")
