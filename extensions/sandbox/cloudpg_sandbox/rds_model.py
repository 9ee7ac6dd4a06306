# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS resources as the sandbox keeps them: the facts AWS would answer with, and the real server behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .rules import ApiError
from .rds_snapshots_model import Snapshot, Volume
from .servers import SUPERUSER, Server

if TYPE_CHECKING:
    from .world import World

Facts = dict[str, Any]
SETTLED = ("available", "stopped", "failed", "incompatible-parameters", "migration-failed")


class TransitionRefused(Exception):
    """A fault has a transition end in failure."""


def now() -> datetime:
    """The time as AWS states it, in UTC."""
    return datetime.now(timezone.utc)


def major_of(version: str) -> int:
    """The PostgreSQL major of an RDS or Aurora version."""
    return int(version.split(".", 1)[0])


def resource_id(prefix: str, arn: str) -> str:
    """An opaque identifier such as db-ABC…, the same for the same resource."""
    return prefix + hashlib.sha256(f"{arn}{now().timestamp()}".encode()).hexdigest()[:26].upper()


def slot_name(identifier: str) -> str:
    """The replication slot kept for a replica on its source."""
    return "rds_" + identifier.replace("-", "_")


@dataclass
class Event:
    """One line of DescribeEvents."""

    source_type: str
    identifier: str
    arn: str
    message: str
    categories: list[str]
    at: datetime = field(default_factory=now)

    def facts(self) -> Facts:
        return {
            "SourceIdentifier": self.identifier, "SourceType": self.source_type, "Message": self.message,
            "EventCategories": self.categories, "Date": self.at, "SourceArn": self.arn,
        }


@dataclass
class ParameterGroup:
    """A DB or cluster parameter group; values holds what a user has set: name -> (value, apply method)."""

    name: str
    family: str
    description: str
    level: str
    arn: str
    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)

    @property
    def default(self) -> bool:
        return self.name.startswith("default.")

    def facts(self) -> Facts:
        cluster = "Cluster" if self.level == "cluster" else ""
        return {
            f"DB{cluster}ParameterGroupName": self.name, "DBParameterGroupFamily": self.family,
            "Description": self.description, f"DB{cluster}ParameterGroupArn": self.arn,
        }


class Instance:
    """A DB instance and its server. Also what the metrics' sampler looks at."""

    def __init__(self, region: Region, facts: Facts, address: str, port: int) -> None:
        self.region = region
        self.facts = facts
        self.address = address
        self.port = port
        self.server: Server | None = None
        self.pending_server: Server | None = None
        self.slot = slot_name(self.identifier)
        self.password = ""
        # The security groups a change under way leads to.
        self.groups_wanted: list[str] | None = None
        # Parameters in force on the server by level; what the groups say may be ahead of it until a reboot.
        self.in_force: dict[str, dict[str, str]] = {"instance": {}, "cluster": {}}
        self.group_changed: dict[str, bool] = {"instance": False, "cluster": False}

    @property
    def identifier(self) -> str:
        return str(self.facts["DBInstanceIdentifier"])

    @property
    def arn(self) -> str:
        return str(self.facts["DBInstanceArn"])

    @property
    def state(self) -> str:
        return str(self.facts["DBInstanceStatus"])

    @state.setter
    def state(self, value: str) -> None:
        with self.region.world.lock:
            self.facts["DBInstanceStatus"] = value
            self.region.world.changed.notify_all()

    @property
    def settled(self) -> bool:
        """Whether it isn't on its way to another state."""
        gone = self.region.instances.get(self.identifier) is not self
        changing = any(one["Status"] != "active" for one in self.facts["VpcSecurityGroups"])
        return gone or (self.state in SETTLED and not changing)

    @property
    def tags(self) -> list[dict[str, str]]:
        return list(self.facts["TagList"])

    @tags.setter
    def tags(self, value: list[dict[str, str]]) -> None:
        self.facts["TagList"] = value

    @property
    def cluster_identifier(self) -> str | None:
        return self.facts.get("DBClusterIdentifier")

    @property
    def cluster(self) -> Cluster | None:
        name = self.cluster_identifier
        return self.region.clusters.get(name) if name else None

    @property
    def role(self) -> str:
        return "cluster-member" if self.cluster_identifier else "instance"

    @property
    def source_identifier(self) -> str | None:
        """The instance a replica follows: the source of its cluster, or its own."""
        cluster = self.cluster
        if cluster is not None:
            arn = cluster.facts.get("ReplicationSourceIdentifier")
            return arn.rsplit(":", 1)[-1] if arn else None
        return self.facts.get("ReadReplicaSourceDBInstanceIdentifier")

    @property
    def data_dir(self) -> str | None:
        return self.server.data_dir if self.server else None

    def query(
        self, sql: str, parameters: Iterable[Any] | None = None, dbname: str = SUPERUSER
    ) -> list[tuple[Any, ...]]:
        """Rows from the server, as the real superuser over the socket."""
        if self.server is None:
            raise LookupError(f"{self.identifier} has no server yet")
        return self.server.query(sql, parameters, dbname)

    @property
    def is_writer(self) -> bool:
        cluster = self.cluster
        return cluster is None or cluster.writer is self

    def group_ids(self) -> list[str]:
        """The security groups that decide about this instance: its own, or its cluster's."""
        cluster = self.cluster
        facts = cluster.facts if cluster else self.facts
        return [one["VpcSecurityGroupId"] for one in facts["VpcSecurityGroups"] if one["Status"] != "removing"]

    def described(self) -> Facts:
        """The answer of DescribeDBInstances; no endpoint before there is a server."""
        facts = dict(self.facts)
        facts["DBParameterGroups"] = [
            {**one, "ParameterApplyStatus": self.region.apply_status(self, "instance")}
            for one in self.facts["DBParameterGroups"]
        ]
        cluster = self.cluster
        if cluster is not None:
            for name in ("MasterUsername", "BackupRetentionPeriod", "VpcSecurityGroups", "StorageEncrypted"):
                facts[name] = cluster.facts[name]
        if self.server is not None:
            facts["Endpoint"] = {"Address": self.address, "Port": self.port, "HostedZoneId": "Z29XKXDKYMONMX"}
        return facts


class Cluster:
    """An Aurora cluster; its members are instances."""

    def __init__(self, region: Region, facts: Facts, address: str, reader_address: str, port: int) -> None:
        self.region = region
        self.facts = facts
        self.address = address
        self.reader_address = reader_address
        self.port = port
        self.password = ""
        self.writer: Instance | None = None
        self.promoting = False
        self.groups_wanted: list[str] | None = None
        # The data, while no member has it: a cluster's storage outlives its instances.
        self.volume: Volume | None = None
        # The physical slot that is kept for this cluster on its source.
        self.slot = slot_name(self.identifier)

    @property
    def identifier(self) -> str:
        return str(self.facts["DBClusterIdentifier"])

    @property
    def arn(self) -> str:
        return str(self.facts["DBClusterArn"])

    @property
    def state(self) -> str:
        return str(self.facts["Status"])

    @state.setter
    def state(self, value: str) -> None:
        with self.region.world.lock:
            self.facts["Status"] = value
            self.region.world.changed.notify_all()

    @property
    def tags(self) -> list[dict[str, str]]:
        return list(self.facts["TagList"])

    @tags.setter
    def tags(self, value: list[dict[str, str]]) -> None:
        self.facts["TagList"] = value

    @property
    def settled(self) -> bool:
        """Whether it isn't on its way to another state."""
        gone = self.region.clusters.get(self.identifier) is not self
        changing = any(one["Status"] != "active" for one in self.facts["VpcSecurityGroups"])
        return gone or (self.state in SETTLED and not changing)

    @property
    def members(self) -> list[Instance]:
        return [one for one in self.region.instances.values() if one.cluster_identifier == self.identifier]

    @property
    def source(self) -> Instance | None:
        """The instance this cluster replicates from, while it is a replica."""
        arn = self.facts.get("ReplicationSourceIdentifier")
        return self.region.instances.get(arn.rsplit(":", 1)[-1]) if arn else None

    def remaining(self) -> Facts:
        """As described, without the members that are being deleted: what a deletion is judged by."""
        leaving = {one.identifier for one in self.members if one.state == "deleting"}
        facts = self.described()
        members = [one for one in facts["DBClusterMembers"] if one["DBInstanceIdentifier"] not in leaving]
        return {**facts, "DBClusterMembers": members}

    def described(self) -> Facts:
        """The answer of DescribeDBClusters."""
        members = [
            {
                "DBInstanceIdentifier": one.identifier,
                "IsClusterWriter": self.writer is one and not self.facts.get("ReplicationSourceIdentifier"),
                "DBClusterParameterGroupStatus": self.region.apply_status(one, "cluster"),
                "PromotionTier": one.facts.get("PromotionTier", 1),
            }
            for one in self.members
        ]
        return {**self.facts, "DBClusterMembers": members}


class Region:
    """One account's RDS resources in one region, by identifier in lower case."""

    def __init__(self, world: World, account: str, name: str) -> None:
        self.world = world
        self.account = account
        self.name = name
        self.instances: dict[str, Instance] = {}
        self.clusters: dict[str, Cluster] = {}
        self.parameter_groups: dict[str, dict[str, ParameterGroup]] = {"instance": {}, "cluster": {}}
        self.snapshots: dict[str, Snapshot] = {}
        self.cluster_snapshots: dict[str, Snapshot] = {}
        self.events: list[Event] = []

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:rds:{self.name}:{self.account}:{kind}:{name}"

    def instance(self, identifier: str) -> Instance:
        """By identifier or ARN; raises DBInstanceNotFound."""
        name = str(identifier).rsplit(":", 1)[-1].lower()
        if name not in self.instances:
            raise ApiError("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
        return self.instances[name]

    def cluster(self, identifier: str) -> Cluster:
        """By identifier or ARN; raises DBClusterNotFoundFault."""
        name = str(identifier).rsplit(":", 1)[-1].lower()
        if name not in self.clusters:
            raise ApiError("DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)
        return self.clusters[name]

    def parameter_group(self, level: str, name: str) -> ParameterGroup:
        """By name; a default group comes into being when its name is first used."""
        key = name.lower()
        groups = self.parameter_groups[level]
        if key not in groups and key.startswith("default."):
            family = key.split(".", 1)[1]
            what = "cluster parameter group" if level == "cluster" else "parameter group"
            self.add_parameter_group(level, key, family, f"Default {what} for {family}")
        if key not in groups:
            raise ApiError("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}", 404)
        return groups[key]

    def add_parameter_group(self, level: str, name: str, family: str, description: str) -> ParameterGroup:
        kind = "cluster-pg" if level == "cluster" else "pg"
        group = ParameterGroup(name, family, description, level, self.arn(kind, name))
        self.parameter_groups[level][name] = group
        return group

    def group_of(self, instance: Instance, level: str) -> ParameterGroup | None:
        """The parameter group of an instance at a level; None at cluster level outside a cluster."""
        if level == "instance":
            return self.parameter_group(level, instance.facts["DBParameterGroups"][0]["DBParameterGroupName"])
        cluster = instance.cluster
        return self.parameter_group(level, cluster.facts["DBClusterParameterGroup"]) if cluster else None

    def wanted(self, instance: Instance, level: str) -> dict[str, str]:
        """The values the group wants on the server."""
        group = self.group_of(instance, level)
        return {name: value for name, (value, _method) in group.values.items()} if group else {}

    def apply_status(self, instance: Instance, level: str) -> str:
        """in-sync, or pending-reboot while the server lacks something the group says (R27)."""
        if instance.server is None:
            return "in-sync"
        behind = instance.group_changed[level] or instance.in_force[level] != self.wanted(instance, level)
        return "pending-reboot" if behind else "in-sync"

    def users_of(self, level: str, name: str) -> Iterator[Instance]:
        """Instances a parameter group decides about."""
        for instance in self.instances.values():
            group = self.group_of(instance, level)
            if group is not None and group.name == name:
                yield instance

    def record(self, resource: Instance | Cluster, message: str, *categories: str) -> None:
        """Note an event of an instance or a cluster."""
        kind = "db-instance" if isinstance(resource, Instance) else "db-cluster"
        with self.world.lock:
            self.events.append(Event(kind, resource.identifier, resource.arn, message, list(categories)))
