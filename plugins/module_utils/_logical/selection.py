# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects are meant: names as ``format('%I.%I')`` writes them, schemas, and what is left out. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .._errors import MigrationError

# Results are bounded: a count, and this many of what was counted.
SHOWN = 100
# Letters of a database's name in that of its slot.
DATABASE_SHOWN = 20
# In sentences.
NAMED = 3

Thing = TypeVar("Thing")

# Databases a server comes with, at one service or another; they are moved when they are named.
NOT_USERS = ("postgres", "rdsadmin", "azure_maintenance", "cloudsqladmin")
# What no migration touches: the server's own schemas, ours, and what an extension brings along.
OUR_OWN = """
    n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cloudpg_migration') AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""


def object_name(migration: str) -> str:
    """The name of everything made for a migration (publication, subscription, slot)."""
    return "cloudpg_" + migration.replace("-", "_")


def slot_name(migration: str, database: str) -> str:
    """The slot of a database: slots are the server's, and have names of lower-case letters, digits and underscores."""
    plain = re.sub(r"[^a-z0-9_]", "_", database.lower())[:DATABASE_SHOWN]
    mark = "" if plain == database else f"_{hashlib.sha256(database.encode()).hexdigest()[:6]}"
    return f"{object_name(migration)[:63 - len(plain) - len(mark) - 1]}_{plain}{mark}"


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, in which ``*`` stands for anything and nothing else is special."""
    return any(
        name == pattern or ("*" in pattern and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.S))
        for pattern in patterns
    )


@dataclass(frozen=True)
class Selection:
    """``names`` and ``schemas`` empty: everything. A name counts whatever schemas say; ``exclude`` counts most."""

    names: Collection[str] = ()
    exclude: Sequence[str] = ()
    schemas: Collection[str] = ()

    def takes(self, name: str, schema: str) -> bool:
        if matches(name, self.exclude):
            return False
        if not self.names and not self.schemas:
            return True
        return name in self.names or schema in self.schemas

    def of(self, things: Iterable[Thing], option: str, where: str) -> list[Thing]:
        """Those of the things (each with ``name`` and ``schema``) that are meant.

        Raises MigrationError for a name, or a schema, that isn't there: a misspelt one must not go unnoticed.
        """
        things = list(things)
        missing = sorted(set(self.names) - {thing.name for thing in things})
        if missing:
            raise MigrationError(
                f"{where}: {option} names {named(missing)}, which can't be found there. Cure: write schema.name, "
                "quoted where SQL needs it, of something that is no extension's and not temporary."
            )
        empty = sorted(set(self.schemas) - {thing.schema for thing in things})
        if empty:
            raise MigrationError(f"{where}: schemas names {named(empty)}, in which nothing is. Cure: correct schemas.")
        return [thing for thing in things if self.takes(thing.name, thing.schema)]


def named(names: Sequence[str], limit: int = NAMED) -> str:
    """The first names, and how many more, for a sentence."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def first(things: Sequence[Any], as_dict: Callable[[Any], Mapping[str, Any]] = dict) -> list[Any]:
    """The first of a list that may be long, for a result."""
    return [as_dict(thing) for thing in things[:SHOWN]]
