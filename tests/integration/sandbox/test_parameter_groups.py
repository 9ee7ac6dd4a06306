# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameter groups: what may be changed, and when a change is in force on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cloudpg_sandbox.stage import Stage
from cloudpg_sandbox.testing import Sandbox, wait_until


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox) -> Iterator[Stage]:
    """An instance and a standalone cluster, each with groups of its own."""
    made = Stage(sandbox, "params")
    made.rds.create_db_parameter_group(
        DBParameterGroupName="params-rds", DBParameterGroupFamily="postgres16", Description="of the instance"
    )
    made.rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="params-aurora", DBParameterGroupFamily="aurora-postgresql16", Description="of all"
    )
    made.make_instance("rds", DBParameterGroupName="params-rds")
    made.make_cluster("aurora", DBClusterParameterGroupName="params-aurora")
    made.make_member("aurora-1", "aurora")
    yield made
    made.clear()


def parameter(name: str, value: str, method: str = "pending-reboot") -> dict[str, str]:
    return {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}


def modify(stage: Stage, *parameters: dict[str, str]) -> None:
    stage.rds.modify_db_parameter_group(DBParameterGroupName="params-rds", Parameters=list(parameters))


def status(stage: Stage) -> str:
    return stage.instance("rds")["DBParameterGroups"][0]["ParameterApplyStatus"]


def member_status(stage: Stage) -> str:
    return stage.cluster("aurora")["DBClusterMembers"][0]["DBClusterParameterGroupStatus"]


def shown(stage: Stage, instance: str, setting: str) -> str:
    return stage.sql(instance, f"SHOW {setting}")[0][0]


def refused(call: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**options)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


# -- R25: what may be changed ---------------------------------------------------------------------------------------


def test_r25_a_default_group_cannot_be_changed(stage: Stage) -> None:
    code, message = refused(
        stage.rds.modify_db_parameter_group,
        DBParameterGroupName="default.postgres16",
        Parameters=[parameter("work_mem", "8192")],
    )
    assert code.startswith("Invalid")
    assert "default.postgres16" in message


def test_r25_at_most_twenty_parameters_a_call(stage: Stage) -> None:
    names = [
        entry["ParameterName"]
        for page in stage.rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName="params-rds")
        for entry in page["Parameters"]
        if entry["ParameterName"].startswith("enable_") and entry["IsModifiable"]
    ]
    call = {"DBParameterGroupName": "params-rds"}
    too_many = [parameter(name, "1") for name in (names * 2)[:21]]
    code, message = refused(stage.rds.modify_db_parameter_group, Parameters=too_many, **call)
    assert (code, "20" in message) == ("InvalidParameterValue", True)
    stage.rds.modify_db_parameter_group(Parameters=too_many[:20], **call)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (parameter("rds.logical_replication", "1", "immediate"), "InvalidParameterCombination"),
        (parameter("fsync", "0"), "InvalidParameterValue"),
        (parameter("work_mem", "1"), "InvalidParameterValue"),
        (parameter("apg_ccm_enabled", "1"), "InvalidParameterValue"),
        (parameter("no_such_thing", "1"), "InvalidParameterValue"),
        (parameter("shared_preload_libraries", "pg_wonder"), "InvalidParameterValue"),
    ],
    ids=lambda value: value["ParameterName"] if isinstance(value, dict) else value,
)
def test_r25_a_change_that_rds_would_not_take_is_refused(stage: Stage, wrong: dict, code: str) -> None:
    call = {"DBParameterGroupName": "params-rds", "Parameters": [parameter("random_page_cost", "1.5"), wrong]}
    assert refused(stage.rds.modify_db_parameter_group, **call)[0] == code
    assert shown(stage, "rds", "random_page_cost") == "4"


# -- R26: where a parameter belongs ---------------------------------------------------------------------------------


def defaults(stage: Stage, operation: str, family: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    marker = ""
    while marker is not None:
        answer = getattr(stage.rds, operation)(DBParameterGroupFamily=family, Marker=marker)["EngineDefaults"]
        found |= {entry["ParameterName"]: entry for entry in answer["Parameters"]}
        marker = answer.get("Marker")
    return found


def test_r26_the_levels_of_aurora_can_be_told_apart(stage: Stage) -> None:
    source = defaults(stage, "describe_engine_default_parameters", "postgres16")
    cluster = defaults(stage, "describe_engine_default_cluster_parameters", "aurora-postgresql16")
    member = defaults(stage, "describe_engine_default_parameters", "aurora-postgresql16")
    assert {"full_page_writes", "max_wal_size"} <= source.keys() - cluster.keys()
    assert {"autovacuum_naptime", "rds.logical_replication", "timezone"} <= cluster.keys() - member.keys()
    assert {"work_mem", "log_min_duration_statement"} <= member.keys()
    assert min(len(source), len(cluster), len(member)) > 100


def test_r26_what_a_user_has_set_is_told_from_the_defaults(stage: Stage) -> None:
    modify(stage, parameter("log_min_duration_statement", "250", "immediate"))
    found = stage.rds.describe_db_parameters(DBParameterGroupName="params-rds", Source="user")["Parameters"]
    values = {entry["ParameterName"]: entry["ParameterValue"] for entry in found}
    assert values["log_min_duration_statement"] == "250"
    assert "work_mem" not in values


# -- R27, R28: when it is in force ----------------------------------------------------------------------------------


def test_r27_an_immediate_change_reaches_the_server_by_itself(stage: Stage) -> None:
    modify(stage, parameter("work_mem", "65536", "immediate"))
    wait_until(lambda: shown(stage, "rds", "work_mem") == "64MB")


def test_r27_r28_a_static_change_waits_for_the_reboot(stage: Stage) -> None:
    modify(stage, parameter("rds.logical_replication", "1"))
    assert (status(stage), shown(stage, "rds", "wal_level")) == ("pending-reboot", "replica")
    stage.rds.reboot_db_instance(DBInstanceIdentifier="params-rds")
    stage.instance_available("rds")
    assert (status(stage), shown(stage, "rds", "wal_level")) == ("in-sync", "logical")


def test_r28_on_aurora_logical_replication_belongs_to_the_cluster(stage: Stage) -> None:
    stage.rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="params-aurora", Parameters=[parameter("rds.logical_replication", "1")]
    )
    assert (member_status(stage), shown(stage, "aurora-1", "wal_level")) == ("pending-reboot", "replica")
    stage.rds.reboot_db_instance(DBInstanceIdentifier="params-aurora-1")
    stage.instance_available("aurora-1")
    assert (member_status(stage), shown(stage, "aurora-1", "wal_level")) == ("in-sync", "logical")


def test_r27_a_group_that_is_attached_later_waits_for_the_reboot(stage: Stage) -> None:
    stage.rds.create_db_parameter_group(
        DBParameterGroupName="params-later", DBParameterGroupFamily="postgres16", Description="attached later"
    )
    stage.rds.modify_db_parameter_group(
        DBParameterGroupName="params-later", Parameters=[parameter("max_connections", "250")]
    )
    stage.rds.modify_db_instance(DBInstanceIdentifier="params-rds", DBParameterGroupName="params-later")
    group = wait_until(lambda: stage.instance("rds")["DBParameterGroups"][0])
    assert (group["DBParameterGroupName"], group["ParameterApplyStatus"]) == ("params-later", "pending-reboot")
    stage.rds.reboot_db_instance(DBInstanceIdentifier="params-rds")
    stage.instance_available("rds")
    assert (status(stage), shown(stage, "rds", "max_connections")) == ("in-sync", "250")


@pytest.mark.parametrize(
    "parameters",
    [
        [
            parameter("shared_buffers", "{DBInstanceClassMemory/32768}"),
            parameter("shared_preload_libraries", "pg_cron"),
        ],
        [parameter("max_prepared_transactions", "10"), parameter("temp_buffers", "2048")],
    ],
    ids=["of another machine", "of this one"],
)
def test_whatever_a_group_may_hold_the_server_starts(stage: Stage, parameters: list) -> None:
    stage.rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName="params-aurora", Parameters=parameters)
    stage.rds.reboot_db_instance(DBInstanceIdentifier="params-aurora-1")
    stage.instance_available("aurora-1")
    assert member_status(stage) == "in-sync"
