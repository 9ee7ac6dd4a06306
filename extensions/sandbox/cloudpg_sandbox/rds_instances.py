# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DB instances: the calls that create and describe them."""

from __future__ import annotations

from moto.core.responses import ActionResult

from . import catalogue, cluster_work, ec2, group_work, instance_work, rules
from .rds_base import RDSOperations, filters_of, invalid_combination, invalid_value, matches
from .rds_model import Cluster, Facts, Instance, major_of, now, resource_id
from .rules import ApiError

DEFAULT_PORT = 5432
ENGINES = ("postgres", "aurora-postgresql")


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
    """Create and describe DB instances."""

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
                self.world.spawn(cluster_work.create_member, instance, cluster)
            else:
                instance = self._new_instance(name, request)
                self.world.spawn(instance_work.create_instance, instance)
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
            "VpcSecurityGroups": group_work.group_facts(self.groups_or_default(request), "active"),
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
