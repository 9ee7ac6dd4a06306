# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics read off real servers, asked for through CloudWatch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from cloudpg_sandbox.stage import Stage
from cloudpg_sandbox.testing import Sandbox, wait_until

LAG = "RDSToAuroraPostgreSQLReplicaLag"
MEMBER = ("DBInstanceIdentifier", "aurora-1")
CLUSTER = ("DBClusterIdentifier", "aurora")
SOURCE = ("DBInstanceIdentifier", "orders")


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox) -> Iterator[Stage]:
    """An instance with a replica cluster and a table to write to."""
    made = Stage(sandbox, "metrics")
    made.make_instance("orders")
    made.sql("orders", "CREATE TABLE written (at timestamptz)")
    made.make_replica("orders", "aurora")
    yield made
    made.clear()


def since(stage: Stage, metric: str, dimension: tuple[str, str], began: datetime) -> list[float]:
    """The samples from a moment on, oldest first."""
    stat = {
        "Metric": {
            "Namespace": "AWS/RDS",
            "MetricName": metric,
            "Dimensions": [{"Name": dimension[0], "Value": stage.name(dimension[1])}],
        },
        "Period": 1,
        "Stat": "Maximum",
    }
    answer = stage.cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": stat}],
        StartTime=began,
        EndTime=began + timedelta(minutes=2),
        ScanBy="TimestampAscending",
    )
    return answer["MetricDataResults"][0]["Values"]


def next_second() -> datetime:
    """When the next period of one second begins: all its samples are of what is true now."""
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)


def fresh(stage: Stage, metric: str, dimension: tuple[str, str], count: int = 1) -> list[float]:
    """Wait for `count` samples of what is true now, and return them."""
    began = next_second()
    return wait_until(
        lambda: values if len(values := since(stage, metric, dimension, began)) >= count else [], seconds=15
    )


def nothing_while_others_report(stage: Stage, metric: str) -> bool:
    """Whether a metric of the replica has no samples although others of it have."""
    began = next_second()
    wait_until(lambda: len(since(stage, "DatabaseConnections", MEMBER, began)) >= 2)
    return since(stage, metric, MEMBER, began) == []


def write(stage: Stage) -> None:
    stage.sql("orders", "INSERT INTO written VALUES (now())")


def test_r12_a_replica_that_follows_has_no_lag_under_its_own_name_and_its_cluster_s(stage: Stage) -> None:
    write(stage)
    assert fresh(stage, LAG, MEMBER)[-1] == 0
    assert stage.samples(LAG, *CLUSTER)[-1] == 0


def test_r12_an_instance_reports_its_disk_its_wal_and_its_sessions(stage: Stage) -> None:
    assert fresh(stage, "FreeStorageSpace", SOURCE)[-1] > 1_000_000
    assert stage.samples("TransactionLogsDiskUsage", *SOURCE)[-1] >= 16 * 1024 * 1024
    assert stage.samples("DatabaseConnections", *SOURCE)[-1] == 0


def test_r12_lag_inside_a_cluster_is_another_metric(stage: Stage) -> None:
    assert stage.samples("AuroraReplicaLag", *MEMBER) == []
    assert stage.samples(LAG, *SOURCE) == []


def test_r12_a_paused_replay_shows_as_lag_though_the_slot_has_none(stage: Stage) -> None:
    wait_until(lambda: stage.samples("OldestReplicationSlotLag", *SOURCE)[-1:] == [0])
    stage.sql("aurora-1", "SELECT pg_wal_replay_pause()")
    try:
        write(stage)
        lags = fresh(stage, LAG, MEMBER, 3)
        assert lags == sorted(lags)
        assert lags[-1] - lags[0] >= 1.5
        assert fresh(stage, "OldestReplicationSlotLag", SOURCE)[-1] == 0
    finally:
        stage.sql("aurora-1", "SELECT pg_wal_replay_resume()")
    wait_until(lambda: stage.samples(LAG, *MEMBER)[-1] == 0)


def test_r14_a_foreign_slot_keeps_the_slot_lag_up(stage: Stage) -> None:
    stage.sql("orders", "SELECT pg_create_physical_replication_slot('stale_cdc', true)")
    try:
        stage.sql("orders", "INSERT INTO written SELECT now() FROM generate_series(1, 2000)")
        assert fresh(stage, "OldestReplicationSlotLag", SOURCE)[-1] > 100_000
        assert fresh(stage, LAG, MEMBER)[-1] == 0
    finally:
        stage.sql("orders", "SELECT pg_drop_replication_slot('stale_cdc')")
    wait_until(lambda: stage.samples("OldestReplicationSlotLag", *SOURCE)[-1] == 0)


def test_r13_an_idle_source_makes_a_sawtooth_when_asked_to(sandbox: Sandbox, stage: Stage) -> None:
    fault = sandbox.control("POST", "faults", {"name": "wal_switch", "identifier": "metrics-orders", "seconds": 2})
    try:
        lags = fresh(stage, LAG, MEMBER, 5)
    finally:
        sandbox.control("DELETE", f"faults/{fault['id']}")
    assert max(lags) >= 1
    assert any(later < earlier for earlier, later in zip(lags, lags[1:]))


def test_r12_a_fault_leaves_a_gap(sandbox: Sandbox, stage: Stage) -> None:
    fault = sandbox.control("POST", "faults", {"name": "missing_metrics", "metric": LAG})
    try:
        assert nothing_while_others_report(stage, LAG)
    finally:
        sandbox.control("DELETE", f"faults/{fault['id']}")
    assert fresh(stage, LAG, MEMBER)


def test_r12_nothing_is_reported_while_nothing_streams(sandbox: Sandbox, stage: Stage) -> None:
    sandbox.control("POST", "servers/metrics-orders", {"action": "stop"})
    try:
        wait_until(lambda: stage.sql("aurora-1", "SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)])
        assert nothing_while_others_report(stage, LAG)
    finally:
        sandbox.control("POST", "servers/metrics-orders", {"action": "start"})
    assert fresh(stage, LAG, MEMBER)


def test_r12_statistics_come_unordered_and_by_the_minute_too(stage: Stage) -> None:
    wait_until(lambda: len(stage.samples("DatabaseConnections", *SOURCE)) >= 3)
    now = datetime.now(timezone.utc)
    question = {
        "Namespace": "AWS/RDS",
        "MetricName": "DatabaseConnections",
        "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": "metrics-orders"}],
        "StartTime": now - timedelta(minutes=10),
        "EndTime": now,
        "Statistics": ["Maximum", "SampleCount"],
    }
    seconds = stage.cloudwatch.get_metric_statistics(Period=1, **question)["Datapoints"]
    times = [point["Timestamp"] for point in seconds]
    assert times != sorted(times)
    minutes = stage.cloudwatch.get_metric_statistics(Period=60, **question)["Datapoints"]
    assert {point["Timestamp"].second for point in minutes} == {0}
    assert sum(point["SampleCount"] for point in minutes) >= len(seconds)


def test_other_namespaces_are_moto_s(stage: Stage) -> None:
    at = datetime.now(timezone.utc)
    stage.cloudwatch.put_metric_data(
        Namespace="Shop", MetricData=[{"MetricName": "Orders", "Value": 5, "Timestamp": at, "Unit": "Count"}]
    )
    found = stage.cloudwatch.get_metric_statistics(
        Namespace="Shop",
        MetricName="Orders",
        StartTime=at - timedelta(minutes=1),
        EndTime=at + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    assert [point["Sum"] for point in found] == [5]


def test_r12_r16_the_promotion_ends_the_one_lag_and_a_reader_begins_the_other(stage: Stage) -> None:
    stage.promote("aurora")
    assert nothing_while_others_report(stage, LAG)
    stage.make_member("aurora-2", "aurora")
    assert fresh(stage, "AuroraReplicaLag", ("DBInstanceIdentifier", "aurora-2"))[-1] < 60_000
    assert stage.samples("AuroraReplicaLag", *MEMBER) == []
