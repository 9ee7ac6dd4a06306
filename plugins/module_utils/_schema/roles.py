# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles from one server to another, without their passwords (P40). Pure but for the SQL's quoting at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.errors import PgError
from .._pg.logins import MARK
from .choice import matches
from .parts import Statement
from .role_catalogue import FRESH, Membership, Role, Roles

# What a server or a service makes for itself; membership in them travels where the target has them.
SERVICE = ("aws*", "rds*", "pg_*", "cloudsql*", "pscale_*")
# Lists of names, whose elements are quoted one by one and not as a whole.
_LISTS = {
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
}
SECTION = "roles"


@dataclass(frozen=True)
class Wish:
    """Which roles (empty: all), which not (patterns with ``*``), and what of them."""

    roles: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    memberships: bool = True
    settings: bool = True
    adopt: bool = False


@dataclass(frozen=True)
class Comparison:
    """What the target lacks, what doesn't travel and why, and which roles will wait for a password."""

    todo: tuple[Statement, ...]
    left_out: tuple[dict[str, str], ...]
    without_password: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]


def chosen(source: Roles, target: Roles, wish: Wish) -> tuple[list[Role], list[dict[str, str]]]:
    """The roles that travel, and the others with their reasons; raises PgError for a wished one that isn't there."""
    unknown = sorted(set(wish.roles) - set(source.roles))
    if unknown:
        raise PgError(f"roles names what the source hasn't: {', '.join(unknown)}. Cure: correct roles.")
    taken, left = [], []
    for name, role in sorted(source.roles.items()):
        reason = None
        if any(matches(name, pattern) for pattern in SERVICE) or role.bootstrap:
            reason = "the server's or the service's own"
        elif any(matches(name, pattern) for pattern in wish.exclude):
            reason = "excluded"
        elif name in (source.login, target.login) and name not in wish.roles:
            reason = "a login of the migration itself; name it in roles to take it along"
        elif (role.comment or "").startswith(MARK):
            reason = "made by a migration for its replication"
        if reason is None and (not wish.roles or name in wish.roles):
            taken.append(role)
        elif reason and name not in ("", *_silent(name)):
            left.append({"object": f"role {name}", "reason": reason})
        if reason and name in wish.roles:
            raise PgError(f"role {name} can't travel: {reason}. Cure: take it out of roles.")
    return taken, left


def _silent(name: str) -> tuple[str, ...]:
    """PostgreSQL's own roles are on every server: nobody needs to be told."""
    return (name,) if name.startswith("pg_") else ()


def compare(source: Roles, target: Roles, wish: Wish, passwords: Mapping[str, Any]) -> Comparison:
    """The statements that give the target the source's roles. ``passwords`` are verifiers by role.

    Nothing is taken away from a role that is there: on a source that is fenced already, its logins are shut and its
    connection limits are 0 (P29), and that must not travel.
    """
    roles, left = chosen(source, target, wish)
    names = {role.name for role in roles}
    strangers = sorted(set(passwords) - names)
    if strangers:
        raise PgError(f"passwords names roles that don't travel: {', '.join(strangers)}. Cure: correct passwords.")
    todo: list[Statement] = []
    for role in roles:
        theirs = target.roles.get(role.name)
        words = (role.attributes - (theirs.attributes if theirs else FRESH)) & target.grants
        if theirs is None:
            todo.append(_create(role, words | (FRESH - role.attributes), passwords.get(role.name)))
        elif words:
            todo.append(_statement(
                "ATTRIBUTES", f"give role {role.name} {', '.join(sorted(words))}",
                sql.SQL("ALTER ROLE {} WITH {}").format(sql.Identifier(role.name), _words(words)),
            ))
        left += _denied(role, theirs, target)
        if role.comment is not None and role.comment != (theirs.comment if theirs else None):
            text = sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role.name), sql.Literal(role.comment))
            todo.append(_statement("COMMENT", f"comment on role {role.name}", text))
    if wish.memberships:
        todo += _memberships(source, target, names, left)
    if wish.settings:
        todo += _settings(source, target, names, wish, left)
    if wish.adopt:
        todo += _adoptions(names, target)
    waiting = tuple(sorted(
        role.name for role in roles
        if role.name not in target.roles and "LOGIN" in role.attributes and role.name not in passwords
    ))
    return Comparison(tuple(todo), tuple(left), waiting, _shown(target, names), _shown(source, names))


def _statement(kind: str, sentence: str, text: Any, secret: bool = False) -> Statement:
    return Statement(kind, sentence, text, SECTION, secret=secret)


def _words(attributes: Iterable[str]) -> Any:
    return sql.SQL(" ").join(sql.SQL(word) for word in sorted(attributes))


def _create(role: Role, words: Iterable[str], verifier: Any) -> Statement:
    """All in one statement, so that no interruption leaves half a role."""
    parts = [sql.SQL("CREATE ROLE {} WITH").format(sql.Identifier(role.name))]
    parts += [sql.SQL(f"NO{word}" if word in FRESH else word) for word in sorted(words)]
    if role.connections != -1:
        parts.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(role.connections)))
    if role.valid_until:
        parts.append(sql.SQL("VALID UNTIL {}").format(sql.Literal(role.valid_until)))
    if verifier is None:
        return _statement("ROLE", f"create role {role.name}", sql.SQL(" ").join(parts))
    parts.append(sql.SQL("PASSWORD {}").format(verifier))
    return _statement("ROLE", f"create role {role.name} with the given password", sql.SQL(" ").join(parts), True)


def _denied(role: Role, theirs: Role | None, target: Roles) -> list[dict[str, str]]:
    """What the target's login can't give."""
    lacks = role.attributes - (theirs.attributes if theirs else FRESH) - target.grants
    left = [{"object": f"{word} of role {role.name}", "reason": "the target's login may not give it"}
            for word in sorted(lacks)]
    if role.superuser and not (theirs and theirs.superuser):
        left.append({"object": f"SUPERUSER of role {role.name}", "reason": "superusers are made by hand"})
    return left


def _memberships(source: Roles, target: Roles, names: set[str], left: list[dict[str, str]]) -> list[Statement]:
    todo = []
    for (granted, member), mine in sorted(source.memberships.items()):
        if member not in names:
            continue
        if granted not in names and granted not in target.roles:
            left.append({"object": f"membership of {member} in {granted}", "reason": f"the target has no {granted}"})
            continue
        options = _options(mine, target.memberships.get((granted, member)), target.version)
        if options is None:
            continue
        text = sql.SQL("GRANT {} TO {}").format(sql.Identifier(granted), sql.Identifier(member))
        if options:
            text = sql.SQL("{} WITH {}").format(text, sql.SQL(options))
        todo.append(_statement("MEMBERSHIP", f"make {member} a member of {granted}", text))
    return todo


def _options(mine: Membership, theirs: Membership | None, version: int) -> str | None:
    """The words after WITH, '' for none, None when nothing is to be done."""
    if version < 160000:
        if theirs and theirs.admin >= mine.admin:
            return None
        return "ADMIN OPTION" if mine.admin else ""
    lacks = {
        "ADMIN": mine.admin and not (theirs and theirs.admin),
        "INHERIT": mine.inherit is not None and (theirs is None or theirs.inherit != mine.inherit),
        "SET": mine.set is not None and (theirs is None or theirs.set != mine.set),
    }
    if theirs and not any(lacks.values()):
        return None
    values = {"ADMIN": mine.admin, "INHERIT": mine.inherit, "SET": mine.set}
    return ", ".join(f"{word} {str(values[word]).upper()}" for word, needed in lacks.items() if needed)


def _settings(
    source: Roles, target: Roles, names: set[str], wish: Wish, left: list[dict[str, str]]
) -> list[Statement]:
    todo = []
    for (role, database, name), value in sorted(source.settings.items()):
        if role and role not in names or not role and wish.roles:
            continue
        if database and wish.databases and database not in wish.databases or database == "rdsadmin":
            continue
        whose = f"role {role}" if role else f"database {database}"
        whose += f" in database {database}" if role and database else ""
        if database and database not in target.databases:
            left.append({"object": f"{name} of {whose}", "reason": f"the target has no database {database}"})
        elif target.settings.get((role, database, name)) != value:
            todo.append(_statement("SETTING", f"set {name} for {whose}", _alter(role, database, name, value)))
    return todo


def _alter(role: str, database: str, name: str, value: str) -> Any:
    if role:
        whose = sql.SQL("ROLE {}").format(sql.Identifier(role))
        if database:
            whose = sql.SQL("{} IN DATABASE {}").format(whose, sql.Identifier(database))
    else:
        whose = sql.SQL("DATABASE {}").format(sql.Identifier(database))
    values = elements(value) if name.lower() in _LISTS else [value]
    return sql.SQL("ALTER {} SET {} TO {}").format(
        whose, sql.SQL(".").join(sql.Identifier(part) for part in name.split(".")),
        sql.SQL(", ").join(sql.Literal(one) for one in values or [""]),
    )


def elements(value: str) -> list[str]:
    """The names of a list as a setting holds it: commas between, quotes where a name needs them."""
    found, current, quoted, touched = [], "", False, False
    position = 0
    while position < len(value):
        char = value[position]
        if char == '"':
            if quoted and value[position + 1:position + 2] == '"':
                current += char
                position += 1
            else:
                quoted, touched = not quoted, True
        elif char == "," and not quoted:
            found.append(current if touched else current.strip())
            current, touched = "", False
        elif quoted or not char.isspace():
            current += char
        position += 1
    return [*found, current] if current or touched else found


def _adoptions(names: Iterable[str], target: Roles) -> list[Statement]:
    """On 16 and later whoever creates a role administers it, but isn't a member that may act as it."""
    todo = []
    for name in sorted(set(names) - target.acts_as - {target.login}):
        text = sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(name))
        if target.version >= 160000:
            text = sql.SQL("{} WITH INHERIT TRUE, SET TRUE").format(text)
        todo.append(_statement("MEMBERSHIP", f"make the login a member of {name}", text))
    return todo


def _shown(server: Roles, names: set[str]) -> dict[str, Any]:
    """What the diff tells of the roles that travel."""
    return {
        name: {
            "attributes": sorted(role.attributes), "connection_limit": role.connections,
            "valid_until": role.valid_until, "comment": role.comment,
            "member_of": sorted(granted for granted, member in server.memberships if member == name),
            "settings": {
                f"{key}{f' in {database}' if database else ''}": value
                for (owner, database, key), value in sorted(server.settings.items()) if owner == name
            },
        }
        for name, role in sorted(server.roles.items()) if name in names
    }
