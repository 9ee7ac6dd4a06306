# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox measures, keeps and answers as CloudWatch."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cloudpg_sandbox.cloudwatch import metric_data, metric_statistics, unordered
from cloudpg_sandbox.faults import Faults
from cloudpg_sandbox.metrics import MetricStore, Sampler
from cloudpg_sandbox.sampler import NAMESPACE, UNITS, Progress, Reading, dimensions_of, lag_seconds, until_next
from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue

NOON = 70_133 * 25_200.0  # a whole number of every period in use
LAG = "RDSToAuroraPostgreSQLReplicaLag"
INSTANCE = [{"Name": "DBInstanceIdentifier", "Value": "orders-aurora-1"}]
ORDERS = {"Name": "DBInstanceIdentifier", "Value": "orders"}


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOON + seconds, timezone.utc)


def store_of(samples: dict[float, float], faults: Faults | None = None) -> MetricStore:
    store = MetricStore(faults)
    for second, value in samples.items():
        store.record(NAMESPACE, LAG, {"DBInstanceIdentifier": "orders-aurora-1"}, value, "Seconds", NOON + second)
    return store


def statistics(store: MetricStore, start: float, end: float, period: int, **more: Any) -> list[dict[str, Any]]:
    request = {
        "Namespace": NAMESPACE,
        "MetricName": LAG,
        "Dimensions": INSTANCE,
        "StartTime": moment(start),
        "EndTime": moment(end),
        "Period": period,
        "Statistics": ["Average"],
    }
    return metric_statistics(store, request | more)["Datapoints"]


def averages(points: list[dict[str, Any]]) -> dict[float, float]:
    return {point["Timestamp"].timestamp() - NOON: point["Average"] for point in points}


def data(store: MetricStore, start: float, end: float, period: int = 60, **more: Any) -> dict[float, float]:
    query = {
        "Id": "lag",
        "MetricStat": {
            "Metric": {"Namespace": NAMESPACE, "MetricName": LAG, "Dimensions": INSTANCE},
            "Period": period,
            "Stat": more.pop("Stat", "Maximum"),
        },
    }
    answer = metric_data(store, query, {"StartTime": moment(start), "EndTime": moment(end), **more})
    assert (answer["Id"], answer["StatusCode"]) == ("lag", "Complete")
    return {at.timestamp() - NOON: value for at, value in zip(answer["Timestamps"], answer["Values"])}


# -- periods --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (1, {0: 0, 30: 2, 60: 4, 90: 6, 120: 8}),
        (60, {0: 1, 60: 5, 120: 8}),
        (7, {0: 0, 28: 2, 56: 4, 84: 6, 119: 8}),
        (300, {0: 4}),
    ],
)
def test_r12_samples_are_put_together_by_aligned_periods_of_any_length(period: int, expected: dict) -> None:
    points = statistics(store_of({0: 0, 30: 2, 60: 4, 90: 6, 120: 8}), 0, 300, period)
    assert averages(points) == expected


def test_r12_the_end_is_exclusive() -> None:
    store = store_of({0: 1, 59: 3, 60: 100})
    assert averages(statistics(store, 0, 60, 60)) == {0: 2}
    assert data(store, 0, 60) == {0: 3}


def test_r12_a_start_within_a_period_includes_the_period() -> None:
    assert averages(statistics(store_of({0: 1, 30: 3}), 20, 60, 60)) == {0: 2}


def test_r12_missing_data_is_neither_zero_nor_there() -> None:
    store = store_of({0: 5, 180: 6})
    assert data(store, 0, 240) == {180: 6, 0: 5}
    assert statistics(store, 60, 180, 60) == []
    assert statistics(MetricStore(), 0, 240, 60) == []


def test_r12_statistics_come_in_no_order() -> None:
    points = statistics(store_of({60.0 * minute: minute for minute in range(10)}), 0, 600, 60)
    times = [point["Timestamp"] for point in points]
    assert sorted(times) != times
    assert len(times) == 10


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_r12_no_order_is_never_the_right_one(count: int) -> None:
    points = list(range(count))
    for seed in range(50):
        shuffled = unordered(points, str(seed))
        assert shuffled != points
        assert sorted(shuffled) == points


@pytest.mark.parametrize(("scan", "order"), [({}, [120, 60, 0]), ({"ScanBy": "TimestampAscending"}, [0, 60, 120])])
def test_metric_data_comes_in_the_order_that_was_asked_for(scan: dict, order: list[int]) -> None:
    assert list(data(store_of({0: 1, 60: 2, 120: 3}), 0, 180, **scan)) == order


@pytest.mark.parametrize(
    ("stat", "value"),
    [
        ("SampleCount", 4),
        ("Average", 2.5),
        ("Sum", 10),
        ("Minimum", 1),
        ("Maximum", 4),
        ("p0", 1),
        ("p100", 4),
        ("p99.9", 4),
    ],
)
def test_every_statistic(stat: str, value: float) -> None:
    assert data(store_of({0: 4, 1: 2, 2: 1, 3: 3}), 0, 60, Stat=stat) == {0: value}


def test_extended_statistics_stand_by_themselves() -> None:
    (point,) = statistics(store_of({0: 1, 1: 9}), 0, 60, 60, Statistics=[], ExtendedStatistics=["p100"])
    assert (point["ExtendedStatistics"], point["Unit"]) == ({"p100": 9}, "Seconds")


@pytest.mark.parametrize(
    ("dimensions", "unit", "found"),
    [
        (INSTANCE, "Seconds", True),
        (INSTANCE, "Milliseconds", False),
        ([], None, False),
        ([*INSTANCE, {"Name": "DBClusterIdentifier", "Value": "orders-aurora"}], None, False),
        ([{"Name": "DBInstanceIdentifier", "Value": "other"}], None, False),
    ],
)
def test_a_metric_is_its_exact_dimensions_and_its_unit(dimensions: list, unit: str | None, found: bool) -> None:
    more = {"Unit": unit} if unit else {}
    assert bool(statistics(store_of({0: 1}), 0, 60, 60, Dimensions=dimensions, **more)) is found


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"Statistics": []}, InvalidParameterCombination),
        ({"Period": 0}, InvalidParameterValue),
        ({"EndTime": moment(-10)}, InvalidParameterValue),
        ({"Statistics": ["Median"]}, InvalidParameterValue),
        ({"EndTime": moment(7200), "Period": 1}, InvalidParameterCombination),
    ],
)
def test_a_wrong_question_is_refused(request_: dict, error: type) -> None:
    with pytest.raises(error):
        statistics(store_of({0: 1}), 0, 60, request_.pop("Period", 60), **request_)


# -- the store ------------------------------------------------------------------------------------------------------


def test_samples_are_kept_for_three_hours() -> None:
    store = store_of({second: 1 for second in range(0, 4 * 3600, 600)})
    kept = data(store, -60, 5 * 3600, 600, Stat="SampleCount")
    assert min(kept) == 3600
    assert len(kept) == 18


def test_a_metric_nobody_reports_any_more_is_forgotten() -> None:
    store = store_of({0: 1})
    store.forget(NOON + 3600)
    assert len(store.metrics(NAMESPACE)) == 1
    store.forget(NOON + 4 * 3600)
    assert store.metrics(NAMESPACE) == []


def test_a_moment_without_a_zone_is_utc() -> None:
    naive = moment(0).replace(tzinfo=None)
    points = statistics(store_of({0: 1}), 0, 60, 60, StartTime=naive, EndTime=naive + timedelta(minutes=1))
    assert averages(points) == {0: 1}


def test_a_lost_metric_leaves_a_gap_and_a_stale_one_repeats_itself() -> None:
    faults = Faults()
    store = store_of({0: 7}, faults)
    dimensions = {"DBInstanceIdentifier": "orders-aurora-1"}
    lost = faults.add({"name": "missing_metrics", "metric": LAG})
    store.record(NAMESPACE, LAG, dimensions, 1, "Seconds", NOON + 60)
    faults.remove(lost)
    faults.add({"name": "stale_metrics", "identifier": "orders-aurora-1"})
    store.record(NAMESPACE, LAG, dimensions, 1, "Seconds", NOON + 120)
    assert data(store, 0, 180) == {120: 7, 0: 7}


def test_what_was_never_reported_cannot_be_stale() -> None:
    faults = Faults()
    faults.add({"name": "stale_metrics"})
    assert data(store_of({0: 3}, faults), 0, 60) == {0: 3}


# -- lag ------------------------------------------------------------------------------------------------------------


def reading(**changes: Any) -> Reading:
    values = {
        "in_recovery": True,
        "connections": 0,
        "wal_bytes": 1.0,
        "slot_lag": None,
        "streaming": True,
        "caught_up": False,
        "started": NOON - 500,
        "last_replayed": NOON - 30,
        "replayed_lsn": "0/1",
    }
    return Reading(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "lag"),
    [
        ({}, 30),
        ({"caught_up": True}, 0),
        ({"last_replayed": None}, 500),
        ({"last_replayed": NOON - 9000}, 500),
        ({"streaming": False}, None),
        ({"streaming": None, "caught_up": None}, None),
        ({"streaming": False, "caught_up": True}, None),
        ({"last_replayed": NOON + 5}, 0),
    ],
    ids=[
        "behind",
        "level",
        "nothing replayed yet",
        "replayed before the start",
        "no stream",
        "no receiver",
        "level but no stream",
        "clock",
    ],
)
def test_r12_lag_counts_from_what_was_replayed_and_needs_a_stream(changes: dict, lag: float | None) -> None:
    assert lag_seconds(reading(**changes), Progress(), NOON) == lag


def test_r12_a_source_that_was_idle_for_long_makes_no_lag_of_an_hour() -> None:
    progress = Progress()
    hour_ago = {"last_replayed": NOON - 3600, "started": NOON - 9000}
    assert lag_seconds(reading(caught_up=True, **hour_ago), progress, NOON - 2) == 0
    assert lag_seconds(reading(**hour_ago), progress, NOON) == 2


def test_r12_a_paused_replay_shows_as_growing_lag() -> None:
    progress = Progress()
    assert [lag_seconds(reading(), progress, NOON + second) for second in (0, 1, 60)] == [30, 31, 90]


def test_r13_lag_of_an_idle_source_is_a_sawtooth_when_asked_for() -> None:
    progress = Progress()
    readings = [(0, "0/1"), (60, "0/1"), (299, "0/1"), (300, "0/2"), (310, "0/2")]
    lags = [lag_seconds(reading(caught_up=True, replayed_lsn=lsn), progress, NOON + at, True) for at, lsn in readings]
    assert lags == [0, 60, 299, 0, 10]


# -- the sampler ----------------------------------------------------------------------------------------------------


class Server:
    """A server whose answer is given."""

    def __init__(self, row: tuple, **facts: Any) -> None:
        self.identifier = "orders"
        self.role = "instance"
        self.cluster_identifier = None
        self.source_identifier = None
        self.data_dir = "/"
        self.state = "available"
        self.row = row
        self.asked: list[str] = []
        vars(self).update(facts)

    def query(self, sql: str) -> list[tuple]:
        self.asked.append(sql)
        return [self.row]


PRIMARY = (False, 3, 16_777_216.0, 512.0, None, None, NOON - 500, None, None)
STANDBY = (True, 0, 16_777_216.0, None, True, True, NOON - 500, NOON - 1, "0/1")
MEMBER = {"identifier": "orders-aurora-1", "role": "cluster-member", "cluster_identifier": "orders-aurora"}


def sampled(server: Server, faults: Faults | None = None) -> dict[tuple[str, str], float]:
    store = MetricStore(faults)
    Sampler(lambda: [server], store).sample(server, NOON)
    return {
        (metric["MetricName"], dimension["Name"]): store.buckets(
            NAMESPACE, metric["MetricName"], metric["Dimensions"], NOON, NOON + 1, 1
        )[0].statistic("Maximum")
        for metric in store.metrics(NAMESPACE)
        for dimension in metric["Dimensions"]
    }


def test_r12_an_instance_reports_its_disk_its_wal_and_its_sessions() -> None:
    found = sampled(Server(PRIMARY))
    assert found.pop(("FreeStorageSpace", "DBInstanceIdentifier")) > 0
    assert found == {
        ("DatabaseConnections", "DBInstanceIdentifier"): 3,
        ("OldestReplicationSlotLag", "DBInstanceIdentifier"): 512,
        ("TransactionLogsDiskUsage", "DBInstanceIdentifier"): 16_777_216,
    }


def test_r12_an_instance_without_slots_has_no_slot_lag() -> None:
    row = (*PRIMARY[:3], None, *PRIMARY[4:])
    assert ("OldestReplicationSlotLag", "DBInstanceIdentifier") not in sampled(Server(row))


@pytest.mark.parametrize(
    ("row", "source", "lags"),
    [
        (STANDBY, "orders", {LAG: 0}),
        (STANDBY, None, {"AuroraReplicaLag": 0}),
        (PRIMARY, None, {}),
        (PRIMARY, "orders", {}),
    ],
    ids=["replica", "reader of a standalone cluster", "writer", "just promoted"],
)
def test_r12_a_member_s_lag_depends_on_what_it_follows(row: tuple, source: str | None, lags: dict) -> None:
    found = sampled(Server(row, source_identifier=source, **MEMBER))
    by_cluster = {metric: value for (metric, name), value in found.items() if name == "DBClusterIdentifier"}
    by_instance = {metric: value for (metric, name), value in found.items() if name == "DBInstanceIdentifier"}
    assert by_cluster == by_instance == {"DatabaseConnections": row[1], **lags}


def test_r12_a_replica_that_does_not_stream_reports_no_lag() -> None:
    row = (*STANDBY[:4], None, None, *STANDBY[6:])
    assert LAG not in {metric for metric, _name in sampled(Server(row, source_identifier="orders", **MEMBER))}


@pytest.mark.parametrize("state", ["creating", "deleting"])
def test_r12_what_is_not_there_yet_or_any_more_reports_nothing(state: str) -> None:
    assert sampled(Server(PRIMARY, state=state)) == {}


def test_r13_wal_is_switched_on_the_source_when_asked_to() -> None:
    faults = Faults()
    faults.add({"name": "wal_switch", "seconds": 5})
    server, standby = Server(PRIMARY), Server(STANDBY, source_identifier="orders", **MEMBER)
    sampler = Sampler(lambda: [], MetricStore(faults))
    for second in (0, 1, 4, 5, 9, 10):
        sampler.sample(server, NOON + second)
        sampler.sample(standby, NOON + second)
    assert sum("pg_switch_wal" in sql for sql in server.asked) == 3
    assert not any("pg_switch_wal" in sql for sql in standby.asked)


def test_a_server_that_fails_leaves_a_gap_and_the_others_go_on() -> None:
    store = MetricStore()

    class Broken(Server):
        def query(self, sql: str) -> list[tuple]:
            raise ConnectionError("gone")

    sampler = Sampler(lambda: [Broken(PRIMARY, identifier="broken"), Server(PRIMARY)], store)
    for server in sampler._servers():
        sampler._try_to_sample(server)
    named = {dimension["Value"] for metric in store.metrics(NAMESPACE) for dimension in metric["Dimensions"]}
    assert named == {"orders"}


@pytest.mark.parametrize(("now", "seconds"), [(10.5, 1), (10.6, 0.9), (10.0, 0.5), (10.49, 0.01)])
def test_a_sample_is_taken_in_the_middle_of_every_second(now: float, seconds: float) -> None:
    assert until_next(now) == pytest.approx(seconds)


def test_r12_a_sample_is_no_newer_than_what_it_measured() -> None:
    class Slow(Server):
        def query(self, sql: str) -> list[tuple]:
            self.answered = time.time()
            return super().query(sql)

    server, store = Slow(PRIMARY), MetricStore()
    Sampler(lambda: [], store).sample(server)
    (bucket,) = store.buckets(NAMESPACE, "DatabaseConnections", [ORDERS], 0, server.answered + 1, 1)
    assert bucket.samples[0].at <= server.answered


def test_a_member_is_filed_under_its_own_name_and_its_cluster_s() -> None:
    assert dimensions_of(Server(STANDBY, **MEMBER)) == [
        {"DBInstanceIdentifier": "orders-aurora-1"},
        {"DBClusterIdentifier": "orders-aurora"},
    ]


def test_every_metric_has_its_unit() -> None:
    assert UNITS["FreeStorageSpace"] == "Bytes"
    assert UNITS[LAG] == "Seconds"
