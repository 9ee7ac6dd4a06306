# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of a server, as everybody may see them: pg_authid is hidden on managed services (P40)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._pg.connection import Session

# The attributes a role may have beyond being one, as SQL calls them, and their opposites.
ATTRIBUTES = {
    "rolinherit": "INHERIT", "rolcreaterole": "CREATEROLE", "rolcreatedb": "CREATEDB", "rolcanlogin": "LOGIN",
    "rolreplication": "REPLICATION", "rolbypassrls": "BYPASSRLS",
}
# What a role has that was created without a word more.
FRESH = frozenset({"INHERIT"})

_ROLES = """
    SELECT rolname AS name, oid::bigint AS oid, rolsuper AS super, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
        rolreplication, rolbypassrls, rolconnlimit AS connections,
        nullif(rolvaliduntil, 'infinity') AT TIME ZONE 'UTC' || '+00' AS valid_until,
        shobj_description(oid, 'pg_authid') AS comment
    FROM pg_roles
"""
# Before 16 whether rights are inherited is the member's own affair, and everybody may SET ROLE.
_MEMBERSHIPS = """
    SELECT g.rolname AS granted, m.rolname AS member, bool_or(a.admin_option) AS admin,
        bool_or((to_jsonb(a) ->> 'inherit_option')::boolean) AS inherit,
        bool_or((to_jsonb(a) ->> 'set_option')::boolean) AS set
    FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member GROUP BY 1, 2
"""
_SETTINGS = """
    SELECT coalesce(r.rolname, '') AS role, coalesce(d.datname, '') AS database,
        split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value
    FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(setconfig) c
    LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.oid IS NOT NULL)
"""
_LOGIN = """
    SELECT rolname AS name, rolsuper AS super, rolreplication AS replication, rolbypassrls AS bypassrls,
        array(SELECT g.rolname::text FROM pg_roles g WHERE pg_has_role(current_user, g.oid, {right})) AS acts_as
    FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True)
class Role:
    """One role; ``attributes`` are words of ATTRIBUTES, ``valid_until`` is None for ever."""

    name: str
    attributes: frozenset[str] = FRESH
    connections: int = -1
    valid_until: str | None = None
    comment: str | None = None
    superuser: bool = False
    bootstrap: bool = False


@dataclass(frozen=True)
class Membership:
    """How ``member`` is in ``granted``; ``inherit`` and ``set`` are None before 16."""

    admin: bool = False
    inherit: bool | None = None
    set: bool | None = None


@dataclass(frozen=True)
class Roles:
    """The roles of a server. Memberships by (granted, member); settings by (role or '', database or '', name).

    ``acts_as``: the roles which the login may make owners; ``grants``: attributes which it may give.
    """

    version: int = 0
    roles: Mapping[str, Role] = field(default_factory=dict)
    memberships: Mapping[tuple[str, str], Membership] = field(default_factory=dict)
    settings: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    databases: frozenset[str] = frozenset()
    login: str = ""
    acts_as: frozenset[str] = frozenset()
    grants: frozenset[str] = frozenset(ATTRIBUTES.values())


def observe(session: Session) -> Roles:
    """Read a server's roles; raises PgError. Passwords are neither read nor readable."""
    version = session.value("SELECT current_setting('server_version_num')::int")
    login = session.row(_LOGIN.format(right="'SET'" if version >= 160000 else "'MEMBER'"))
    return Roles(
        version,
        {row["name"]: _role(row) for row in session.rows(_ROLES)},
        {(row["granted"], row["member"]): Membership(row["admin"], row["inherit"], row["set"])
         for row in session.rows(_MEMBERSHIPS)},
        {(row["role"], row["database"], row["name"]): row["value"] for row in session.rows(_SETTINGS)},
        frozenset(row["name"] for row in session.rows("SELECT datname AS name FROM pg_database WHERE datallowconn")),
        login["name"], frozenset(login["acts_as"]), _grantable(version, login),
    )


def _role(row: Mapping[str, Any]) -> Role:
    return Role(
        row["name"], frozenset(word for column, word in ATTRIBUTES.items() if row[column]), row["connections"],
        row["valid_until"], row["comment"], row["super"], row["oid"] < 16384,
    )


def _grantable(version: int, login: Mapping[str, Any]) -> frozenset[str]:
    """Before 16 only a superuser gives REPLICATION and BYPASSRLS, since then whoever has them."""
    words = set(ATTRIBUTES.values())
    for word, has in (("REPLICATION", login["replication"]), ("BYPASSRLS", login["bypassrls"])):
        if not login["super"] and not (version >= 160000 and has):
            words.discard(word)
    return frozenset(words)
