# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One comparison from beginning to end, as pg_compare runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .._logical.selection import SHOWN, Selection, matches, named
from .._pg.server import Connect
from . import fingerprint, tables
from .live import Lag
from .rows import Told, compare_rows, sentence
from .sides import Side, reading, settled

NONE = "none"
# Of a definition, so much is shown.
TEXT = 500


@dataclass(frozen=True)
class Wish:
    """What to compare and how; ``rows`` is none, count or hash; ``slot`` the one the target follows by, if it does."""

    selection: Selection
    objects: Sequence[str] = ()
    rows: str = "hash"
    slot: str | None = None
    wait_timeout: float = 600.0
    max_jobs: int = 4
    nudge: bool = True


def compare(
    connect: Connect, source: Mapping[str, Any], target: Mapping[str, Any], database: str | None, wish: Wish,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """What pg_compare returns. Raises PgError for what couldn't be read: that is never a pass (P48)."""
    began = clock()
    with ExitStack() as stack:
        sides = [
            stack.enter_context(reading(connect, address, database, wish.max_jobs, name))
            for name, address in (("source", source), ("target", target))
        ]
        objects, seen = _objects(sides, wish)
        told = Told()
        if wish.rows != NONE:
            told = compare_rows(*sides, _pairing(sides, wish.selection), wish.rows, _lag(
                stack, connect, source, target, database, wish, clock
            ) if wish.slot else None)
    return {
        "equal": not objects and not told.differences,
        "object_differences": [_shown(one) for one in objects[:SHOWN]],
        "object_difference_count": len(objects),
        "row_differences": told.differences[:SHOWN],
        "row_difference_count": len(told.differences),
        "not_compared": told.skipped[:SHOWN],
        "compared": {
            "objects": seen, "tables": told.tables, "rows": told.rows, "bytes": told.bytes,
            "seconds": round(clock() - began, 3),
        },
    }


def summary(result: Mapping[str, Any]) -> str:
    """What differs, in a sentence or two."""
    said = []
    if result["object_difference_count"]:
        some = [f"{one['class']} {one['object']} {one['part']}".rstrip() for one in result["object_differences"]]
        said.append(f"{_counted(result['object_difference_count'], 'object')}: {named(some)}.")
    if result["row_difference_count"]:
        said.append(f"The rows of {_counted(result['row_difference_count'], 'table')}: "
                    f"{named([sentence(one) for one in result['row_differences']])}.")
    return " ".join(said) or "Both sides are alike."


def _counted(number: int, thing: str) -> str:
    """``1 object differs``, ``2 objects differ``."""
    return f"{number} {thing} differs" if number == 1 else f"{number} {thing}s differ"


def _objects(sides: Sequence[Side], wish: Wish) -> tuple[list[dict[str, Any]], int]:
    """What differs in the catalogue, and how many objects were looked at."""
    versions = [side.version_num for side in sides]

    def question(name: str) -> Any:
        return lambda session: fingerprint.read(session, [name], min(versions))

    asked = [[side.ask(question(name)) for name in wish.objects] for side in sides]
    mine, there = ({name: seen for part in settled(one) for name, seen in part.items()} for one in asked)
    meant = [
        one for one in fingerprint.differences(mine, there, versions)
        if _is_meant(one["object"], one["part"], wish.selection)
    ]
    return meant, sum(len(objects) for objects in mine.values())


def _is_meant(thing: str, part: str, selection: Selection) -> bool:
    """Whether an object's difference counts. In grants and the like its kind stands before its name. Pure."""
    names = {thing, thing.partition(" ")[2], f"{thing}.{part}", f"{thing.partition(' ')[2]}.{part}"} - {""}
    if any(matches(name, selection.exclude) for name in names):
        return False
    if not selection.names and not selection.schemas:
        return True
    return bool(names & set(selection.names)) or any(
        name == schema or name.startswith(f"{schema}.") for name in names for schema in selection.schemas
    )


def _pairing(sides: Sequence[Side], selection: Selection) -> tables.Pairing:
    asked = [side.ask(tables.read) for side in sides]
    mine, there = (one.result() for one in asked)
    tables.missing(mine, selection.names, sides[0].where)
    return tables.pair(tables.chosen(mine, selection), tables.chosen(there, selection))


def _lag(
    stack: ExitStack, connect: Connect, source: Mapping[str, Any], target: Mapping[str, Any], database: str | None,
    wish: Wish, clock: Callable[[], float],
) -> Callable[[], Lag]:
    """Connections of their own for waiting, opened when something differs."""
    return lambda: Lag(
        stack.enter_context(connect(source, database)), stack.enter_context(connect(target, database)),
        wish.slot or "", clock() + wish.wait_timeout, wish.nudge,
    )


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[:TEXT] if isinstance(value, str) else value for key, value in one.items()}
