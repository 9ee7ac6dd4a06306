"""CloudWatch's figures, and what they prove."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import metrics
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.metrics import SEGMENT, Sample

from .builders import NOW


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def point(seconds, low, high=None, unit="Bytes"):
    return {"Timestamp": at(seconds), "Minimum": low, "Maximum": low if high is None else high, "Unit": unit}


def lag(seconds, value):
    return Sample(at(seconds), value, value, "Seconds")


def slot(seconds, low, high=None):
    return Sample(at(seconds), low, low if high is None else high, "Bytes")


def test_r12_datapoints_come_unordered_and_are_sorted():
    found = metrics.samples([point(60, 2), point(0, 1), point(120, 3)])
    assert [sample.low for sample in found] == [1, 2, 3]


@pytest.mark.parametrize("unit, value, expected", [
    ("Bytes", 5, (5, "Bytes")),
    ("Megabytes", 2, (2 * 1024 ** 2, "Bytes")),
    ("Seconds", 7, (7, "Seconds")),
    ("Milliseconds", 1500, (1.5, "Seconds")),
    ("None", 3, (3, "None")),
])
def test_r12_the_unit_of_the_datapoint_counts(unit, value, expected):
    sample = metrics.samples([point(0, value, unit=unit)])[0]
    assert (sample.low, sample.unit) == expected


def test_r12_missing_data_is_not_zero():
    assert metrics.latest("OldestReplicationSlotLag", [], NOW) is None


def test_the_latest_sample_is_the_worst_of_its_period():
    found = [slot(-120, 9), slot(-60, 1, 5)]
    assert metrics.latest(metrics.SLOT_LAG, found, NOW) == {
        "value": 5, "unit": "Bytes", "at": "2026-03-02T11:59:00+00:00", "age_seconds": 60.0,
    }
    assert metrics.latest(metrics.FREE_SPACE, found, NOW)["value"] == 1


FENCE = 0
PROVEN = [
    pytest.param([lag(60, 0)], [slot(60, 0)], id="both at zero"),
    pytest.param([lag(0, 0)], [slot(0, 0)], id="a period that began with the fence"),
    pytest.param([lag(60, 200), lag(300, 23)], [slot(60, 0)], id="idle source: a switch after the fence"),
    pytest.param([lag(120, 0)], [slot(60, 900 * SEGMENT), slot(120, 0)], id="a large backlog drained"),
    pytest.param([lag(120, 0)], [slot(60, 0), slot(120, 0, SEGMENT)], id="saw-tooth of an idle source"),
    pytest.param([lag(60, 0)], [slot(60, 0, 5 * SEGMENT)], id="fell to zero within the period"),
]


@pytest.mark.parametrize("lags, slots", PROVEN)
def test_r13_a_sample_at_zero_after_the_fence_proves_the_catch_up(lags, slots):
    drain = metrics.drain(at(FENCE), lags, slots)
    assert drain["proven"], drain["reason"]
    assert len(drain["samples"]) == len(lags) + len(slots)


UNPROVEN = [
    pytest.param([], [], "no sample of RDSToAuroraPostgreSQLReplicaLag", id="nothing at all"),
    pytest.param([lag(60, 0)], [], "no sample of OldestReplicationSlotLag", id="no slot"),
    pytest.param([], [slot(60, 0)], "no sample of RDSToAuroraPostgreSQLReplicaLag", id="no lag"),
    pytest.param([lag(-1, 0)], [slot(-1, 0)], "missing is not zero", id="periods that began before the fence"),
    pytest.param([lag(60, 61)], [slot(60, 0)], "is not replayed yet", id="a lag that reaches back beyond the fence"),
    pytest.param([lag(60, 0)], [slot(60, 1)], "not seen at 0", id="slot not empty"),
    pytest.param([lag(60, 0)], [slot(60, SEGMENT)], "worst of all slots (R14)", id="a stale slot of somebody else"),
    pytest.param(
        [lag(60, 0)], [slot(60, 0), slot(120, 0, SEGMENT + 1)], "something still writes", id="writes after the zero"
    ),
    pytest.param([lag(60, 0)], [slot(120, 0)], "is not replayed yet", id="level with what had arrived before the rest"),
]


@pytest.mark.parametrize("lags, slots, reason", UNPROVEN)
def test_r15_anything_less_proves_nothing_and_says_why(lags, slots, reason):
    drain = metrics.drain(at(FENCE), lags, slots)
    assert not drain["proven"]
    assert reason in drain["reason"]


def test_r13_samples_in_the_answer_are_bounded():
    many = [lag(number, 0) for number in range(300)]
    assert len(metrics.drain(at(0), many, many)["samples"]) == 100
