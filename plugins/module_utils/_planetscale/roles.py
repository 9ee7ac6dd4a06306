# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins of a branch: what it would take to get one, or to be rid of it (S4). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._plan import Plan, Step
from .errors import PlanetScaleError

Document = Mapping[str, Any]
PORT = 5432
INHERITABLE = (
    "pg_checkpoint", "pg_create_subscription", "pg_maintain", "pg_monitor", "pg_read_all_data", "pg_read_all_settings",
    "pg_read_all_stats", "pg_signal_backend", "pg_stat_scan_tables", "pg_use_reserved_connections",
    "pg_write_all_data", "postgres",
)


@dataclass(frozen=True)
class Wish:
    """What a login is to be like; None leaves it as it is."""

    name: str
    inherited_roles: tuple[str, ...] | None = None
    with_replication: bool | None = None
    ttl: int | None = None

    def body(self) -> dict[str, Any]:
        given = {
            "inherited_roles": sorted(self.inherited_roles or ()), "with_replication": bool(self.with_replication),
            "ttl": self.ttl,
        }
        return {"name": self.name, **{key: value for key, value in given.items() if value is not None}}


def find(roles: Sequence[Document], name: str) -> Document | None:
    """The role of a name that isn't deleted."""
    found = [role for role in roles if role["name"] == name and not role.get("deleted_at")]
    if len(found) > 1:
        raise PlanetScaleError(f"role {name}: there are {len(found)} of that name. Cure: rename all but one.")
    return found[0] if found else None


def document(role: Document | None) -> dict[str, Any] | None:
    """A role as the modules return it: never with its password."""
    if role is None:
        return None
    return {
        "id": role["id"], "name": role["name"], "username": role["username"], "base_username": role["base_username"],
        "host": role["access_host_url"], "port": PORT, "dbname": role["database_name"],
        "inherited_roles": sorted(role["inherited_roles"]), "with_replication": role["with_replication"],
        "expires_at": role["expires_at"], "expired": role["expired"], "ready": role["ready"],
        "default": role["default"], "predicted": False,
    }


def predicted(wish: Wish) -> dict[str, Any]:
    """The role as it would be; its names and its host are PlanetScale's to choose."""
    unknown = dict.fromkeys(("id", "username", "base_username", "host", "expires_at"))
    return {
        **unknown, "name": wish.name, "port": PORT, "dbname": "postgres",
        "inherited_roles": sorted(wish.inherited_roles or ()), "with_replication": bool(wish.with_replication),
        "expired": False, "ready": False, "default": False, "predicted": True,
    }


def plan_present(role: Document | None, wish: Wish, password_known: bool, may_reset: bool) -> Plan:
    """Create the login; give it a new password only where the one it has is lost, and only if that is allowed."""
    unknown = sorted(set(wish.inherited_roles or ()) - set(INHERITABLE))
    if unknown:
        raise PlanetScaleError(
            f"inherited_roles: {', '.join(unknown)} can't be inherited (S4). Cure: give some of "
            f"{', '.join(INHERITABLE)}."
        )
    if role is None:
        body = wish.body()
        step = Step("create", f"create role {wish.name} and write its password into passfile", {"body": body})
        return Plan((step,), {}, body)
    _refuse_what_is_fixed(role, wish)
    if password_known:
        return Plan()
    if role["default"] or not may_reset:
        cure = "write it in, or delete it and run again" if not role["default"] else "write it in"
        also = "" if role["default"] else ", or allow lost_password=reset"
        raise PlanetScaleError(
            f"role {wish.name} exists, and passfile has no password for {role['username']}: it is told only once (S4). "
            f"Cure: {cure}{also}.",
            code="password_lost",
        )
    sentence = f"give role {wish.name} a new password and write it into passfile"
    return Plan((Step("reset", sentence, {"identifier": role["id"]}),), {"password": "lost"}, {"password": "new"})


def _refuse_what_is_fixed(role: Document, wish: Wish) -> None:
    """Neither privileges nor life time of a role can be changed by the API."""
    now = document(role) or {}
    drift = []
    if wish.inherited_roles is not None and sorted(wish.inherited_roles) != now["inherited_roles"]:
        drift.append(f"it inherits {', '.join(now['inherited_roles']) or 'nothing'}")
    if wish.with_replication is not None and wish.with_replication != now["with_replication"]:
        drift.append(f"its with_replication is {str(now['with_replication']).lower()}")
    if now["expired"]:
        drift.append(f"it expired on {now['expires_at']}")
    if drift and not now["default"]:
        raise PlanetScaleError(
            f"role {wish.name} isn't as asked for: {'; '.join(drift)}, and PlanetScale can't change that. Cure: delete "
            "it (state=absent) and run again, or correct the options.",
            code="drift",
        )


def plan_absent(role: Document | None, name: str, successor: str | None) -> Plan:
    """Delete the login; never the default role."""
    if role is None:
        return Plan()
    if role["default"]:
        raise PlanetScaleError(f"role {name} is the database's default role, which stays. Cure: name another.")
    heir = f", what it owns goes to {successor}" if successor else ""
    step = Step("delete", f"delete role {name}{heir}", {"identifier": role["id"], "successor": successor})
    return Plan((step,), {"name": name, "username": role["username"]}, {})
