# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins of a branch, in the server itself (S4, S10)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from psycopg2.sql import SQL, Identifier, Literal

from .planetscale_model import Branch, Role
from .rules import ApiError
from .servers import Server

if TYPE_CHECKING:
    from .world import World

OWNED = """
SELECT pg_describe_object(CASE WHEN dbid = 0 THEN classid ELSE 'pg_database'::regclass END,
                          CASE WHEN dbid = 0 THEN objid ELSE dbid END, 0), count(*)
  FROM pg_shdepend
 WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
   AND refobjid = (SELECT oid FROM pg_authid WHERE rolname = %s)
 GROUP BY 1 ORDER BY 1
"""


def new_password() -> str:
    return f"pscale_pw_{secrets.token_urlsafe(32)}"


def server_of(branch: Branch) -> Server:
    """The server of a branch that is ready; a role can't be made before."""
    if branch.server is None or branch.state != "ready":
        raise ApiError("unprocessable", f"Branch {branch.name} is not ready", 422)
    return branch.server


def create(world: World, role: Role, password: str) -> None:
    """Make the login; it is ready a while after the API has answered."""
    server = server_of(role.branch)
    with closing(server.connect()) as connection:
        cursor, login = connection.cursor(), Identifier(role.base_username)
        cursor.execute(SQL("CREATE ROLE {} {} VALID UNTIL {} PASSWORD {}").format(
            login, SQL("REPLICATION" if role.with_replication else "NOREPLICATION"),
            Literal(str(role.expires_at or "infinity")), Literal(password),
        ))
        for inherited in role.inherited_roles:
            cursor.execute(SQL("GRANT {} TO {}").format(Identifier(inherited), login))
    world.spawn(_make_ready, world, role)


def _make_ready(world: World, role: Role) -> None:
    world.pause(role.branch.database.name, "creating")
    # Two statements about one role at once fail on each other; an operation of the API holds the lock.
    with world.lock, closing(server_of(role.branch).connect()) as connection:
        connection.cursor().execute(SQL("ALTER ROLE {} LOGIN").format(Identifier(role.base_username)))
    role.ready = True


def set_password(role: Role, password: str) -> None:
    with closing(server_of(role.branch).connect()) as connection:
        connection.cursor().execute(
            SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role.base_username), Literal(password))
        )


def drop(role: Role, successor: str | None) -> None:
    """Drop the login. What it owns is refused, unless somebody is to have it (S4); its privileges go with it."""
    server = server_of(role.branch)
    if successor:
        reassign(role, successor)
    owned = server.query(OWNED, [role.base_username])
    if owned:
        listed = ", ".join(f"{what} ({count})" for what, count in owned)
        raise ApiError("unprocessable", f"Role {role.name} owns objects: {listed}. Name a successor.", 422)
    for connection in _each_database(server):
        connection.cursor().execute(SQL("DROP OWNED BY {}").format(Identifier(role.base_username)))
    with closing(server.connect()) as connection:
        connection.cursor().execute(SQL("DROP ROLE {}").format(Identifier(role.base_username)))


def reassign(role: Role, successor: str) -> None:
    """Give all that a role owns to another, which is named by its id or its username, with or without the branch."""
    others = {name: one for one in role.branch.roles.values() for name in (one.id, one.username, one.base_username)}
    if successor not in others or others[successor] is role:
        raise ApiError("unprocessable", f"There is no successor {successor}", 422)
    for connection in _each_database(server_of(role.branch)):
        connection.cursor().execute(SQL("REASSIGN OWNED BY {} TO {}").format(
            Identifier(role.base_username), Identifier(others[successor].base_username)
        ))


def _each_database(server: Server) -> Iterator[Any]:
    for (name,) in server.query("SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname"):
        with closing(server.connect(name)) as connection:
            yield connection
