# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DB snapshots: the API calls."""

from __future__ import annotations

from moto.core.responses import ActionResult

from . import instance_work
from .rds_base import RDSOperations, filters_of, matches
from .rds_model import Instance, now
from .rds_snapshots_model import Snapshot
from .rules import ApiError

COPIED = (
    "Engine", "EngineVersion", "AllocatedStorage", "AvailabilityZone", "MasterUsername", "InstanceCreateTime",
    "LicenseModel", "StorageType", "StorageThroughput", "Iops", "KmsKeyId", "DbiResourceId", "DBName",
)


class SnapshotOperations(RDSOperations):
    """Create, describe and delete snapshots of instances."""

    def add_snapshot(self, identifier: str, instance: Instance) -> Snapshot:
        """A manual snapshot in state creating; the data is up to the caller."""
        name = identifier.lower()
        if name in self.store.snapshots:
            raise ApiError("DBSnapshotAlreadyExists", f"Cannot create the snapshot {name}: it already exists", 400)
        facts = {key: instance.facts[key] for key in COPIED if key in instance.facts}
        facts.update({
            "DBSnapshotIdentifier": name,
            "DBSnapshotArn": self.store.arn("snapshot", name),
            "DBInstanceIdentifier": instance.identifier,
            "SnapshotCreateTime": now(),
            "OriginalSnapshotCreateTime": now(),
            "Status": "creating",
            "SnapshotType": "manual",
            "PercentProgress": 0,
            "Port": instance.port,
            "VpcId": instance.facts["DBSubnetGroup"]["VpcId"],
            "Encrypted": instance.facts["StorageEncrypted"],
            "IAMDatabaseAuthenticationEnabled": instance.facts["IAMDatabaseAuthenticationEnabled"],
            "OptionGroupName": instance.facts["OptionGroupMemberships"][0]["OptionGroupName"],
            "SnapshotTarget": "region",
            "TagList": self.request.get("Tags") or (
                instance.tags if instance.facts["CopyTagsToSnapshot"] else []
            ),
        })
        snapshot = Snapshot(facts, "", self.world.new_directory("p"))
        self.store.snapshots[name] = snapshot
        return snapshot

    def snapshot(self, identifier: str) -> Snapshot:
        """By identifier or ARN; raises DBSnapshotNotFound."""
        name = identifier.rsplit(":", 1)[-1].lower()
        if name not in self.store.snapshots:
            raise ApiError("DBSnapshotNotFound", f"DBSnapshot {name} not found.", 404)
        return self.store.snapshots[name]

    def create_db_snapshot(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            instance = self.store.instance(request["DBInstanceIdentifier"])
            if instance.state != "available":
                raise ApiError(
                    "InvalidDBInstanceState", f"Instance {instance.identifier} is not in the available state.", 400
                )
            snapshot = self.add_snapshot(request["DBSnapshotIdentifier"], instance)
            instance.state = "backing-up"
            self.world.spawn(self._take, snapshot, instance)
            return ActionResult({"DBSnapshot": dict(snapshot.facts)})

    @staticmethod
    def _take(snapshot: Snapshot, instance: Instance) -> None:
        region = instance.region
        region.record(instance, "Backing up DB instance", "backup")
        try:
            assert instance.server is not None
            with instance_work.failing_to(instance, "available"):
                region.world.pause(instance.identifier, "backing-up")
                snapshot.copy(instance.server)
        except Exception:
            snapshot.fail()
            raise
        instance.facts["LatestRestorableTime"] = now()
        region.record(instance, "Finished DB Instance backup", "backup")
        instance.state = "available"

    def describe_db_snapshots(self) -> ActionResult:
        request = self.request
        wanted = filters_of(request, ("db-instance-id", "db-snapshot-id", "dbi-resource-id", "snapshot-type", "engine"))
        with self.world.lock:
            if request.get("DBSnapshotIdentifier"):
                found = [self.snapshot(request["DBSnapshotIdentifier"])]
            else:
                found = list(self.store.snapshots.values())
            instance = request.get("DBInstanceIdentifier")
            kind = request.get("SnapshotType")
            return self.page("DBSnapshots", [
                dict(one.facts) for one in found
                if matches(instance and [instance], one.facts["DBInstanceIdentifier"])
                and matches(kind and [kind], one.facts["SnapshotType"])
                and matches(wanted.get("db-instance-id"), one.facts["DBInstanceIdentifier"])
                and matches(wanted.get("db-snapshot-id"), one.identifier, one.arn)
                and matches(wanted.get("dbi-resource-id"), one.facts["DbiResourceId"])
                and matches(wanted.get("snapshot-type"), one.facts["SnapshotType"])
                and matches(wanted.get("engine"), one.facts["Engine"])
            ])

    def delete_db_snapshot(self) -> ActionResult:
        with self.world.lock:
            snapshot = self.snapshot(self.request["DBSnapshotIdentifier"])
            if snapshot.facts["Status"] != "available":
                raise ApiError("InvalidDBSnapshotState", f"{snapshot.identifier} is not available.", 400)
            del self.store.snapshots[snapshot.identifier]
        snapshot.discard()
        return ActionResult({"DBSnapshot": {**snapshot.facts, "Status": "deleted"}})
