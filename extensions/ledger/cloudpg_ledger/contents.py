# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds of the ledger, as counts of effects by (writer, seq)."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from psycopg2.extensions import connection

from .connection import connect

Key = tuple[str, int]

# the effects of each table; a row whose contents are wrong doesn't count as there
EFFECTS = {
    "entries": "SELECT writer, seq, count(*) FROM ledger.entries"
    " WHERE writer = ANY(%s) AND body = md5(writer || ':' || seq) GROUP BY 1, 2",
    "counters": "SELECT writer, seq, count(*) FROM ledger.counters, unnest(history) AS seq"
    " WHERE writer = ANY(%s) GROUP BY 1, 2",
    "queue": "SELECT writer, seq, count(*) FROM ledger.queue WHERE writer = ANY(%s) GROUP BY 1, 2",
    "batch": "SELECT writer, seq, count(*) FROM ledger.batch WHERE writer = ANY(%s) GROUP BY 1, 2",
    "tickets": "SELECT writer, seq, count(*) FROM ledger.tickets WHERE writer = ANY(%s) GROUP BY 1, 2",
    "laps": "SELECT writer, seq, count(*) FROM ledger.laps WHERE writer = ANY(%s) GROUP BY 1, 2",
}
TRANSFERS = """
    SELECT writer, seq, sum(head), sum(part) FROM (
        SELECT writer, seq, 1 AS head, 0 AS part FROM ledger.transfers
        UNION ALL SELECT writer, seq, 0, 1 FROM ledger.postings) AS both_tables
    WHERE writer = ANY(%s) GROUP BY 1, 2"""
WRONG_BALANCES = """
    SELECT format('account %%s of %%s: balance %%s, postings %%s', account, writer,
                  coalesce(a.balance::text, 'missing'), coalesce(p.amount::text, 'none'))
    FROM (SELECT * FROM ledger.accounts WHERE writer = ANY(%s)) AS a
    FULL JOIN (SELECT writer, account, sum(amount) AS amount FROM ledger.postings
               WHERE writer = ANY(%s) GROUP BY 1, 2) AS p USING (writer, account)
    WHERE a.balance IS DISTINCT FROM p.amount"""
WRONG_VERSIONS = """
    SELECT format('counter %%s of %%s: version %%s after %%s updates', slot, writer, version, cardinality(history))
    FROM ledger.counters WHERE writer = ANY(%s) AND version <> cardinality(history)"""


@dataclass
class Contents:
    """Counts of effects by table, whole transfers among them; `torn` describes what is there in part."""

    effects: dict[str, Counter[Key]] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    torn_transfers: set[Key] = field(default_factory=set)
    next_values: dict[str, int] = field(default_factory=dict)
    server: str | None = None

    def count(self, table: str, key: Key) -> int:
        return self.effects.get(table, Counter())[key]


def whole_transfers(heads: int, parts: int) -> tuple[int, bool]:
    """How many times a transfer of one row and two postings is wholly there, and whether more than that is."""
    whole = min(heads, parts // 2)
    return whole, (heads, parts) != (whole, 2 * whole)


def read_contents(dsn: str, writers: list[str]) -> Contents:
    """Read the whole ledger in one snapshot. Raises psycopg2.Error; nothing is left out silently."""
    conn = connect(dsn)
    try:
        conn.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        return _read(conn, writers)
    finally:
        conn.close()


def _read(conn: connection, writers: list[str]) -> Contents:
    found = Contents()
    with conn.cursor() as cur:
        cur.execute("SELECT host(inet_server_addr())")
        found.server = cur.fetchone()[0]
        for table, query in EFFECTS.items():
            cur.execute(query, (writers,))
            found.effects[table] = Counter({(writer, seq): int(count) for writer, seq, count in cur})
        found.effects["transfers"] = Counter()
        cur.execute(TRANSFERS, (writers,))
        for writer, seq, heads, parts in cur:
            whole, torn = whole_transfers(int(heads), int(parts))
            found.effects["transfers"][(writer, seq)] = whole
            if torn:
                found.torn_transfers.add((writer, seq))
        cur.execute(WRONG_BALANCES, (writers, writers))
        found.torn += [text for (text,) in cur]
        cur.execute(WRONG_VERSIONS, (writers,))
        found.torn += [text for (text,) in cur]
        for sequence in ("ticket", "lap"):
            cur.execute(f"SELECT last_value, is_called FROM ledger.{sequence}")
            last_value, is_called = cur.fetchone()
            found.next_values[sequence] = last_value + int(is_called)
    return found
