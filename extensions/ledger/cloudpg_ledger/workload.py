# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of writes. Each is one transaction whose exact effect can be computed from the journal.

Every statement list ends with a statement that returns the address of the server that ran it, because behind a pooler
the client's own connection doesn't tell, and then the values the journal keeps.
"""
from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from .journal import ACKED, DOUBT, FAILED

SERVER = "host(inet_server_addr())"
LAP_WIDTH = 1_000_000  # numbers a restart of ledger.lap may hand out before the next
# DDL must not queue behind a dump or a copy for ever, with every reader queueing behind it
IMPATIENT = "SET LOCAL lock_timeout = '2s'; "


@dataclass(frozen=True)
class Write:
    """One transaction: its statements, how many rows the last must return, and what the journal keeps of it."""

    kind: str
    sql: str
    params: dict[str, Any]
    rows: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    returns: tuple[str, ...] = ()  # names of the values that follow the server's address


class Kind(Protocol):
    """A kind of write, with one writer's memory of what it has done."""

    def next(self, writer: str, seq: int) -> Write:
        """The transaction for this (writer, seq)."""

    def settle(self, write: Write, outcome: str) -> None:
        """Learn how it ended."""


def body_of(writer: str, seq: int) -> str:
    """What an entry holds: wrong contents count as a missing row."""
    return hashlib.md5(f"{writer}:{seq}".encode(), usedforsecurity=False).hexdigest()


class Entries:
    """Plain inserts, keyed by an identity column."""

    def next(self, writer: str, seq: int) -> Write:
        return Write(
            "entry",
            f"INSERT INTO ledger.entries (writer, seq, body) VALUES (%(writer)s, %(seq)s, %(body)s) RETURNING {SERVER}",
            {"writer": writer, "seq": seq, "body": body_of(writer, seq)},
        )

    def settle(self, write: Write, outcome: str) -> None:
        pass


class Counters:
    """Updates of a row with a version counter; the row also keeps which it saw, so that each can be accounted for."""

    UPDATES_A_ROW = 50  # the history stays short enough not to be a load of its own

    def __init__(self) -> None:
        self._slot: int | None = None
        self._used = 0

    def next(self, writer: str, seq: int) -> Write:
        if self._slot is None:
            sql = (
                "INSERT INTO ledger.counters (writer, slot, version, history)"
                " VALUES (%(writer)s, %(seq)s, 1, ARRAY[%(seq)s]::bigint[])"
            )
        else:
            sql = (
                "UPDATE ledger.counters SET version = version + 1, history = history || %(seq)s::bigint"
                " WHERE writer = %(writer)s AND slot = %(slot)s"
            )
        return Write("counter", f"{sql} RETURNING {SERVER}", {"writer": writer, "seq": seq, "slot": self._slot})

    def settle(self, write: Write, outcome: str) -> None:
        if self._slot is None:
            if outcome == ACKED:
                self._slot, self._used = write.params["seq"], 1
            return
        self._used += 1
        if self._used >= self.UPDATES_A_ROW or outcome == FAILED:
            self._slot = None


class Queue:
    """Inserts whose rows are partly deleted again, each by a transaction of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._held: list[int] = []

    def next(self, writer: str, seq: int) -> Write:
        if len(self._held) > 3 and self._rng.random() < 0.4:
            # gone from memory whatever the outcome: a delete in doubt isn't tried again
            ref = self._held.pop(self._rng.randrange(len(self._held)))
            return Write(
                "dequeue",
                f"DELETE FROM ledger.queue WHERE writer = %(writer)s AND seq = %(ref)s RETURNING {SERVER}",
                {"writer": writer, "seq": seq, "ref": ref},
                data={"ref": ref},
            )
        return Write(
            "enqueue",
            f"INSERT INTO ledger.queue (writer, seq) VALUES (%(writer)s, %(seq)s) RETURNING {SERVER}",
            {"writer": writer, "seq": seq},
        )

    def settle(self, write: Write, outcome: str) -> None:
        if write.kind == "enqueue" and outcome == ACKED:
            self._held.append(write.params["seq"])


class Transfers:
    """One transaction over three tables with foreign keys between them."""

    SQL = (
        "INSERT INTO ledger.accounts AS a (writer, account, balance)"
        " VALUES (%(writer)s, 1, -%(amount)s), (%(writer)s, 2, %(amount)s)"
        " ON CONFLICT (writer, account) DO UPDATE SET balance = a.balance + excluded.balance; "
        "WITH t AS (INSERT INTO ledger.transfers (writer, seq) VALUES (%(writer)s, %(seq)s) RETURNING id) "
        "INSERT INTO ledger.postings (transfer_id, writer, seq, account, amount)"
        " SELECT t.id, %(writer)s, %(seq)s, p.account, p.amount"
        " FROM t, (VALUES (1, -%(amount)s), (2, %(amount)s)) AS p (account, amount)"
        f" RETURNING {SERVER}"
    )

    def next(self, writer: str, seq: int) -> Write:
        return Write("transfer", self.SQL, {"writer": writer, "seq": seq, "amount": seq % 97 + 1}, rows=2)

    def settle(self, write: Write, outcome: str) -> None:
        pass


class Tickets:
    """Numbers of a sequence that all writers share."""

    def next(self, writer: str, seq: int) -> Write:
        return Write(
            "ticket",
            "INSERT INTO ledger.tickets (writer, seq, number)"
            f" VALUES (%(writer)s, %(seq)s, nextval('ledger.ticket')) RETURNING {SERVER}, number",
            {"writer": writer, "seq": seq},
            returns=("number",),
        )

    def settle(self, write: Write, outcome: str) -> None:
        pass


class Batches:
    """Inserts into a table that is truncated now and then. One writer a database: TRUNCATE takes everybody's rows."""

    ROWS_A_BATCH = 10

    def __init__(self) -> None:
        self._rows = self.ROWS_A_BATCH  # begins with a TRUNCATE: what was there before isn't ours

    def next(self, writer: str, seq: int) -> Write:
        truncate = self._rows >= self.ROWS_A_BATCH
        sql = (
            "INSERT INTO ledger.batch (writer, seq, marker)"
            f" VALUES (%(writer)s, %(seq)s, %(marker)s) RETURNING {SERVER}"
        )
        return Write(
            "truncate" if truncate else "batch",
            (f"{IMPATIENT}TRUNCATE ledger.batch; " if truncate else "") + sql,
            {"writer": writer, "seq": seq, "marker": truncate},
        )

    def settle(self, write: Write, outcome: str) -> None:
        if write.kind == "batch":
            self._rows += 1
        elif outcome == ACKED:
            self._rows = 0


class Laps:
    """Numbers of a sequence that is restarted now and then, up or down. One writer a database.

    ``rising`` restarts it upwards only: a sequence that follows to another server and back is never moved back.
    """

    NUMBERS_A_LAP = 10

    def __init__(self, rng: random.Random, rising: bool = False) -> None:
        self._rng = rng
        self._rising = rising
        self._highest = 0
        self._base: int | None = None
        self._used = 0

    def next(self, writer: str, seq: int) -> Write:
        restart = self._base is None or self._used >= self.NUMBERS_A_LAP
        base = self._new_base() if restart else self._base
        sql = (
            "INSERT INTO ledger.laps (writer, seq, number)"
            f" VALUES (%(writer)s, %(seq)s, nextval('ledger.lap')) RETURNING {SERVER}, number"
        )
        return Write(
            "restart" if restart else "lap",
            (f"{IMPATIENT}ALTER SEQUENCE ledger.lap RESTART WITH %(base)s; " if restart else "") + sql,
            {"writer": writer, "seq": seq, "base": base},
            data={"base": base},
            returns=("number",),
        )

    def _new_base(self) -> int:
        # ranges that don't meet, so that a number tells which restart it belongs to
        if not self._rising:
            return self._rng.randrange(1, 2**40) * LAP_WIDTH
        # the clock's milliseconds: beyond those of an earlier run as well
        self._highest = max(self._highest + 1, time.time_ns() // 10**6)
        return self._highest * LAP_WIDTH

    def settle(self, write: Write, outcome: str) -> None:
        if write.kind == "lap":
            self._used += 1
        elif outcome == ACKED:
            self._base, self._used = write.params["base"], 0
        elif outcome == DOUBT:
            self._base = None  # which range holds isn't known: the next write restarts again


def mix(rng: random.Random, *, first: bool, rising: bool = False) -> tuple[list[Kind], list[int]]:
    """The kinds one writer uses and their weights; only the first of a run has those that suffer no second writer."""
    kinds: list[Kind] = [Entries(), Counters(), Queue(rng), Transfers(), Tickets()]
    weights = [3, 2, 2, 1, 1]
    if first:
        kinds += [Batches(), Laps(rng, rising)]
        weights += [2, 2]
    return kinds, weights
