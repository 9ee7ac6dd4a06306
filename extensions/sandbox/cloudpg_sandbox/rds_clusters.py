# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Aurora clusters: the API calls."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult

from . import cluster_work, ec2, group_work, instance_work, rules
from .rds_base import filters_of, invalid_combination, invalid_value, matches
from .rds_cluster_snapshots import ClusterSnapshotOperations
from .rds_instance_changes import InstanceChanges
from .rds_instances import DEFAULT_PORT, parameter_family, resolve_version
from .rds_model import Cluster, Facts, Instance, major_of, now, resource_id
from .rules import ApiError

ENGINE = "aurora-postgresql"
AT_ONCE = {
    "BackupRetentionPeriod": "BackupRetentionPeriod",
    "PreferredMaintenanceWindow": "PreferredMaintenanceWindow",
    "PreferredBackupWindow": "PreferredBackupWindow",
    "CopyTagsToSnapshot": "CopyTagsToSnapshot",
    "DeletionProtection": "DeletionProtection",
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "EnableHttpEndpoint": "HttpEndpointEnabled",
}


class ClusterOperations(InstanceChanges, ClusterSnapshotOperations):
    """Create, describe, modify, promote and delete Aurora clusters."""

    def create_db_cluster(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            name = self._free_cluster_name(request["DBClusterIdentifier"])
            if request.get("Engine") != ENGINE:
                raise invalid_value(f"Invalid DB engine: the sandbox has {ENGINE} clusters only")
            if request.get("ReplicationSourceIdentifier"):
                cluster = self._new_replica(name, request)
            else:
                cluster = self._new_cluster(name, request)
            self.world.spawn(cluster_work.create_cluster, cluster)
            return ActionResult({"DBCluster": cluster.described()})

    def _free_cluster_name(self, identifier: str) -> str:
        rules.check_identifier(identifier, "DBClusterIdentifier")
        name = str(identifier).lower()
        if name in self.store.clusters:
            raise ApiError("DBClusterAlreadyExistsFault", "DB Cluster already exists", 400)
        return name

    def _new_replica(self, name: str, request: Facts) -> Cluster:
        source = self.store.instance(request["ReplicationSourceIdentifier"])
        version = resolve_version(ENGINE, request.get("EngineVersion"))
        others = [one.described() for one in self.store.clusters.values()]
        rules.check_create_replica_cluster({**request, "EngineVersion": version}, source.described(), others)
        inherited: Facts = {
            "MasterUsername": source.facts["MasterUsername"], "DatabaseName": source.facts.get("DBName"),
        }
        if source.facts["StorageEncrypted"]:
            inherited["KmsKeyId"] = request.get("KmsKeyId") or source.facts["KmsKeyId"]
        cluster = self.add_cluster(name, {**request, **inherited}, version)
        cluster.facts["ReplicationSourceIdentifier"] = source.arn
        cluster.password = source.password
        source.facts["ReadReplicaDBClusterIdentifiers"].append(name)
        return cluster

    def _new_cluster(self, name: str, request: Facts) -> Cluster:
        for needed in ("MasterUsername", "MasterUserPassword"):
            if not request.get(needed):
                raise invalid_value(f"The parameter {needed} must be provided and must not be blank.")
        cluster = self.add_cluster(name, request, resolve_version(ENGINE, request.get("EngineVersion")))
        cluster.password = request["MasterUserPassword"]
        return cluster

    def add_cluster(self, name: str, request: Facts, version: str) -> Cluster:
        """A new cluster in state creating, with AWS's defaults for what the request leaves out."""
        store = self.store
        self.world.installations.get(major_of(version))
        family = parameter_family(ENGINE, version)
        group = store.parameter_group("cluster", request.get("DBClusterParameterGroupName") or f"default.{family}")
        if group.family != family:
            raise invalid_combination(
                f"The Parameter Group {group.name} with DBParameterGroupFamily {group.family} can't be used for this"
                f" cluster. Please use a Parameter Group with DBParameterGroupFamily {family}"
            )
        arn = store.arn("cluster", name)
        address, reader_address = self.world.new_address(), self.world.new_address()
        port = request.get("Port") or DEFAULT_PORT
        facts = {
            "DBClusterIdentifier": name,
            "DBClusterArn": arn,
            "DbClusterResourceId": resource_id("cluster-", arn),
            "Status": "creating",
            "Engine": ENGINE,
            "EngineVersion": version,
            "EngineMode": "provisioned",
            "AllocatedStorage": 1,
            "AvailabilityZones": [f"{store.name}{zone}" for zone in "abc"],
            "BackupRetentionPeriod": request.get("BackupRetentionPeriod", 1),
            "DBClusterParameterGroup": group.name,
            "DBSubnetGroup": self.subnet_group_facts(request.get("DBSubnetGroupName"))["DBSubnetGroupName"],
            "Endpoint": address,
            "ReaderEndpoint": reader_address,
            "MultiAZ": False,
            "Port": port,
            "MasterUsername": request["MasterUsername"],
            "PreferredBackupWindow": request.get("PreferredBackupWindow", "02:00-02:30"),
            "PreferredMaintenanceWindow": request.get("PreferredMaintenanceWindow", "mon:04:00-mon:04:30").lower(),
            "ReadReplicaIdentifiers": [],
            "VpcSecurityGroups": group_work.group_facts(self.groups_or_default(request), "active"),
            "HostedZoneId": "Z29XKXDKYMONMX",
            "AssociatedRoles": [],
            "IAMDatabaseAuthenticationEnabled": request.get("EnableIAMDatabaseAuthentication", False),
            "ClusterCreateTime": now(),
            "CopyTagsToSnapshot": request.get("CopyTagsToSnapshot", False),
            "CrossAccountClone": False,
            "HttpEndpointEnabled": False,
            "DeletionProtection": request.get("DeletionProtection", False),
            "AutoMinorVersionUpgrade": request.get("AutoMinorVersionUpgrade", True),
            "NetworkType": "IPV4",
            "DomainMemberships": [],
            "TagList": request.get("Tags", []),
            **self.encryption_facts(request),
        }
        if request.get("DatabaseName"):
            facts["DatabaseName"] = request["DatabaseName"]
        cluster = Cluster(store, facts, address, reader_address, port)
        store.clusters[name] = cluster
        return cluster

    def describe_db_clusters(self) -> ActionResult:
        request = self.request
        wanted = filters_of(request, ("db-cluster-id", "engine", "db-cluster-resource-id", "clone-group-id", "domain"))
        if request.get("DBClusterIdentifier"):
            found = [self.store.cluster(request["DBClusterIdentifier"])]
            self.linger(found[0])
            if found[0].identifier not in self.store.clusters:
                raise ApiError("DBClusterNotFoundFault", f"DBCluster {found[0].identifier} not found.", 404)
        else:
            found = list(self.store.clusters.values())
        with self.world.lock:
            return self.page("DBClusters", [
                one.described() for one in found
                if matches(wanted.get("db-cluster-id"), one.identifier, one.arn)
                and matches(wanted.get("engine"), one.facts["Engine"])
                and matches(wanted.get("db-cluster-resource-id"), one.facts["DbClusterResourceId"])
            ])

    def modify_db_cluster(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            cluster = self.store.cluster(request["DBClusterIdentifier"])
            if cluster.state != "available":
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"Cluster {cluster.identifier} is in state {cluster.state}, not available.", 400,
                )
            works: list[Any] = []
            if request.get("VpcSecurityGroupIds") is not None:
                ec2.check_groups(self.store, request["VpcSecurityGroupIds"])
                if group_work.begin_group_change(cluster, request["VpcSecurityGroupIds"]):
                    works.append((group_work.change_groups, cluster, request["VpcSecurityGroupIds"]))
            if request.get("DBClusterParameterGroupName"):
                self._change_cluster_parameter_group(cluster, request["DBClusterParameterGroupName"])
            for name, fact in AT_ONCE.items():
                if request.get(name) is not None:
                    cluster.facts[fact] = request[name]
            if request.get("MasterUserPassword"):
                works.append((self._change_cluster_password, cluster, request["MasterUserPassword"]))
            answer = cluster.described()
            if works:
                self.world.spawn(self._modify_cluster, works)
            return ActionResult({"DBCluster": answer})

    def _change_cluster_parameter_group(self, cluster: Cluster, name: str) -> None:
        group = self.store.parameter_group("cluster", name)
        if group.family != parameter_family(ENGINE, cluster.facts["EngineVersion"]):
            raise invalid_combination(f"The parameter group {name} is of family {group.family}, not the cluster's.")
        if group.name != cluster.facts["DBClusterParameterGroup"]:
            cluster.facts["DBClusterParameterGroup"] = group.name
            for member in cluster.members:
                member.group_changed["cluster"] = True

    @staticmethod
    def _change_cluster_password(cluster: Cluster, password: str) -> None:
        cluster.password = password
        if cluster.writer is not None and cluster.writer.server is not None:
            instance_work.change_password(cluster.writer.server, cluster.facts["MasterUsername"], password)

    @staticmethod
    def _modify_cluster(works: list[Any]) -> None:
        for work, *arguments in works:
            work(*arguments)

    def promote_read_replica_db_cluster(self) -> ActionResult:
        with self.world.lock:
            cluster = self.store.cluster(self.request["DBClusterIdentifier"])
            rules.check_promote(cluster.described())
            if cluster.promoting:
                raise ApiError(
                    "InvalidDBClusterStateFault", f"The DB cluster {cluster.identifier} is being promoted already.", 400
                )
            cluster.promoting = True
            self.world.spawn(cluster_work.promote_cluster, cluster)
            return ActionResult({"DBCluster": cluster.described()})

    def failover_db_cluster(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            cluster = self.store.cluster(request["DBClusterIdentifier"])
            wanted = request.get("TargetDBInstanceIdentifier")
            readers = [one for one in cluster.members if one is not cluster.writer and one.state == "available"]
            targets: list[Instance] = [one for one in readers if wanted in (None, one.identifier)]
            if cluster.writer is None or not targets:
                raise ApiError(
                    "InvalidDBClusterStateFault", f"{cluster.identifier} has no reader to fail over to.", 400
                )
            self.world.spawn(cluster_work.switch_over, cluster, targets[0])
            return ActionResult({"DBCluster": cluster.described()})

    def delete_db_cluster(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            cluster = self.store.cluster(request["DBClusterIdentifier"])
            rules.check_delete_cluster(request, cluster.remaining())
            final = None
            if request.get("FinalDBSnapshotIdentifier"):
                final = self.add_cluster_snapshot(request["FinalDBSnapshotIdentifier"], cluster)
            cluster.state = "deleting"
            self.world.spawn(cluster_work.delete_cluster, cluster, final)
            return ActionResult({"DBCluster": cluster.described()})
