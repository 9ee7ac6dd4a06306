# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch's answers for AWS/RDS, from samples read off the servers (R12).

EndTime is exclusive, and GetMetricStatistics gives its datapoints in no order: what a gate gets wrong there it gets
wrong here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar

from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue, ValidationError
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from .metric_store import Bucket, MetricStore, seconds
from .sampler import NAMESPACE

MOST_DATAPOINTS = 1440


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)


def unordered(points: Sequence[Any], seed: str) -> list[Any]:
    """The same points in an order nobody can rely on, though the same for the same question."""
    shuffled = list(points)
    random.Random(seed).shuffle(shuffled)
    if len(shuffled) > 1 and shuffled == list(points):
        shuffled.append(shuffled.pop(0))
    return shuffled


def metric_statistics(store: MetricStore, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of GetMetricStatistics."""
    statistics = request.get("Statistics") or []
    extended = request.get("ExtendedStatistics") or []
    period = _period(request["Period"])
    start, end = _window(request)
    if not statistics and not extended:
        raise InvalidParameterCombination("Must specify either Statistics or ExtendedStatistics")
    if (end - start) / period > MOST_DATAPOINTS:
        raise InvalidParameterCombination(
            f"You have requested up to {int((end - start) / period):,} datapoints, which exceeds the limit of"
            f" {MOST_DATAPOINTS:,}. You may reduce the datapoints requested by increasing Period, or decreasing the"
            " time range."
        )
    metric = request["MetricName"]
    found = store.buckets(
        request["Namespace"], metric, request.get("Dimensions") or [], start, end, period, request.get("Unit")
    )
    points = []
    for bucket in found:
        point: dict[str, Any] = {"Timestamp": _moment(bucket.start), "Unit": bucket.samples[0].unit}
        point |= {name: _statistic(bucket, name) for name in statistics}
        if extended:
            point["ExtendedStatistics"] = {name: _statistic(bucket, name) for name in extended}
        points.append(point)
    return {"Label": metric, "Datapoints": unordered(points, f"{metric}{start}")}


def metric_data(store: MetricStore, query: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """One of GetMetricData's results; newest first unless ScanBy says otherwise."""
    wanted = query["MetricStat"]
    metric = wanted["Metric"]
    start, end = _window(request)
    found = store.buckets(
        metric["Namespace"],
        metric["MetricName"],
        metric.get("Dimensions") or [],
        start,
        end,
        _period(wanted["Period"]),
        wanted.get("Unit"),
    )
    if request.get("ScanBy") != "TimestampAscending":
        found.reverse()
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or metric["MetricName"],
        "Timestamps": [_moment(bucket.start) for bucket in found],
        "Values": [_statistic(bucket, wanted["Stat"]) for bucket in found],
        "StatusCode": "Complete",
    }


def _period(value: Any) -> int:
    if int(value) < 1:
        raise InvalidParameterValue("The parameter Period must be a number of seconds of 1 or more.")
    return int(value)


def _window(request: Mapping[str, Any]) -> tuple[float, float]:
    start, end = seconds(request["StartTime"]), seconds(request["EndTime"])
    if start >= end:
        raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def _statistic(bucket: Bucket, name: str) -> float:
    try:
        return bucket.statistic(name)
    except ValueError:
        raise InvalidParameterValue(f"The value {name} for parameter Stat is not supported.") from None


def _plain(value: Any) -> Any:
    """Parsed parameters as ordinary dicts and lists with AWS's own names."""
    if hasattr(value, "original_dict"):
        value = value.original_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


class SandboxCloudWatch(CloudWatchResponse):
    """moto's CloudWatch, with the sandbox's own samples for AWS/RDS."""

    store: ClassVar[MetricStore]

    def get_metric_statistics(self) -> ActionResult:
        request = _plain(self.params)
        if request.get("Namespace") != NAMESPACE:
            return super().get_metric_statistics()
        return ActionResult(metric_statistics(self.store, request))

    def get_metric_data(self) -> ActionResult:
        request = _plain(self.params)
        queries = request.get("MetricDataQueries") or []
        if not any(_is_ours(query) for query in queries):
            return super().get_metric_data()
        if any("Expression" in query for query in queries):
            raise ValidationError("The sandbox computes no expressions over AWS/RDS; ask for the metrics themselves.")
        return ActionResult({"MetricDataResults": list(self._results(queries, request))})

    def _results(self, queries: Iterable[Mapping[str, Any]], request: Mapping[str, Any]) -> Iterator[Any]:
        for query in queries:
            if query.get("ReturnData") is False:
                continue
            if _is_ours(query):
                yield metric_data(self.store, query, request)
            else:
                yield from self.cloudwatch_backend.get_metric_data(
                    queries=[query],
                    start_time=request["StartTime"],
                    end_time=request["EndTime"],
                    scan_by=request.get("ScanBy") or "TimestampDescending",
                )

    def list_metrics(self) -> ActionResult:
        request = _plain(self.params)
        if request.get("Namespace") != NAMESPACE:
            return super().list_metrics()
        wanted = {(item["Name"], item.get("Value")) for item in request.get("Dimensions") or []}
        found = [
            metric
            for metric in self.store.metrics(NAMESPACE)
            if request.get("MetricName") in (None, metric["MetricName"]) and _has(metric, wanted)
        ]
        return ActionResult({"Metrics": found})


def _is_ours(query: Mapping[str, Any]) -> bool:
    return query.get("MetricStat", {}).get("Metric", {}).get("Namespace") == NAMESPACE


def _has(metric: Mapping[str, Any], wanted: Iterable[tuple[str, str | None]]) -> bool:
    dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
    return all(name in dimensions and value in (None, dimensions[name]) for name, value in wanted)


def cloudwatch_response_class(store: MetricStore) -> type[CloudWatchResponse]:
    """The response class of one sandbox: AWS/RDS from its samples, everything else moto's."""
    return type("SandboxCloudWatch", (SandboxCloudWatch,), {"store": store})
