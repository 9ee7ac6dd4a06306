# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which entries of a dump travel: those that were asked for, without what can't. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import toc
from .catalogue import JOURNAL_SCHEMA, Catalogue
from .toc import Entry

# What a managed service has put in, and what would write on its own (P44, P49).
UNTRAVELLED = (
    "apg_*", "aurora_*", "aws_*", "log_fdw", "pg_cron", "pg_repack", "pglogical*", "rds_*", "rdsutils", "pscale_*",
)
_TYPES = {
    "PUBLICATION": "publications are made for the target's own subscribers",
    "SUBSCRIPTION": "a subscription would compete with the source's for its slot",
    "SECURITY LABEL": "its provider isn't known to be on the target (P39)",
    "BLOB": "large objects are data (P1)",
    "LARGE OBJECT": "large objects are data (P1)",
}
_ABOUT = ("COMMENT", "ACL", "SECURITY LABEL")


@dataclass(frozen=True)
class Wish:
    """What to take. Empty ``schemas`` and ``tables`` mean all; ``exclude`` are ``schema.table`` patterns with ``*``;
    ``extensions`` None means all but those of UNTRAVELLED."""

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    extensions: tuple[str, ...] | None = None
    privileges: bool = True


@dataclass(frozen=True)
class LeftOut:
    """An entry that doesn't travel, and why."""

    type: str
    name: str
    reason: str
    relation: str | None = None


@dataclass(frozen=True)
class Choice:
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]
    missing_tables: tuple[str, ...] = ()


def without_the_servers(entries: Sequence[Entry], servers_own: str) -> list[Entry]:
    """The entries without the schema public that initdb made for its own role, as it did before 15.

    To name that role as the owner is all that pg_dump has to say about it; whose it is there is the target's affair.
    """
    return [one for one in entries if (one.type, one.name, one.owner) != ("SCHEMA", "public", servers_own)]


def choose(entries: Sequence[Entry], source: Catalogue, wish: Wish) -> Choice:
    """The entries that travel, in their order, and those that don't with their reasons.

    What needs something left out is left out with it. Rights on what an extension or the server itself brought are
    left out too. ``missing_tables`` are wished and not in the source.
    """
    wholes = _wholes(source)
    relation_of = _relations(entries, source)
    reasons: dict[int, str] = {}
    by_id = {entry.id: entry for entry in entries}
    for entry in entries:
        reason = _own_reason(entry, wish, by_id) or _exclusion(relation_of.get(entry.id), wish, wholes)
        if reason:
            reasons[entry.id] = reason
    _with_what_needs_them(entries, reasons)
    if wish.tables or wish.schemas:
        _only_what_is_needed(
            entries, relation_of, lambda entry: _wanted(entry, relation_of.get(entry.id), wish, wholes),
            {thing.relation for thing in source.things.values() if thing.relation and "S" in thing.words}, reasons,
        )
    known = {thing.relation for thing in source.things.values() if thing.relation}
    return Choice(
        tuple(entry for entry in entries if entry.id not in reasons),
        tuple(LeftOut(entry.type, _called(entry), reasons[entry.id], relation_of.get(entry.id)) for entry in entries
              if reasons.get(entry.id, "")),
        tuple(table for table in wish.tables if table not in known),
    )


def _called(entry: Entry) -> str:
    return f"{entry.schema}.{entry.name}" if entry.schema else entry.name


def _wholes(source: Catalogue) -> dict[str, str]:
    """Partition -> the table it is a part of; sequence -> the table whose column it belongs to."""
    names = {toc.split_name(thing.identity): thing.relation for thing in source.things.values()
             if thing.type in ("table", "sequence") and thing.relation}
    return {
        names[key[1:]]: whole for key, (whole, _part) in source.links.items()
        if key[0] in ("TABLE ATTACH", "SEQUENCE OWNED BY") and key[1:] in names and whole
    }


def _relations(entries: Sequence[Entry], source: Catalogue) -> dict[int, str]:
    """Entry -> the relation it belongs to; comments and grants belong to what they are about."""
    by_names = {toc.split_name(thing.identity): thing.relation for thing in source.things.values()
                if thing.type in ("table", "sequence", "index", "foreign table") and thing.relation}
    found: dict[int, str] = {}
    for entry in entries:
        relation = None
        if entry.type in ("TABLE ATTACH", "INDEX ATTACH", "SEQUENCE OWNED BY"):
            relation = by_names.get(toc.subject(entry))
        elif entry.classid:
            thing = source.things.get((entry.classid, entry.oid))
            relation = thing.relation if thing else None
        else:
            relation = next((found[number] for number in entry.depends if number in found), None)
        if relation:
            found[entry.id] = relation
    return found


def _wanted(entry: Entry, relation: str | None, wish: Wish, wholes: dict[str, str]) -> bool:
    if entry.schema in wish.schemas or (entry.type == "SCHEMA" and entry.name in wish.schemas):
        return True
    while relation:
        if relation in wish.tables:
            return True
        relation = wholes.get(relation)
    return False


def _own_reason(entry: Entry, wish: Wish, by_id: dict[int, Entry]) -> str | None:
    for start, reason in _TYPES.items():
        if entry.type.startswith(start):
            return reason
    if JOURNAL_SCHEMA in (entry.schema, entry.name):
        return "the migration's own journal"
    if entry.type == "EXTENSION":
        return _extension_reason(entry.name, wish)
    if entry.type in ("ACL", "DEFAULT ACL") and not wish.privileges:
        return "privileges: false"
    if entry.type not in _ABOUT:
        return None
    about = [by_id[number] for number in entry.depends if number in by_id]
    if any(one.type == "EXTENSION" for one in about):
        return "an extension brings its own"
    if not about and entry.name != "SCHEMA public":
        return "it is about what an extension or the server itself brought"
    return None


def _extension_reason(name: str, wish: Wish) -> str | None:
    if wish.extensions is not None:
        return None if name in wish.extensions else "not among extensions"
    if any(matches(name, pattern) for pattern in UNTRAVELLED):
        return "an extension that doesn't travel (P49); name it in extensions to take it along"
    return None


def matches(name: str, pattern: str) -> bool:
    """Whether ``schema.table`` is what a pattern names; only ``*`` is special, as names may hold anything else."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name, re.DOTALL) is not None


def _exclusion(relation: str | None, wish: Wish, wholes: dict[str, str]) -> str | None:
    """A partition goes with its table, and so does the sequence of a column."""
    while relation:
        if any(matches(relation, pattern) for pattern in wish.exclude):
            return f"{relation} is excluded"
        relation = wholes.get(relation)
    return None


def _with_what_needs_them(entries: Sequence[Entry], reasons: dict[int, str]) -> None:
    by_id = {entry.id: entry for entry in entries}
    while True:
        more = {
            entry.id: f"it needs {by_id[lost].type} {_called(by_id[lost])}, which is left out"
            for entry in entries if entry.id not in reasons
            for lost in [next((number for number in entry.depends if reasons.get(number) and number in by_id), None)]
            if lost is not None
        }
        if not more:
            return
        reasons.update(more)


def _only_what_is_needed(
    entries: Sequence[Entry], relation_of: dict[int, str], wanted: Callable[[Entry], bool], sequences: set[str],
    reasons: dict[int, str],
) -> None:
    """Keep the wanted and what it needs; an empty reason marks what was simply not asked for.

    Another table isn't pulled in: what can't be without it (a foreign key, a view) is left out.
    """
    by_id = {entry.id: entry for entry in entries}
    for entry in entries:
        if entry.id in reasons or not wanted(entry):
            continue
        for number in _closure(entry, by_id):
            needed = by_id[number]
            relation = relation_of.get(number)
            if relation and relation not in sequences and not wanted(needed):
                reasons[entry.id] = f"it needs {relation}, which wasn't asked for"
                break
    _with_what_needs_them(entries, reasons)
    keep: set[int] = set()
    for entry in entries:
        if entry.id not in reasons and wanted(entry):
            keep |= {entry.id, *_closure(entry, by_id)}
    keep |= {entry.id for entry in entries if entry.type in _ABOUT and keep.intersection(entry.depends[:1])}
    for entry in entries:
        if entry.id not in keep:
            reasons.setdefault(entry.id, "")


def _closure(entry: Entry, by_id: dict[int, Entry]) -> set[int]:
    found: set[int] = set()
    following = [number for number in entry.depends if number in by_id]
    while following:
        number = following.pop()
        if number not in found:
            found.add(number)
            following += [more for more in by_id[number].depends if more in by_id]
    return found
