# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""aurora_parameter_group against the sandbox's API."""

from __future__ import annotations

import pytest
from cloudpg_sandbox.testing import wait_until

LOUD = [
    "log_checkpoints", "log_connections", "log_disconnections", "log_duration", "log_lock_waits", "log_statement_stats",
    "log_parser_stats", "log_planner_stats", "log_executor_stats", "debug_print_parse", "debug_print_plan",
    "debug_print_rewritten", "track_io_timing", "enable_hashagg", "enable_hashjoin",
    "enable_mergejoin", "enable_nestloop", "enable_seqscan", "enable_sort", "enable_tidscan", "enable_material",
    "enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan",
]
CHOSEN = {
    "work_mem": "65536", "random_page_cost": "1.1", "max_wal_size": "2048", "max_connections": "150",
    "shared_buffers": "{DBInstanceClassMemory/65536}", "shared_preload_libraries": "pg_transport",
    "rds.logical_replication": "1",
}


def set_parameters(cloud, group, values):
    static = {"max_connections", "shared_buffers", "shared_preload_libraries", "rds.logical_replication"}
    given = [
        {"ParameterName": name, "ParameterValue": value,
         "ApplyMethod": "pending-reboot" if name in static else "immediate"}
        for name, value in values.items()
    ]
    cloud.rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=given)


def written(cloud, level, group):
    """What somebody has set in a group."""
    listing = cloud.rds.describe_db_cluster_parameters if level == "Cluster" else cloud.rds.describe_db_parameters
    answer = listing(**{f"DB{level}ParameterGroupName": group}, Source="user")
    return {each["ParameterName"]: each["ParameterValue"] for each in answer["Parameters"]}


@pytest.fixture(scope="module")
def source(cloud):
    """An instance with a parameter group of its own."""
    group = cloud.name("tuned")
    cloud.rds.create_db_parameter_group(
        DBParameterGroupName=group, DBParameterGroupFamily="postgres16", Description="tuned"
    )
    set_parameters(cloud, group, CHOSEN)
    name = cloud.name("source")
    cloud.create_instance(name, DBParameterGroupName=group)
    yield {"instance": name, "group": group}
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@pytest.fixture
def journal(cloud, source, run_module):
    return run_module("aws_journal", {
        "journal": {"migration": cloud.name("tune")}, "instance": source["instance"],
    })["journal"]


@pytest.fixture
def args(cloud, source, journal):
    name = cloud.name("orders")
    return {
        "source": source["instance"], "cluster_group": f"{name}-cluster", "instance_group": f"{name}-instance",
        "journal": journal,
    }


def test_r26_the_sources_parameters_are_said_on_aurora_once(cloud, run_module, args):
    would = run_module("aurora_parameter_group", args, check=True)
    assert would["changed"] and would["predicted"]
    with pytest.raises(cloud.rds.exceptions.ClientError):
        written(cloud, "Cluster", args["cluster_group"])

    did = run_module("aurora_parameter_group", args)
    assert did["changed"] and did["actions"] == would["actions"] and did["diff"] == would["diff"]
    assert written(cloud, "Cluster", args["cluster_group"]) == did["cluster_parameters"] == {
        "work_mem": "65536", "random_page_cost": "1.1", "max_connections": "150", "rds.logical_replication": "1",
    }
    assert written(cloud, "", args["instance_group"]) == did["instance_parameters"] == {}
    assert [row["name"] for row in did["not_on_aurora"]] == ["max_wal_size"]
    assert {row["name"]: row["carried"] for row in did["review"]} == {
        "max_connections": True, "shared_buffers": False, "shared_preload_libraries": False,
    }
    assert (did["family"], did["not_in_force"]) == ("aurora-postgresql16", [])

    with cloud.calls() as calls:
        again = run_module("aurora_parameter_group", args)
    assert (again["changed"], again["actions"], calls.changes) == (False, [], [])


def test_r25_more_than_20_parameters_take_several_calls(cloud, run_module, args):
    defaults = cloud.rds.get_paginator("describe_engine_default_cluster_parameters")
    known = {
        each["ParameterName"]: each.get("ParameterValue")
        for page in defaults.paginate(DBParameterGroupFamily="aurora-postgresql16")
        for each in page["EngineDefaults"]["Parameters"] if each["IsModifiable"]
    }
    extra = {name: known[name] in ("0", "off") for name in LOUD if name in known}
    assert len(extra) > 20
    with cloud.calls() as calls:
        did = run_module("aurora_parameter_group", {**args, "extra_cluster_parameters": extra})
    assert calls.changes.count("ModifyDBClusterParameterGroup") == 2
    assert did["cluster_parameters"].items() >= {name: str(int(on)) for name, on in extra.items()}.items()
    assert not run_module("aurora_parameter_group", {**args, "extra_cluster_parameters": extra})["changed"]


def test_what_is_not_wanted_any_more_goes_back_to_the_default(cloud, run_module, args):
    run_module("aurora_parameter_group", {**args, "extra_instance_parameters": {"work_mem": 8192}})
    assert written(cloud, "", args["instance_group"]) == {"work_mem": "8192"}
    did = run_module("aurora_parameter_group", {**args, "exclude": ["work_mem", "random_page_cost"]})
    assert did["changed"]
    assert written(cloud, "", args["instance_group"]) == {}
    assert not {"work_mem", "random_page_cost"} & set(written(cloud, "Cluster", args["cluster_group"]))


@pytest.mark.parametrize("change, said", [
    ({"cluster_group": "default.aurora-postgresql16"}, "R25"),
    ({"source": "nowhere"}, "there is no instance nowhere"),
    ({"extra_cluster_parameters": {"max_wal_size": "1"}}, "max_wal_size cannot be set at the cluster"),
    ({"engine_version": "16.4", "family": "aurora-postgresql15"}, "is not that of engine_version"),
])
def test_what_cannot_be_is_refused_before_anything_was_changed(cloud, run_module, args, change, said):
    with cloud.calls() as calls:
        told = run_module("aurora_parameter_group", {**args, **change})
    assert told["failed"] and said in told["msg"]
    assert calls.changes == []


def test_a_group_of_somebody_else_is_neither_changed_nor_deleted(cloud, run_module, args):
    cloud.rds.create_db_parameter_group(
        DBParameterGroupName=args["instance_group"], DBParameterGroupFamily="aurora-postgresql16", Description="mine"
    )
    told = run_module("aurora_parameter_group", args)
    assert told["failed"] and "was made by somebody else" in told["msg"]
    removed = run_module("aurora_parameter_group", {**args, "state": "absent"})
    assert (removed["changed"], removed["kept"]) == (False, [args["instance_group"]])
    cloud.rds.delete_db_parameter_group(DBParameterGroupName=args["instance_group"])


def test_absent_deletes_what_the_migration_made(cloud, run_module, args):
    run_module("aurora_parameter_group", args)
    gone = {**args, "state": "absent"}
    assert run_module("aurora_parameter_group", gone, check=True)["changed"]
    assert written(cloud, "Cluster", args["cluster_group"])
    assert run_module("aurora_parameter_group", gone)["changed"]
    for level, group in (("Cluster", args["cluster_group"]), ("", args["instance_group"])):
        with pytest.raises(cloud.rds.exceptions.ClientError, match="NotFound"):
            written(cloud, level, group)
    assert not run_module("aurora_parameter_group", gone)["changed"]


def test_a_run_that_lost_the_lock_changes_nothing(cloud, run_module, source, args, journal):
    run_module("aws_journal", {
        "journal": {"migration": journal["migration"]}, "instance": source["instance"], "take_over": True,
    })
    with cloud.calls() as calls:
        told = run_module("aurora_parameter_group", args)
    assert told["failed"] and told["code"] == "lease_lost"
    assert not [name for name in calls.changes if "ParameterGroup" in name]


def test_a_lost_answer_to_a_creation_is_no_failure(cloud, run_module, args, faults):
    faults("drop_response", operation="CreateDBClusterParameterGroup", times=1)
    told = run_module("aurora_parameter_group", args)
    assert "failed" not in told, told["msg"]
    assert not run_module("aurora_parameter_group", args)["changed"]


def test_r27_what_is_written_but_not_in_force_is_said(cloud, run_module, args):
    run_module("aurora_parameter_group", args)
    name = cloud.name("aurora")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion="16.4", MasterUsername="shop_admin",
        MasterUserPassword="a-long-password-of-the-tests-4711", VpcSecurityGroupIds=[cloud.app_group],
        DBClusterParameterGroupName=args["cluster_group"],
    )
    wait_until(lambda: cloud.cluster(name)["Status"] == "available")
    cloud.rds.create_db_instance(
        DBInstanceIdentifier=f"{name}-1", DBClusterIdentifier=name, Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large", DBParameterGroupName=args["instance_group"],
    )
    wait_until(lambda: cloud.instance(f"{name}-1")["DBInstanceStatus"] == "available")
    try:
        assert run_module("aurora_parameter_group", args)["not_in_force"] == []
        changed = {**args, "extra_cluster_parameters": {"max_connections": 175}}
        told = run_module("aurora_parameter_group", changed)
        assert told["not_in_force"] == [
            {"instance": f"{name}-1", "group": args["cluster_group"], "status": "pending-reboot"}
        ]
        cloud.rds.reboot_db_instance(DBInstanceIdentifier=f"{name}-1")
        wait_until(lambda: cloud.instance(f"{name}-1")["DBInstanceStatus"] == "available")
        assert wait_until(lambda: run_module("aurora_parameter_group", changed)["not_in_force"] == [])
        in_use = run_module("aurora_parameter_group", {**args, "state": "absent"})
        assert in_use["failed"] and args["cluster_group"] in in_use["msg"]
    finally:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=f"{name}-1", SkipFinalSnapshot=True)
        wait_until(lambda: not cloud.cluster(name)["DBClusterMembers"])
        cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
