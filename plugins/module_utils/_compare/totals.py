# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts and hashes of whole tables, in parallel by page ranges (P47, P53)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.connection import Session
from .canonical import NEVER_EMPTY, Column, hash_of
from .sides import Side, settled
from .tables import Pair, Table

PAGE = 8192
# Bytes that one statement reads: so many that asking costs nothing, so few that connections end together.
RANGE_BYTES = 64 * 1024 ** 2
# Small tables are asked for together: the round trip would cost more than the reading.
BATCH_BYTES = 8 * 1024 ** 2
# Planning a union grows faster than its members.
BATCH_TABLES = 20


@dataclass(frozen=True)
class Sum:
    """How many rows, and the sum of their hashes (None where only counted)."""

    rows: int
    hash: int | None

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.rows + other.rows, None if self.hash is None or other.hash is None else self.hash + other.hash)


@dataclass(frozen=True)
class Piece:
    """A table, or the pages ``first`` up to but without ``last`` of it; None as last means to its end (P53)."""

    number: int
    table: Table
    first: int = 0
    last: int | None = None
    bytes: int = 0


def relation(table: Table) -> Any:
    """What to read: the table alone, without what inherits from it; a partitioned one with its parts."""
    only = sql.SQL("") if table.kind == "p" else sql.SQL("ONLY ")
    return only + sql.Identifier(table.schema, table.relation)


def columns_of(pair: Pair, table: Table) -> list[Column]:
    """The compared columns as this side has them, in the source's order.

    What decides how a column is hashed is the same for both sides: NULL is looked for if either may have it.
    """
    mine, twin = ({one.name: one for one in side.columns} for side in (pair.source, pair.target))
    types = {column.name: column.type for column in table.columns}
    return [
        Column(
            name, types[name], mine[name].nullable or twin[name].nullable,
            all(side[name].type.partition("(")[0] in NEVER_EMPTY for side in (mine, twin)),
        )
        for name in pair.columns
    ]


def pieces(number: int, table: Table, by_ranges: bool, range_bytes: int = RANGE_BYTES) -> list[Piece]:
    """A table cut into ranges of pages; the last is open-ended, for the table may grow. Pure."""
    if not by_ranges or table.kind != "r" or table.bytes <= range_bytes:
        return [Piece(number, table, bytes=table.bytes)]
    step = range_bytes // PAGE
    starts = list(range(0, table.bytes // PAGE, step))
    ends: list[int | None] = [*starts[1:], None]
    return [Piece(number, table, first, last, range_bytes) for first, last in zip(starts, ends)]


def batches(found: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces in the order of their size, small ones together. Pure."""
    batch: list[Piece] = []
    held = 0
    for piece in sorted(found, key=lambda piece: (-piece.bytes, piece.number, piece.first)):
        if batch and (held + piece.bytes > BATCH_BYTES or len(batch) == BATCH_TABLES):
            yield batch
            batch, held = [], 0
        batch.append(piece)
        held += piece.bytes
    if batch:
        yield batch


def _select(piece: Piece, hashed: Any) -> Any:
    condition = sql.SQL("")
    if piece.first or piece.last is not None:
        condition = sql.SQL(" WHERE ctid >= {}::tid").format(sql.Literal(f"({piece.first},0)"))
        if piece.last is not None:
            condition += sql.SQL(" AND ctid < {}::tid").format(sql.Literal(f"({piece.last},0)"))
    total = sql.SQL("NULL") if hashed is None else sql.SQL("coalesce(sum({}), 0)::text").format(hashed)
    return sql.SQL("SELECT {} AS number, count(*) AS rows, {} AS hash FROM {}{}").format(
        sql.Literal(piece.number), total, relation(piece.table), condition
    )


def _ask(session: Session, selects: Sequence[Any]) -> list[tuple[int, Sum]]:
    rows = session.rows(sql.SQL(" UNION ALL ").join(selects))
    return [
        (row["number"], Sum(row["rows"], None if row["hash"] is None else int(row["hash"]))) for row in rows
    ]


@dataclass(frozen=True)
class Reading:
    """Tables that are being read, by number, and those which have no page: nothing is asked about them."""

    asked: Sequence[Future[list[tuple[int, Sum]]]]
    empty: Mapping[int, Sum]


def begin(side: Side, pairs: Mapping[int, Pair], hashing: bool, recode: bool) -> Reading:
    """Start reading the tables of ``pairs`` (by number) on one side; :func:`end` has the sums."""
    tables = {number: getattr(pair, side.name) for number, pair in pairs.items()}
    nothing = Sum(0, 0 if hashing else None)
    empty = {number: nothing for number, table in tables.items() if table.kind == "r" and not table.bytes}
    found = [
        piece for number, table in tables.items() if number not in empty
        for piece in pieces(number, table, side.by_ranges)
    ]

    def select(piece: Piece) -> Any:
        columns = columns_of(pairs[piece.number], piece.table)
        return _select(piece, hash_of(columns, recode) if hashing else None)

    def question(batch: list[Piece]) -> Any:
        return lambda session: _ask(session, [select(piece) for piece in batch])

    return Reading([side.ask(question(batch)) for batch in batches(found)], empty)


def end(reading: Reading) -> dict[int, Sum]:
    """The sums by number; raises PgError for a table that could not be read (P48)."""
    sums = dict(reading.empty)
    for part in settled(reading.asked):
        for number, one in part:
            sums[number] = sums[number] + one if number in sums else one
    return sums


def totals(
    source: Side, target: Side, pairs: Mapping[int, Pair], hashing: bool, recode: bool
) -> tuple[dict[int, Sum], dict[int, Sum]]:
    """The sums of both sides, read at the same time."""
    mine, there = (begin(side, pairs, hashing, recode) for side in (source, target))
    return end(mine), end(there)
