# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps RDS's roles working on PostgreSQL: membership in rds_replication gives the REPLICATION attribute (R29).

On RDS the membership itself is enough to open a replication connection; PostgreSQL wants an attribute, which no
membership passes on. So a thread looks, several times a second, for members that haven't got it yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import psycopg2
from psycopg2.sql import SQL, Identifier

from .servers import Server

LOOK_SECONDS = 0.25
MEMBERS = """
SELECT r.rolname, pg_has_role(r.oid, 'rds_replication', 'MEMBER') AND NOT r.rolreplication
  FROM pg_roles r
 WHERE r.rolcanlogin AND NOT r.rolsuper
   AND pg_has_role(r.oid, 'rds_replication', 'MEMBER') <> r.rolreplication
"""


def bring_in_step(connection: Any) -> list[str]:
    """Give the attribute to members, take it from the others; returns the statements."""
    done = []
    with connection.cursor() as cursor:
        cursor.execute(MEMBERS)
        for role, member in cursor.fetchall():
            statement = SQL("ALTER ROLE {} {}").format(
                Identifier(role), SQL("REPLICATION" if member else "NOREPLICATION")
            )
            cursor.execute(statement)
            done.append(statement.as_string(connection))
    return done


class RoleKeeper(threading.Thread):
    """Looks after the roles of all servers that take writes, over one connection each."""

    def __init__(self, servers: Callable[[], Iterable[Server]], stopping: threading.Event) -> None:
        super().__init__(name="roles", daemon=True)
        self._servers = servers
        self._stopping = stopping
        self._connections: dict[str, Any] = {}

    def run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            servers = {server.directory: server for server in self._servers()}
            for gone in self._connections.keys() - servers.keys():
                self._connections.pop(gone).close()
            for directory, server in servers.items():
                try:
                    self._look(directory, server)
                except psycopg2.Error:  # it stops, starts or is promoted just now: the next look finds out
                    self._connections.pop(directory, None)
        for connection in self._connections.values():
            connection.close()

    def _look(self, directory: str, server: Server) -> None:
        if directory not in self._connections:
            self._connections[directory] = server.connect()
        bring_in_step(self._connections[directory])
