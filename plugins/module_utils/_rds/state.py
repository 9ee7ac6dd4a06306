# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWS's documents mean. Pure: documents as AWS writes them in, facts and snake_case documents out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

MIGRATION_TAG = "cloudpg:migration"
EVENT_HISTORY = timedelta(days=14)

# States out of which nothing leads to `available` by itself (R6).
CLUSTER_FAILURES = frozenset({
    "cloning-failed", "deleting", "failed", "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable", "incompatible-parameters", "migration-failed", "stopped",
    "stopping",
})
INSTANCE_FAILURES = frozenset({
    "deleting", "failed", "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable",
    "incompatible-create", "incompatible-network", "incompatible-option-group", "incompatible-parameters",
    "incompatible-restore", "insufficient-capacity", "restore-error", "stopped", "stopping", "storage-full",
})

_PROMOTED = re.compile(r"promoted read replica cluster to (a )?stand-?alone database cluster", re.IGNORECASE)


def moment_of(text: str) -> datetime:
    """The moment an ISO 8601 text means; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return moment.astimezone(timezone.utc).isoformat() if moment else None


def tags_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Tags of an RDS (``TagList``) or EC2 (``Tags``) document as a plain dict."""
    return {tag["Key"]: tag.get("Value", "") for tag in document.get("TagList") or document.get("Tags") or []}


def aws_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """The way back: a plain dict as AWS writes tags."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def security_groups(document: Mapping[str, Any]) -> list[str]:
    """The ids of an instance's or cluster's VPC security groups, sorted; one that is on its way out is left out."""
    return sorted(
        group["VpcSecurityGroupId"] for group in document.get("VpcSecurityGroups", [])
        if group.get("Status") != "removing"
    )


def groups_in_force(document: Mapping[str, Any], wanted: Iterable[str]) -> bool:
    """True when exactly ``wanted`` are attached and every one is active (R18)."""
    attached = document.get("VpcSecurityGroups", [])
    return {group["VpcSecurityGroupId"] for group in attached} == set(wanted) and all(
        group.get("Status") == "active" for group in attached
    )


def vpc_of(instance: Mapping[str, Any]) -> str | None:
    return (instance.get("DBSubnetGroup") or {}).get("VpcId")


def encrypted(document: Mapping[str, Any]) -> bool:
    """Whether a copy of it has to be encrypted. ``StorageEncrypted`` alone reads false for data under sse-rds (R4)."""
    kind = document.get("StorageEncryptionType")
    return kind == "sse-kms" or bool(document.get("KmsKeyId")) or (
        kind is None and bool(document.get("StorageEncrypted"))
    )


def region_of(arn: str | None) -> str | None:
    """The Region of what an ARN names; None for what isn't one, like the id of a key."""
    return arn.split(":")[3] if arn and arn.startswith("arn:") else None


def account_of(arn: str | None) -> str | None:
    """The account of what an ARN names."""
    return arn.split(":")[4] if arn and arn.startswith("arn:") else None


def is_replica(cluster: Mapping[str, Any]) -> bool:
    """A replica for as long as it names a source; afterwards the field is missing or empty (R7)."""
    return bool(cluster.get("ReplicationSourceIdentifier"))


def replicates(cluster: Mapping[str, Any], source: Mapping[str, Any] | str) -> bool:
    """Whether the cluster is a replica of this source, given as its document, ARN or identifier."""
    named = cluster.get("ReplicationSourceIdentifier") or ""
    identifier = source if isinstance(source, str) else source["DBInstanceIdentifier"]
    return bool(named) and named.rsplit(":", 1)[-1] == identifier.rsplit(":", 1)[-1]


def writer(cluster: Mapping[str, Any]) -> str | None:
    """The identifier of the cluster's writer, or None while there is none."""
    writers = [member for member in cluster.get("DBClusterMembers", []) if member.get("IsClusterWriter")]
    return writers[0]["DBInstanceIdentifier"] if writers else None


def promotion_events(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that say a cluster was promoted, whatever their case and category (R16)."""
    return [event for event in events if _PROMOTED.search(event.get("Message", ""))]


def promotion_lacks(cluster: Mapping[str, Any], events: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    """What a promotion still lacks; empty: it is done (R16).

    AWS forgets events after 14 days: of a cluster older than that none is asked for.
    """
    lacks = []
    if cluster.get("Status") != "available":
        lacks.append(f"status is {cluster.get('Status')}")
    if is_replica(cluster):
        lacks.append(f"still replicates from {cluster['ReplicationSourceIdentifier']}")
    if writer(cluster) is None:
        lacks.append("it has no writer")
    born = cluster.get("ClusterCreateTime")
    remembered = born is None or now - born < EVENT_HISTORY - timedelta(hours=1)
    if remembered and not promotion_events(events):
        lacks.append("no event says that it was promoted")
    return lacks


# Versions

def version_key(version: str) -> tuple[int, ...]:
    """``16.10`` after ``16.4``: versions compare as numbers (R5). Anything after the numbers is left out."""
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", version)[0].split("."))


def major(version: str) -> int:
    return version_key(version)[0]


def allowed_versions(source: str, offered: Iterable[Mapping[str, Any]]) -> list[str]:
    """Aurora versions that a source of this version can be replicated to, lowest first (R5).

    Versions with a name (``16.4-limitless``) are another product.
    """
    family = f"aurora-postgresql{major(source)}"
    fitting = {
        version["EngineVersion"] for version in offered
        if version.get("DBParameterGroupFamily") == family
        and version.get("Status", "available") == "available"
        and re.fullmatch(r"[\d.]+", version["EngineVersion"])
        and version_key(version["EngineVersion"])[:2] >= version_key(source)[:2]
    }
    return sorted(fitting, key=version_key)


# Documents

def _groups(document: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"id": group["VpcSecurityGroupId"], "status": group.get("Status")}
        for group in document.get("VpcSecurityGroups", [])
    ]


def instance_document(instance: Mapping[str, Any]) -> dict[str, Any]:
    """An instance as our modules return it."""
    endpoint = instance.get("Endpoint") or {}
    return {
        "identifier": instance["DBInstanceIdentifier"],
        "arn": instance.get("DBInstanceArn"),
        "status": instance.get("DBInstanceStatus"),
        "class": instance.get("DBInstanceClass"),
        "engine": instance.get("Engine"),
        "engine_version": instance.get("EngineVersion"),
        "endpoint": {"address": endpoint.get("Address"), "port": endpoint.get("Port")},
        "vpc_id": vpc_of(instance),
        "subnet_group": (instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
        "security_groups": _groups(instance),
        "parameter_groups": [
            {"name": group["DBParameterGroupName"], "status": group.get("ParameterApplyStatus")}
            for group in instance.get("DBParameterGroups", [])
        ],
        "cluster": instance.get("DBClusterIdentifier"),
        "encrypted": encrypted(instance),
        "kms_key_id": instance.get("KmsKeyId"),
        "backup_retention_days": instance.get("BackupRetentionPeriod"),
        "auto_minor_version_upgrade": instance.get("AutoMinorVersionUpgrade"),
        "maintenance_window": instance.get("PreferredMaintenanceWindow"),
        "deletion_protection": instance.get("DeletionProtection"),
        "replica_clusters": list(instance.get("ReadReplicaDBClusterIdentifiers", [])),
        "replica_instances": list(instance.get("ReadReplicaDBInstanceIdentifiers", [])),
        "pending": sorted(instance.get("PendingModifiedValues") or {}),
        "tags": tags_of(instance),
        "predicted": False,
    }


def _member(cluster: Mapping[str, Any], instance: Mapping[str, Any]) -> dict[str, Any]:
    entries = {member["DBInstanceIdentifier"]: member for member in cluster.get("DBClusterMembers", [])}
    entry = entries.get(instance["DBInstanceIdentifier"], {})
    endpoint = instance.get("Endpoint") or {}
    groups = instance.get("DBParameterGroups", [])
    return {
        "identifier": instance["DBInstanceIdentifier"],
        "class": instance.get("DBInstanceClass"),
        "status": instance.get("DBInstanceStatus"),
        "is_writer": bool(entry.get("IsClusterWriter")),
        "address": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "parameter_group": groups[0]["DBParameterGroupName"] if groups else None,
        "parameter_apply_status": groups[0].get("ParameterApplyStatus") if groups else None,
        "cluster_parameter_apply_status": entry.get("DBClusterParameterGroupStatus"),
    }


def cluster_document(cluster: Mapping[str, Any], members: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A cluster as our modules return it; ``members`` are the documents of its instances."""
    return {
        "identifier": cluster["DBClusterIdentifier"],
        "arn": cluster.get("DBClusterArn"),
        "status": cluster.get("Status"),
        "engine": cluster.get("Engine"),
        "engine_version": cluster.get("EngineVersion"),
        "endpoint": cluster.get("Endpoint"),
        "reader_endpoint": cluster.get("ReaderEndpoint"),
        "port": cluster.get("Port"),
        "created": iso(cluster.get("ClusterCreateTime")),
        "replication_source": cluster.get("ReplicationSourceIdentifier") or None,
        "is_replica": is_replica(cluster),
        "security_groups": _groups(cluster),
        "parameter_group": cluster.get("DBClusterParameterGroup"),
        "members": [_member(cluster, instance) for instance in members],
        "encrypted": encrypted(cluster),
        "kms_key_id": cluster.get("KmsKeyId"),
        "deletion_protection": cluster.get("DeletionProtection"),
        "pending": sorted(cluster.get("PendingModifiedValues") or {}),
        "tags": tags_of(cluster),
        "predicted": False,
    }


def phase(cluster: Mapping[str, Any] | None, members: Sequence[Mapping[str, Any]], instance: str) -> str:
    """Where a replica stands: ``absent``, ``creating_cluster``, ``no_instance``, ``creating_instance``, ``replica``,
    ``promoting``, ``promoted``, ``deleting`` or ``failed``. ``instance`` is the member which it is to have.
    """
    if cluster is None:
        return "absent"
    status = cluster.get("Status")
    if status == "deleting":
        return "deleting"
    if status in CLUSTER_FAILURES:
        return "failed"
    if status == "promoting":
        return "promoting"
    if status == "creating":
        return "creating_cluster"
    mine = [member for member in members if member["DBInstanceIdentifier"] == instance]
    if not is_replica(cluster):
        return "promoted"
    if not mine:
        return "no_instance"
    return member_phase(mine[0].get("DBInstanceStatus"))


def member_phase(status: str | None) -> str:
    """What an instance's status says of its replica: ``creating_instance``, ``replica`` or ``failed``."""
    if status in INSTANCE_FAILURES:
        return "failed"
    return "creating_instance" if status in ("creating", "backing-up", "configuring-enhanced-monitoring") else "replica"
