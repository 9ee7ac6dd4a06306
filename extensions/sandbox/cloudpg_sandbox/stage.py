# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test wants to find in a sandbox: instances and clusters, made through the API and gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
from botocore.exceptions import ClientError

from .testing import Sandbox, wait_until

PASSWORD = "stage-password-that-opens-nothing-4577"
DB_CLASS = "db.r6g.large"


class Stage:
    """Makes resources whose names begin with `prefix`, so that tests of one sandbox don't meet."""

    def __init__(self, sandbox: Sandbox, prefix: str) -> None:
        self.sandbox = sandbox
        self.prefix = prefix
        self.rds = sandbox.client("rds")
        self.cloudwatch = sandbox.client("cloudwatch")

    def name(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    # -- looking -----------------------------------------------------------------------------------------------------

    def instance(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_instances(DBInstanceIdentifier=self.name(name))["DBInstances"][0]

    def cluster(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_clusters(DBClusterIdentifier=self.name(name))["DBClusters"][0]

    def instance_available(self, name: str, *, after: str | None = None) -> dict[str, Any]:
        """Wait for the state (and for `after` before it), and return the description."""
        for state in [one for one in (after, "available") if one]:
            wait_until(lambda state=state: self.instance(name)["DBInstanceStatus"] == state)
        return self.instance(name)

    def cluster_available(self, name: str) -> dict[str, Any]:
        wait_until(lambda: self.cluster(name)["Status"] == "available")
        return self.cluster(name)

    def sql(self, name: str, statement: str) -> list[tuple[Any, ...]]:
        """Rows from an instance's server as the real superuser over its socket."""
        servers = {one["identifier"]: one for one in self.sandbox.control("GET", "status")["servers"]}
        server = servers[self.name(name)]
        connection = psycopg2.connect(
            host=server["socket"], port=server["port"], user="rdsadmin", dbname="postgres", application_name="stage"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def samples(self, metric: str, dimension: str, name: str, statistic: str = "Maximum") -> list[float]:
        """The values of the last minute by seconds, oldest first."""
        now = datetime.now(timezone.utc)
        answer = self.cloudwatch.get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName=metric,
            Dimensions=[{"Name": dimension, "Value": self.name(name)}],
            StartTime=now - timedelta(seconds=60),
            EndTime=now + timedelta(seconds=1),
            Period=1,
            Statistics=[statistic],
        )
        points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return [point[statistic] for point in points]

    # -- making ------------------------------------------------------------------------------------------------------

    def make_instance(self, name: str, **changes: Any) -> dict[str, Any]:
        """An RDS for PostgreSQL instance, available."""
        wanted = {
            "DBInstanceIdentifier": self.name(name),
            "DBInstanceClass": DB_CLASS,
            "Engine": "postgres",
            "EngineVersion": "16.9",
            "MasterUsername": "shop",
            "MasterUserPassword": PASSWORD,
            "AllocatedStorage": 20,
        }
        self.rds.create_db_instance(**wanted | changes)
        return self.instance_available(name)

    def make_cluster(self, name: str, **changes: Any) -> dict[str, Any]:
        """An Aurora cluster without an instance, available; with ReplicationSourceIdentifier a replica."""
        wanted = {
            "DBClusterIdentifier": self.name(name),
            "Engine": "aurora-postgresql",
            "EngineVersion": "16.9",
        }
        if "ReplicationSourceIdentifier" not in changes:
            wanted |= {"MasterUsername": "shop", "MasterUserPassword": PASSWORD}
        self.rds.create_db_cluster(**wanted | changes)
        return self.cluster_available(name)

    def make_member(self, name: str, cluster: str, **changes: Any) -> dict[str, Any]:
        """An instance of a cluster, available."""
        self.rds.create_db_instance(
            DBInstanceIdentifier=self.name(name),
            DBClusterIdentifier=self.name(cluster),
            DBInstanceClass=DB_CLASS,
            Engine="aurora-postgresql",
            **changes,
        )
        return self.instance_available(name)

    def make_replica(self, source: str, cluster: str, **changes: Any) -> dict[str, Any]:
        """A replica cluster of an instance, with its one reader `<cluster>-1`."""
        self.make_cluster(cluster, ReplicationSourceIdentifier=self.instance(source)["DBInstanceArn"], **changes)
        self.make_member(f"{cluster}-1", cluster)
        return self.cluster(cluster)

    def promote(self, cluster: str) -> dict[str, Any]:
        """Promote a replica cluster, and wait until it has forgotten its source."""
        self.rds.promote_read_replica_db_cluster(DBClusterIdentifier=self.name(cluster))
        wait_until(lambda: not self.cluster(cluster).get("ReplicationSourceIdentifier"))
        return self.cluster_available(cluster)

    # -- clearing away -----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Delete everything whose name begins with the prefix; what is in a transition is waited for."""
        for cluster in self._ours("DBCluster"):
            # The last instance of a replica cluster can't be deleted before its promotion (R16).
            if cluster.get("ReplicationSourceIdentifier") and cluster["DBClusterMembers"]:
                self.promote(cluster["DBClusterIdentifier"].removeprefix(f"{self.prefix}-"))
        self._delete("DBInstance", [one for one in self._ours("DBInstance") if one.get("DBClusterIdentifier")])
        self._delete("DBCluster", self._ours("DBCluster"))
        self._delete("DBInstance", self._ours("DBInstance"))

    def _ours(self, kind: str) -> list[dict[str, Any]]:
        describe = {"DBInstance": self.rds.describe_db_instances, "DBCluster": self.rds.describe_db_clusters}[kind]
        return [one for one in describe()[f"{kind}s"] if one[f"{kind}Identifier"].startswith(f"{self.prefix}-")]

    def _delete(self, kind: str, resources: Sequence[dict[str, Any]]) -> None:
        delete = {"DBInstance": self.rds.delete_db_instance, "DBCluster": self.rds.delete_db_cluster}[kind]
        for resource in resources:
            key = f"{kind}Identifier"
            wait_until(lambda key=key, one=resource: _accepted(delete, **{key: one[key], "SkipFinalSnapshot": True}))
        names = {resource[f"{kind}Identifier"] for resource in resources}
        wait_until(lambda: not names & {one[f"{kind}Identifier"] for one in self._ours(kind)})


def _accepted(delete: Callable[..., Any], **options: Any) -> bool:
    """Whether the resource is going or gone; False while its state forbids it."""
    try:
        delete(**options)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code.startswith("InvalidDB"):
            return False
        if "NotFound" not in code:
            raise
    return True
