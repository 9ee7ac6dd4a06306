# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQL fence of a database: who may connect, before and behind it (P29, P31). Pure.

Behind it nobody may connect but the logins the migration needs, and a session that got in all the same is read-only
by default. A target that isn't opened yet is behind the same fence: one means for both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import MigrationError
from .._journal import Event
from .._plan import Plan, Step

PREFIX = "closed."
# How GRANT and the catalogue call everybody.
PUBLIC = ""
READ_ONLY = "default_transaction_read_only"


@dataclass(frozen=True)
class Grant:
    """Who may connect by whose leave; ``role`` PUBLIC is everybody."""

    role: str
    grantor: str
    grantable: bool = False


@dataclass(frozen=True)
class Door:
    """A database as the catalogue has it. ``read_only`` and ``login_read_only`` are its default and the login's own
    there, None where nothing is set; ``owned`` whether the login may change the database."""

    name: str
    owner: str
    grants: tuple[Grant, ...]
    read_only: str | None = None
    login_read_only: str | None = None
    owned: bool = True

    def roles(self) -> set[str]:
        return {grant.role for grant in self.grants}

    def closed_but_for(self, kept: Collection[str]) -> bool:
        """Whether nobody else may connect, and everybody kept may."""
        return self.roles() == set(kept) and self.read_only == "on" and self.login_read_only == "off"

    def as_dict(self, without: Collection[str] = ()) -> dict[str, Any]:
        """As data, without the grants of roles that come and go with the migration."""
        return {
            "connect": [
                [grant.role, grant.grantable] for grant in sorted(self.grants, key=lambda one: one.role)
                if grant.role not in without
            ],
            "read_only": self.read_only, "login_read_only": self.login_read_only,
        }


@dataclass(frozen=True)
class Change:
    """What is done to one database. The settings are what they become, None for RESET."""

    database: str
    grant: tuple[tuple[str, bool], ...]
    revoke: tuple[str, ...]
    read_only: str | None
    login_read_only: str | None


def event_id(database: str, where: str) -> str:
    """The journal's id: both sides' journals may be read together, so it names the server."""
    return f"{PREFIX}{database}@{where}"


def by_database(events: Iterable[Event]) -> dict[str, Event]:
    """The fences that the journal of a server knows."""
    return {event.now["database"]: event for event in events if event.id.startswith(PREFIX) and event.now}


def obstacles(doors: Iterable[Door], login: str) -> None:
    """Raise MigrationError for what REVOKE would leave as it is, with no more than a warning (P31)."""
    for door in doors:
        if not door.owned:
            raise MigrationError(
                f"database {door.name} belongs to {door.owner}, whom {login} isn't a member of: it can't be closed "
                f"(P31). Cure: GRANT {door.owner} TO {login}."
            )
        strange = [grant for grant in door.grants if grant.grantor != door.owner]
        if strange:
            one = strange[0]
            raise MigrationError(
                f"CONNECT on database {door.name} was granted to {one.role or 'PUBLIC'} by {one.grantor}, and only who "
                f"granted it can take it back (P31). Cure: let {one.grantor} revoke it, and {door.owner} grant it."
            )


def closing(door: Door, kept: Collection[str]) -> Change | None:
    """What closes a database but for the kept logins; None when it is closed already."""
    if door.closed_but_for(kept):
        return None
    return Change(
        door.name, tuple((role, False) for role in sorted(set(kept) - door.roles())),
        tuple(sorted(door.roles() - set(kept))), "on", "off",
    )


def opening(door: Door, was: Mapping[str, Any], roles: Collection[str], spared: Collection[str] = ()) -> Change:
    """What gives a database back who could connect to it before, as far as those ``roles`` still exist.

    The ``spared`` keep what they have: changes are still fetched by them, through a fence or without one.
    """
    wanted = {role: grantable for role, grantable in was["connect"] if role == PUBLIC or role in roles}
    have = {grant.role: grant.grantable for grant in door.grants}
    return Change(
        door.name, tuple((role, grantable) for role, grantable in sorted(wanted.items())
                         if role not in have or (grantable and not have[role])),
        tuple(sorted(set(have) - set(wanted) - set(spared))), was["read_only"], was["login_read_only"],
    )


def plan_close(
    doors: Sequence[Door], kept: Collection[str], ending: int, fetching: Mapping[str, Collection[str]] | None = None,
) -> Plan:
    """One step for all databases of a server, and one for the sessions that have to end.

    ``fetching`` has the replication logins that come to one database each.
    """
    own = fetching or {}
    spared = {door.name: sorted({*kept, *own.get(door.name, ())}) for door in doors}
    changes = [change for door in doors if (change := closing(door, spared[door.name]))]
    steps = []
    if changes:
        names = ", ".join(change.database for change in changes)
        logins = sorted({login for change in changes for login in spared[change.database]})
        steps.append(Step("close", f"close {names} to everybody but {', '.join(logins)}", {"changes": changes}))
    if ending:
        steps.append(Step("end", f"end {ending} sessions"))
    return Plan(tuple(steps), _shown(doors), {
        name: {"connect": [[role, False] for role in logins], "read_only": "on", "login_read_only": "off"}
        for name, logins in spared.items()
    })


def plan_open(
    doors: Sequence[Door], events: Mapping[str, Event], roles: Collection[str], spared: Collection[str] = ()
) -> Plan:
    """One step for all databases that the journal knows to be closed."""
    closed = [door for door in doors if door.name in events]
    after = {door.name: events[door.name].was if door.name in events else door.as_dict() for door in doors}
    if not closed:
        return Plan((), _shown(doors), _shown(doors))
    changes = [opening(door, events[door.name].was, roles, spared) for door in closed]
    return Plan((
        Step("open", f"let in to {', '.join(door.name for door in closed)} who was let in before",
             {"changes": changes, "ids": [events[door.name].id for door in closed]}),
    ), _shown(doors), after)


def _shown(doors: Sequence[Door]) -> dict[str, Any]:
    return {door.name: door.as_dict() for door in doors}
