# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameter groups have a real effect on the servers."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import Cloud


def group(cloud: Cloud, family: str = "postgres16") -> str:
    """A new DB parameter group."""
    name = cloud.name("parameters")
    cloud.rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily=family, Description="a test's"
    )
    return name


def change(cloud: Cloud, name: str, parameter: str, value: str, method: str) -> None:
    cloud.rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[
        {"ParameterName": parameter, "ParameterValue": value, "ApplyMethod": method},
    ])


def status(cloud: Cloud, name: str) -> str:
    return cloud.instance(name)["DBParameterGroups"][0]["ParameterApplyStatus"]


def reboot(cloud: Cloud, name: str) -> None:
    cloud.rds.reboot_db_instance(DBInstanceIdentifier=name)
    cloud.await_instance(name)


def test_r27_r28_a_static_parameter_is_in_force_after_the_reboot(cloud: Cloud, instance: dict[str, Any]) -> None:
    name, host = instance["DBInstanceIdentifier"], instance["Endpoint"]["Address"]
    parameters = group(cloud)
    cloud.rds.modify_db_instance(DBInstanceIdentifier=name, DBParameterGroupName=parameters)
    assert status(cloud, name) == "pending-reboot"
    reboot(cloud, name)
    assert status(cloud, name) == "in-sync"
    change(cloud, parameters, "work_mem", "8192", "immediate")
    assert status(cloud, name) == "in-sync"
    assert cloud.value(host, "SHOW work_mem") == "8MB"
    change(cloud, parameters, "rds.logical_replication", "1", "pending-reboot")
    assert status(cloud, name) == "pending-reboot"
    assert cloud.value(host, "SHOW wal_level") == "replica"
    reboot(cloud, name)
    assert status(cloud, name) == "in-sync"
    assert cloud.value(host, "SHOW wal_level") == "logical"
    cloud.rds.reset_db_parameter_group(DBParameterGroupName=parameters, ResetAllParameters=False, Parameters=[
        {"ParameterName": "work_mem", "ApplyMethod": "immediate"},
    ])
    assert cloud.value(host, "SHOW work_mem") == "4MB"
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.delete_db_parameter_group(DBParameterGroupName=parameters)
    assert refused.value.response["Error"]["Code"] == "InvalidDBParameterGroupState"


def test_r28_a_replica_cluster_gets_logical_replication_by_its_cluster_group(
    cloud: Cloud, instance: dict[str, Any]
) -> None:
    parameters = cloud.name("cluster-parameters")
    cloud.rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=parameters, DBParameterGroupFamily="aurora-postgresql16", Description="a test's"
    )
    cloud.rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName=parameters, Parameters=[
        {"ParameterName": "rds.logical_replication", "ParameterValue": "1", "ApplyMethod": "pending-reboot"},
    ])
    cluster = cloud.replica_of(instance["DBInstanceIdentifier"], DBClusterParameterGroupName=parameters)
    facts = cloud.cluster(cluster)
    assert facts["DBClusterParameterGroup"] == parameters
    assert [one["DBClusterParameterGroupStatus"] for one in facts["DBClusterMembers"]] == ["in-sync"]
    cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=cluster)
    wait_until(lambda: not cloud.cluster(cluster).get("ReplicationSourceIdentifier"))
    assert cloud.value(facts["Endpoint"], "SHOW wal_level") == "logical"
    cloud.rds.modify_db_cluster(DBClusterIdentifier=cluster, DBClusterParameterGroupName="default.aurora-postgresql16")
    (member,) = cloud.cluster(cluster)["DBClusterMembers"]
    assert member["DBClusterParameterGroupStatus"] == "pending-reboot"
    reboot(cloud, member["DBInstanceIdentifier"])
    assert cloud.value(facts["Endpoint"], "SHOW wal_level") == "replica"
    cloud.drop_cluster(cluster)


REFUSALS: list[tuple[str, str, str, str]] = [
    ("no_such_parameter", "1", "immediate", "InvalidParameterValue"),
    ("rds.logical_replication", "1", "immediate", "InvalidParameterCombination"),
    ("work_mem", "a lot", "immediate", "InvalidParameterValue"),
    ("autovacuum", "maybe", "immediate", "InvalidParameterValue"),
    ("shared_preload_libraries", "pg_stat_statements,no_such_library", "pending-reboot", "InvalidParameterValue"),
]


@pytest.mark.parametrize("parameter, value, method, code", REFUSALS)
def test_r25_wrong_values_are_refused(cloud: Cloud, parameter: str, value: str, method: str, code: str) -> None:
    name = group(cloud)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        change(cloud, name, parameter, value, method)
    assert refused.value.response["Error"]["Code"] == code
    user = cloud.rds.describe_db_parameters(DBParameterGroupName=name, Source="user")["Parameters"]
    assert user == []
    cloud.rds.delete_db_parameter_group(DBParameterGroupName=name)


def test_r26_of_a_list_each_word_is_checked_alone(cloud: Cloud) -> None:
    name = group(cloud)
    change(cloud, name, "shared_preload_libraries", "pg_stat_statements,pg_cron, pgaudit", "pending-reboot")
    (user,) = cloud.rds.describe_db_parameters(DBParameterGroupName=name, Source="user")["Parameters"]
    assert (user["DataType"], user["ParameterValue"]) == ("list", "pg_stat_statements,pg_cron, pgaudit")
    cloud.rds.delete_db_parameter_group(DBParameterGroupName=name)


def test_r25_default_groups_and_more_than_twenty_are_refused(cloud: Cloud) -> None:
    name = group(cloud)
    twenty_one = [
        {"ParameterName": "work_mem", "ParameterValue": str(1024 + n), "ApplyMethod": "immediate"} for n in range(21)
    ]
    for target, parameters in ((name, twenty_one), ("default.postgres16", twenty_one[:1])):
        with pytest.raises(botocore.exceptions.ClientError):
            cloud.rds.modify_db_parameter_group(DBParameterGroupName=target, Parameters=parameters)
    cloud.rds.delete_db_parameter_group(DBParameterGroupName=name)


def test_r26_parameters_are_described_by_source_and_in_pages(cloud: Cloud) -> None:
    name = group(cloud)
    change(cloud, name, "work_mem", "8192", "immediate")
    pages = list(cloud.rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=name))
    everything = [one for page in pages for one in page["Parameters"]]
    assert len(pages) > 1 and len({one["ParameterName"] for one in everything}) == len(everything)
    user = cloud.rds.describe_db_parameters(DBParameterGroupName=name, Source="user")["Parameters"]
    assert [(one["ParameterName"], one["ParameterValue"]) for one in user] == [("work_mem", "8192")]
    defaults = [
        one for page in cloud.rds.get_paginator("describe_engine_default_cluster_parameters").paginate(
            DBParameterGroupFamily="aurora-postgresql16"
        ) for one in page["EngineDefaults"]["Parameters"]
    ]
    assert "rds.logical_replication" in [one["ParameterName"] for one in defaults]
    copied = cloud.name("copy")
    cloud.rds.copy_db_parameter_group(
        SourceDBParameterGroupIdentifier=name, TargetDBParameterGroupIdentifier=copied,
        TargetDBParameterGroupDescription="a copy",
    )
    assert cloud.rds.describe_db_parameters(DBParameterGroupName=copied, Source="user")["Parameters"] == user
    for one in (name, copied):
        cloud.rds.delete_db_parameter_group(DBParameterGroupName=one)
