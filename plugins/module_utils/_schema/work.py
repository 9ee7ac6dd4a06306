# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database's schema from one side to the other: observed, planned, carried out, looked at again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._pg.errors import PgError
from .._pg.server import Connect
from .._plan import Plan, Step, carry_out
from . import catalogue, choice, parts, programs, toc
from .catalogue import Catalogue
from .choice import LeftOut, Wish
from .parts import Statement
from .restore import SHOWN, Restorer, Tolerated, prepare

# What is assumed of a target that isn't there yet.
NEWEST = 180000

# From 16 on a member may be one that can't act as the role.
_ROLES = """
    SELECT rolname AS name, pg_has_role(rolname, CASE WHEN current_setting('server_version_num')::int >= 160000
        THEN 'SET' ELSE 'MEMBER' END) AS member FROM pg_roles
"""
# The role that initdb made; on RDS it is rdsadmin.
_SERVERS_OWN = "SELECT rolname FROM pg_roles WHERE oid = 10"
_AVAILABLE = "SELECT name FROM pg_available_extensions"


@dataclass(frozen=True)
class Schema:
    """A source's schema, ready for a target: ``todo`` in the order in which it must run."""

    todo: tuple[Statement, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    owners: frozenset[str] = frozenset()
    large_objects: int = 0
    version: int = 0


@dataclass(frozen=True)
class Target:
    """What the target has; ``roles`` are the names by whether the login may act as them."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    roles: Mapping[str, bool] | None = None
    extensions: frozenset[str] | None = None


def read(
    connect: Connect, source: Mapping[str, Any], wish: Wish = Wish(), *, database: str | None = None,
    target_version: int = NEWEST, bindir: str | None = None, lock_timeout: float = 10, owners: bool = True,
) -> Schema:
    """Dump the source's schema and make it into statements; raises PgError.

    ``target_version`` (server_version_num) decides how some are written. ``lock_timeout`` in seconds.
    """
    with connect(source, database) as session:
        major = session.value("SELECT current_setting('server_version_num')::int") // 10000
        text = programs.dump(source, major, database, bindir, lock_timeout, owners)
        there = catalogue.observe(session)
        servers_own = session.value(_SERVERS_OWN)
        large_objects = session.value("SELECT count(*) FROM pg_largeobject_metadata")
    chosen = choice.choose(choice.without_the_servers(toc.parse(text), servers_own), there, wish)
    lost = [*chosen.missing_tables, *(
        one for one in wish.tables for out in chosen.left_out if out.type == "TABLE" and out.relation == one
    )]
    if lost:
        raise PgError(
            f"tables names what can't be taken: {', '.join(lost[:10])}. Cure: give schema.table, quoted where the name "
            "needs it, and what the table needs along with it (a partition needs its parent)."
        )
    return Schema(
        tuple(parts.statements(chosen.entries, there, target_version)), chosen.left_out,
        frozenset(entry.owner for entry in chosen.entries if " OWNER TO " in entry.text and owners),
        large_objects, there.version,
    )


def look(connect: Connect, target: Mapping[str, Any], database: str | None = None) -> Target:
    """What the target has by now; raises PgError."""
    with connect(target, database) as session:
        return Target(
            catalogue.observe(session), {row["name"]: row["member"] for row in session.rows(_ROLES)},
            frozenset(row["name"] for row in session.rows(_AVAILABLE)),
        )


def missing(todo: Iterable[Statement], there: Catalogue, sections: Sequence[str] = parts.SECTIONS) -> list[Statement]:
    """The statements of these sections whose objects aren't there. Pure."""
    by_key = there.by_key()
    return [one for one in todo if one.section in sections and not parts.is_there(one, there, by_key)]


def obstacles(schema: Schema, wanted: Sequence[Statement], target: Target) -> list[str]:
    """What the target lacks for the statements, in sentences with cures. Pure."""
    found = []
    if target.extensions is not None:
        absent = sorted({
            name for one in wanted if one.type == "EXTENSION" for name in one.words if name not in target.extensions
        })
        if absent:
            found.append(
                f"extensions {', '.join(absent)} aren't available on the target (P49). Cure: enable them there, or "
                "list in extensions only what shall travel."
            )
    if target.roles is None or not wanted:
        return found
    grantees = {
        word for one in wanted if one.check == "grants" for word in _grantees(one.value)
    }
    absent = sorted((schema.owners | grantees) - set(target.roles))
    if absent:
        found.append(
            f"roles {', '.join(absent)} don't exist on the target (P40). Cure: copy them with pg_roles, or set owners "
            "or privileges to false."
        )
    strangers = sorted(name for name in schema.owners if target.roles.get(name) is False)
    if strangers:
        found.append(
            f"the target's login can't make {', '.join(strangers)} owner of anything. Cure: GRANT the role to the "
            "login there, or set owners to false."
        )
    return found


def _grantees(value: Any) -> set[str]:
    return {grantee for grantee in (right.grantee for right in value or ()) if grantee != "PUBLIC"}


def plan(todo: Sequence[Statement], wanted: Sequence[Statement], sections: Sequence[str]) -> Plan:
    """One step a statement; the diff counts objects by section and kind. Pure."""
    steps = tuple(
        Step("run", one.sentence, {"number": number}) for number, one in enumerate(wanted)
    )
    mine = [one for one in todo if one.section in sections]
    lacking = set(map(id, wanted))
    return Plan(steps, _counted(one for one in mine if id(one) not in lacking), _counted(mine))


def _counted(some: Iterable[Statement]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for one in some:
        counts.setdefault(one.section, Counter())[one.type.lower()] += 1
    return {section: dict(sorted(counts[section].items())) for section in parts.SECTIONS if section in counts}


def judge_differences(
    todo: Sequence[Statement], target: Catalogue, sections: Sequence[str], fail: bool
) -> list[dict[str, str]]:
    """Objects that look different on the two sides; raises PgError for any when ``fail``. Pure."""
    found = [
        {"object": " ".join(one.key), "source": mine, "target": theirs}
        for one, mine, theirs in parts.differences((one for one in todo if one.section in sections), target)
    ]
    if found and fail:
        first = found[0]
        raise PgError(
            f"{len(found)} objects are on the target already and look different, first {first['object']}: source "
            f"{first['source']!r}, target {first['target']!r}. Nothing was changed. Cure: drop or mend them on the "
            "target (an invalid index is what a failed build left), or set on_difference to report."
        )
    return found[:SHOWN]


def bring(
    connect: Connect, address: Mapping[str, Any], schema: Schema, target: Target, *, sections: Sequence[str],
    rules: Sequence[Tolerated], check_mode: bool, fail_on_difference: bool, database: str | None, lock_timeout: float,
    report: dict[str, Any], before_each: Callable[[Step], None] = lambda step: None,
) -> dict[str, Any]:
    """Make on the target what it lacks of the schema; ``report`` is kept up to date so that a failure can show it.
    ``before_each`` may raise to stop before a statement (a lost lease).

    Looks again afterwards: what is then still missing, and wasn't tolerated, raises PgError; so does an obstacle.
    """
    different = judge_differences(schema.todo, target.catalogue, sections, fail_on_difference)
    wanted = missing(schema.todo, target.catalogue, sections)
    hindrances = obstacles(schema, wanted, target)
    if hindrances:
        raise PgError(" ".join(hindrances))
    planned = plan(schema.todo, wanted, sections)
    result = {
        **planned.result(),
        "action_count": len(planned.steps),
        "left_out": [{"type": one.type, "name": one.name, "reason": one.reason} for one in schema.left_out[:SHOWN]],
        "left_out_count": len(schema.left_out),
        "different": different,
        "large_objects": schema.large_objects,
    }
    result["actions"] = result["actions"][:SHOWN]
    if check_mode or not wanted:
        return result
    with connect(address, database) as session:
        prepare(session, lock_timeout)
        restorer = Restorer(session, wanted, rules)
        try:
            carry_out(planned, {"run": restorer.run}, before_each)
        finally:
            report |= restorer.report()
            report["changed"] = bool(restorer.count("done"))
    excused = {id(one) for one, outcome in zip(wanted, restorer.outcomes) if outcome["status"] == "tolerated"}
    expected = [one for one in schema.todo if id(one) not in excused]
    there = look(connect, address, database).catalogue
    _look_again(missing(expected, there, sections))
    return {**result, "changed": report["changed"]}


def _look_again(left: Sequence[Statement]) -> None:
    if left:
        raise PgError(
            f"{len(left)} statements ran without an error and had no effect, first: {left[0].sentence} (a right that "
            "can't be granted, an event trigger, DDL by somebody else?). Cure: look at the target, then run again."
        )
