# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DB cluster snapshots: the API calls."""

from __future__ import annotations

from moto.core.responses import ActionResult

from .rds_base import RDSOperations, filters_of, matches
from .rds_model import Cluster, now
from .rds_snapshots_model import Snapshot
from .rules import ApiError

COPIED = (
    "AllocatedStorage", "AvailabilityZones", "BackupRetentionPeriod", "ClusterCreateTime", "DBClusterIdentifier",
    "DbClusterResourceId", "Engine", "EngineMode", "EngineVersion", "IAMDatabaseAuthenticationEnabled", "KmsKeyId",
    "MasterUsername", "Port", "PreferredBackupWindow", "StorageEncrypted", "StorageEncryptionType",
)


class ClusterSnapshotOperations(RDSOperations):
    """The final snapshots of clusters: made with the deletion, described and deleted."""

    def add_cluster_snapshot(self, identifier: str, cluster: Cluster) -> Snapshot:
        """A manual snapshot in state creating; the data is up to the caller."""
        name = identifier.lower()
        if name in self.store.cluster_snapshots:
            raise ApiError(
                "DBClusterSnapshotAlreadyExistsFault", f"Cannot create the cluster snapshot {name}: it already exists",
                400,
            )
        facts = {key: cluster.facts[key] for key in COPIED if key in cluster.facts}
        facts.update({
            "DBClusterSnapshotIdentifier": name,
            "DBClusterSnapshotArn": self.store.arn("cluster-snapshot", name),
            "SnapshotCreateTime": now(),
            "Status": "creating",
            "SnapshotType": "manual",
            "PercentProgress": 0,
            "LicenseModel": "postgresql-license",
            "VpcId": self.subnet_group_facts(cluster.facts["DBSubnetGroup"])["VpcId"],
            "TagList": cluster.tags if cluster.facts["CopyTagsToSnapshot"] else [],
        })
        snapshot = Snapshot(facts, "Cluster", self.world.new_directory("p"))
        self.store.cluster_snapshots[name] = snapshot
        return snapshot

    def cluster_snapshot(self, identifier: str) -> Snapshot:
        """By identifier or ARN; raises DBClusterSnapshotNotFoundFault."""
        name = identifier.rsplit(":", 1)[-1].lower()
        if name not in self.store.cluster_snapshots:
            raise ApiError("DBClusterSnapshotNotFoundFault", f"DBClusterSnapshot {name} not found.", 404)
        return self.store.cluster_snapshots[name]

    def describe_db_cluster_snapshots(self) -> ActionResult:
        request = self.request
        wanted = filters_of(request, ("db-cluster-id", "db-cluster-snapshot-id", "snapshot-type", "engine"))
        with self.world.lock:
            if request.get("DBClusterSnapshotIdentifier"):
                found = [self.cluster_snapshot(request["DBClusterSnapshotIdentifier"])]
            else:
                found = list(self.store.cluster_snapshots.values())
            cluster, kind = request.get("DBClusterIdentifier"), request.get("SnapshotType")
            return self.page("DBClusterSnapshots", [
                dict(one.facts) for one in found
                if matches(cluster and [cluster], one.facts["DBClusterIdentifier"])
                and matches(kind and [kind], one.facts["SnapshotType"])
                and matches(wanted.get("db-cluster-id"), one.facts["DBClusterIdentifier"])
                and matches(wanted.get("db-cluster-snapshot-id"), one.identifier)
                and matches(wanted.get("snapshot-type"), one.facts["SnapshotType"])
                and matches(wanted.get("engine"), one.facts["Engine"])
            ])

    def delete_db_cluster_snapshot(self) -> ActionResult:
        with self.world.lock:
            snapshot = self.cluster_snapshot(self.request["DBClusterSnapshotIdentifier"])
            if snapshot.facts["Status"] != "available":
                raise ApiError("InvalidDBClusterSnapshotStateFault", f"{snapshot.identifier} is not available.", 400)
            del self.store.cluster_snapshots[snapshot.identifier]
        snapshot.discard()
        return ActionResult({"DBClusterSnapshot": {**snapshot.facts, "Status": "deleted"}})
