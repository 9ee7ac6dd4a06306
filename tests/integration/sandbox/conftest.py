# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every test of the sandbox starts from: clients, security groups, instances that go away again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg2
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until

USER = "shop_admin"
PASSWORD = "a-long-password-of-the-tests-4711"
NUMBERS = itertools.count(1)
# An object and its transition, which lasts as long as the block.
Held = Callable[[str, str], AbstractContextManager[None]]


class Cloud:
    """The sandbox as its clients see it, with the few steps that most tests need."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.rds = sandbox.client("rds")
        self.ec2 = sandbox.client("ec2")
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.open_group = self.group("127.0.0.0/8")
        self.controllers_group = self.group(f"{sandbox.bastion}/32")

    @staticmethod
    def name(prefix: str) -> str:
        """A name no other test has."""
        return f"{prefix}-{next(NUMBERS)}"

    @staticmethod
    def ingress(*cidrs: str, port: int = 5432) -> list[dict[str, Any]]:
        return [{
            "IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
        }]

    def group(self, *cidrs: str) -> str:
        """A security group that lets these networks in to 5432."""
        name = self.name("group")
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]
        if cidrs:
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=self.ingress(*cidrs))
        return str(group)

    def begin_instance(self, name: str, **options: Any) -> dict[str, Any]:
        """CreateDBInstance with what most tests want."""
        return self.rds.create_db_instance(**{
            "DBInstanceIdentifier": name, "Engine": "postgres", "EngineVersion": "16", "AllocatedStorage": 20,
            "DBInstanceClass": "db.t3.micro", "MasterUsername": USER, "MasterUserPassword": PASSWORD,
            "DBName": "shop", "VpcSecurityGroupIds": [self.open_group], **options,
        })["DBInstance"]

    def instance(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def cluster(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]

    def await_instance(self, name: str, state: str = "available") -> dict[str, Any]:
        """The instance once it has reached a state."""
        wait_until(lambda: self.instance(name)["DBInstanceStatus"] == state)
        return self.instance(name)

    def await_cluster(self, name: str, state: str = "available") -> dict[str, Any]:
        """The cluster once it has reached a state."""
        wait_until(lambda: self.cluster(name)["Status"] == state)
        return self.cluster(name)

    def has_no(self, name: str) -> bool:
        """Whether an instance is gone."""
        found = self.rds.describe_db_instances()["DBInstances"]
        return name not in [one["DBInstanceIdentifier"] for one in found]

    def has_cluster(self, name: str) -> bool:
        return name in [one["DBClusterIdentifier"] for one in self.rds.describe_db_clusters()["DBClusters"]]

    def replica_of(self, source: str, groups: list[str] | None = None, **options: Any) -> str:
        """A replica cluster of an instance with its one member; returns the cluster's name."""
        name = self.name("replica")
        facts = self.instance(source)
        self.rds.create_db_cluster(**{
            "DBClusterIdentifier": name, "Engine": "aurora-postgresql", "EngineVersion": facts["EngineVersion"],
            "ReplicationSourceIdentifier": facts["DBInstanceArn"],
            "VpcSecurityGroupIds": groups or [self.open_group], **options,
        })
        self.await_cluster(name)
        self.add_member(name)
        return name

    def add_member(self, cluster: str) -> str:
        """One more instance of a cluster; returns its name."""
        name = self.name(f"{cluster}-member")
        self.rds.create_db_instance(
            DBInstanceIdentifier=name, Engine="aurora-postgresql", DBInstanceClass="db.r6g.large",
            DBClusterIdentifier=cluster,
        )
        self.await_instance(name)
        return name

    def drop_cluster(self, name: str) -> None:
        """Delete a cluster and its members; a replica's last member goes only after a promotion."""
        facts = self.cluster(name)
        members = [one["DBInstanceIdentifier"] for one in facts["DBClusterMembers"]]
        if members and facts.get("ReplicationSourceIdentifier"):
            self.await_cluster(name)
            self.rds.promote_read_replica_db_cluster(DBClusterIdentifier=name)
            wait_until(lambda: not self.cluster(name).get("ReplicationSourceIdentifier"))
        for member in members:
            self.rds.delete_db_instance(DBInstanceIdentifier=member, SkipFinalSnapshot=True)
        wait_until(lambda: all(self.has_no(member) for member in members))
        self.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
        wait_until(lambda: not self.has_cluster(name))

    @staticmethod
    @contextmanager
    def connection(host: str, port: int = 5432, **options: Any) -> Iterator[Any]:
        """A cursor as the master user, in autocommit."""
        connection = psycopg2.connect(**{
            "host": host, "port": port, "user": USER, "password": PASSWORD, "dbname": "shop", "connect_timeout": 5,
            **options,
        })
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def value(self, host: str, sql: str, **options: Any) -> Any:
        """The first field of a statement's first row."""
        with self.connection(host, **options) as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def reaches(self, host: str, **options: Any) -> bool:
        """Whether a new session gets in; the refusal must be the access rules'."""
        try:
            with self.connection(host, **options):
                return True
        except psycopg2.OperationalError as error:
            assert "no pg_hba.conf entry" in str(error)
            return False


@pytest.fixture(scope="session")
def cloud(sandbox: Sandbox) -> Cloud:
    """The session's sandbox."""
    return Cloud(sandbox)


@pytest.fixture
def instance(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """An available instance of the test's own."""
    name = cloud.name("orders")
    cloud.begin_instance(name)
    yield cloud.await_instance(name)
    if not cloud.has_no(name):
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@pytest.fixture(scope="session")
def shop(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """An available instance that tests only look at, or leave as they found it."""
    name = cloud.name("shop")
    cloud.begin_instance(name)
    yield cloud.await_instance(name)


@pytest.fixture
def faults(sandbox: Sandbox) -> Iterator[Callable[..., str]]:
    """Inject faults that end with the test."""
    yield lambda name, **details: sandbox.control("POST", "faults", {"name": name, **details})["id"]
    sandbox.control("DELETE", "faults")


@pytest.fixture
def held(sandbox: Sandbox) -> Held:
    """A transition that lasts as long as the block: its state can be looked at, however busy the machine is."""

    @contextmanager
    def hold(identifier: str, transition: str) -> Iterator[None]:
        fault = {"name": "slow_transition", "identifier": identifier, "transition": transition, "factor": 1e6}
        number = sandbox.control("POST", "faults", fault)["id"]
        try:
            yield
        finally:
            sandbox.control("DELETE", f"faults/{number}")

    return hold
