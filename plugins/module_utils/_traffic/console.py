# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PgBouncer's admin console."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

try:
    import psycopg2
    from psycopg2 import extensions
except ImportError:
    psycopg2 = None

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import keywords, place
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.secrets import with_login
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.pgbouncer import NoAnswer, PoolerError

DATABASE = "pgbouncer"


class Console:
    """Statements are sent one at a time, each over a connection of its own; errors are PoolerErrors.

    ``keep`` goes on with one connection as long as it answers: within an outage the making of one takes longest.
    """

    def __init__(self, address: Mapping[str, Any], keep: bool = False) -> None:
        if psycopg2 is None:
            raise PoolerError("psycopg2 is missing where the module runs. Cure: pip install psycopg2-binary.")
        if not address.get("host"):
            raise PoolerError("admin.host is empty. Cure: give the host of PgBouncer's console. Nothing was changed.")
        self._address, self._keep = address, keep
        self._kept: Any = None
        self.name = place(address)

    def rows(self, statement: str, timeout: float = 10.0) -> list[dict[str, Any]]:
        """The rows of one statement; NoAnswer when it takes more than ``timeout`` seconds, beside connecting."""
        connection, self._kept = self._kept or self._connect(), None
        try:
            answer = self._answer(connection, statement, timeout)
        except psycopg2.Error as error:
            connection.close()
            raise PoolerError(
                f"PgBouncer {self.name} refused {statement}: {_one_line(error)}. Cure: `admin` must name a user of "
                "admin_users, and nobody else may hold the pooler."
            ) from error
        except BaseException:
            connection.close()
            raise
        if self._keep:
            self._kept = connection
        else:
            connection.close()
        return answer

    def _connect(self) -> Any:
        connection = None
        try:
            connection = psycopg2.connect(**keywords(with_login(self._address), DATABASE), async_=True)
            self._ready(connection, self._address.get("connect_timeout") or 10, "connecting")
        except psycopg2.Error as error:
            raise self._unreachable(error) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        return connection

    def _answer(self, connection: Any, statement: str, timeout: float) -> list[dict[str, Any]]:
        cursor = connection.cursor()
        cursor.execute(statement)
        self._ready(connection, timeout, statement)
        if cursor.description is None:
            return []
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    def _unreachable(self, error: Exception) -> PoolerError:
        return PoolerError(
            f"the console of PgBouncer {self.name} can't be reached: {_one_line(error)}. "
            "Cure: correct `admin`, and name its user in admin_users."
        )

    def _ready(self, connection: Any, timeout: float, doing: str) -> None:
        while (state := connection.poll()) != extensions.POLL_OK:
            reading = [connection] if state == extensions.POLL_READ else []
            writing = [connection] if state == extensions.POLL_WRITE else []
            if not any(select.select(reading, writing, [], timeout)):
                raise NoAnswer(
                    f"PgBouncer {self.name} gave no answer within {timeout:.0f} s ({doing}). "
                    "Cure: see that it runs and that `admin` leads to it."
                )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
