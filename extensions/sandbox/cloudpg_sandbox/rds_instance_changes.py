# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DB instances: the calls that change them."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult

from . import cluster_work, ec2, group_work, instance_work, rules
from .rds_base import invalid_combination
from .rds_instances import InstanceOperations, parameter_family, resolve_version
from .rds_model import Facts, Instance, major_of
from .rds_snapshots import SnapshotOperations
from .rules import ApiError

# Changes that don't wait for the maintenance window, whatever ApplyImmediately says.
AT_ONCE = {
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "PreferredMaintenanceWindow": "PreferredMaintenanceWindow",
    "PreferredBackupWindow": "PreferredBackupWindow",
    "CopyTagsToSnapshot": "CopyTagsToSnapshot",
    "DeletionProtection": "DeletionProtection",
    "PubliclyAccessible": "PubliclyAccessible",
    "MonitoringInterval": "MonitoringInterval",
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "MaxAllocatedStorage": "MaxAllocatedStorage",
    "PromotionTier": "PromotionTier",
    "CACertificateIdentifier": "CACertificateIdentifier",
}
# Changes that wait in PendingModifiedValues unless ApplyImmediately is given.
IN_THE_WINDOW = (
    "DBInstanceClass", "AllocatedStorage", "EngineVersion", "MultiAZ", "StorageType", "Iops", "StorageThroughput",
    "BackupRetentionPeriod",
)


class InstanceChanges(InstanceOperations, SnapshotOperations):
    """Modify, reboot, stop, start and delete DB instances."""

    def modify_db_instance(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            instance = self.store.instance(request["DBInstanceIdentifier"])
            if request.get("EngineVersion") == str(major_of(instance.facts["EngineVersion"])):
                request["EngineVersion"] = instance.facts["EngineVersion"]
            rules.check_modify_instance(request, instance.described())
            works: list[Any] = []
            if request.get("VpcSecurityGroupIds") is not None:
                ec2.check_groups(self.store, request["VpcSecurityGroupIds"])
                if group_work.begin_group_change(instance, request["VpcSecurityGroupIds"]):
                    works.append((group_work.change_groups, instance, request["VpcSecurityGroupIds"]))
            if request.get("DBParameterGroupName"):
                self._change_parameter_group(instance, request["DBParameterGroupName"])
            for name, fact in AT_ONCE.items():
                if request.get(name) is not None:
                    instance.facts[fact] = request[name]
            now_changed = self._changes_for_the_window(instance, request)
            if request.get("MasterUserPassword"):
                works.append((self._change_password, instance, request["MasterUserPassword"]))
            answer = instance.described()
            if now_changed or works:
                instance.state = "modifying" if now_changed else instance.state
                self.world.spawn(self._modify, instance, works, now_changed)
            return ActionResult({"DBInstance": answer})

    def _change_parameter_group(self, instance: Instance, name: str) -> None:
        group = self.store.parameter_group("instance", name)
        current = instance.facts["DBParameterGroups"][0]["DBParameterGroupName"]
        if group.family != parameter_family(instance.facts["Engine"], instance.facts["EngineVersion"]):
            raise invalid_combination(f"The parameter group {name} is of family {group.family}, not the instance's.")
        if group.name != current:
            instance.facts["DBParameterGroups"] = [{"DBParameterGroupName": group.name}]
            instance.group_changed["instance"] = True

    def _changes_for_the_window(self, instance: Instance, request: Facts) -> Facts:
        wanted = {
            name: request[name] for name in IN_THE_WINDOW
            if request.get(name) is not None and request[name] != instance.facts.get(name)
        }
        if "EngineVersion" in wanted:
            wanted["EngineVersion"] = resolve_version(instance.facts["Engine"], wanted["EngineVersion"])
            if major_of(wanted["EngineVersion"]) != major_of(instance.facts["EngineVersion"]):
                raise invalid_combination("The sandbox doesn't imitate major version upgrades in place.")
        new_name = request.get("NewDBInstanceIdentifier")
        if new_name and new_name.lower() != instance.identifier:
            wanted["DBInstanceIdentifier"] = self._free_instance_name(new_name)
        if request.get("ApplyImmediately"):
            return wanted
        instance.facts["PendingModifiedValues"].update(wanted)
        return {}

    @staticmethod
    def _change_password(instance: Instance, password: str) -> None:
        instance.password = password
        if instance.server is not None and instance.is_writer:
            instance_work.change_password(instance.server, instance.facts["MasterUsername"], password)

    def _modify(self, instance: Instance, works: list[Any], changes: Facts) -> None:
        world = instance.region.world
        for work, *arguments in works:
            work(*arguments)
        if not changes:
            return
        with instance_work.failing_to(instance, "failed"):
            world.pause(instance.identifier, "modifying")
            if {"DBInstanceClass", "EngineVersion"} & changes.keys() and instance.server is not None:
                instance.server.restart()
                instance.region.record(instance, "DB instance restarted", "availability")
        with world.lock:
            for name in changes:
                instance.facts["PendingModifiedValues"].pop(name, None)
            self._rename(instance, changes.pop("DBInstanceIdentifier", None))
            instance.facts.update(changes)
            instance.region.record(instance, "Finished applying modification to DB instance", "configuration change")
            instance.state = "available"

    @staticmethod
    def _rename(instance: Instance, name: str | None) -> None:
        if name is None:
            return
        region = instance.region
        old_arn = instance.arn
        region.instances.pop(instance.identifier)
        instance.facts["DBInstanceIdentifier"] = name
        instance.facts["DBInstanceArn"] = region.arn("db", name)
        region.instances[name] = instance
        for cluster in region.clusters.values():
            if cluster.facts.get("ReplicationSourceIdentifier") == old_arn:
                cluster.facts["ReplicationSourceIdentifier"] = instance.arn

    def reboot_db_instance(self) -> ActionResult:
        with self.world.lock:
            instance = self.store.instance(self.request["DBInstanceIdentifier"])
            rules.check_reboot(instance.described())
            return self._begin(instance, "rebooting", instance_work.reboot_instance)

    def stop_db_instance(self) -> ActionResult:
        with self.world.lock:
            instance = self.store.instance(self.request["DBInstanceIdentifier"])
            self._check_state(instance, "available", "stopped")
            return self._begin(instance, "stopping", instance_work.stop_instance)

    def start_db_instance(self) -> ActionResult:
        with self.world.lock:
            instance = self.store.instance(self.request["DBInstanceIdentifier"])
            self._check_state(instance, "stopped", "started")
            return self._begin(instance, "starting", instance_work.start_instance)

    @staticmethod
    def _check_state(instance: Instance, needed: str, done: str) -> None:
        if instance.state != needed:
            raise ApiError(
                "InvalidDBInstanceState",
                f"Instance {instance.identifier} cannot be {done} as it is not in {needed} state.", 400,
            )

    def _begin(self, instance: Instance, state: str, work: Any) -> ActionResult:
        instance.state = state
        self.world.spawn(work, instance)
        return ActionResult({"DBInstance": instance.described()})

    def delete_db_instance(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            instance = self.store.instance(request["DBInstanceIdentifier"])
            cluster = instance.cluster
            rules.check_delete_instance(request, instance.described(), cluster.remaining() if cluster else None)
            final = None
            if request.get("FinalDBSnapshotIdentifier") and not request.get("SkipFinalSnapshot"):
                final = self.add_snapshot(request["FinalDBSnapshotIdentifier"], instance)
            instance.state = "deleting"
            if cluster is not None:
                self.world.spawn(cluster_work.delete_member, instance, cluster)
            else:
                self.world.spawn(instance_work.delete_instance, instance, final)
            return ActionResult({"DBInstance": instance.described()})
