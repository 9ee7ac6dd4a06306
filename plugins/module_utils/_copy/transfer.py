# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the rows of one table travel: columns, format and statements. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import Column, Table

# Types below this number come with the server and are the same everywhere (FirstNormalObjectId).
_FIRST_OF_USERS = 16384
# They are numbers of objects, which mean something else on another server: only their names travel.
_NAMES_OF_OBJECTS = frozenset({
    "regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc",
    "regprocedure", "regrole", "regtype", "regdatabase",
})


def travels_binary(types: Mapping[int, Mapping[str, Any]], number: int) -> bool:
    """Whether a type's binary form means the same on every server (P27).

    Arrays, composites and multiranges carry type numbers, which differ between servers for types of users; enums
    travel as their labels, domains as what they are made of. What an extension brings stays text: its binary form is
    its own affair.
    """
    found = types.get(number)
    if found is None or not found["binary"] or found["name"] in _NAMES_OF_OBJECTS:
        return False
    if found["kind"] == "d":
        return travels_binary(types, found["base"])
    if found["kind"] == "e":
        return True
    if number >= _FIRST_OF_USERS:
        return False
    if found["category"] == "A" and found["element"]:
        return travels_binary(types, found["element"])
    return True


@dataclass(frozen=True)
class Share:
    """What a publication takes of a table: columns (none named: all) and a condition (None: all rows).

    What isn't followed isn't copied either; otherwise it would stay as it was for ever.
    """

    columns: frozenset[str] = frozenset()
    rows: str | None = None


@dataclass(frozen=True)
class Transfer:
    """``whole`` is a plain COPY of the table; otherwise a query, because the source computes what the target stores."""

    table: str
    columns: tuple[str, ...]
    binary: bool
    whole: bool = True
    rows: str | None = None

    @property
    def format(self) -> str:
        return "binary" if self.binary else "text"


def transfer(
    source: Table, target: Table, types: Mapping[int, Mapping[str, Any]], share: Share = Share()
) -> Transfer:
    """The columns that the target stores, in its own order where the source has another (P21, P22).

    A column generated on both sides is left to the target. One generated only on the source travels as a value.
    The sides have been compared before: see :mod:`obstacles`.
    """
    theirs = {column.name: column for column in source.columns}
    stored = [
        column for column in target.columns
        if not column.generated and column.name in theirs
        and (not share.columns or column.name in share.columns or theirs[column.name].generated)
    ]
    binary = all(_alike(theirs[column.name], column) and travels_binary(types, theirs[column.name].type)
                 for column in stored)
    return Transfer(
        source.name, tuple(column.name for column in stored), binary,
        whole=share.rows is None and not any(theirs[column.name].generated for column in stored), rows=share.rows,
    )


def _alike(one: Column, other: Column) -> bool:
    return one.written == other.written


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def copy_out(way: Transfer, pages: tuple[int, int | None] | None = None) -> str:
    """COPY … TO STDOUT of the whole table, or of the pages from the first up to, not with, the second (P53)."""
    options = f"(FORMAT {way.format})"
    if pages is None and way.whole:
        return f"COPY {way.table}{_listed(way.columns)} TO STDOUT {options}"
    conditions = [f"({way.rows})"] if way.rows else []
    if pages is not None:
        first, end = pages
        conditions += [f"ctid >= '({first},0)'"] + ([f"ctid < '({end},0)'"] if end is not None else [])
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"COPY (SELECT {', '.join(way.columns)} FROM ONLY {way.table}{where}) TO STDOUT {options}"


def copy_in(way: Transfer, freeze: bool) -> str:
    """COPY … FROM STDIN; FREEZE only where the same transaction has emptied the table (P53)."""
    options = f"(FORMAT {way.format}{', FREEZE' if freeze else ''})"
    return f"COPY {way.table}{_listed(way.columns)} FROM STDIN {options}"


def page_ranges(pages: int, parts: int) -> list[tuple[int, int | None]]:
    """``parts`` ranges of about the same number of pages; the last has no end, for the table may have grown (P53)."""
    parts = max(1, min(parts, pages))
    edges = [pages * number // parts for number in range(parts)]
    return list(zip(edges, [*edges[1:], None]))
