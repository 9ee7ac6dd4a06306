# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One canonical form for a row, whatever server holds it, and the hash of it (P47).

A row's hash chains the hashes of its columns' text: each is the seed of the next, so that neither order nor borders
between columns get lost. PostgreSQL keeps ``hashtextextended`` the same from major to major, for hash partitions and
dumps of them rely on it. Hashes of rows are summed, which makes the sum independent of their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

# What decides how a value is written as text, and what may end a long statement or make it crawl.
SETTINGS = """
    SELECT set_config('extra_float_digits', '1', false), set_config('bytea_output', 'hex', false),
           set_config('IntervalStyle', 'iso_8601', false), set_config('DateStyle', 'ISO, YMD', false),
           set_config('TimeZone', 'UTC', false), set_config('lc_monetary', 'C', false),
           set_config('quote_all_identifiers', 'off', false), set_config('statement_timeout', '0', false),
           set_config('jit', 'off', false)
"""
# Versions before 14 can't begin in the middle of a table (P53): there the server's own parallel scan helps.
ALONE = "SET max_parallel_workers_per_gather = 0"
RANGES_SINCE = 140000


# Types of which no value is written as the empty text, which can stand for NULL then.
NEVER_EMPTY = frozenset({
    "bigint", "boolean", "bytea", "cidr", "date", "double precision", "inet", "integer", "json", "jsonb", "numeric",
    "real", "smallint", "timestamp without time zone", "timestamp with time zone", "uuid",
})


@dataclass(frozen=True)
class Column:
    """A column as both sides have it. ``type`` is the type's name of the side that is asked.

    ``plain`` is whether neither side's type has an empty text.
    """

    name: str
    type: str
    nullable: bool
    plain: bool = False


def text_of(column: Column) -> Any:
    """The column as text, by its type's output function."""
    name = sql.Identifier(column.name)
    if column.type.startswith("character(") or column.type in ("bpchar", "character"):
        # A cast would take trailing blanks away.
        return sql.SQL("CASE WHEN {0} IS NOT NULL THEN concat({0}) END").format(name)
    return sql.SQL("{}::text").format(name)


def hash_of(columns: Sequence[Column], recode: bool = False) -> Any:
    """The hash of a row (bigint) over ``columns``, in their order.

    ``recode`` is for databases of different encodings: the text is brought to UTF-8 first (P57).
    """
    hashed: Any = sql.SQL("0")
    for column in columns:
        text = text_of(column)
        if recode:
            text = sql.SQL("encode(convert_to({}, 'UTF8'), 'hex')").format(text)
        if column.nullable:
            # NULL is told from every value: those which could be empty begin with the sign.
            sign = "" if column.plain else "'=' || "
            text = sql.SQL("coalesce({}{}, '')").format(sql.SQL(sign), text)
        hashed = sql.SQL("hashtextextended({} COLLATE \"C\", {})").format(text, hashed)
    return sql.SQL("({})::bigint").format(hashed)


def bucket_of(hashed: Any, buckets: int) -> Any:
    """Which of ``buckets`` (a power of two) a hash falls into."""
    return sql.SQL("({} & {})").format(hashed, sql.Literal(buckets - 1))


def recoding(source_encoding: str, target_encoding: str) -> bool:
    """Whether text has to be brought to one encoding; bytes of SQL_ASCII have none and are compared as they are."""
    return source_encoding != target_encoding and "SQL_ASCII" not in (source_encoding, target_encoding)
