# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox from `up` to `down`, and an instance from creation to deletion."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import psycopg2
import pytest
from cloudpg_sandbox import registry
from cloudpg_sandbox.home import read_state, registry_path
from cloudpg_sandbox.testing import PROGRAM, Sandbox, running, wait_until

from .conftest import PASSWORD, USER, Cloud, Held


def command(home: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments, "--home", str(home)],
        capture_output=True, text=True, check=False, timeout=60,
    )


def server_processes(home: str) -> list[int]:
    """Process ids of the servers whose data lies in a home."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as handle:
                words = handle.read().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(f"{home}/".encode()) for word in words) and registry.start_time(int(name)):
            found.append(int(name))
    return found


@pytest.fixture
def short_home() -> Iterator[str]:
    """A home of its own that isn't there yet; pytest's directories are too long for a socket."""
    home = tempfile.mkdtemp(prefix="cpg-")
    os.rmdir(home)
    yield home
    command(home, "down")


def test_up_twice_gives_the_same_environment_and_down_twice_is_fine(short_home: str) -> None:
    first = command(short_home, "up", "--port", "0", "--network", "auto", "--pace", "0.05")
    second = command(short_home, "up", "--port", "0", "--network", "auto")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout
    environment = json.loads(command(short_home, "env", "--json").stdout)
    assert {"AWS_ENDPOINT_URL", "AWS_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION",
            "AWS_DEFAULT_REGION", "PLANETSCALE_API_URL", "PLANETSCALE_ORGANIZATION", "PLANETSCALE_SERVICE_TOKEN_ID",
            "PLANETSCALE_SERVICE_TOKEN", "CLOUDPG_SANDBOX_CA"} == set(environment)
    assert json.loads(command(short_home, "status").stdout)["servers"] == []
    clash = command(f"{short_home}-b", "serve", "--port", "0", "--network", read_state(short_home)["network"])
    assert clash.returncode == 1 and "--network" in clash.stderr
    assert not os.path.exists(f"{short_home}-b")
    assert command(short_home, "down").returncode == 0
    assert command(short_home, "down").returncode == 0
    assert not os.path.exists(short_home)
    gone = command(short_home, "status")
    assert gone.returncode == 1 and "`up`" in gone.stderr


def test_nothing_survives_a_sandbox_that_was_killed() -> None:
    with running() as sandbox:
        cloud = Cloud(sandbox)
        cloud.begin_instance("orders")
        cloud.await_instance("orders")
        processes = server_processes(sandbox.home)
        directory = sandbox.control("GET", "status")["servers"][0]["socket"]
        assert processes and os.path.isdir(directory)
        sandbox.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not server_processes(sandbox.home))
        wait_until(lambda: not os.path.exists(directory))


def test_a_served_sandbox_ends_with_its_parent(short_home: str) -> None:
    arguments = [PROGRAM, "serve", "--home", short_home, "--port", "0", "--network", "auto"]
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])", *arguments],
        stderr=subprocess.DEVNULL,
    )
    state = wait_until(lambda: read_state(short_home))
    parent.kill()
    parent.wait()
    wait_until(lambda: registry.start_time(state["pid"]) != state["start"])


def test_down_clears_what_a_killed_sandbox_left(short_home: str) -> None:
    left = os.path.join(short_home, "s1")
    os.makedirs(left)
    with subprocess.Popen(["sleep", "300"]) as process, subprocess.Popen(["sleep", "300"]) as another:
        known = registry.Registry(registry_path(short_home))
        known.add(process.pid, left)
        known.add(another.pid, left)
        entries = json.loads(pathlib.Path(known.path).read_text())
        entries[str(another.pid)]["start"] -= 1
        pathlib.Path(known.path).write_text(json.dumps(entries))
        assert command(short_home, "down").returncode == 0
        spared = another.poll() is None
        another.kill()
        assert process.wait(5) in (-signal.SIGQUIT, -signal.SIGKILL)
        assert spared, "a process that only has the number of one of ours"
    assert not os.path.exists(short_home)


def test_a_sandbox_ends_when_its_time_is_over(short_home: str) -> None:
    assert command(short_home, "serve", "--port", "0", "--network", "auto", "--ttl", "0.1").returncode == 0
    assert read_state(short_home) is None


def test_an_instance_goes_through_awss_states(cloud: Cloud, held: Held) -> None:
    name = cloud.name("states")

    def status() -> str:
        return cloud.instance(name)["DBInstanceStatus"]

    with held(name, "backing-up"):
        with held(name, "creating"):
            created = cloud.begin_instance(name)
            assert created["DBInstanceStatus"] == status() == "creating" and "Endpoint" not in created
        wait_until(lambda: status() != "creating")
        assert status() == "backing-up"
    facts = cloud.await_instance(name)
    assert facts["Endpoint"]["Address"].startswith(f"{cloud.sandbox.network}.")
    assert cloud.value(facts["Endpoint"]["Address"], "SELECT current_database()") == "shop"
    assert cloud.rds.delete_db_instance(
        DBInstanceIdentifier=name, SkipFinalSnapshot=True
    )["DBInstance"]["DBInstanceStatus"] == "deleting"
    wait_until(lambda: cloud.has_no(name))
    with pytest.raises(cloud.rds.exceptions.DBInstanceNotFoundFault):
        cloud.instance(name)


def test_r29_the_master_user_is_no_superuser(cloud: Cloud, shop: dict[str, Any]) -> None:
    host = shop["Endpoint"]["Address"]
    with cloud.connection(host) as cursor:
        cursor.execute("SELECT rolsuper, pg_has_role(oid, 'rds_superuser', 'MEMBER') FROM pg_roles WHERE rolname = %s",
                       [USER])
        assert cursor.fetchone() == (False, True)
        cursor.execute("SELECT count(*) > 0 FROM pg_ls_waldir()")
        assert cursor.fetchone() == (True,)
        cursor.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM pg_authid")
        cursor.execute("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s ORDER BY 1", [USER])
        assert cursor.fetchall() == [("postgres",), ("shop",), ("template1",)]
    with pytest.raises(psycopg2.OperationalError, match="rejects"):
        psycopg2.connect(host=host, user="rdsadmin", dbname="postgres", password="guess")


def test_r29_members_of_rds_replication_may_replicate(cloud: Cloud, shop: dict[str, Any]) -> None:
    host = shop["Endpoint"]["Address"]
    with cloud.connection(host) as cursor:
        cursor.execute(f"CREATE ROLE mover LOGIN PASSWORD '{PASSWORD}'")
        cursor.execute("GRANT rds_replication TO mover")
        attribute = "SELECT rolreplication FROM pg_roles WHERE rolname = 'mover'"
        wait_until(lambda: cloud.value(host, attribute))
        assert cloud.value(host, "SELECT slot_name FROM pg_create_physical_replication_slot('mine')", user="mover")
        cursor.execute("SELECT pg_drop_replication_slot('mine')")
        cursor.execute("REVOKE rds_replication FROM mover")
        wait_until(lambda: not cloud.value(host, attribute))


def test_the_server_has_the_major_that_was_asked_for(cloud: Cloud) -> None:
    majors = cloud.sandbox.control("GET", "status")["postgresql"]
    assert "16" in majors
    names = {major: cloud.name(f"major-{major}") for major in majors}
    for major, name in names.items():
        cloud.begin_instance(name, EngineVersion=major)
    for major, name in names.items():
        facts = cloud.await_instance(name)
        assert facts["EngineVersion"].startswith(f"{major}.")
        assert cloud.value(facts["Endpoint"]["Address"], "SHOW server_version").startswith(f"{major}.")
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


REFUSALS: list[tuple[str, str, dict[str, Any]]] = [
    ("DBInstanceNotFound", "describe_db_instances", {"DBInstanceIdentifier": "nowhere"}),
    ("DBInstanceNotFound", "reboot_db_instance", {"DBInstanceIdentifier": "nowhere"}),
    ("DBInstanceNotFound", "modify_db_instance", {"DBInstanceIdentifier": "nowhere", "MultiAZ": True}),
    ("DBClusterNotFoundFault", "describe_db_clusters", {"DBClusterIdentifier": "nowhere"}),
    ("DBClusterNotFoundFault", "promote_read_replica_db_cluster", {"DBClusterIdentifier": "nowhere"}),
    ("DBParameterGroupNotFound", "describe_db_parameters", {"DBParameterGroupName": "nowhere"}),
    ("DBParameterGroupNotFound", "describe_db_cluster_parameter_groups", {"DBClusterParameterGroupName": "nowhere"}),
    ("DBSnapshotNotFound", "describe_db_snapshots", {"DBSnapshotIdentifier": "nowhere"}),
    ("DBSubnetGroupNotFoundFault", "describe_db_subnet_groups", {"DBSubnetGroupName": "nowhere"}),
    ("InvalidParameterValue", "describe_db_instances", {"Filters": [{"Name": "colour", "Values": ["blue"]}]}),
    ("InvalidParameterCombination", "describe_events", {"SourceIdentifier": "orders"}),
]


@pytest.mark.parametrize("code, operation, parameters", REFUSALS)
def test_errors_carry_awss_codes(cloud: Cloud, code: str, operation: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(cloud.rds, operation)(**parameters)
    assert refused.value.response["Error"]["Code"] == code
    assert cloud.sandbox.log()[-1]["error_code"] == code


CREATE_REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("InvalidParameterCombination", {"EngineVersion": "16.99"}),
    ("InvalidParameterValue", {"Engine": "mysql"}),
    ("InvalidParameterValue", {"VpcSecurityGroupIds": ["sg-00000000"]}),
    ("DBParameterGroupNotFound", {"DBParameterGroupName": "nowhere"}),
    ("InvalidParameterCombination", {"DBParameterGroupName": "default.postgres15"}),
    ("DBSubnetGroupNotFoundFault", {"DBSubnetGroupName": "nowhere"}),
    ("DBClusterNotFoundFault", {"DBClusterIdentifier": "nowhere"}),
]


@pytest.mark.parametrize("code, options", CREATE_REFUSALS)
def test_a_refused_creation_leaves_nothing_behind(cloud: Cloud, code: str, options: dict[str, Any]) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.begin_instance("refused", **options)
    assert refused.value.response["Error"]["Code"] == code
    assert cloud.has_no("refused")


def test_a_name_is_given_once_and_compared_without_case(cloud: Cloud, shop: dict[str, Any]) -> None:
    with pytest.raises(cloud.rds.exceptions.DBInstanceAlreadyExistsFault):
        cloud.begin_instance(shop["DBInstanceIdentifier"].upper())
    assert cloud.instance(shop["DBInstanceIdentifier"].upper())["DBInstanceArn"] == shop["DBInstanceArn"]
    assert cloud.instance(shop["DBInstanceArn"])["DBInstanceIdentifier"] == shop["DBInstanceIdentifier"]


def test_another_region_has_other_resources(cloud: Cloud, shop: dict[str, Any]) -> None:
    elsewhere = cloud.sandbox.client("rds", region_name="eu-central-1")
    assert elsewhere.describe_db_instances()["DBInstances"] == []
    assert [one["DBInstanceIdentifier"] for one in cloud.rds.describe_db_instances(
        Filters=[{"Name": "db-instance-id", "Values": [shop["DBInstanceIdentifier"]]}]
    )["DBInstances"]] == [shop["DBInstanceIdentifier"]]


def test_lists_come_in_pages(cloud: Cloud) -> None:
    pages = list(cloud.rds.get_paginator("describe_db_engine_versions").paginate(
        Engine="aurora-postgresql", PaginationConfig={"PageSize": 20}
    ))
    assert len(pages) > 1 and all(len(page["DBEngineVersions"]) <= 20 for page in pages)


def test_tags_are_added_replaced_and_removed(cloud: Cloud, shop: dict[str, Any]) -> None:
    arn = shop["DBInstanceArn"]
    cloud.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    cloud.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "a", "Value": "3"}])
    cloud.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["b"])
    assert cloud.rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "a", "Value": "3"}]
    assert cloud.instance(shop["DBInstanceIdentifier"])["TagList"] == [{"Key": "a", "Value": "3"}]


def test_stop_and_start_keep_the_data(cloud: Cloud, instance: dict[str, Any]) -> None:
    name, host = instance["DBInstanceIdentifier"], instance["Endpoint"]["Address"]
    with cloud.connection(host) as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    cloud.rds.stop_db_instance(DBInstanceIdentifier=name)
    cloud.await_instance(name, "stopped")
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        cloud.value(host, "SELECT 1")
    with pytest.raises(cloud.rds.exceptions.InvalidDBInstanceStateFault):
        cloud.rds.reboot_db_instance(DBInstanceIdentifier=name)
    cloud.rds.start_db_instance(DBInstanceIdentifier=name)
    cloud.await_instance(name)
    assert cloud.value(host, "SELECT answer FROM kept") == 42


def test_a_final_snapshot_is_taken_only_when_asked_for(cloud: Cloud, instance: dict[str, Any]) -> None:
    name, snapshot = instance["DBInstanceIdentifier"], cloud.name("final")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier=snapshot)
    wait_until(lambda: cloud.has_no(name))
    (taken,) = cloud.rds.describe_db_snapshots(DBSnapshotIdentifier=snapshot)["DBSnapshots"]
    assert (taken["Status"], taken["PercentProgress"], taken["DBInstanceIdentifier"]) == ("available", 100, name)
    cloud.rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot)
    with pytest.raises(cloud.rds.exceptions.DBSnapshotNotFoundFault):
        cloud.rds.describe_db_snapshots(DBSnapshotIdentifier=snapshot)


def test_a_snapshot_is_taken_while_the_instance_runs(cloud: Cloud, shop: dict[str, Any]) -> None:
    snapshot = cloud.name("manual")
    cloud.rds.create_db_snapshot(DBSnapshotIdentifier=snapshot, DBInstanceIdentifier=shop["DBInstanceIdentifier"])
    wait_until(lambda: cloud.rds.describe_db_snapshots(
        DBInstanceIdentifier=shop["DBInstanceIdentifier"]
    )["DBSnapshots"][0]["Status"] == "available")
    cloud.await_instance(shop["DBInstanceIdentifier"])
    cloud.rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot)


def test_modifications_wait_for_the_window_unless_applied_at_once(cloud: Cloud, instance: dict[str, Any]) -> None:
    name = instance["DBInstanceIdentifier"]
    cloud.rds.modify_db_instance(DBInstanceIdentifier=name, DBInstanceClass="db.t3.large", BackupRetentionPeriod=7)
    facts = cloud.instance(name)
    assert facts["DBInstanceClass"] == "db.t3.micro"
    assert facts["PendingModifiedValues"] == {"DBInstanceClass": "db.t3.large", "BackupRetentionPeriod": 7}
    cloud.rds.modify_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.t3.large", BackupRetentionPeriod=7, ApplyImmediately=True,
        AutoMinorVersionUpgrade=False, MasterUserPassword=PASSWORD[::-1],
    )
    cloud.await_instance(name)
    facts = cloud.instance(name)
    assert (facts["DBInstanceClass"], facts["BackupRetentionPeriod"], facts["AutoMinorVersionUpgrade"]) == (
        "db.t3.large", 7, False
    )
    assert facts["PendingModifiedValues"] == {}
    assert cloud.value(facts["Endpoint"]["Address"], "SELECT 1", password=PASSWORD[::-1]) == 1


def test_r16_events_are_filtered_by_source_and_window(cloud: Cloud, shop: dict[str, Any]) -> None:
    name = shop["DBInstanceIdentifier"]

    def messages(**filters: Any) -> list[str]:
        return [event["Message"] for event in cloud.rds.describe_events(**filters)["Events"]]

    assert "DB instance created" in messages(SourceType="db-instance", SourceIdentifier=name)
    assert messages(SourceType="db-cluster", SourceIdentifier=name) == []
    assert messages(SourceType="db-instance", SourceIdentifier=name, EventCategories=["failover"]) == []
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    assert messages(SourceType="db-instance", SourceIdentifier=name, StartTime=now - hour, EndTime=now)
    earlier = messages(SourceType="db-instance", SourceIdentifier=name, StartTime=now - 2 * hour, EndTime=now - hour)
    assert earlier == []
    assert cloud.rds.describe_pending_maintenance_actions()["PendingMaintenanceActions"] == []


ACTIONS = [("restart", True), ("stop", False), ("start", True), ("kill", False), ("start", True)]


def test_the_control_api_stops_kills_and_restarts_servers(cloud: Cloud, instance: dict[str, Any]) -> None:
    name, host = instance["DBInstanceIdentifier"], instance["Endpoint"]["Address"]
    with cloud.connection(host) as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    for action, runs in ACTIONS:
        assert cloud.sandbox.control("POST", f"servers/{name}", {"action": action})["running"] is runs
    assert cloud.value(host, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("port", [5432, 15432])
def test_the_control_api_drops_connections(cloud: Cloud, shop: dict[str, Any], port: int) -> None:
    with cloud.connection(shop["Endpoint"]["Address"], port=port) as cursor:
        cloud.sandbox.control("POST", f"servers/{shop['DBInstanceIdentifier']}", {"action": "drop_connections"})
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"name": "throttling", "operation": "DescribeDBInstances", "times": 1}, "Throttling"),
    ({"name": "internal_error", "operation": "rds:Describe*", "times": 1}, "InternalFailure"),
    ({"name": "access_denied", "operation": "DescribeDBInstances", "times": 1}, "AccessDenied"),
]


@pytest.mark.parametrize("fault, code", FAULTS)
def test_a_fault_strikes_the_call_it_names(
    cloud: Cloud, faults: Callable[..., str], fault: dict[str, Any], code: str
) -> None:
    faults(**fault)
    cloud.sandbox.client("sts").get_caller_identity()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.describe_db_instances()
    assert refused.value.response["Error"]["Code"] == code
    cloud.rds.describe_db_instances()


def test_a_dropped_answer_leaves_the_call_done(cloud: Cloud, faults: Callable[..., str]) -> None:
    name = cloud.name("unanswered")
    faults("drop_response", operation="CreateDBParameterGroup", times=1)
    with pytest.raises((botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError)):
        cloud.rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres16", Description="the answer gets lost"
        )
    assert cloud.rds.describe_db_parameter_groups(DBParameterGroupName=name)["DBParameterGroups"]
    cloud.rds.delete_db_parameter_group(DBParameterGroupName=name)


def test_a_refused_creation_ends_failed(cloud: Cloud, faults: Callable[..., str]) -> None:
    name = cloud.name("failing")
    faults("refuse_transition", identifier=name, transition="creating")
    cloud.begin_instance(name)
    cloud.await_instance(name, "failed")
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    wait_until(lambda: cloud.has_no(name))


def test_the_log_shows_each_call_without_its_secrets(cloud: Cloud, sandbox: Sandbox) -> None:
    since = sandbox.mark()
    with pytest.raises(botocore.exceptions.ClientError):
        cloud.begin_instance("logged", EngineVersion="1.2")
    (entry,) = sandbox.log(since)
    assert (entry["service"], entry["operation"], entry["region"], entry["status"]) == (
        "rds", "CreateDBInstance", "eu-west-1", 400
    )
    assert entry["params"]["DBInstanceIdentifier"] == "logged" and "Boto3" in entry["user_agent"]
    assert PASSWORD not in json.dumps(entry)
