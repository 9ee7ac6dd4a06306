# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DB instances: the API calls."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult

from . import catalogue, ec2, rds_work, rules
from .rds_base import RDSOperations, filters_of, invalid_combination, invalid_value, matches
from .rds_model import Cluster, Facts, Instance, major_of, now, resource_id
from .rules import ApiError

DEFAULT_PORT = 5432
ENGINES = ("postgres", "aurora-postgresql")
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


def resolve_version(engine: str, version: str | None) -> str:
    """A full version of an engine; raises AWS's InvalidParameterCombination for one that doesn't exist."""
    resolved = catalogue.resolve_version(engine, version)
    if resolved is None:
        raise invalid_combination(f"Cannot find version {version} for {engine}")
    return resolved


def parameter_family(engine: str, version: str) -> str:
    """The parameter group family of an engine's version."""
    return f"{engine}{major_of(version)}"


def storage_facts(request: Facts, engine: str) -> Facts:
    """What AWS says about an instance's storage; gp3 always comes with its baseline."""
    if engine != "postgres":
        return {"AllocatedStorage": 1, "StorageType": "aurora", "StorageThroughput": 0}
    kind = request.get("StorageType", "gp3")
    iops = request.get("Iops", 3000 if kind == "gp3" else None)
    return {
        "AllocatedStorage": request.get("AllocatedStorage", 20),
        "StorageType": kind,
        "StorageThroughput": request.get("StorageThroughput", 125 if kind == "gp3" else 0),
        **({"Iops": iops} if iops else {}),
    }


class InstanceOperations(RDSOperations):
    """Create, describe, modify, reboot, stop, start and delete DB instances."""

    def create_db_instance(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            name = self._free_instance_name(request["DBInstanceIdentifier"])
            if request.get("Engine") not in ENGINES:
                raise invalid_value(f"Invalid DB engine: the sandbox has {' and '.join(ENGINES)}")
            if request.get("DBClusterIdentifier"):
                cluster = self.store.cluster(request["DBClusterIdentifier"])
                rules.check_create_cluster_member(request, cluster.described())
                instance = self._new_member(name, request, cluster)
                self.world.spawn(rds_work.create_member, instance, cluster)
            else:
                instance = self._new_instance(name, request)
                self.world.spawn(rds_work.create_instance, instance)
            return ActionResult({"DBInstance": instance.described()})

    def _free_instance_name(self, identifier: str) -> str:
        rules.check_identifier(identifier, "DBInstanceIdentifier")
        name = str(identifier).lower()
        if name in self.store.instances:
            raise ApiError("DBInstanceAlreadyExists", "DB instance already exists", 400)
        return name

    def _new_instance(self, name: str, request: Facts) -> Instance:
        if request["Engine"] != "postgres":
            raise invalid_combination(f"DBClusterIdentifier is required for engine {request['Engine']}.")
        for needed in ("MasterUsername", "MasterUserPassword"):
            if not request.get(needed):
                raise ApiError("InvalidParameterValue", f"The parameter {needed} must be provided", 400)
        if len(request["MasterUserPassword"]) < 8:
            raise invalid_value("The parameter MasterUserPassword is not a valid password: at least 8 characters.")
        version = resolve_version("postgres", request.get("EngineVersion"))
        instance = self.add_instance(name, request, version, request["Engine"])
        instance.password = request["MasterUserPassword"]
        return instance

    def _new_member(self, name: str, request: Facts, cluster: Cluster) -> Instance:
        inherited = {
            "BackupRetentionPeriod": cluster.facts["BackupRetentionPeriod"],
            "MasterUsername": cluster.facts["MasterUsername"],
            "StorageEncrypted": cluster.facts["StorageEncrypted"],
            "KmsKeyId": cluster.facts.get("KmsKeyId"),
            "DBSubnetGroupName": cluster.facts.get("DBSubnetGroup"),
            "Port": cluster.port,
        }
        instance = self.add_instance(
            name, {**request, **inherited}, cluster.facts["EngineVersion"], cluster.facts["Engine"]
        )
        instance.facts["VpcSecurityGroups"] = []
        instance.facts["DBClusterIdentifier"] = cluster.identifier
        instance.facts["PromotionTier"] = request.get("PromotionTier", 1)
        return instance

    def add_instance(self, name: str, request: Facts, version: str, engine: str) -> Instance:
        """A new instance in state creating, with AWS's defaults for what the request leaves out."""
        store = self.store
        self.world.installations.get(major_of(version))
        group = store.parameter_group(
            "instance", request.get("DBParameterGroupName") or f"default.{parameter_family(engine, version)}"
        )
        if group.family != parameter_family(engine, version):
            raise invalid_combination(
                f"The Parameter Group {group.name} with DBParameterGroupFamily {group.family} can't be used for this"
                f" instance. Please use a Parameter Group with DBParameterGroupFamily"
                f" {parameter_family(engine, version)}"
            )
        arn = store.arn("db", name)
        facts = {
            "DBInstanceIdentifier": name,
            "DBInstanceClass": request["DBInstanceClass"],
            "Engine": engine,
            "EngineVersion": version,
            "DBInstanceStatus": "creating",
            "MasterUsername": request["MasterUsername"],
            "InstanceCreateTime": now(),
            "PreferredBackupWindow": request.get("PreferredBackupWindow", "03:00-03:30"),
            "BackupRetentionPeriod": request.get("BackupRetentionPeriod", 1),
            "DBSecurityGroups": [],
            "VpcSecurityGroups": rds_work.group_facts(self.groups_or_default(request), "active"),
            "DBParameterGroups": [{"DBParameterGroupName": group.name}],
            "AvailabilityZone": request.get("AvailabilityZone", f"{store.name}a"),
            "DBSubnetGroup": self.subnet_group_facts(request.get("DBSubnetGroupName")),
            "PreferredMaintenanceWindow": request.get("PreferredMaintenanceWindow", "sun:04:00-sun:04:30").lower(),
            "PendingModifiedValues": {},
            "MultiAZ": request.get("MultiAZ", False),
            "AutoMinorVersionUpgrade": request.get("AutoMinorVersionUpgrade", True),
            "ReadReplicaDBInstanceIdentifiers": [],
            "ReadReplicaDBClusterIdentifiers": [],
            "LicenseModel": "postgresql-license",
            "OptionGroupMemberships": [
                {"OptionGroupName": f"default:{engine}-{major_of(version)}", "Status": "in-sync"}
            ],
            "PubliclyAccessible": request.get("PubliclyAccessible", False),
            **storage_facts(request, engine),
            "DbInstancePort": 0,
            "DbiResourceId": resource_id("db-", arn),
            "CACertificateIdentifier": request.get("CACertificateIdentifier", "rds-ca-rsa2048-g1"),
            "DomainMemberships": [],
            "CopyTagsToSnapshot": request.get("CopyTagsToSnapshot", False),
            "MonitoringInterval": request.get("MonitoringInterval", 0),
            "DBInstanceArn": arn,
            "IAMDatabaseAuthenticationEnabled": request.get("EnableIAMDatabaseAuthentication", False),
            "PerformanceInsightsEnabled": request.get("EnablePerformanceInsights", False),
            "DeletionProtection": request.get("DeletionProtection", False),
            "AssociatedRoles": [],
            "TagList": request.get("Tags", []),
            "CustomerOwnedIpEnabled": False,
            "BackupTarget": "region",
            "NetworkType": "IPV4",
            "DedicatedLogVolume": False,
            **self.encryption_facts(request),
        }
        for optional in ("DBName", "MaxAllocatedStorage"):
            if request.get(optional):
                facts[optional] = request[optional]
        instance = Instance(store, facts, self.world.new_address(), request.get("Port") or DEFAULT_PORT)
        store.instances[name] = instance
        return instance

    def groups_or_default(self, request: Facts) -> list[str]:
        """The request's security groups, which must exist, or the default VPC's default group."""
        group_ids = request.get("VpcSecurityGroupIds") or [ec2.default_group(self.store)]
        ec2.check_groups(self.store, group_ids)
        return list(group_ids)

    def encryption_facts(self, request: Facts) -> Facts:
        """StorageEncrypted, and the account's own RDS key when none is named (R4)."""
        if not request.get("StorageEncrypted"):
            return {"StorageEncrypted": False}
        default = f"arn:aws:kms:{self.store.name}:{self.store.account}:key/00000000-0000-4000-8000-0000000000rds"
        return {"StorageEncrypted": True, "KmsKeyId": request.get("KmsKeyId") or default}

    def subnet_group_facts(self, name: str | None) -> Facts:
        """A subnet group as it is shown inside an instance; moto keeps the groups."""
        if not name or name == "default":
            vpc = ec2.default_vpc(self.store)
            return {
                "DBSubnetGroupName": "default", "DBSubnetGroupDescription": "default", "VpcId": vpc,
                "SubnetGroupStatus": "Complete", "Subnets": [],
            }
        group = self.backend.describe_db_subnet_groups(name)[0]
        return {
            "DBSubnetGroupName": group.name, "DBSubnetGroupDescription": group.description, "VpcId": group.vpc_id,
            "SubnetGroupStatus": "Complete", "Subnets": group.subnets,
        }

    def describe_db_instances(self) -> ActionResult:
        request = self.request
        wanted = filters_of(request, ("db-instance-id", "db-cluster-id", "engine", "dbi-resource-id", "domain"))
        if request.get("DBInstanceIdentifier"):
            found = [self.store.instance(request["DBInstanceIdentifier"])]
            self.linger(found[0])
            if found[0].identifier not in self.store.instances:
                raise ApiError("DBInstanceNotFound", f"DBInstance {found[0].identifier} not found.", 404)
        else:
            found = list(self.store.instances.values())
        with self.world.lock:
            return self.page("DBInstances", [
                one.described() for one in found
                if matches(wanted.get("db-instance-id"), one.identifier, one.arn)
                and matches(wanted.get("db-cluster-id"), one.cluster_identifier, one.cluster and one.cluster.arn)
                and matches(wanted.get("engine"), one.facts["Engine"])
                and matches(wanted.get("dbi-resource-id"), one.facts["DbiResourceId"])
            ])

    # -- changes ---------------------------------------------------------------------------------------------------

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
                if rds_work.begin_group_change(instance, request["VpcSecurityGroupIds"]):
                    works.append((rds_work.change_groups, instance, request["VpcSecurityGroupIds"]))
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
            rds_work.change_password(instance.server, instance.facts["MasterUsername"], password)

    def _modify(self, instance: Instance, works: list[Any], changes: Facts) -> None:
        world = instance.region.world
        for work, *arguments in works:
            work(*arguments)
        if not changes:
            return
        with rds_work.failing_to(instance, "failed"):
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
            return self._begin(instance, "rebooting", rds_work.reboot_instance)

    def stop_db_instance(self) -> ActionResult:
        with self.world.lock:
            instance = self.store.instance(self.request["DBInstanceIdentifier"])
            self._check_state(instance, "available", "stopped")
            return self._begin(instance, "stopping", rds_work.stop_instance)

    def start_db_instance(self) -> ActionResult:
        with self.world.lock:
            instance = self.store.instance(self.request["DBInstanceIdentifier"])
            self._check_state(instance, "stopped", "started")
            return self._begin(instance, "starting", rds_work.start_instance)

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
            rules.check_delete_instance(request, instance.described())
            final = None
            if request.get("FinalDBSnapshotIdentifier") and not request.get("SkipFinalSnapshot"):
                final = self.add_snapshot(request["FinalDBSnapshotIdentifier"], instance)
            instance.state = "deleting"
            self.world.spawn(rds_work.delete_instance, instance, final)
            return ActionResult({"DBInstance": instance.described()})
