# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PlanetScale's resources as the sandbox keeps them, and as the API shows them."""

from __future__ import annotations

import secrets
import string
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from .edge import EdgeFront
from .installations import PLANETSCALE
from .planetscale_catalogue import LEAST_STORAGE, MOST_STORAGE, ORGANIZATION, PARAMETERS, REGIONS, SKUS, TOKEN_ID
from .servers import Server

Facts = dict[str, Any]
# The port of the edge, of the same without TLS, and of the server itself.
PORT, PLAIN_PORT, SERVER_PORT = 5432, 15433, 15434
ACTOR = {"id": TOKEN_ID, "display_name": "sandbox", "avatar_url": ""}
_LETTERS = string.ascii_lowercase + string.digits


def new_id() -> str:
    """An identifier as PlanetScale's look: twelve letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _place in range(12))


def now() -> datetime:
    return datetime.now(timezone.utc)


def stamp(at: datetime | None) -> str | None:
    """A time as the API writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if at else None


class BranchServer(Server):
    """A branch's PostgreSQL: its access rules are whole lines, one for each IP restriction."""

    service = PLANETSCALE
    # Customers may close each of theirs.
    own_database = "template1"

    def access_file(self) -> list[str]:
        return ["local all all trust", f"host all {self.service.superuser} all reject", *self.access]


@dataclass
class Role:
    """A login of a branch; the password is nowhere but in the server."""

    branch: Branch
    name: str
    base_username: str
    inherited_roles: list[str] = field(default_factory=list)
    with_replication: bool = False
    ttl: int = 0
    default: bool = False
    ready: bool = False
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def expires_at(self) -> datetime | None:
        return self.created_at + timedelta(seconds=self.ttl) if self.ttl else None

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    @property
    def username(self) -> str:
        return f"{self.base_username}.{self.branch.id}"

    def facts(self, password: str = "") -> Facts:
        return {
            "id": self.id, "name": self.name, "access_host_url": self.branch.address,
            "private_access_host_url": self.branch.address, "private_connection_service_name": "",
            "username": self.username, "base_username": self.base_username, "password": password,
            "database_name": "postgres", "created_at": stamp(self.created_at), "updated_at": stamp(self.updated_at),
            "deleted_at": None, "expires_at": stamp(self.expires_at), "dropped_at": None, "disabled_at": None,
            "drop_failed": "", "ready": self.ready, "expired": self.expired, "default": self.default, "ttl": self.ttl,
            "inherited_roles": self.inherited_roles, "with_replication": self.with_replication,
            "branch": self.branch.short(), "actor": ACTOR,
            "query_safety_settings": {"require_where_on_delete": "off", "require_where_on_update": "off"},
        }


@dataclass(frozen=True)
class Configuration:
    """What a change request changes. `parameters` holds what differs from the defaults, by namespace."""

    cluster: str
    replicas: int
    parameters: dict[str, dict[str, str]]
    minimum_storage: int
    maximum_storage: int
    autoscaling: bool = True
    iops: int = 3000
    throughput: int = 125

    def facts(self, prefix: str = "") -> Facts:
        return {
            f"{prefix}cluster_name": self.cluster, f"{prefix}cluster_display_name": SKUS[self.cluster]["display_name"],
            f"{prefix}cluster_metal": False, f"{prefix}replicas": self.replicas,
            f"{prefix}parameters": self.parameters, f"{prefix}minimum_storage_bytes": self.minimum_storage,
            f"{prefix}maximum_storage_bytes": self.maximum_storage, f"{prefix}storage_autoscaling": self.autoscaling,
            f"{prefix}storage_shrinking": False, f"{prefix}storage_type": "gp3", f"{prefix}storage_iops": self.iops,
            f"{prefix}storage_throughput_mibs": self.throughput,
        }

    def server_settings(self) -> dict[str, str]:
        """What of it a server has to be told."""
        known = {name: one.default for name, one in PARAMETERS.items() if one.namespace == "pgconf"}
        # A rehearsal flushes nothing to the disk, whatever the API shows.
        del known["fsync"]
        return {**known, **self.parameters.get("pgconf", {})}


@dataclass
class Change:
    """A change request: queued, pending, resizing, and completed or canceled."""

    before: Configuration
    after: Configuration
    state: str = "queued"
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def open(self) -> bool:
        return self.state in ("queued", "pending", "resizing")

    def move(self, state: str) -> None:
        self.state, self.updated_at = state, now()
        if state == "pending":
            self.started_at = self.updated_at
        elif state in ("completed", "canceled"):
            self.completed_at = self.updated_at

    def facts(self) -> Facts:
        return {
            "id": self.id, "state": self.state, "started_at": stamp(self.started_at),
            "completed_at": stamp(self.completed_at), "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at), "actor": ACTOR,
            **self.after.facts(), **self.before.facts("previous_"),
        }


@dataclass
class Branch:
    """A branch and the server behind it. What others call `identifier` is its id: no other thing has that name."""

    database: Database
    name: str
    address: str
    configuration: Configuration
    major: int
    parent: Branch | None = None
    id: str = field(default_factory=new_id)
    state: str = "pending"
    server: BranchServer | None = None
    roles: dict[str, Role] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    # One change at a time.
    changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def identifier(self) -> str:
        return self.id

    @property
    def wanted(self) -> Configuration:
        """How it will be once every change request has been carried out."""
        waiting = [change.after for change in self.changes if change.open]
        return waiting[-1] if waiting else self.configuration

    def front(self, context: Any) -> Any:
        """The edge before this branch, with TLS or, without a context, in the clear."""
        return lambda relay: EdgeFront(relay, self.id, context)

    def short(self) -> Facts:
        return {
            "id": self.id, "name": self.name, "created_at": stamp(self.created_at),
            "updated_at": stamp(self.created_at), "deleted_at": None,
        }

    def facts(self) -> Facts:
        ready = self.state == "ready"
        where = f"/organizations/{ORGANIZATION}/databases/{self.database.name}/branches/{self.name}"
        return {
            **self.short(), "restore_checklist_completed_at": None, "schema_last_updated_at": None,
            "kind": "postgresql", "mysql_address": "", "mysql_edge_address": "", "state": self.state,
            "direct_vtgate": False, "vtgate_size": "", "vtgate_name": None, "vtgate_count": 0,
            "vtgate_autoscaling": False, "vtgate_max_count": None, "vtgate_target_cpu_utilization": None,
            "cluster_name": self.configuration.cluster, "cluster_iops": self.configuration.iops, "ready": ready,
            "schema_ready": ready, "metal": False, "production": self.parent is None, "safe_migrations": False,
            "deletion_protected": False, "sharded": False, "shard_count": 0, "keyspace_count": 0,
            "stale_schema": False, "actor": ACTOR, "restored_from_branch": None, "private_edge_connectivity": False,
            "has_replicas": self.configuration.replicas > 0, "has_read_only_replicas": False,
            "html_url": f"https://app.planetscale.invalid{where}", "url": f"https://api.planetscale.invalid/v1{where}",
            "region": REGIONS[self.database.region], "parent_branch": self.parent.name if self.parent else None,
            "vtgate_options": {},
        }


@dataclass
class Restriction:
    """An entry of the list of client networks."""

    cidrs: list[str]
    role: str = ""
    schema: str = ""
    description: str | None = None
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    def facts(self) -> Facts:
        return {
            "id": self.id, "schema": self.schema, "role": self.role, "cidrs": self.cidrs,
            "description": self.description, "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at), "deleted_at": None, "actor": ACTOR,
        }


@dataclass
class Database:
    """A database: branches, of which the first is the default, and who may reach them."""

    name: str
    region: str
    branches: dict[str, Branch] = field(default_factory=dict)
    restrictions: dict[str, Restriction] = field(default_factory=dict)
    settings: Facts = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)

    @property
    def default_branch(self) -> Branch:
        return next(iter(self.branches.values()))

    def access(self) -> list[str]:
        """pg_hba's lines: without restrictions everybody; a role that is named is let in from its networks only."""
        named = {one.role for one in self.restrictions.values() if one.role}
        lines = [
            f'host all "{one.role}" {cidr} scram-sha-256' if one.role else f"host all all {cidr} scram-sha-256"
            for one in sorted(self.restrictions.values(), key=lambda one: not one.role) for cidr in one.cidrs
        ]
        split = sum(len(one.cidrs) for one in self.restrictions.values() if one.role)
        refused = [f'host all "{role}" all reject' for role in sorted(named)]
        anybody = [] if any(not one.role for one in self.restrictions.values()) else ["host all all all scram-sha-256"]
        return [*lines[:split], *refused, *lines[split:], *anybody]

    def facts(self) -> Facts:
        branch = self.default_branch
        changing = [change for one in self.branches.values() for change in one.changes if change.open]
        where = f"/organizations/{ORGANIZATION}/databases/{self.name}"
        return {
            "id": self.id, "url": f"https://api.planetscale.invalid/v1{where}",
            "branches_url": f"https://api.planetscale.invalid/v1{where}/branches",
            "branches_count": len(self.branches), "open_schema_recommendations_count": 0,
            "development_branches_count": len(self.branches) - 1, "production_branches_count": 1, "issues_count": 0,
            "multiple_admins_required_for_deletion": False, "ready": branch.state == "ready",
            "at_backup_restore_branches_limit": False, "at_development_branch_usage_limit": False,
            "region": REGIONS[self.region], "html_url": f"https://app.planetscale.invalid{where}", "name": self.name,
            "state": branch.state, "sharded": False, "default_branch_shard_count": 0,
            "default_branch_read_only_regions_count": 0, "default_branch_table_count": 0,
            "default_branch": branch.name, "require_approval_for_deploy": False, "deletion_protected": False,
            "resizing": any(change.state == "resizing" for change in changing),
            "resize_queued": any(change.state != "resizing" for change in changing),
            "config_changing": bool(changing), "config_change_queued": False, "allow_data_branching": False,
            "foreign_keys_enabled": True, "automatic_migrations": None, "restrict_branch_region": False,
            "insights_raw_queries": False, "plan": "scaler_pro", "insights_enabled": True,
            "production_branch_web_console": False, "migration_table_name": None, "migration_framework": None,
            "created_at": stamp(self.created_at), "updated_at": stamp(self.created_at),
            "schema_last_updated_at": None, "kind": "postgresql", **self.settings,
        }


def first_configuration(cluster: str, replicas: int | None, storage: Facts) -> Configuration:
    """What a new branch is made with, with PlanetScale's defaults for what was left out."""
    return Configuration(
        cluster, 2 if replicas is None else replicas, {},
        int(storage.get("minimum_storage_bytes") or LEAST_STORAGE),
        int(storage.get("maximum_storage_bytes") or MOST_STORAGE),
    )
