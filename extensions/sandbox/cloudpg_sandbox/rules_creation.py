# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What RDS refuses when a replica cluster is created, gets its instance and is promoted (R1 to R8, R16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import catalogue
from .rules_common import (
    ApiError,
    Params,
    check_identifier,
    check_orderable,
    cluster_state,
    combination,
    given,
    instance_state,
    subnet_group,
    value,
)

# What belongs to the cluster, and how RDS names it when it is asked of a member (R2).
CLUSTER_SETTINGS = {
    "MasterUsername": "master user name",
    "MasterUserPassword": "master user password",
    "ManageMasterUserPassword": "master user password",
    "DBName": "database name",
    "EngineVersion": "engine version",
    "VpcSecurityGroupIds": "vpc security group",
    "StorageEncrypted": "storage encryption",
    "KmsKeyId": "KMS key",
    "BackupRetentionPeriod": "backup retention period",
    "PreferredBackupWindow": "backup window",
    "EnableIAMDatabaseAuthentication": "IAM database authentication",
    "Port": "database endpoint port number",
}
SOURCE_STATES = ("available", "storage-optimization")


def _check_source(source: Mapping[str, Any] | None, arn: str) -> Mapping[str, Any]:
    """R1: the source is named by its ARN; R3: it is a backed up RDS instance of this Region and account."""
    parts = arn.split(":")
    if len(parts) != 7 or parts[:3] != ["arn", "aws", "rds"] or parts[5] not in ("db", "cluster"):
        raise value(
            f"Invalid replication source identifier: {arn}. Specify the Amazon Resource Name (ARN) of the source."
        )
    if source is None:
        raise ApiError("DBInstanceNotFound", f"DBInstance {parts[6]} not found.", 404)
    if source["DBInstanceArn"] != arn:
        raise value(
            f"The source {arn} is not in this Region and account. An Aurora read replica of an RDS for PostgreSQL DB"
            " instance can be created only in the same AWS Region and account."
        )
    if source["Engine"] != "postgres" or source.get("DBClusterIdentifier"):
        raise combination(
            f"Cannot replicate from {source['Engine']} to aurora-postgresql: the source must be an RDS for PostgreSQL"
            " DB instance."
        )
    if source["DBInstanceStatus"] not in SOURCE_STATES:
        raise instance_state("Database instance is not in available state.")
    if not source.get("BackupRetentionPeriod"):
        raise instance_state(
            "Automated backups are not enabled for this database instance. To enable automated backups, use"
            " ModifyDBInstance to set the backup retention period to a non-zero value."
        )
    return source


def _check_other_replicas(source: Mapping[str, Any], clusters: Iterable[Mapping[str, Any]]) -> None:
    """R3: one Aurora replica a source, and none beside a replica in another Region."""
    name = source["DBInstanceIdentifier"]
    others = set(source.get("ReadReplicaDBClusterIdentifiers") or ())
    others |= {
        cluster["DBClusterIdentifier"]
        for cluster in clusters
        if cluster.get("ReplicationSourceIdentifier") == source["DBInstanceArn"]
    }
    if others:
        raise instance_state(f"The DB instance {name} already has an Aurora read replica: {', '.join(sorted(others))}.")
    region = source["DBInstanceArn"].split(":")[3]
    for replica in source.get("ReadReplicaDBInstanceIdentifiers") or ():
        if replica.startswith("arn:") and replica.split(":")[3] != region:
            raise instance_state(
                f"The DB instance {name} has a cross-Region read replica ({replica}); an Aurora read replica cannot be"
                " created."
            )


def _check_replica_version(params: Params, source: Mapping[str, Any]) -> None:
    """R3, R5: the version exists, the major is the source's, the minor is no older, compared as numbers."""
    asked = params.get("EngineVersion")
    version = catalogue.resolve_version("aurora-postgresql", asked)
    if version is None:
        raise combination(f"Cannot find version {asked} for aurora-postgresql")
    ours, theirs = catalogue.version_key(version), catalogue.version_key(source["EngineVersion"])
    if ours[0] != theirs[0] or ours < theirs:
        raise combination(
            f"Cannot replicate from postgres {source['EngineVersion']} to aurora-postgresql {version}: the replica must"
            " have the same major version and the same or a higher minor version."
        )


def _check_replica_encryption(params: Params, source: Mapping[str, Any]) -> None:
    """R4: never from encrypted to unencrypted; an unencrypted source needs the key named."""
    encrypted = bool(params.get("StorageEncrypted"))
    source_encrypted = bool(source.get("StorageEncrypted") or source.get("KmsKeyId"))
    if source_encrypted and not encrypted:
        raise combination("Cannot create an unencrypted read replica from encrypted source.")
    if encrypted and not source_encrypted and not params.get("KmsKeyId"):
        raise combination("kmsKeyId should be explicitly specified to encrypt a replica of an unencrypted source.")
    if params.get("KmsKeyId") and not encrypted:
        raise combination("KmsKeyId can't be specified when StorageEncrypted is not set.")


def check_create_replica_cluster(
    params: Params, source: Mapping[str, Any] | None, existing_clusters: Iterable[Mapping[str, Any]]
) -> None:
    """CreateDBCluster with a ReplicationSourceIdentifier (R1, R3, R4, R5)."""
    clusters = list(existing_clusters)
    check_identifier(params.get("DBClusterIdentifier"), "cluster")
    if params.get("Engine") != "aurora-postgresql":
        raise value(f"Invalid DB engine: {params.get('Engine')}. An RDS for PostgreSQL source needs aurora-postgresql.")
    for parameter, what in (
        ("MasterUsername", "user name"),
        ("MasterUserPassword", "password"),
        ("ManageMasterUserPassword", "password"),
        ("DatabaseName", "database name"),
    ):
        if given(params, parameter):
            raise combination(f"Cannot specify {what} for instance cluster replication cluster")
    if params["DBClusterIdentifier"].lower() in (cluster["DBClusterIdentifier"] for cluster in clusters):
        raise ApiError("DBClusterAlreadyExistsFault", "DB Cluster already exists")
    source = _check_source(source, params["ReplicationSourceIdentifier"])
    _check_other_replicas(source, clusters)
    _check_replica_version(params, source)
    _check_replica_encryption(params, source)
    theirs = subnet_group(source)
    ours = params.get("DBSubnetGroupName") or "default"
    if ours != theirs:
        raise combination(f"The DB subnet group {ours} is not that of the replication source ({theirs}).")


def check_create_cluster_member(params: Params, cluster: Mapping[str, Any] | None) -> None:
    """CreateDBInstance with a DBClusterIdentifier (R2, R5, R8)."""
    check_identifier(params.get("DBInstanceIdentifier"), "instance")
    if cluster is None:
        raise ApiError("DBClusterNotFoundFault", f"DBCluster {params['DBClusterIdentifier']} not found.", 404)
    if params.get("Engine") != cluster["Engine"]:
        raise combination(
            f"The engine name requested for your DB instance ({params.get('Engine')}) doesn't match the engine name of"
            f" your DB cluster ({cluster['Engine']})."
        )
    for parameter, what in CLUSTER_SETTINGS.items():
        if given(params, parameter):
            raise combination(
                f"The requested DB Instance will be a member of a DB Cluster. Set {what} for the DB Cluster."
            )
    if params.get("DeletionProtection"):
        raise combination("Deletion Protection can only be applied on the Cluster level, not for individual instances")
    if cluster["Status"] != "available":
        raise cluster_state(f"DB cluster {cluster['DBClusterIdentifier']} is not in available state.")
    if params.get("DBSubnetGroupName") not in (None, subnet_group(cluster)):
        raise combination("The DB subnet group of the DB instance must be that of the DB cluster.")
    check_orderable(cluster["Engine"], cluster["EngineVersion"], params.get("DBInstanceClass"))
    if cluster.get("ReplicationSourceIdentifier") and cluster.get("DBClusterMembers"):
        raise cluster_state(
            f"The read replica DB cluster {cluster['DBClusterIdentifier']} already has a DB instance. Promote the DB"
            " cluster to a standalone DB cluster in order to add more."
        )


def check_promote(cluster: Mapping[str, Any] | None) -> None:
    """PromoteReadReplicaDBCluster: only a replica, only once, only when it is available (R7, R16)."""
    if cluster is None:
        raise ApiError("DBClusterNotFoundFault", "DBCluster not found.", 404)
    name = cluster["DBClusterIdentifier"]
    if not cluster.get("ReplicationSourceIdentifier"):
        raise cluster_state(f"DB cluster {name} is not a read replica cluster.")
    if cluster["Status"] != "available":
        raise cluster_state(f"DB cluster {name} is not in available state.")
    if not cluster.get("DBClusterMembers"):
        raise cluster_state(f"DB cluster {name} has no DB instance to promote.")
