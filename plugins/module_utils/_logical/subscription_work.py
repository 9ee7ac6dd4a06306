# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription made, changed and dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg import apply, journal
from .._pg.connection import Session
from .._pg.errors import PgError
from . import conninfo
from .subscription import Wish
from .subscription_state import writers

_HIDDEN = "(the connection)"
_CANCELLED = "57014"
# Seconds a walsender is given to end after its subscription was disabled.
_ENDS = 60.0
_POLL = 0.1
# And a login that was just made, to be known everywhere.
_LETS_IN = 10.0
_REFUSED = "could not connect to the publisher"

_SLOTS = """
    SELECT slot_name AS name, active_pid FROM pg_replication_slots
    WHERE slot_type = 'logical' AND database = current_database()
      AND (slot_name = %(slot)s OR slot_name ~ ('^pg_' || coalesce(%(oid)s::text, 'none') || '_sync_[0-9]+_[0-9]+$'))
"""


def event_id(name: str) -> str:
    """The id of the journal's entry about a subscription's connection."""
    return f"subscription.{name}.connection"


class Operations:
    """The steps of the plans. ``note``: the migration under which a connection that is hidden is journalled;
    ``login``: its own login, where it has one."""

    def __init__(
        self, target: Session, source: Session | None, keywords: Mapping[str, str], wait: float, note: str | None,
        login: str | None = None, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target, self._source, self._keywords, self._wait, self._note = target, source, keywords, wait, note
        self._login = login
        self._clock, self._sleep = clock, sleep
        self._mark: dict[str, Any] | None = None
        self.queries: list[str] = []

    def table(self) -> dict[str, Callable[..., None]]:
        return {name: getattr(self, name) for name in (
            "create", "connect", "set", "publications", "enable", "disable", "refresh", "drop", "drop_slot",
        )}

    def create(self, wish: Wish) -> None:
        """When it makes the slot, CREATE SUBSCRIPTION waits for every open write transaction of the source (P9)."""
        given = {
            "enabled": wish.enabled, "create_slot": wish.create_slot, "copy_data": wish.copy_data,
            "slot_name": wish.slot_name, **wish.options,
        }
        self._journal(wish.name)
        try:
            self._let_in(
                sql.SQL("CREATE SUBSCRIPTION {} CONNECTION ").format(sql.Identifier(wish.name)),
                sql.SQL(" PUBLICATION {} WITH ({})").format(_names(wish.publications), _options(given)),
            )
        except PgError as error:
            if error.code != _CANCELLED:
                raise
            who = self._who()
            self._abandon(wish.slot_name)
            raise PgError(
                f"{self._target.where}: making subscription {wish.name} took longer than {self._wait:.0f} s. The slot "
                f"waits for every write transaction of the source: {who} (P9). Cure: end them, or give a "
                "longer wait_timeout.", code=error.code,
            ) from error

    def _let_in(self, before: sql.Composable, after: sql.Composable) -> None:
        """Services take a moment until a login that was just made may replicate (R29)."""
        deadline = self._clock() + (_LETS_IN if self._login else 0)
        while True:
            try:
                self._with_connection(before, after)
                return
            except PgError as error:
                if self._login is None or _REFUSED not in error.message:
                    raise
                if self._clock() >= deadline:
                    raise PgError(
                        f"{error.message} Where the source lets in logins by name only (pg_hba), let in {self._login}, "
                        "or name another login in connection.user.", code=error.code,
                    ) from None
            self._sleep(_POLL)

    def _who(self) -> str:
        rows = writers(self._source) if self._source else []
        return ", ".join(
            f"{row['user']} (pid {row['pid']}, {row['application_name']}, since {row['xact_start']})" for row in rows
        ) or "none is open now"

    def _abandon(self, slot: str) -> None:
        """End the walsender that goes on waiting to make the slot, for nobody: the next attempt would find it there."""
        if self._source:
            with suppress(PgError):
                self._source.run(
                    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
                    " WHERE slot_name = %s AND active AND confirmed_flush_lsn IS NULL", (slot,)
                )

    def connect(self, name: str) -> None:
        with self._target.transaction():
            self._journal(name)
            self._with_connection(sql.SQL("ALTER SUBSCRIPTION {} CONNECTION ").format(sql.Identifier(name)))

    def mark(self) -> dict[str, Any]:
        """What the journal keeps of the connection; of one run it is one and the same, on both sides."""
        if self._mark is None:
            self._mark = conninfo.fingerprint(self._keywords)
        return self._mark

    def _journal(self, name: str) -> None:
        if self._note is not None:
            journal.record(self._target, self._note, [journal.Entry(event_id(name), name, None, self.mark())])

    def _with_connection(self, before: sql.Composable, after: sql.Composable | None = None) -> None:
        """Run a statement with the connection, which is in no query that is returned, nor in an error."""
        self._target.run(f"SET statement_timeout = '{self._wait * 1000:.0f}ms'")
        try:
            self._target.run(before + sql.Literal(conninfo.text(self._keywords)) + (after or sql.SQL("")))
        except PgError as error:
            secret = self._keywords.get("password")
            raise PgError(conninfo.without(error.message, [secret] if secret else []), code=error.code) from None
        self._target.run("RESET statement_timeout")
        self.queries.append(self._target.text(before + sql.Literal(_HIDDEN) + (after or sql.SQL(""))))

    def set(self, name: str, options: Mapping[str, Any]) -> None:
        self._alter(name, sql.SQL("SET ({})").format(_options(options)))

    def publications(self, name: str, publications: Sequence[str]) -> None:
        self._alter(name, sql.SQL("SET PUBLICATION {} WITH (refresh = false)").format(_names(publications)))

    def enable(self, name: str) -> None:
        self._alter(name, sql.SQL("ENABLE"))

    def disable(self, name: str) -> None:
        self._alter(name, sql.SQL("DISABLE"))
        apply.until_they_ended(self._target, name, self._clock, self._sleep)

    def refresh(self, name: str, copy_data: bool) -> None:
        self._alter(name, sql.SQL("REFRESH PUBLICATION WITH ({})").format(_options({"copy_data": copy_data})))

    def drop(self, name: str, enabled: bool, slot: bool) -> None:
        """Without asking the publisher, who may be dead (P12)."""
        if enabled:
            self.disable(name)
        if slot:
            self._alter(name, sql.SQL("SET (slot_name = NONE)"))
        self._run(self._target, sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(name)))
        if self._note is not None:
            journal.forget(self._target, self._note, [event_id(name)])

    def drop_slot(self, slot: str, oid: int | None) -> None:
        """The slot, and those of tables whose copy wasn't finished; a walsender in the way is ended first (P13)."""
        deadline = self._clock() + _ENDS
        while True:
            rows = self._source.rows(_SLOTS, {"slot": slot, "oid": oid})
            for row in rows:
                if row["active_pid"] is None:
                    self._run(self._source, sql.SQL("SELECT pg_drop_replication_slot({})").format(
                        sql.Literal(row["name"])))
            busy = [row["active_pid"] for row in rows if row["active_pid"] is not None]
            if not busy:
                return
            if self._clock() >= deadline:
                raise PgError(
                    f"{self._source.where}: slot {slot} is still in use by pid {busy[0]} after {_ENDS:.0f} s (P13). "
                    "Cure: end that walsender and run again."
                )
            if self._clock() >= deadline - _ENDS / 2:
                self._source.run("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", (busy,))
            self._sleep(_POLL)

    def _alter(self, name: str, change: sql.Composable) -> None:
        self._run(self._target, sql.SQL("ALTER SUBSCRIPTION {} ").format(sql.Identifier(name)) + change)

    def _run(self, session: Session, statement: sql.Composable) -> None:
        session.run(statement)
        self.queries.append(session.text(statement))


def _names(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, sorted(names)))


def _options(options: Mapping[str, Any]) -> sql.Composable:
    words = {True: "true", False: "false"}
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.SQL(key), sql.Literal(words.get(value, value))) for key, value in options.items()
    )
