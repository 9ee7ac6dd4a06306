# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of metrics, kept for three hours and given back by period (R12). Missing data stays missing."""

from __future__ import annotations

import collections
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

RETENTION_SECONDS = 3 * 3600.0
SeriesKey = tuple[str, str, frozenset[tuple[str, str]]]


class MetricFaults(Protocol):
    """The part of the sandbox's faults that concerns metrics."""

    def missing_metrics(self, metric: str, identifier: str | None = None) -> bool: ...

    def stale_metrics(self, metric: str, identifier: str | None = None) -> bool: ...


@dataclass(frozen=True)
class Sample:
    """One measured value; `at` in seconds since 1970."""

    at: float
    value: float
    unit: str


@dataclass(frozen=True)
class Bucket:
    """The samples of one aligned period."""

    start: float
    samples: tuple[Sample, ...]

    def statistic(self, name: str) -> float:
        """A statistic by CloudWatch's name, percentiles such as p99.9 among them; ValueError for another."""
        values = sorted(sample.value for sample in self.samples)
        simple = {
            "SampleCount": len(values),
            "Average": sum(values) / len(values),
            "Sum": sum(values),
            "Minimum": values[0],
            "Maximum": values[-1],
        }
        if name in simple:
            return float(simple[name])
        percentile = re.fullmatch(r"p(\d{1,2}(\.\d+)?|100)", name)
        if not percentile:
            raise ValueError(name)
        return values[round(float(percentile.group(1)) / 100 * (len(values) - 1))]


def seconds(moment: datetime | float) -> float:
    """Seconds since 1970 of a moment; one without a time zone is UTC."""
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    return float(moment)


class MetricStore:
    """Samples of the last three hours, by metric and exact set of dimensions, as CloudWatch tells metrics apart."""

    def __init__(self, faults: MetricFaults | None = None, retention: float = RETENTION_SECONDS) -> None:
        self.faults = faults
        self._retention = retention
        self._series: dict[SeriesKey, collections.deque[Sample]] = {}
        self._lock = threading.Lock()

    def record(
        self,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, str],
        value: float,
        unit: str,
        at: datetime | float | None = None,
    ) -> None:
        """Keep one sample; `at` is now when left out. A fault may lose it, or repeat the value before it."""
        moment = time.time() if at is None else seconds(at)
        identifier = dimensions.get("DBInstanceIdentifier") or dimensions.get("DBClusterIdentifier")
        with self._lock:
            series = self._series.setdefault((namespace, metric, frozenset(dimensions.items())), collections.deque())
            if self.faults and self.faults.missing_metrics(metric, identifier):
                return
            if self.faults and series and self.faults.stale_metrics(metric, identifier):
                value = series[-1].value
            series.append(Sample(moment, float(value), unit))
            while series[0].at <= moment - self._retention:
                series.popleft()

    def forget(self, at: float | None = None) -> None:
        """Drop the metrics that have had no sample for as long as samples are kept."""
        oldest = (time.time() if at is None else at) - self._retention
        with self._lock:
            self._series = {key: series for key, series in self._series.items() if series and series[-1].at > oldest}

    def buckets(
        self,
        namespace: str,
        metric: str,
        dimensions: Iterable[Mapping[str, str]],
        start: datetime | float,
        end: datetime | float,
        period: int,
        unit: str | None = None,
    ) -> list[Bucket]:
        """The periods that have samples, oldest first; aligned to the epoch, `start` rounded down, `end` exclusive."""
        key = (namespace, metric, frozenset((item["Name"], item["Value"]) for item in dimensions))
        first, last = seconds(start) // period * period, seconds(end)
        found: dict[float, list[Sample]] = {}
        with self._lock:
            for sample in self._series.get(key, ()):
                if first <= sample.at < last and unit in (None, sample.unit):
                    found.setdefault(sample.at // period * period, []).append(sample)
        return [Bucket(begin, tuple(samples)) for begin, samples in sorted(found.items())]

    def metrics(self, namespace: str) -> list[dict[str, Any]]:
        """The metrics of a namespace that have samples, as ListMetrics names them."""
        with self._lock:
            keys = [key for key, series in self._series.items() if key[0] == namespace and series]
        return [
            {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in sorted(dimensions)],
            }
            for _namespace, metric, dimensions in sorted(keys, key=lambda key: (key[1], sorted(key[2])))
        ]
