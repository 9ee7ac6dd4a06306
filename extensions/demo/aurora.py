# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Aurora cluster as a user has it: a writer, a parameter group of its own, an owner who is no superuser."""

from __future__ import annotations

from typing import Any

from source import MASTER, OWNER, Instance, make_owner, newest, security_group, subnet_group

ENGINE = "aurora-postgresql"
# Changed by the user; logical replication isn't.
PARAMETERS = {"work_mem": "8192", "log_min_duration_statement": "500"}


def create_cluster(
    sandbox: Any, identifier: str, passwords: dict[str, str], *, clients: list[str], major: int = 16,
    parameters: dict[str, tuple[str, str]] | None = None,
) -> Instance:
    """Create an Aurora cluster of the newest minor of a major with one instance, and let networks (CIDR) in.

    ``parameters`` of the cluster are changed beside those that the user has changed anyway.
    """
    ec2, rds = sandbox.client("ec2"), sandbox.client("rds")
    group = security_group(ec2, identifier, clients)
    subnet_group(ec2, rds, identifier)
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=identifier, DBParameterGroupFamily=f"{ENGINE}{major}", Description="of the shop"
    )
    changed = {**{name: (value, "immediate") for name, value in PARAMETERS.items()}, **(parameters or {})}
    rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName=identifier, Parameters=[
        {"ParameterName": name, "ParameterValue": value, "ApplyMethod": when}
        for name, (value, when) in changed.items()
    ])
    rds.create_db_cluster(
        DBClusterIdentifier=identifier, Engine=ENGINE, EngineVersion=newest(rds, major, ENGINE),
        StorageEncrypted=True, DatabaseName=OWNER, MasterUsername=MASTER, MasterUserPassword=passwords[MASTER],
        VpcSecurityGroupIds=[group], DBSubnetGroupName=identifier, DBClusterParameterGroupName=identifier,
        Tags=[{"Key": "team", "Value": "shop"}],
    )
    patience = {"Delay": 1, "MaxAttempts": 120}
    rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=identifier, WaiterConfig=patience)
    rds.create_db_instance(
        DBInstanceIdentifier=f"{identifier}-1", DBClusterIdentifier=identifier, Engine=ENGINE,
        DBInstanceClass="db.r6g.large", PubliclyAccessible=False,
    )
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=f"{identifier}-1", WaiterConfig=patience)
    (made,) = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
    make_owner(made["Endpoint"], passwords)
    return Instance(identifier, made["Endpoint"], made["EngineVersion"], group)
