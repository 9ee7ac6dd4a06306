# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A publication: what it is, what is asked of it, and the way from one to the other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import MigrationError
from .._findings import Finding, blocker
from .._plan import Plan, Step
from .selection import SHOWN, named

OPERATIONS = ("insert", "update", "delete", "truncate")
# What needs a replica identity (P2).
NEEDY = frozenset(("update", "delete"))


@dataclass(frozen=True)
class Member:
    """A table of a publication: the filter of its rows as the server writes it, and the columns; None is all."""

    name: str
    where: str | None = None
    columns: frozenset[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"table": self.name, "where": self.where, "columns": sorted(self.columns) if self.columns else None}


@dataclass(frozen=True)
class Publication:
    """What a publication is, or is to be. ``options`` are those of WITH, as the server takes them."""

    name: str
    everything: bool = False
    members: Mapping[str, Member] = field(default_factory=dict)
    schemas: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None

    @property
    def needy(self) -> bool:
        """Whether its tables need a replica identity on the source (P2)."""
        return bool(NEEDY & set(self.options.get("publish", "").split(", ")))

    def as_dict(self) -> dict[str, Any]:
        """For a result and the diff: bounded."""
        return {
            "name": self.name, "all_tables": self.everything, "schemas": sorted(self.schemas), **self.options,
            "table_count": len(self.members),
            "tables": [self.members[name].as_dict() for name in sorted(self.members)[:SHOWN]],
        }


def options(publish: Iterable[str], via_root: bool, generated: str | None, version_num: int) -> dict[str, str]:
    """The options of WITH, in one way of writing; raises MigrationError for one the server doesn't have yet (P26)."""
    wanted = set(publish)
    made = {"publish": ", ".join(one for one in OPERATIONS if one in wanted)}
    if version_num >= 130000:
        made["publish_via_partition_root"] = "true" if via_root else "false"
    elif via_root:
        raise too_old("publish_via_partition_root", 13, version_num)
    if generated is not None:
        if version_num < 180000:
            raise too_old("publish_generated_columns", 18, version_num)
        made["publish_generated_columns"] = generated
    return made


def too_old(option: str, since: int, version_num: int) -> MigrationError:
    return MigrationError(
        f"{option}: it needs PostgreSQL {since}, and the server is a {version_num // 10000} (P26). Cure: leave it out."
    )


def plan(now: Publication | None, wish: Publication, recreate: bool = False) -> tuple[Plan, list[Finding]]:
    """From what is there to what is asked for, in an order in which PostgreSQL takes each step."""
    if now is None:
        return _whole(None, wish, "create"), []
    if now.everything is not wish.everything:
        if recreate:
            return _whole(now, wish, "recreate"), []
        was, to = ("all tables", "a list") if now.everything else ("a list", "all tables")
        return Plan(), [blocker(
            "publication-of-all-tables", now.name, f"PostgreSQL changes no publication from {was} to {to}",
            "give recreate=true to drop it and make it anew in one transaction, then refresh its subscriptions", "P5",
        )]
    steps = _steps(now, wish)
    before = {key: value for key, value in now.as_dict().items() if key not in now.options or key in wish.options}
    return (Plan(tuple(steps), before, wish.as_dict()) if steps else Plan()), []


def _whole(now: Publication | None, wish: Publication, op: str) -> Plan:
    what = "all tables" if wish.everything else f"{len(wish.members)} tables"
    if wish.schemas:
        what += f" and the schemas {', '.join(sorted(wish.schemas))}"
    step = Step(op, f"{op} publication {wish.name} for {what}", {"wish": wish})
    return Plan((step,), now.as_dict() if now else {}, wish.as_dict())


def _steps(now: Publication, wish: Publication) -> list[Step]:
    dropped = sorted(set(now.members) - set(wish.members))
    added = sorted(set(wish.members) - set(now.members))
    differing = sorted(
        name for name in set(now.members) & set(wish.members) if now.members[name] != wish.members[name]
    )
    # A filter of a partitioned table stands in the way of publishing not by its root, and the other way round.
    eased = [name for name in differing if wish.members[name].where is None]
    set_options = {key: value for key, value in wish.options.items() if now.options.get(key) != value}
    listed = ", ".join(f"{key}={value}" for key, value in set_options.items())

    def tables(op: str, verb: str, names: Sequence[str]) -> Step:
        return Step(op, f"{verb} publication {wish.name}: {len(names)} tables, {named(names)}", {
            "name": wish.name, "members": [wish.members.get(name, Member(name)) for name in names],
        })

    def schemas(op: str, verb: str, names: Iterable[str]) -> Step:
        listed = sorted(names)
        return Step(op, f"{verb} publication {wish.name}: schemas {named(listed)}", {
            "name": wish.name, "schemas": listed,
        })

    possible = [
        (dropped, lambda: tables("drop_tables", "take out of", dropped)),
        (now.schemas - wish.schemas, lambda: schemas("drop_schemas", "take out of", now.schemas - wish.schemas)),
        (eased, lambda: tables("replace_tables", "change in", eased)),
        (set_options, lambda: Step("set", f"set {listed} of publication {wish.name}", {
            "name": wish.name, "options": set_options})),
        (differing != eased, lambda: tables(
            "replace_tables", "change in", [name for name in differing if name not in eased])),
        (wish.schemas - now.schemas, lambda: schemas("add_schemas", "add to", wish.schemas - now.schemas)),
        (added, lambda: tables("add_tables", "add to", added)),
    ]
    return [make() for needed, make in possible if needed]


def plan_absent(now: Publication | None, name: str) -> Plan:
    if now is None:
        return Plan()
    return Plan((Step("drop", f"drop publication {name}", {"name": name}),), now.as_dict(), {})
