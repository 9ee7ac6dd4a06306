# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases of PlanetScale as this collection sees them, and what it would take to get one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._plan import Plan, Step
from .errors import PlanetScaleError

OPEN_CHANGES = ("queued", "pending", "resizing")
Document = Mapping[str, Any]


def in_force(changes: Sequence[Document]) -> Document:
    """The last change request that counts, done or under way; oldest first come in (S5)."""
    counting = [change for change in changes if change["state"] != "canceled"]
    return counting[-1] if counting else {}


@dataclass(frozen=True)
class Seen:
    """What the API says of a database; all empty where there is none."""

    database: Document | None = None
    branch: Document | None = None
    changes: Sequence[Document] = ()
    roles: Sequence[Document] = ()


@dataclass(frozen=True)
class Wish:
    """What a database is to be like; None leaves it to PlanetScale, or as it is."""

    name: str
    region: str | None = None
    major_version: int | None = None
    cluster_size: str | None = None
    replicas: int | None = None
    minimum_storage_bytes: int | None = None
    maximum_storage_bytes: int | None = None

    def body(self) -> dict[str, Any]:
        """What a creation asks for (S2)."""
        storage = {
            key: value for key in ("minimum_storage_bytes", "maximum_storage_bytes")
            if (value := getattr(self, key)) is not None
        }
        given = {
            "region": self.region, "cluster_size": self.cluster_size, "replicas": self.replicas,
            "major_version": str(self.major_version) if self.major_version else None, "storage": storage or None,
        }
        return {
            "name": self.name, "kind": "postgresql", **{key: value for key, value in given.items() if value is not None}
        }


def document(seen: Seen) -> dict[str, Any] | None:
    """A database as the modules return it. What the API doesn't tell is None: storage before the first change."""
    if seen.database is None:
        return None
    database, branch, last = seen.database, seen.branch or {}, in_force(seen.changes)
    has_replicas = branch.get("has_replicas")
    return {
        "id": database["id"], "name": database["name"], "kind": database["kind"], "state": database["state"],
        "ready": database["state"] == "ready" and bool(branch.get("ready")),
        "region": database["region"]["slug"], "import_addresses": list(database["region"]["public_ip_addresses"]),
        "default_branch": database["default_branch"], "branch_id": branch.get("id"),
        "branches_count": database["branches_count"], "deletion_protected": database["deletion_protected"],
        "cluster_size": last.get("cluster_name") or branch.get("cluster_name"),
        "replicas": last.get("replicas", 0 if has_replicas is False else None), "has_replicas": has_replicas,
        "minimum_storage_bytes": last.get("minimum_storage_bytes"),
        "maximum_storage_bytes": last.get("maximum_storage_bytes"),
        "changes_under_way": sum(change["state"] in OPEN_CHANGES for change in seen.changes),
        "created_at": database["created_at"], "predicted": False,
    }


def predicted(seen: Seen, wish: Wish, plan: Plan) -> dict[str, Any] | None:
    """The database as it would be after the plan; what only PlanetScale can say is None."""
    if seen.database is None:
        made = dict.fromkeys((
            "id", "state", "region", "branch_id", "cluster_size", "replicas", "has_replicas", "minimum_storage_bytes",
            "maximum_storage_bytes", "created_at",
        ))
        return {
            **made, "name": wish.name, "kind": "postgresql", "ready": False, "import_addresses": [],
            "default_branch": "main", "branches_count": 1, "deletion_protected": False, "changes_under_way": 0,
            **plan.after, "predicted": True,
        }
    return {**(document(seen) or {}), **plan.after, "predicted": plan.changed}


def plan_present(seen: Seen, wish: Wish) -> Plan:
    """Create the database, or ask for what of it can be changed. Raises PlanetScaleError for what can't."""
    if wish.replicas == 1:
        raise PlanetScaleError("replicas: 1 isn't offered. Cure: give 0, or 2 or more (S2).")
    if seen.database is None:
        if not wish.cluster_size:
            raise PlanetScaleError(
                f"database {wish.name} doesn't exist and cluster_size isn't given. Cure: give one of the sizes that "
                "planetscale_database_info returns (S2)."
            )
        body = wish.body()
        told = {key: value for key, value in body.items() if key not in ("name", "kind", "storage")}
        after = {**told, **body.get("storage", {})}
        return Plan((Step("create", f"create database {wish.name} ({wish.cluster_size})", {"body": body}),), {}, after)
    now = document(seen) or {}
    _refuse_what_is_fixed(now, wish)
    before, after = {}, {}
    for key, value in _differences(now, wish):
        before[key], after[key] = now[key], value
    if not after:
        return Plan()
    storage = {key: value for key, value in after.items() if key.endswith("_storage_bytes")}
    asked = {key: value for key, value in after.items() if key not in storage}
    sentence = f"change {', '.join(after)} of database {wish.name}"
    return Plan(
        (Step("ask", sentence, {"wish": {**asked, **({"storage": storage} if storage else {})}}),), before, after
    )


def _refuse_what_is_fixed(now: Document, wish: Wish) -> None:
    if now["kind"] != "postgresql":
        raise PlanetScaleError(f"database {wish.name} is of kind {now['kind']}. Cure: choose another name.")
    if wish.region and now["region"] != wish.region:
        raise PlanetScaleError(
            f"database {wish.name} is in region {now['region']}, not {wish.region}, and can't be moved. Cure: correct "
            "region, or choose another name."
        )


def _differences(now: Document, wish: Wish) -> list[tuple[str, Any]]:
    """What is known to differ. Storage only ever grows; what the API doesn't tell is left alone."""
    found: list[tuple[str, Any]] = []
    if wish.cluster_size and now["cluster_size"] and now["cluster_size"] != wish.cluster_size:
        found.append(("cluster_size", wish.cluster_size))
    known = now["replicas"]
    if wish.replicas is not None and known != wish.replicas and (known is not None or wish.replicas == 0):
        found.append(("replicas", wish.replicas))
    for key in ("minimum_storage_bytes", "maximum_storage_bytes"):
        wanted = getattr(wish, key)
        if wanted is not None and now[key] is not None and now[key] < wanted:
            found.append((key, wanted))
    return found


def unknown(seen: Seen, wish: Wish) -> list[str]:
    """The wishes that can't be held against what is: the API doesn't tell."""
    now = document(seen)
    if now is None:
        return []
    told = ("replicas", "minimum_storage_bytes", "maximum_storage_bytes")
    silent = [key for key in told if getattr(wish, key) is not None and now[key] is None]
    if "replicas" in silent and wish.replicas == 0:
        silent.remove("replicas")
    return silent


def plan_absent(seen: Seen, name: str, identifier: str, expected_roles: Sequence[str]) -> Plan:
    """Delete the database: the very one that was made, and only while nobody else uses it."""
    if seen.database is None:
        return Plan()
    now = document(seen) or {}
    others = sorted(role["name"] for role in seen.roles if not role["default"] and role["name"] not in expected_roles)
    obstacles = [reason for holds, reason in (
        (now["id"] != identifier, f"its id is {now['id']}, not {identifier}: it isn't the one that was made"),
        (now["deletion_protected"], "it is protected from deletion"),
        (now["branches_count"] > 1, f"it has {now['branches_count']} branches"),
        (others, f"it has roles that somebody else made: {', '.join(others)}"),
    ) if holds]
    if obstacles:
        raise PlanetScaleError(
            f"database {name} is not deleted: {'; '.join(obstacles)}. Cure: delete it yourself if it isn't needed.",
            code="not_ours",
        )
    return Plan((Step("delete", f"delete database {name}", {"name": name}),), {"id": now["id"], "name": name}, {})
