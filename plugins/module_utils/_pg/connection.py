# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that speaks to psycopg2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

try:
    import psycopg2
    from psycopg2.extensions import encrypt_password
    from psycopg2.extras import RealDictCursor
except ImportError:
    psycopg2 = None

from .address import database_of, keywords, place
from .errors import PgError, from_answer, from_connecting
from .secrets import with_login

# Nobody's function or operator may stand in for the server's own, no row may be hidden by a policy (P41: an
# error instead), and a lock held by others is reported instead of waited for.
_SETTINGS = """
    SELECT set_config('search_path', 'pg_catalog', false), set_config('row_security', 'off', false),
           set_config('lock_timeout', '10s', false)
"""


def plain(value: Any) -> Any:
    """A value as JSON can say it: times in UTC and ISO 8601, whole decimals as int. Pure."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


class Session:
    """One connection to one database, each statement its own transaction unless BEGIN is said."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        self.where = where

    def rows(self, statement: Any, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """What the statement (a string, or made by ``psycopg2.sql``) returns; raises PgError when refused."""
        try:
            with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(statement, parameters)
                if cursor.description is None:
                    return []
                return [{name: plain(value) for name, value in row.items()} for row in cursor.fetchall()]
        except psycopg2.Error as error:
            said = error.diag.message_primary if error.diag else None
            raise from_answer(self.where, error.pgcode, said or str(error)) from error

    def row(self, statement: Any, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The first row; raises PgError when there is none."""
        found = self.rows(statement, parameters)
        if not found:
            raise PgError(f"{self.where}: a row was expected and none came.")
        return found[0]

    def value(self, statement: Any, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row."""
        return next(iter(self.row(statement, parameters).values()))

    def run(self, statement: Any, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> None:
        self.rows(statement, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What the block runs commits together, or not at all."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(PgError):
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def cancel(self) -> None:
        """Call off what the session is at, from another thread; it raises PgError there."""
        try:
            self._connection.cancel()
        except psycopg2.Error as error:
            raise PgError(f"{self.where}: {error}") from error

    def verifier(self, role: str, password: str) -> str:
        """What the server keeps of a password, made here: the password itself is never part of a statement."""
        return encrypt_password(password, role, self._connection)

    def text(self, statement: Any) -> str:
        """A statement made by ``psycopg2.sql`` as the server will see it."""
        return statement.as_string(self._connection)


@contextmanager
def connect(address: Mapping[str, Any], database: str | None = None) -> Iterator[Session]:
    """A session in ``database`` (the address's own when left out), closed at the end; raises PgError."""
    if psycopg2 is None:
        raise PgError("psycopg2 is missing on the machine the module runs on. Cure: pip install psycopg2-binary.")
    whole = with_login(address)
    where = f"{place(address)}/{database_of(address, database)}"
    try:
        connection = psycopg2.connect(**keywords(whole, database))
    except psycopg2.Error as error:
        raise from_connecting(where, whole.get("user"), str(error), whole.get("password")) from error
    try:
        connection.autocommit = True
        session = Session(connection, where)
        session.run(_SETTINGS)
        yield session
    finally:
        connection.close()
