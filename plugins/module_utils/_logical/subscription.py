# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription: what it is, what is asked of it, and the way from one to the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import MigrationError
from .._findings import Finding, blocker, warning
from .._plan import Plan, Step
from .publication import too_old
from .selection import named

# The options of WITH and the major that has them (P26).
SINCE = {
    "synchronous_commit": 10, "binary": 14, "streaming": 14, "two_phase": 15, "disable_on_error": 15,
    "password_required": 16, "run_as_owner": 16, "origin": 16, "failover": 17,
}
# Changed only while the subscription is disabled.
_AT_REST = ("two_phase", "failover")
NEVER, WITH_DATA, WITHOUT_DATA = "never", "with_data", "without_data"


@dataclass(frozen=True)
class Subscription:
    """What the target's catalogue says. ``options`` are as WITH takes them, those that the version has."""

    name: str
    oid: int = 0
    owner: str = ""
    enabled: bool = False
    slot_name: str | None = None
    publications: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "enabled": self.enabled, "slot_name": self.slot_name,
            "publications": sorted(self.publications), **self.options,
        }


@dataclass(frozen=True)
class Wish:
    """What is asked for. ``options`` holds only what was given; the others are left as they are."""

    name: str
    publications: frozenset[str]
    slot_name: str
    enabled: bool = True
    create_slot: bool = True
    copy_data: bool = True
    refresh: str = NEVER
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Publisher:
    """What the source says, where it can be read. ``slot`` is the row of pg_replication_slots, None without one."""

    version_num: int
    tables: frozenset[str] = frozenset()
    missing_publications: tuple[str, ...] = ()
    slot: Mapping[str, Any] | None = None
    prepared: int = 0
    logical: bool = True
    same_server: bool = False


def options(given: Mapping[str, Any], version_num: int) -> dict[str, str]:
    """The options that were given, as WITH takes them; raises MigrationError for one the target doesn't have (P26)."""
    made = {}
    for name, since in SINCE.items():
        value = given.get(name)
        if value is None:
            continue
        if version_num < since * 10000:
            raise too_old(name, since, version_num)
        if name == "streaming" and value == "parallel" and version_num < 160000:
            raise too_old("streaming=parallel", 16, version_num)
        made[name] = {True: "true", False: "false"}.get(value, str(value))
    return made


def hindrances(wish: Wish, publisher: Publisher, there: frozenset[str]) -> list[Finding]:
    """What keeps a subscription from being made: ``there`` are the target's tables."""
    found = []
    if wish.create_slot is False and wish.copy_data:
        found.append(blocker(
            "slot-and-copy", wish.name, "a slot that was made before goes with data that was loaded from its snapshot; "
            "to copy them again would give duplicates or gaps", "give copy_data=false, or create_slot=true", "P11",
        ))
    if not publisher.logical:
        found.append(blocker(
            "wal-level", wish.name, "the source doesn't write WAL for logical replication",
            "set wal_level=logical (rds.logical_replication=1 on RDS) and restart it", "P1",
        ))
    if publisher.missing_publications:
        found.append(blocker(
            "publication-missing", named(publisher.missing_publications), "the source has no such publication, and it "
            "must be there before the slot", "create it by pg_publication first", "P10",
        ))
    if publisher.same_server and wish.create_slot:
        found.append(blocker(
            "same-server", wish.name, "source and target are one server: making the slot would wait for itself",
            "make the slot first and give create_slot=false", "P9",
        ))
    found += _slot_hindrances(wish, publisher)
    missing = sorted(publisher.tables - there)
    if missing:
        found.append(blocker(
            "tables-missing", named(missing), f"{len(missing)} published tables aren't on the target",
            "bring the schema over first", "P1",
        ))
    return found + _origin(wish, publisher)


def _slot_hindrances(wish: Wish, publisher: Publisher) -> list[Finding]:
    if wish.create_slot and publisher.slot:
        return [blocker(
            "slot-exists", wish.slot_name, "the source has a slot of that name already",
            "drop it, or give create_slot=false if the data were loaded from its snapshot", "P11",
        )]
    if not wish.create_slot and not publisher.slot:
        return [blocker(
            "slot-missing", wish.slot_name, "the source has no slot of that name",
            "make it, and load the data from its snapshot, or give create_slot=true", "P11",
        )]
    if wish.create_slot and publisher.prepared:
        return [blocker(
            "prepared-transactions", wish.slot_name, f"{publisher.prepared} prepared transactions are open on the "
            "source: the slot would wait for them for ever", "commit them or roll them back (pg_prepared_xacts)", "P9",
        )]
    return []


def _origin(wish: Wish, publisher: Publisher | None) -> list[Finding]:
    if wish.options.get("origin") != "none" or publisher is None or publisher.version_num >= 160000:
        return []
    return [blocker(
        "origin-ignored", wish.name, f"the source is a {publisher.version_num // 10000} and ignores origin=none: rows "
        "that come from elsewhere would go round in circles", "leave it out, and never run both ways at once", "P25",
    )]


def plan(
    now: Subscription | None, wish: Wish, publisher: Publisher | None, connection: Sequence[str],
    subscribed: frozenset[str], there: frozenset[str], version_num: int, silently_off: bool = False,
) -> tuple[Plan, list[Finding]]:
    """From what is there to what is asked for.

    ``connection`` are the names of the keywords that differ, ``subscribed`` the tables in pg_subscription_rel,
    ``there`` the target's tables, ``silently_off`` whether an error has switched it off (P19).
    """
    if now is None:
        found = hindrances(wish, publisher, there) if publisher else []
        sentence = f"create subscription {wish.name} to {', '.join(sorted(wish.publications))}"
        return Plan((Step("create", sentence, {"wish": wish}),), {}, _after(wish)), found
    findings = _origin(wish, publisher) + _fixed(now, wish, version_num)
    changed = {name: value for name, value in wish.options.items() if now.options.get(name) != value}
    rest = now.enabled and (any(name in _AT_REST for name in changed) or now.slot_name != wish.slot_name)
    apart = _apart(wish, publisher, subscribed, there, findings)
    steps = []

    def step(op: str, sentence: str, **args: Any) -> None:
        steps.append(Step(op, f"{sentence} subscription {wish.name}", {"name": wish.name, **args}))

    if connection:
        step("connect", f"change {', '.join(connection)} in the connection of")
    if rest or (now.enabled and not wish.enabled):
        step("disable", "disable")
    if now.slot_name != wish.slot_name:
        step("set", f"use slot {wish.slot_name} for", options={"slot_name": wish.slot_name})
    if changed:
        listed = ", ".join(f"{name}={value}" for name, value in changed.items())
        step("set", f"set {listed} of", options=changed)
    if now.publications != wish.publications:
        step("publications", f"take {', '.join(sorted(wish.publications))} for", publications=sorted(wish.publications))
    if wish.enabled and (rest or not now.enabled):
        step("enable", "enable")
        findings += _off(wish.name) if silently_off else []
    if apart and wish.refresh != NEVER and wish.enabled:
        step("refresh", f"refresh ({len(apart)} tables apart)", copy_data=wish.refresh == WITH_DATA)
    if not steps:
        return Plan(), findings
    before = now.as_dict()
    return Plan(tuple(steps), before, {**before, **_after(wish)}), findings


def _after(wish: Wish) -> dict[str, Any]:
    return Subscription(
        wish.name, enabled=wish.enabled, slot_name=wish.slot_name, publications=wish.publications, options=wish.options
    ).as_dict()


def _fixed(now: Subscription, wish: Wish, version_num: int) -> list[Finding]:
    wanted = wish.options.get("two_phase")
    if wanted is None or wanted == now.options.get("two_phase") or version_num >= 180000:
        return []
    return [blocker(
        "two-phase-fixed", wish.name, "before PostgreSQL 18 two_phase can't be changed", "leave it out, or drop the "
        "subscription and make it again", "P26",
    )]


def _off(name: str) -> list[Finding]:
    return [blocker(
        "subscription-silently-off", name, "PostgreSQL has disabled it after an error (disable_on_error): nothing is "
        "replicated", "find the error in the target's log, mend it, then acknowledge this finding to enable it again",
        "P19", acknowledgeable=True,
    )]


def _apart(
    wish: Wish, publisher: Publisher | None, subscribed: frozenset[str], there: frozenset[str], findings: list[Finding]
) -> frozenset[str]:
    """The tables in which publication and subscription differ (P11)."""
    if publisher is None:
        return frozenset()
    missing = publisher.tables - subscribed - there
    if missing and wish.refresh != NEVER:
        findings.append(blocker(
            "tables-missing", named(sorted(missing)), f"{len(missing)} published tables aren't on the target",
            "bring the schema over first", "P1",
        ))
    return publisher.tables ^ subscribed


def plan_absent(
    now: Subscription | None, name: str, slot_name: str, publisher: Publisher | None, drop_slot: bool
) -> tuple[Plan, list[Finding]]:
    """Drop it without asking the publisher, who may be dead (P12), then the slot, where the source can be reached."""
    steps = []
    slot = (now.slot_name if now else None) or slot_name
    if now is not None:
        steps.append(Step("drop", f"drop subscription {name}", {
            "name": name, "enabled": now.enabled, "slot": now.slot_name is not None}))
    if drop_slot and publisher and publisher.slot:
        steps.append(Step("drop_slot", f"drop slot {slot} on the source", {
            "slot": slot, "oid": now.oid if now else None}))
    left = drop_slot and publisher is None and now is not None and now.slot_name is not None
    findings = [warning(
        "slot-left-behind", slot, "the source can't be reached: if it comes back, the slot keeps WAL until the disk is "
        "full", "run this again when it is back, or drop the slot there", "P12",
    )] if left else []
    return Plan(tuple(steps), now.as_dict() if now else {}, {}), findings


def need_publisher(now: Subscription | None, publisher: Publisher | None, why: str | None) -> None:
    """Raise MigrationError when a subscription is to be made and the source can't be read."""
    if now is None and publisher is None and why:
        raise MigrationError(f"a subscription can't be made while the source can't be read. {why}")
