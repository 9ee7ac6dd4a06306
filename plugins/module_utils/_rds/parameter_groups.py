# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A migration's two parameter groups: pure plans from what is there to what is wanted (R25, R27)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._plan import Plan, Step
from .errors import RdsError
from .parameters import CLUSTER, Defaults, same
from .state import MIGRATION_TAG

# What one Modify or Reset call takes (R25).
MOST_IN_A_CALL = 20
IN_FORCE = "in-sync"
_NAME = re.compile(r"[a-z](-?[a-z0-9])*", re.IGNORECASE)


@dataclass(frozen=True)
class Group:
    """A group that is there, and what a person has set in it."""

    level: str
    name: str
    arn: str
    family: str
    values: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """A group as it is to be. ``tags`` None leaves foreign tags alone."""

    level: str
    name: str
    family: str
    values: Mapping[str, str]
    tags: Mapping[str, str] | None = None
    purge_tags: bool = True


def check_name(option: str, name: str) -> None:
    """Raises RdsError for a default group, which nobody can change (R25), and for what AWS won't take as a name."""
    if name.lower().startswith("default."):
        raise RdsError(f"{option}: {name} is a default group and cannot be changed (R25). Cure: name one of your own.")
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise RdsError(
            f"{option}: {name!r} cannot be the name of a parameter group. Cure: at most 255 letters, digits and single "
            "hyphens, a letter first and no hyphen last."
        )


def family_of(source_version: str | None, engine_version: str | None, family: str | None) -> str:
    """The family asked for, or that of the version asked for, or that of the source's version."""
    version = engine_version or source_version
    derived = f"aurora-postgresql{version.split('.', 1)[0]}" if version else None
    if family and engine_version and family != derived:
        raise RdsError(f"family {family} is not that of engine_version {engine_version}. Cure: give one of the two.")
    if not (family or derived):
        raise RdsError("family: nothing tells which one. Cure: give source, engine_version or family.")
    return family or derived


def _title(level: str, name: str) -> str:
    return f"cluster parameter group {name}" if level == CLUSTER else f"parameter group {name}"


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[at:at + MOST_IN_A_CALL] for at in range(0, len(items), MOST_IN_A_CALL))


def _method(defaults: Defaults, level: str, name: str) -> str:
    """A static parameter can only be written for the next reboot (R25)."""
    dynamic = defaults.at(level).get(name, {}).get("ApplyType") == "dynamic"
    return "immediate" if dynamic else "pending-reboot"


def _summary(group: Group | None) -> dict[str, Any] | None:
    if group is None:
        return None
    return {"family": group.family, "parameters": dict(sorted(group.values.items())), "tags": dict(group.tags)}


def plan_present(seen: Sequence[Group | None], wishes: Sequence[Wish], migration: str, defaults: Defaults) -> Plan:
    """Make the groups, and let them say exactly what is wanted: what else was set in them goes back to the default."""
    steps: list[Step] = []
    after = {}
    for group, wish in zip(seen, wishes):
        if group is not None:
            _check_ours(group, wish, migration)
        tags = {**(wish.tags or {}), MIGRATION_TAG: migration}
        steps += _creation(wish, tags) if group is None else _tagging(group, wish, tags)
        steps += _setting(group, wish, defaults)
        after[wish.name] = {
            "family": wish.family,
            "parameters": dict(sorted(wish.values.items())),
            "tags": {**(_kept_tags(group, wish, tags) if group else {}), **tags},
        }
    return Plan(tuple(steps), {wish.name: _summary(group) for group, wish in zip(seen, wishes)}, after)


def _check_ours(group: Group, wish: Wish, migration: str) -> None:
    title, owner = _title(group.level, group.name), group.tags.get(MIGRATION_TAG)
    if owner != migration:
        raise RdsError(
            f"{title} exists and " + (f"belongs to the migration {owner}" if owner else "was made by somebody else")
            + f" (tag {MIGRATION_TAG}). Cure: name another group."
        )
    if group.family != wish.family:
        raise RdsError(
            f"{title} is of the family {group.family}, not {wish.family}, which cannot be changed. "
            "Cure: remove it with state: absent, or name another."
        )


def _creation(wish: Wish, tags: Mapping[str, str]) -> list[Step]:
    return [Step(
        "create", f"create {_title(wish.level, wish.name)} ({wish.family})",
        {"level": wish.level, "name": wish.name, "family": wish.family, "tags": dict(tags)},
    )]


def _kept_tags(group: Group, wish: Wish, tags: Mapping[str, str]) -> dict[str, str]:
    purge = wish.tags is not None and wish.purge_tags
    return {
        key: value for key, value in group.tags.items() if key in tags or key.startswith("aws:") or not purge
    }


def _tagging(group: Group, wish: Wish, tags: Mapping[str, str]) -> list[Step]:
    title, kept = _title(group.level, group.name), _kept_tags(group, wish, tags)
    missing = {key: value for key, value in tags.items() if group.tags.get(key) != value}
    surplus = sorted(set(group.tags) - set(kept))
    steps = []
    if missing:
        said = f"set tags {', '.join(sorted(missing))} of {title}"
        steps.append(Step("tag", said, {"arn": group.arn, "tags": missing}))
    if surplus:
        said = f"remove tags {', '.join(surplus)} of {title}"
        steps.append(Step("untag", said, {"arn": group.arn, "keys": surplus}))
    return steps


def _setting(group: Group | None, wish: Wish, defaults: Defaults) -> list[Step]:
    present = group.values if group else {}
    changed = [name for name, value in sorted(wish.values.items()) if not same(present.get(name), value)]
    surplus = sorted(set(present) - set(wish.values))
    title, steps = _title(wish.level, wish.name), []
    for names in _chunks(changed):
        said = ", ".join(f"{name}={wish.values[name]}" for name in names)
        steps.append(Step("set", f"set {said} in {title}", {"level": wish.level, "name": wish.name, "parameters": [
            {"ParameterName": name, "ParameterValue": wish.values[name],
             "ApplyMethod": _method(defaults, wish.level, name)}
            for name in names
        ]}))
    for names in _chunks(surplus):
        steps.append(Step("reset", f"put {', '.join(names)} back to the default in {title}", {
            "level": wish.level, "name": wish.name, "parameters": [
                {"ParameterName": name, "ApplyMethod": _method(defaults, wish.level, name)} for name in names
            ],
        }))
    return steps


def plan_absent(seen: Sequence[Group | None], migration: str) -> tuple[Plan, list[str]]:
    """Delete the groups that the migration made; also returns the names of those that it didn't, which stay."""
    there = [group for group in seen if group is not None]
    ours = [group for group in there if group.tags.get(MIGRATION_TAG) == migration]
    steps = tuple(
        Step("delete", f"delete {_title(group.level, group.name)}", {"level": group.level, "name": group.name})
        for group in ours
    )
    plan = Plan(steps, {group.name: _summary(group) for group in ours}, {group.name: None for group in ours})
    return plan, [group.name for group in there if group not in ours]


def not_in_force(
    cluster_group: str, instance_group: str,
    clusters: Iterable[Mapping[str, Any]], instances: Iterable[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Instances on which a group is written but not in force (R27): a static parameter needs a reboot."""
    found = [
        (member["DBInstanceIdentifier"], cluster_group, member.get("DBClusterParameterGroupStatus"))
        for cluster in clusters if cluster.get("DBClusterParameterGroup") == cluster_group
        for member in cluster.get("DBClusterMembers", [])
    ] + [
        (instance["DBInstanceIdentifier"], instance_group, group.get("ParameterApplyStatus"))
        for instance in instances
        for group in instance.get("DBParameterGroups", []) if group["DBParameterGroupName"] == instance_group
    ]
    return [
        {"instance": instance, "group": group, "status": status}
        for instance, group, status in sorted(found, key=lambda row: row[:2]) if status != IN_FORCE
    ]
