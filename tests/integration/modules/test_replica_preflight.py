# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""replica_preflight_info against the sandbox's API and a real server."""

from __future__ import annotations

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._findings import BLOCKER

PASSWORD = "a-long-password-of-the-tests-4711"
READS = ("Describe", "List", "Get")


@pytest.fixture
def args(cloud, shop):
    return {
        "source": shop["DBInstanceIdentifier"], "cluster": cloud.name("target"), "instance_class": "db.r6g.large",
        "migration": cloud.name("orders"), "max_outage": 300,
    }


@pytest.fixture
def inside(run_module, shop):
    """What pg_server_info tells of the source now."""

    def look():
        address = {"host": shop["Endpoint"]["Address"], "user": "shop_admin", "password": PASSWORD}
        told = run_module("pg_server_info", {"server": address})
        assert "server" in told, told
        return told["server"]

    return look


def ids(told, severity=None):
    assert "findings" in told, told
    return {finding["id"] for finding in told["findings"] if severity in (None, finding["severity"])}


def test_a_good_source_has_no_blocker_and_nothing_but_reading_was_done(cloud, run_module, args, inside):
    server = inside()
    with cloud.calls() as calls:
        told = run_module("replica_preflight_info", {**args, "server": server})
    assert ids(told, BLOCKER) == set()
    assert told["changed"] is False
    assert calls.operations and all(operation.startswith(READS) for operation in calls.operations)
    assert not any(name.endswith("-unknown") for name in ids(told)), told["findings"]


def test_r5_the_lowest_version_that_is_allowed_is_chosen(cloud, run_module, args, shop):
    told = run_module("replica_preflight_info", args)
    assert told["engine_version"].split(".")[0] == shop["EngineVersion"].split(".")[0]
    assert int(told["engine_version"].split(".")[1]) >= int(shop["EngineVersion"].split(".")[1])
    assert told["source"]["identifier"] == shop["DBInstanceIdentifier"]


def test_without_a_login_that_is_said(run_module, args):
    told = run_module("replica_preflight_info", args)
    assert ids(told, BLOCKER) == {"server-not-read"}


@pytest.mark.parametrize("change, found", [
    ({"source": "nowhere"}, "source-missing"),
    ({"cluster": "bad--name"}, "identifier-invalid"),
    ({"instance_class": "db.t3.nano"}, "class-not-orderable"),
    ({"engine_version": "15.4"}, "engine-major-differs"),
    ({"security_group_ids": ["sg-0123456789abcdef0"]}, "security-group-missing"),
])
def test_what_cannot_be_is_a_blocker(run_module, args, change, found):
    assert found in ids(run_module("replica_preflight_info", {**args, **change}), BLOCKER)


def test_r3_a_source_without_backups_is_a_blocker(cloud, run_module, args):
    name = cloud.name("unsaved")
    cloud.create_instance(name, BackupRetentionPeriod=0)
    try:
        told = run_module("replica_preflight_info", {**args, "source": name})
    finally:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    assert "source-backups-off" in ids(told, BLOCKER)


def test_r7_a_cluster_of_somebody_else_is_a_blocker_and_ours_is_not(cloud, run_module, args):
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=args["cluster"], Engine="aurora-postgresql", MasterUsername="shop_admin",
        MasterUserPassword=PASSWORD, VpcSecurityGroupIds=[cloud.app_group],
    )
    wait_until(lambda: cloud.cluster(args["cluster"])["Status"] == "available")
    try:
        assert "target-exists" in ids(run_module("replica_preflight_info", args), BLOCKER)
        cloud.rds.add_tags_to_resource(
            ResourceName=cloud.cluster(args["cluster"])["DBClusterArn"],
            Tags=[{"Key": "cloudpg:migration", "Value": args["migration"]}],
        )
        assert "target-exists" not in ids(run_module("replica_preflight_info", args))
    finally:
        cloud.rds.delete_db_cluster(DBClusterIdentifier=args["cluster"], SkipFinalSnapshot=True)


def test_r9_r14_what_is_inside_is_seen(run_module, args, inside, shop):
    session = psycopg2.connect(
        host=shop["Endpoint"]["Address"], user="shop_admin", password=PASSWORD, dbname="shop"
    )
    session.autocommit = True
    cursor = session.cursor()
    cursor.execute("CREATE UNLOGGED TABLE cache (a int)")
    cursor.execute("SELECT pg_create_physical_replication_slot('old_standby', true)")
    try:
        told = run_module("replica_preflight_info", {**args, "server": inside()})
    finally:
        cursor.execute("DROP TABLE cache")
        cursor.execute("SELECT pg_drop_replication_slot('old_standby')")
        session.close()
    found = {(finding["id"], finding["object"]) for finding in told["findings"]}
    assert {("unlogged-tables", "shop"), ("foreign-slot", "old_standby")} <= found


def test_r10_alarms_of_the_source_are_named(cloud, sandbox, run_module, args):
    cloudwatch = sandbox.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="shop-cpu", MetricName="CPUUtilization", Namespace="AWS/RDS", Statistic="Average", Period=60,
        EvaluationPeriods=1, Threshold=90, ComparisonOperator="GreaterThanThreshold",
        Dimensions=[{"Name": "DBInstanceIdentifier", "Value": args["source"]}],
    )
    try:
        told = run_module("replica_preflight_info", args)
    finally:
        cloudwatch.delete_alarms(AlarmNames=["shop-cpu"])
    [finding] = [finding for finding in told["findings"] if finding["id"] == "alarms"]
    assert "shop-cpu" in finding["reason"]


def test_a_call_that_is_denied_is_a_warning_where_the_answer_is_optional(run_module, args, faults):
    faults("access_denied", operation="DescribeDBProxies")
    assert "proxies-unknown" in ids(run_module("replica_preflight_info", args))


def test_a_call_that_is_denied_fails_the_module_where_the_answer_counts(run_module, args, faults):
    faults("access_denied", operation="DescribeOrderableDBInstanceOptions")
    told = run_module("replica_preflight_info", args)
    assert told["failed"] and "rds:DescribeOrderableDBInstanceOptions" in told["msg"]


def test_r12_missing_figures_are_not_zero(cloud, run_module, args, faults):
    faults("missing_metrics", metric="FreeStorageSpace")
    name = cloud.name("unseen")
    cloud.create_instance(name)
    try:
        told = run_module("replica_preflight_info", {**args, "source": name})
    finally:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    assert "free-storage-unknown" in ids(told, "warning")
