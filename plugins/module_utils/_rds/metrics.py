# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures from CloudWatch, and the proof that a replica has everything the source wrote (R12, R13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .api import collect
from .errors import RdsError
from .state import iso

REPLICA_LAG = "RDSToAuroraPostgreSQLReplicaLag"
SLOT_LAG = "OldestReplicationSlotLag"
LOG_SIZE = "TransactionLogsDiskUsage"
FREE_SPACE = "FreeStorageSpace"
ON_SOURCE = (SLOT_LAG, LOG_SIZE, FREE_SPACE)

# An idle source fills and switches a segment every five minutes: that much lag is nobody's write (R13).
SEGMENT = 64 * 1024 ** 2
MOST_DATAPOINTS = 1440
SHOWN = 100

_FACTORS = {
    "Bytes": 1, "Kilobytes": 1024, "Megabytes": 1024 ** 2, "Gigabytes": 1024 ** 3, "Terabytes": 1024 ** 4,
    "Seconds": 1, "Milliseconds": 1e-3, "Microseconds": 1e-6,
}
_BASE = {"Bytes": "Bytes", "Seconds": "Seconds", "Milliseconds": "Seconds", "Microseconds": "Seconds"}


@dataclass(frozen=True)
class Sample:
    """One period of one metric, in bytes or seconds. ``at`` is the moment at which the period began."""

    at: datetime
    low: float
    high: float
    unit: str


def samples(datapoints: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Datapoints by time, in base units: CloudWatch gives them unordered, and MB or bytes as it likes (R12)."""
    found = []
    for point in datapoints:
        unit = point.get("Unit", "None")
        factor = _FACTORS.get(unit, 1)
        found.append(Sample(
            point["Timestamp"], point["Minimum"] * factor, point["Maximum"] * factor,
            _BASE.get(unit, "Bytes" if unit.endswith("bytes") else unit),
        ))
    return sorted(found, key=lambda sample: sample.at)


def read(
    cloudwatch: Any, name: str, instance: str, since: datetime, now: datetime, period: int
) -> list[Sample]:
    """The samples of one metric of one instance, oldest first. ``period`` in seconds; the one that runs is included."""
    if (now - since).total_seconds() / period > MOST_DATAPOINTS:
        raise RdsError(
            f"metric {name} of {instance}: {(now - since).total_seconds():.0f} s in periods of {period} s are more "
            f"than the {MOST_DATAPOINTS} datapoints that CloudWatch returns. Cure: a longer metric_period."
        )
    return samples(collect(
        cloudwatch, "get_metric_statistics", "Datapoints", f"metric {name} of {instance}",
        Namespace="AWS/RDS", MetricName=name, Dimensions=[{"Name": "DBInstanceIdentifier", "Value": instance}],
        # EndTime is exclusive; a fence may lie ahead of our clock, since it is AWS's where that is ahead.
        StartTime=since, EndTime=max(since, now) + timedelta(seconds=period), Period=period,
        Statistics=["Minimum", "Maximum"],
    ))


def latest(name: str, found: Sequence[Sample], now: datetime) -> dict[str, Any] | None:
    """The youngest sample as our modules return it; None when there is none: missing is not zero (R12)."""
    if not found:
        return None
    last = found[-1]
    return {
        "value": last.low if name == FREE_SPACE else last.high,
        "unit": last.unit,
        "at": iso(last.at),
        "age_seconds": max(0.0, round((now - last.at).total_seconds(), 3)),
    }


def drain(after: datetime, lag: Sequence[Sample], slot: Sequence[Sample]) -> dict[str, Any]:
    """Whether the samples prove that the replica has all that was written before ``after`` (R13, R15).

    Only samples count whose period began after that moment. A lag of L seconds at a time T says that all which was
    written until T - L has been replayed; the slot must have been seen at 0, and never again above one segment.
    """
    lag = [sample for sample in lag if sample.at >= after]
    slot = [sample for sample in slot if sample.at >= after]
    reason = _undrained(after, lag, slot)
    shown = [(REPLICA_LAG, sample) for sample in lag] + [(SLOT_LAG, sample) for sample in slot]
    return {
        "proven": reason is None,
        "reason": reason or f"replica and slot have caught up with everything written before {iso(after)}",
        "samples": [
            {"metric": name, "at": iso(sample.at), "low": sample.low, "high": sample.high, "unit": sample.unit}
            for name, sample in sorted(shown, key=lambda pair: pair[1].at)[-SHOWN:]
        ],
    }


def _undrained(after: datetime, lag: Sequence[Sample], slot: Sequence[Sample]) -> str | None:
    for name, found in ((REPLICA_LAG, lag), (SLOT_LAG, slot)):
        if not found:
            return f"no sample of {name} whose period began after {iso(after)} yet: missing is not zero"
    empty = [sample.at for sample in slot if sample.low <= 0]
    if not empty:
        return f"{SLOT_LAG} is {slot[-1].low:g} bytes and was not seen at 0; it is the worst of all slots (R14)"
    if any(sample.high > SEGMENT for sample in slot if sample.at > empty[0]):
        return f"{SLOT_LAG} rose above one segment after it had been at 0: something still writes to the source"
    # A replica may be level with what it has received while the source has more to send: so the lag comes second.
    if not any(sample.at >= empty[0] and sample.at - timedelta(seconds=sample.low) >= after for sample in lag):
        return f"{REPLICA_LAG} is {lag[-1].low:g} s: what was written until {iso(after)} is not replayed yet"
    return None
