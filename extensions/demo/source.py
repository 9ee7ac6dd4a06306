# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An RDS instance as a user has it: security group, subnets, parameter group, backups, an owner who is no superuser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql

MASTER, OWNER = "shop_admin", "shop"

# changed by the user: one of each unit and kind, and one that needs a restart
PARAMETERS = {
    "work_mem": ("8192", "immediate"),
    "log_min_duration_statement": ("500", "immediate"),
    "random_page_cost": ("1.1", "immediate"),
    "max_locks_per_transaction": ("128", "pending-reboot"),
}


@dataclass(frozen=True)
class Instance:
    """An instance that is available: where it is, what it runs, and the group its clients are let in by."""

    identifier: str
    host: str
    version: str
    security_group: str


def create_instance(
    sandbox: Any, identifier: str, passwords: dict[str, str], *, clients: list[str], major: int = 16,
    parameters: dict[str, tuple[str, str]] | None = None,
) -> Instance:
    """Create an RDS instance of the newest minor of a major, let networks (CIDR) in, and wait until it is available.

    ``parameters`` are changed beside those that the user has changed anyway: value, and when it is applied.
    """
    ec2, rds = sandbox.client("ec2"), sandbox.client("rds")
    group = security_group(ec2, identifier, clients)
    subnet_group(ec2, rds, identifier)
    _parameter_group(rds, identifier, major, {**PARAMETERS, **(parameters or {})})
    rds.create_db_instance(
        DBInstanceIdentifier=identifier,
        Engine="postgres",
        EngineVersion=newest(rds, major),
        DBInstanceClass="db.r6g.large",
        AllocatedStorage=20,
        StorageType="gp3",
        StorageEncrypted=True,
        DBName=OWNER,
        MasterUsername=MASTER,
        MasterUserPassword=passwords[MASTER],
        VpcSecurityGroupIds=[group],
        DBSubnetGroupName=identifier,
        DBParameterGroupName=identifier,
        BackupRetentionPeriod=7,
        PubliclyAccessible=False,
        Tags=[{"Key": "team", "Value": "shop"}],
    )
    waiter = rds.get_waiter("db_instance_available")
    waiter.wait(DBInstanceIdentifier=identifier, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    (made,) = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    make_owner(made["Endpoint"]["Address"], passwords)
    return Instance(identifier, made["Endpoint"]["Address"], made["EngineVersion"], group)


def security_group(ec2: Any, name: str, clients: list[str]) -> str:
    """A group that lets networks (CIDR) in; its id."""
    group = ec2.create_security_group(GroupName=f"{name}-clients", Description="who may use the database")["GroupId"]
    ranges = [{"CidrIp": network} for network in clients]
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": ranges}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return group


def subnet_group(ec2: Any, rds: Any, name: str) -> None:
    """All subnets there are."""
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    rds.create_db_subnet_group(DBSubnetGroupName=name, DBSubnetGroupDescription="of the shop", SubnetIds=subnets)


def _parameter_group(rds: Any, name: str, major: int, parameters: dict[str, tuple[str, str]]) -> None:
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily=f"postgres{major}", Description="of the shop"
    )
    changed = [
        {"ParameterName": parameter, "ParameterValue": value, "ApplyMethod": when}
        for parameter, (value, when) in parameters.items()
    ]
    rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=changed)


def newest(rds: Any, major: int, engine: str = "postgres") -> str:
    """The newest minor of a major."""
    offered = rds.describe_db_engine_versions(Engine=engine)["DBEngineVersions"]
    minors = [int(version["EngineVersion"].split(".")[1]) for version in offered
              if version["EngineVersion"].split(".")[0] == str(major)]
    return f"{major}.{max(minors)}"


def make_owner(host: str, passwords: dict[str, str]) -> None:
    """The role that owns the database, and of which the master is a member."""
    conn = psycopg2.connect(host=host, user=MASTER, password=passwords[MASTER], dbname=OWNER)
    conn.autocommit = True
    owner = sql.Identifier(OWNER)
    with conn.cursor() as cur:
        cur.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, sql.Literal(passwords[OWNER])))
        cur.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
        cur.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(owner, owner))
    conn.close()
