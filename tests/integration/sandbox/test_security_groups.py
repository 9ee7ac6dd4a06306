# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Security groups decide who reaches a server: new sessions at once, open ones at the reboot."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import Cloud

WAYS_IN: list[tuple[str, dict[str, Any], bool]] = [
    ("the port", {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}, True),
    ("a range with the port", {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 6000}, True),
    ("everything", {"IpProtocol": "-1"}, True),
    ("another port", {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}, False),
    ("another protocol", {"IpProtocol": "udp", "FromPort": 5432, "ToPort": 5432}, False),
]


def swap(cloud: Cloud, name: str, *groups: str) -> None:
    """Give an instance other groups and wait until they are active."""
    cloud.rds.modify_db_instance(DBInstanceIdentifier=name, VpcSecurityGroupIds=list(groups), ApplyImmediately=True)
    wait_until(lambda: sorted(
        (one["VpcSecurityGroupId"], one["Status"]) for one in cloud.instance(name)["VpcSecurityGroups"]
    ) == sorted((group, "active") for group in groups))


def test_a_rule_lets_in_what_it_covers(cloud: Cloud, shop: dict[str, Any]) -> None:
    name, host = shop["DBInstanceIdentifier"], shop["Endpoint"]["Address"]
    group = cloud.group()
    swap(cloud, name, group)
    assert not cloud.reaches(host)
    for title, rule, expected in WAYS_IN:
        permission = [{**rule, "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}]
        cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission)
        assert cloud.reaches(host) is expected, title
        cloud.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permission)
        assert not cloud.reaches(host), title
    swap(cloud, name, cloud.open_group)
    assert cloud.reaches(host)


def test_a_changed_rule_reaches_the_server(cloud: Cloud, shop: dict[str, Any]) -> None:
    name, host = shop["DBInstanceIdentifier"], shop["Endpoint"]["Address"]
    group = cloud.group("127.0.0.1/32")
    swap(cloud, name, group)
    assert cloud.reaches(host)
    (rule,) = [
        one for one in cloud.ec2.describe_security_group_rules(
            Filters=[{"Name": "group-id", "Values": [group]}]
        )["SecurityGroupRules"] if not one["IsEgress"]
    ]
    cloud.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[{
        "SecurityGroupRuleId": rule["SecurityGroupRuleId"],
        "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "10.0.0.0/8"},
    }])
    assert not cloud.reaches(host)
    swap(cloud, name, cloud.open_group)


def test_r18_a_quarantine_group_lets_the_controllers_in_only(cloud: Cloud, shop: dict[str, Any]) -> None:
    name, host = shop["DBInstanceIdentifier"], shop["Endpoint"]["Address"]
    swap(cloud, name, cloud.controllers_group)
    assert not cloud.reaches(host)
    assert cloud.value(host, "SELECT inet_client_addr()", port=15432) == cloud.sandbox.bastion
    swap(cloud, name, cloud.open_group)


def test_r18_p30_established_sessions_survive_until_the_reboot(cloud: Cloud, instance: dict[str, Any]) -> None:
    name, host = instance["DBInstanceIdentifier"], instance["Endpoint"]["Address"]
    closed = cloud.group()
    with cloud.connection(host) as cursor:
        cursor.execute("CREATE TABLE written AS SELECT 1")
        answer = cloud.rds.modify_db_instance(
            DBInstanceIdentifier=name, VpcSecurityGroupIds=[closed], ApplyImmediately=True
        )
        assert {one["Status"] for one in answer["DBInstance"]["VpcSecurityGroups"]} == {"adding", "removing"}
        wait_until(lambda: {one["Status"] for one in cloud.instance(name)["VpcSecurityGroups"]} == {"active"})
        assert not cloud.reaches(host) and not cloud.reaches(host, port=15432)
        cursor.execute("INSERT INTO written VALUES (2)")
        cloud.rds.reboot_db_instance(DBInstanceIdentifier=name)
        cloud.await_instance(name)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("INSERT INTO written VALUES (3)")
    assert not cloud.reaches(host)
    swap(cloud, name, cloud.open_group)
    assert cloud.value(host, "SELECT count(*) FROM written") == 2


def test_an_instance_without_groups_gets_the_closed_default_group(cloud: Cloud) -> None:
    name = cloud.name("default")
    cloud.begin_instance(name, VpcSecurityGroupIds=[])
    facts = cloud.await_instance(name)
    (group,) = facts["VpcSecurityGroups"]
    described = cloud.ec2.describe_security_groups(GroupIds=[group["VpcSecurityGroupId"]])["SecurityGroups"][0]
    assert described["GroupName"] == "default"
    assert not cloud.reaches(facts["Endpoint"]["Address"])
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


def test_r33_a_group_in_use_stays_and_its_name_is_taken(cloud: Cloud, shop: dict[str, Any]) -> None:
    name = shop["DBInstanceIdentifier"]
    group = cloud.group("127.0.0.0/8")
    title = cloud.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["GroupName"]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.ec2.create_security_group(GroupName=title, Description="again", VpcId=cloud.vpc)
    assert refused.value.response["Error"]["Code"] == "InvalidGroup.Duplicate"
    swap(cloud, name, group)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.ec2.delete_security_group(GroupId=group)
    assert refused.value.response["Error"]["Code"] == "DependencyViolation"
    swap(cloud, name, cloud.open_group)
    cloud.ec2.delete_security_group(GroupId=group)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.modify_db_instance(DBInstanceIdentifier=name, VpcSecurityGroupIds=[group])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_r2_the_groups_of_members_are_the_clusters(cloud: Cloud, instance: dict[str, Any]) -> None:
    cluster = cloud.replica_of(instance["DBInstanceIdentifier"], [cloud.controllers_group])
    facts = cloud.cluster(cluster)
    (member,) = [one["DBInstanceIdentifier"] for one in facts["DBClusterMembers"]]
    assert [one["VpcSecurityGroupId"] for one in cloud.instance(member)["VpcSecurityGroups"]] == [
        cloud.controllers_group
    ]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.modify_db_instance(DBInstanceIdentifier=member, VpcSecurityGroupIds=[cloud.open_group])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
    hosts = (facts["Endpoint"], facts["ReaderEndpoint"], cloud.instance(member)["Endpoint"]["Address"])
    for host in hosts:
        assert not cloud.reaches(host) and cloud.reaches(host, port=15432), host
    cloud.rds.modify_db_cluster(DBClusterIdentifier=cluster, VpcSecurityGroupIds=[cloud.open_group])
    wait_until(lambda: [one["Status"] for one in cloud.cluster(cluster)["VpcSecurityGroups"]] == ["active"])
    for host in hosts:
        assert cloud.reaches(host), host
    cloud.drop_cluster(cluster)


def test_the_last_of_two_changes_counts(cloud: Cloud, shop: dict[str, Any]) -> None:
    name, host = shop["DBInstanceIdentifier"], shop["Endpoint"]["Address"]
    for group in (cloud.controllers_group, cloud.open_group, cloud.group(), cloud.controllers_group):
        cloud.rds.modify_db_instance(DBInstanceIdentifier=name, VpcSecurityGroupIds=[group])
    wait_until(lambda: [(one["VpcSecurityGroupId"], one["Status"]) for one in cloud.instance(name)[
        "VpcSecurityGroups"]] == [(cloud.controllers_group, "active")])
    assert not cloud.reaches(host) and cloud.reaches(host, port=15432)
    swap(cloud, name, cloud.open_group)
    assert cloud.reaches(host)
