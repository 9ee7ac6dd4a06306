# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules run as Ansible runs them, each in a process of its own, against the sandbox's real API."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.loaders
import botocore.session
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until

from .. import forked
from ..forked import RunningModule

USER, PASSWORD = "shop_admin", "a-long-password-of-the-tests-4711"
NUMBERS = itertools.count(1)
READS = ("Describe", "List", "Get")
# Slowed down by this factor, a state stays until its fault is taken away.
UNTIL_TOLD = 100_000
# Reading the descriptions of the services is most of what a module's start costs: once for all of them.
LOADER = botocore.loaders.create_loader()


@cache
def read_descriptions() -> None:
    """Have the loader read what a client needs, of each service that modules speak to."""
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    for service in ("cloudwatch", "ec2", "rds"):
        session.create_client(service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")


def start_module(
    name: str, args: dict[str, Any], environment: dict[str, str], check: bool = False, diff: bool = False
) -> RunningModule:
    """Run a module's main() in a forked process, with what says where the sandbox is."""
    read_descriptions()

    def prepare() -> None:
        os.environ.update(environment)
        botocore.session.create_loader = lambda *_paths: LOADER

    return forked.start(name, args, check, diff, prepare=prepare)


@pytest.fixture(scope="session")
def run_module(sandbox: Sandbox) -> Callable[..., dict[str, Any]]:
    """run_module(name, args, check=False, diff=False): the module's result."""

    def run(name: str, args: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
        return start_module(name, args, sandbox.env, check, diff).result()

    return run


@dataclass
class Calls:
    """The API calls since a moment."""

    sandbox: Sandbox
    since: int = 0

    def __enter__(self) -> Calls:
        self.since = self.sandbox.mark()
        return self

    def __exit__(self, *_error: Any) -> None:
        self.entries = self.sandbox.log(self.since)

    @property
    def operations(self) -> list[str]:
        return [entry["operation"] for entry in self.entries]

    @property
    def changes(self) -> list[str]:
        """What changed, or would have changed, anything."""
        return [operation for operation in self.operations if not operation.startswith(READS)]


class Cloud:
    """The sandbox with the few steps that most tests of AWS modules need."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.rds, self.ec2 = sandbox.client("rds"), sandbox.client("ec2")
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.app_group = self.group("127.0.0.0/8")

    @staticmethod
    def name(prefix: str) -> str:
        """A name no other test has."""
        return f"{prefix}-{next(NUMBERS)}"

    def calls(self) -> Calls:
        """``with cloud.calls() as calls``: the API calls of the block."""
        return Calls(self.sandbox)

    def group(self, *cidrs: str) -> str:
        """A security group that lets these networks in to 5432."""
        name = self.name("app")
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{
            "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
        }])
        return group

    def groups_of(self, migration: str) -> dict[str, dict[str, Any]]:
        """The migration's security groups by name."""
        found = self.ec2.describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [f"cloudpg-{migration}-*"]}]
        )["SecurityGroups"]
        return {group["GroupName"]: group for group in found}

    def tags(self, group_id: str) -> dict[str, str]:
        [group] = self.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        return {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}

    def tag(self, group_id: str, **tags: str) -> None:
        """Write tags as another run would; two underscores stand for a colon."""
        self.ec2.create_tags(
            Resources=[group_id], Tags=[{"Key": key.replace("__", ":"), "Value": tags[key]} for key in tags]
        )

    def create_instance(self, name: str, **options: Any) -> dict[str, Any]:
        self.rds.create_db_instance(**{
            "DBInstanceIdentifier": name, "Engine": "postgres", "EngineVersion": "16", "AllocatedStorage": 20,
            "DBInstanceClass": "db.t3.micro", "MasterUsername": USER, "MasterUserPassword": PASSWORD,
            "DBName": "shop", "VpcSecurityGroupIds": [self.app_group], **options,
        })
        wait_until(lambda: self.instance(name)["DBInstanceStatus"] == "available")
        return self.instance(name)

    def instance(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def cluster(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]

    def attached(self, name: str) -> list[str]:
        """The ids of an instance's security groups."""
        return [group["VpcSecurityGroupId"] for group in self.instance(name)["VpcSecurityGroups"]]

    def has_cluster(self, name: str) -> bool:
        return name in [one["DBClusterIdentifier"] for one in self.rds.describe_db_clusters()["DBClusters"]]


@pytest.fixture(scope="session")
def cloud(sandbox: Sandbox) -> Cloud:
    return Cloud(sandbox)


@pytest.fixture(scope="module")
def shop(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """An available instance which the tests of a module leave as they found it."""
    name = cloud.name("shop")
    yield cloud.create_instance(name)
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@pytest.fixture
def faults(sandbox: Sandbox) -> Iterator[Callable[..., str]]:
    """Inject faults that end with the test."""
    yield lambda name, **details: sandbox.control("POST", "faults", {"name": name, **details})["id"]
    sandbox.control("DELETE", "faults")


@pytest.fixture
def faults_end(sandbox: Sandbox) -> Callable[[], None]:
    """Take all faults away; what they slowed down goes on at once."""
    return lambda: sandbox.control("DELETE", "faults")


@pytest.fixture
def held(cloud: Cloud, shop: dict[str, Any], run_module: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The journal of a migration which this run holds."""
    result = run_module("aws_journal", {
        "journal": {"migration": cloud.name("orders")}, "instance": shop["DBInstanceIdentifier"],
    })
    assert "journal" in result, result
    return result["journal"]
