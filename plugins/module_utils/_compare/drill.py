# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Down to the keys that differ: buckets of a table's rows, then the rows of the buckets that differ (P48).

Rows are told apart by their key. A table without one is a multiset: there the key is the row's own hash, and what is
compared is how often it occurs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.connection import Session
from .canonical import bucket_of, hash_of, text_of
from .sides import Side, settled
from .tables import Pair
from .totals import columns_of, relation

# Rows that a bucket should hold, and the most buckets there may be.
BUCKET_ROWS = 100
MOST_BUCKETS = 2 ** 20
# Rows that are fetched from each side at once.
FETCH_ROWS = 200_000
# Keys that are looked up in one statement.
LOOK_KEYS = 1000

Key = tuple[Any, ...]
# How often a key occurs and the sum of its rows' hashes; None when it isn't there.
Value = Optional[tuple[int, int]]


def buckets_for(rows: int) -> int:
    """How many buckets for so many rows: a power of two. Pure."""
    count = 1
    while count < MOST_BUCKETS and count * BUCKET_ROWS < rows:
        count *= 2
    return count


def differing(mine: Mapping[Any, Any], other: Mapping[Any, Any]) -> list[Any]:
    """The keys under which two sides don't hold the same. Pure."""
    return [key for key in mine if other.get(key) != mine[key]] + [key for key in other if key not in mine]


def portions(buckets: Sequence[int], rows_a_bucket: float, most: int = FETCH_ROWS) -> list[list[int]]:
    """The buckets in portions that can be fetched at once. Pure."""
    step = max(1, int(most / max(rows_a_bucket, 1.0)))
    return [list(buckets[start:start + step]) for start in range(0, len(buckets), step)]


@dataclass(frozen=True)
class Reader:
    """One table of one side, asked for buckets, for the rows of buckets and for single keys."""

    side: Side
    pair: Pair
    recode: bool

    @property
    def quick(self) -> bool:
        """Whether a key leads to its rows; a row's hash doesn't."""
        return bool(self.pair.key)

    @property
    def _table(self) -> Any:
        return getattr(self.pair, self.side.name)

    @property
    def _row_hash(self) -> Any:
        return hash_of(columns_of(self.pair, self._table), self.recode)

    @property
    def _keys(self) -> list[Any]:
        """The key's columns as text; the row's hash where there is no key."""
        if not self.pair.key:
            return [sql.SQL("({})::text").format(self._row_hash)]
        by_name = {column.name: column for column in columns_of(self.pair, self._table)}
        return [text_of(by_name[name]) for name in self.pair.key]

    @property
    def _key_hash(self) -> Any:
        if not self.pair.key:
            return self._row_hash
        by_name = {column.name: column for column in columns_of(self.pair, self._table)}
        return hash_of([by_name[name] for name in self.pair.key], self.recode)

    def buckets(self, count: int) -> dict[int, tuple[int, str]]:
        """Rows and sum of each of ``count`` buckets that isn't empty."""
        statement = sql.SQL(
            "SELECT {} AS bucket, count(*) AS rows, sum({})::text AS hash FROM {} GROUP BY 1"
        ).format(bucket_of(self._key_hash, count), self._row_hash, relation(self._table))
        return {
            row["bucket"]: (row["rows"], row["hash"])
            for row in self.side.ask(lambda session: session.rows(statement)).result()
        }

    def rows(self, count: int, buckets: Sequence[int]) -> dict[Key, Value]:
        """The rows of some of the buckets, by key."""
        condition = sql.SQL("WHERE {} = ANY ({}::bigint[])").format(
            bucket_of(self._key_hash, count), sql.Literal(list(buckets))
        )
        return self.side.ask(lambda session: self._fetch(session, condition)).result()

    def look(self, keys: Sequence[Key]) -> dict[Key, Value]:
        """What is under these keys now."""
        found: dict[Key, Value] = {}
        asked = [keys[start:start + LOOK_KEYS] for start in range(0, len(keys), LOOK_KEYS)]
        for part in settled([self.side.ask(self._question(keys)) for keys in asked]):
            found.update(part)
        return found

    def _question(self, keys: Sequence[Key]) -> Any:
        return lambda session: self._fetch(session, self._among(keys))

    def _among(self, keys: Sequence[Key]) -> Any:
        if not self.pair.key:
            hashes = sql.Literal([int(key[0]) for key in keys])
            return sql.SQL("WHERE {} = ANY ({}::bigint[])").format(self._row_hash, hashes)
        types = {column.name: column.type for column in self._table.columns}
        wanted = sql.SQL(", ").join(
            sql.SQL("{}::text[]").format(sql.Literal([key[place] for key in keys]))
            for place in range(len(self.pair.key))
        )
        # The types' names come from format_type(): they are SQL already.
        cast = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Identifier("w", f"k{place}"), sql.SQL(types[name]))
            for place, name in enumerate(self.pair.key)
        )
        names = sql.SQL(", ").join(sql.Identifier(f"k{place}") for place in range(len(self.pair.key)))
        return sql.SQL("WHERE ({}) IN (SELECT {} FROM unnest({}) AS w ({}))").format(
            sql.SQL(", ").join(map(sql.Identifier, self.pair.key)), cast, wanted, names
        )

    def _fetch(self, session: Session, condition: Any) -> dict[Key, Value]:
        keys = self._keys
        statement = sql.SQL("SELECT {}, count(*) AS rows, sum({})::text AS hash FROM {} {} GROUP BY {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(key, sql.Identifier(f"key {place}")) for place, key in enumerate(keys)
            ),
            self._row_hash, relation(self._table), condition,
            sql.SQL(", ").join(sql.SQL(str(place + 1)) for place in range(len(keys))),
        )
        return {
            tuple(row[f"key {place}"] for place in range(len(keys))): (row["rows"], int(row["hash"]))
            for row in session.rows(statement)
        }
