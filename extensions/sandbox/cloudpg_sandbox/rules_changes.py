# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What RDS refuses when an instance is modified or rebooted, and when an instance or a cluster is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import catalogue
from .rules_common import (
    Params,
    check_identifier,
    check_orderable,
    cluster_state,
    combination,
    given,
    instance_state,
    value,
)

MODIFIED_ON_THE_CLUSTER = {
    "MasterUserPassword": "master user password",
    "EngineVersion": "the DB engine version",
    "VpcSecurityGroupIds": "vpc security groups",
    "BackupRetentionPeriod": "backup retention",
    "PreferredBackupWindow": "backup window",
    "DeletionProtection": "deletion protection",
    "DBPortNumber": "database endpoint port number",
    "EnableIAMDatabaseAuthentication": "IAM database authentication",
}
MODIFIABLE_STATES = ("available", "storage-optimization", "incompatible-parameters", "storage-full")
REBOOTABLE_STATES = ("available", "storage-optimization", "incompatible-parameters")


def _check_version_change(params: Params, instance: Mapping[str, Any]) -> None:
    engine, current, asked = instance["Engine"], instance["EngineVersion"], params["EngineVersion"]
    if asked == current:
        return
    version = catalogue.resolve_version(engine, asked)
    if version is None:
        raise combination(f"Cannot find version {asked} for {engine}")
    described = catalogue.engine_versions(engine, version=current, include_all=True)
    targets = [target["EngineVersion"] for entry in described for target in entry["ValidUpgradeTarget"]]
    if version not in targets:
        raise combination(f"Cannot upgrade {engine} from {current} to {asked}")
    if catalogue.major_of(version) != catalogue.major_of(current) and not params.get("AllowMajorVersionUpgrade"):
        raise combination("The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.")


def check_modify_instance(params: Params, instance: Mapping[str, Any]) -> None:
    """ModifyDBInstance: the state, what belongs to the cluster, one security group at least (R18), versions (R5)."""
    if instance["DBInstanceStatus"] not in MODIFIABLE_STATES:
        raise instance_state("Database instance is not in available state.")
    if instance.get("DBClusterIdentifier"):
        for parameter, what in MODIFIED_ON_THE_CLUSTER.items():
            if given(params, parameter):
                raise combination(
                    f"The specified DB Instance is a member of a cluster. Modify {what} for the DB Cluster using the"
                    " ModifyDbCluster API"
                )
    if given(params, "VpcSecurityGroupIds") and not [group for group in params["VpcSecurityGroupIds"] if group]:
        raise value("VpcSecurityGroupIds must not be empty: a DB instance keeps at least one VPC security group.")
    replicas = (instance.get("ReadReplicaDBClusterIdentifiers"), instance.get("ReadReplicaDBInstanceIdentifiers"))
    if params.get("BackupRetentionPeriod") == 0 and any(replicas):
        raise instance_state("Automated backups cannot be disabled on a DB instance with read replicas.")
    if params.get("EngineVersion"):
        _check_version_change(params, instance)
    if params.get("DBInstanceClass"):
        check_orderable(instance["Engine"], instance["EngineVersion"], params["DBInstanceClass"])
    if given(params, "NewDBInstanceIdentifier"):
        check_identifier(params["NewDBInstanceIdentifier"], "NewDBInstanceIdentifier")


def check_reboot(instance: Mapping[str, Any], params: Params | None = None) -> None:
    """RebootDBInstance: only an available instance (R18); a failover only with a Multi-AZ standby."""
    if instance["DBInstanceStatus"] not in REBOOTABLE_STATES:
        raise instance_state("Database instance is not in available state.")
    if (params or {}).get("ForceFailover") and not instance.get("MultiAZ"):
        raise combination("You can't specify ForceFailover: the DB instance is not configured for Multi-AZ.")


def _check_final_snapshot(params: Params) -> None:
    skipped, final = bool(params.get("SkipFinalSnapshot")), params.get("FinalDBSnapshotIdentifier")
    if skipped and final:
        raise combination("You cannot specify both FinalDBSnapshotIdentifier and SkipFinalSnapshot")
    if not skipped and not final:
        raise combination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
    if final:
        check_identifier(final, "FinalDBSnapshotIdentifier")


def check_delete_cluster(params: Params, cluster: Mapping[str, Any]) -> None:
    """DeleteDBCluster. `DBClusterMembers` holds the members that aren't being deleted already."""
    name = cluster["DBClusterIdentifier"]
    if cluster.get("DeletionProtection"):
        raise combination("Cannot delete protected Cluster, please disable deletion protection and try again.")
    if cluster["Status"] == "deleting":
        raise cluster_state(f"DB cluster {name} is already being deleted.")
    _check_final_snapshot(params)
    if cluster.get("DBClusterMembers"):
        raise cluster_state(
            "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
        )
    if params.get("FinalDBSnapshotIdentifier") and cluster["Status"] != "available":
        raise cluster_state(
            f"Cannot create a snapshot because the database cluster {name} is not currently in the available state."
        )


def _check_delete_member(params: Params, instance: Mapping[str, Any], cluster: Mapping[str, Any] | None) -> None:
    if params.get("FinalDBSnapshotIdentifier"):
        raise combination("FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance")
    # Nothing can be promoted where the only instance never came up: that one may go.
    if instance["DBInstanceStatus"] == "failed" or not cluster:
        return
    if cluster.get("ReplicationSourceIdentifier") and len(cluster.get("DBClusterMembers") or ()) == 1:
        raise cluster_state(
            "Cannot delete the last instance of the read replica DB cluster. Promote the DB cluster to a standalone DB"
            " cluster in order to delete it."
        )


def check_delete_instance(
    params: Params, instance: Mapping[str, Any], cluster: Mapping[str, Any] | None = None
) -> None:
    """DeleteDBInstance; `cluster` is the one it is a member of, with the members that aren't being deleted already.

    A source with an Aurora replica stays, and the last instance of a replica cluster can be deleted only after its
    promotion: undoing an unpromoted replica means promoting it behind closed groups first.
    """
    name = instance["DBInstanceIdentifier"]
    if instance.get("DeletionProtection"):
        raise combination("Cannot delete protected DB Instance, please disable deletion protection and try again.")
    if instance["DBInstanceStatus"] == "deleting":
        raise instance_state(f"Instance {name} is already being deleted.")
    if instance.get("DBClusterIdentifier"):
        return _check_delete_member(params, instance, cluster)
    replicas = instance.get("ReadReplicaDBClusterIdentifiers")
    if replicas:
        raise instance_state(
            f"Cannot delete DB instance {name}: it is the replication source of {', '.join(replicas)}.",
        )
    if instance.get("ReadReplicaSourceDBInstanceIdentifier") and params.get("FinalDBSnapshotIdentifier"):
        raise combination("FinalDBSnapshotIdentifier can not be specified when deleting a replica instance")
    if instance.get("ReadReplicaSourceDBInstanceIdentifier"):
        return None
    return _check_final_snapshot(params)
