# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections of a copy: no timeout ends them, both sides speak one text form, and they can be told by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

try:
    import psycopg2
    from psycopg2.extras import LogicalReplicationConnection
except ImportError:
    psycopg2 = None

from .._pg.address import database_of, keywords, place
from .._pg.connection import Session
from .._pg.errors import PgError, from_connecting
from .._pg.secrets import with_login

# Whoever copies for hours is idle in transaction, or in one statement, for hours (P54). Text that crosses from one
# server to another must mean the same on both (P47). Rows hidden by a policy are an error (P41).
SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "client_connection_check_interval": "2s",
    "search_path": "pg_catalog",
    "row_security": "off",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "client_min_messages": "error",
}
# What a server of this major has no setting for would be an error.
_SET = """
    SELECT set_config(s.name, w.value, false) FROM pg_catalog.json_each_text(%s) AS w (name, value)
    JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(w.name)
"""
# A backend that was told so, or whose server went down.
_GONE = ("08", "57P01", "57P02", "57P03", "57P05")


class ConnectionLost(PgError):
    """The server, or the way to it, is gone: worth another try."""


def application_name(migration: str) -> str:
    """By this the sessions of a migration's copy are known, also those that a killed run left behind. Pure."""
    return f"cloudpg_copy_{migration}"[:63]


def is_loss(connection: Any, code: str | None) -> bool:
    """Whether an error means that the connection is gone, and not that the server refused."""
    return bool(connection.closed) or (code or "").startswith(_GONE)


class Wire:
    """One session with its raw connection, for what goes past psycopg2; says ConnectionLost where that is the cause."""

    def __init__(
        self, address: Mapping[str, Any], database: str | None, name: str, settings: Mapping[str, str] | None = None,
    ) -> None:
        self.where = f"{place(address)}/{database_of(address, database)}"
        self.raw = dial(address, database, name)
        self.raw.autocommit = True
        self._session = Session(self.raw, self.where)
        self.set({**SETTINGS, **(settings or {})})

    def set(self, settings: Mapping[str, str]) -> None:
        """Change settings of the session; those that the server doesn't have are left out."""
        self.rows(_SET, (psycopg2.extras.Json(dict(settings)),))

    def rows(self, statement: Any, parameters: Any = None) -> list[dict[str, Any]]:
        try:
            return self._session.rows(statement, parameters)
        except PgError as error:
            if is_loss(self.raw, error.code):
                raise ConnectionLost(error.message, code=error.code) from error
            raise

    def row(self, statement: Any, parameters: Any = None) -> dict[str, Any]:
        found = self.rows(statement, parameters)
        if not found:
            raise PgError(f"{self.where}: a row was expected and none came.")
        return found[0]

    def value(self, statement: Any, parameters: Any = None) -> Any:
        return next(iter(self.row(statement, parameters).values()))

    def run(self, statement: Any, parameters: Any = None) -> None:
        self.rows(statement, parameters)

    @property
    def session(self) -> Session:
        return self._session

    @property
    def version(self) -> int:
        """The server's version as a number, 160004 for 16.4."""
        return self.raw.server_version

    @property
    def pid(self) -> int:
        return self.raw.get_backend_pid()

    def text(self, statement: Any) -> str:
        """A statement as the server will see it."""
        return statement if isinstance(statement, str) else statement.as_string(self.raw)

    def close(self) -> None:
        self.raw.close()


def dial(address: Mapping[str, Any], database: str | None, name: str, replication: bool = False) -> Any:
    """A psycopg2 connection, or one that takes replication commands; raises ConnectionLost."""
    if psycopg2 is None:
        raise PgError("psycopg2 is missing on the machine the module runs on. Cure: pip install psycopg2-binary.")
    whole = with_login(address)
    kind = {"connection_factory": LogicalReplicationConnection} if replication else {}
    try:
        return psycopg2.connect(**{**keywords(whole, database), "application_name": name, **kind})
    except psycopg2.Error as error:
        where = f"{place(address)}/{database_of(address, database)}"
        told = from_connecting(where, whole.get("user"), str(error), whole.get("password"))
        raise ConnectionLost(told.message, code=told.code) from error
