# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each table needs so that UPDATE and DELETE survive being published (P2 to P5). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._findings import Finding, blocker, warning
from .._journal import Event
from .._plan import Plan, Step
from .selection import SHOWN, matches
from .tables import DEFAULT, FULL, INDEX, NOTHING, PARTITIONED, Table

PREFIX = "identity."
# Wishes that can't be carried out, while other findings are about tables that nobody asked to change.
IMPOSSIBLE = ("index-not-usable", "table-still-published")
WORDS = {DEFAULT: "the primary key", NOTHING: "nothing", FULL: "the full row", INDEX: "index"}


@dataclass(frozen=True)
class Wish:
    """Which tables may be changed, and how: ``indexes`` by name, the others as patterns, only where one is needed."""

    indexes: Mapping[str, str]
    using_index: Sequence[str] = ()
    full: Sequence[str] = ()


def state(table: Table) -> dict[str, Any]:
    """The identity as the journal keeps it."""
    index = next((key.name for key in table.keys if key.chosen), None) if table.identity == INDEX else None
    return {"identity": table.identity, "index": index}


def without_identity(table: Table) -> Finding:
    """The finding about a table whose updates would fail on the source once they are published (P2)."""
    lacking = "; ".join(f"unique index {key.name}: {key.problem}" for key in table.keys if key.problem)
    if table.candidates:
        cure = f"allow its unique index {table.candidates[0].name} as identity (using_index of pg_replica_identity)"
    elif table.incomparable:
        cure = (
            f"give it a primary key, or publish only its inserts; FULL is no way, for {', '.join(table.incomparable)} "
            "can't be compared (P4)"
        )
    else:
        cure = "give it a primary key, allow the full row as identity (full of pg_replica_identity), or publish only "
        cure += "its inserts"
    reason = "it has no usable replica identity: once published, its UPDATE and DELETE fail on the source"
    return blocker(
        "table-without-identity", table.name, f"{reason} ({lacking})" if lacking else reason, cure, "P2",
        acknowledgeable=True,
    )


def look(table: Table) -> list[Finding]:
    """What is to be said about the identity a table has."""
    if not table.usable:
        return [without_identity(table)]
    if table.identity == FULL and table.incomparable:
        return [_not_comparable(table)]
    if table.identity == FULL:
        return [warning(
            "identity-full", table.name, "its identity is the full row: more WAL, and the target searches the table "
            "for each row that changes", "give it a primary key where it changes often", "P4",
        )]
    return []


def _not_comparable(table: Table) -> Finding:
    return blocker(
        "identity-not-comparable", table.name, f"the full row can't be its identity: {', '.join(table.incomparable)} "
        "has a type without equality, and the target's apply would fail",
        "give it a primary key, or publish only its inserts", "P4",
    )


def _wanted(table: Table, wish: Wish) -> tuple[str, str | None] | Finding | None:
    """The identity to set, a finding why that can't be, or None to leave the table alone."""
    name = wish.indexes.get(table.name)
    if name is not None:
        key = next((key for key in table.keys if key.name == name), None)
        if key and not key.problem:
            return INDEX, name
        return blocker(
            "index-not-usable", table.name, f"{name} can't be its identity: "
            + (key.problem or "" if key else "the table has no unique index of that name"),
            "name a unique index that is valid, not partial, not deferrable and over NOT NULL columns only", "P3",
        )
    if table.usable:
        return None
    if table.candidates and matches(table.name, wish.using_index):
        return INDEX, table.candidates[0].name
    if matches(table.name, wish.full):
        return _not_comparable(table) if table.incomparable else (FULL, None)
    return None


def plan_set(tables: Iterable[Table], wish: Wish) -> tuple[Plan, list[Finding]]:
    """Set what was asked for where it is needed; the findings are about what stays."""
    steps, findings, before, after = [], [], {}, {}
    for table in tables:
        if not table.logged:
            findings.append(unlogged(table))
            continue
        wanted = _wanted(table, wish)
        if isinstance(wanted, Finding):
            findings.append(wanted)
        elif wanted is None or wanted == tuple(state(table).values()):
            findings += look(table)
        else:
            now = {"identity": wanted[0], "index": wanted[1]}
            steps.append(_step(table, now))
            before[table.name], after[table.name] = state(table), now
    return Plan(tuple(steps), _few(before), _few(after)), findings


def unlogged(table: Table) -> Finding:
    return warning(
        "table-unlogged", table.name, "it is unlogged, and what isn't logged isn't replicated",
        "leave its rows behind, or make it logged before", "P1",
    )


def _step(table: Table, now: Mapping[str, Any], op: str = "set") -> Step:
    said = f"{WORDS[now['identity']]} {now['index']}" if now["index"] else WORDS[now["identity"]]
    return Step(op, f"set the replica identity of {table.name} to {said}", {
        "table": table.name, "oid": table.oid, "was": state(table), "now": dict(now),
    })


def _few(states: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(states.items())[:SHOWN])


def plan_restore(tables: Iterable[Table], events: Mapping[str, Event]) -> tuple[Plan, list[Finding], list[str]]:
    """Put back what the journal has. Returns also the ids of events that need nothing any more."""
    there = {table.name: table for table in tables}
    steps, findings, settled, before, after = [], [], [], {}, {}
    for event in events.values():
        table = there.get(event.object)
        if table is None or state(table) == event.was:
            settled.append(event.id)
        elif state(table) != event.now:
            findings.append(warning(
                "identity-changed-since", table.name, f"its identity is {WORDS[table.identity]} now, which this "
                "migration didn't set", "look who set it, and leave it or put it back by hand", "P4",
            ))
        else:
            findings += _cannot_return(table, event.was)
            steps.append(_step(table, event.was, "restore"))
            before[table.name], after[table.name] = state(table), event.was
    return Plan(tuple(steps), _few(before), _few(after)), findings, settled


def _cannot_return(table: Table, was: Mapping[str, Any]) -> list[Finding]:
    index = next((key for key in table.keys if key.name == was["index"] and not key.problem), None)
    if was["identity"] == INDEX and index is None:
        return [blocker(
            "index-not-usable", table.name, f"its identity was index {was['index']}, which can't be one any more",
            "make the index again, or set an identity by hand", "P3",
        )]
    primary = any(key.primary and not key.problem for key in table.keys)
    if table.published and (was["identity"] == NOTHING or (was["identity"] == DEFAULT and not primary)):
        return [blocker(
            "table-still-published", table.name, "a publication carries its updates or deletes, which would fail "
            "without the identity", "drop the publication first, or take the table out of it", "P2",
        )]
    return []


def describe(table: Table) -> dict[str, Any]:
    """A table for a result."""
    return {
        "table": table.name, "partitioned": table.kind == PARTITIONED, "usable": table.usable, **state(table),
        "candidates": [key.name for key in table.candidates], "not_comparable": list(table.incomparable),
    }


def counts(tables: Iterable[Table]) -> dict[str, int]:
    """How many tables there are, by what their identity is."""
    kinds = {"primary_key": 0, "index": 0, "full": 0, "without": 0}
    for table in tables:
        kind = {DEFAULT: "primary_key", INDEX: "index", FULL: "full"}.get(table.identity, "without")
        kinds[kind if table.usable else "without"] += 1
    return {"tables": sum(kinds.values()), **kinds}
