"""Each contract's code makes what its schema says."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudpg.migration.plugins.module_utils import _findings, _journal, _plan, _status
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import LeaseLost

SCHEMAS = Path(__file__).parents[3] / "docs" / "contracts"
NOW = datetime(2026, 1, 4, 22, 0, tzinfo=timezone.utc)


def valid(document, name):
    jsonschema.validate(document, json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
    return document


def plan(*ops):
    return _plan.Plan(tuple(_plan.Step(op, f"do {op}") for op in ops), {"a": 1}, {"a": 2})


@pytest.mark.parametrize("ops, changed", [((), False), (("one",), True), (("one", "two"), True)])
def test_changed_and_actions_come_from_the_steps(ops, changed):
    result = valid(plan(*ops).result(), "plan")
    assert result["changed"] is changed
    assert result["actions"] == [f"do {op}" for op in ops]


def test_steps_are_carried_out_in_order_and_a_lost_lease_stops_before_the_next():
    done = []

    def guard(step):
        if step.op == "two":
            raise LeaseLost("taken over")

    with pytest.raises(LeaseLost):
        _plan.carry_out(plan("one", "two", "three"), {
            "one": lambda: done.append(1), "two": lambda: done.append(2), "three": lambda: done.append(3),
        }, guard)
    assert done == [1]


def test_an_unknown_operation_is_found_before_anything_is_changed():
    done = []
    with pytest.raises(KeyError):
        _plan.carry_out(plan("one", "typo"), {"one": lambda: done.append(1)})
    assert done == []


FOUND = [
    _findings.blocker("lost", "t", "rows would be lost.", "Don't.", "P1"),
    _findings.blocker("slow", "t", "it would be slow.", "Wait.", acknowledgeable=True),
    _findings.warning("odd", "a", "odd.", "Look."),
    _findings.warning("odd", "b", "odd.", "Look."),
]


@pytest.mark.parametrize("acknowledged, blockers, warnings, unknown", [
    ([], ["lost", "slow"], ["a", "b"], ()),
    (["lost"], ["lost", "slow"], ["a", "b"], ()),
    (["slow"], ["lost"], ["a", "b"], ()),
    (["odd"], ["lost", "slow"], [], ()),
    (["odd:a"], ["lost", "slow"], ["b"], ()),
    (["odd:c", "typo"], ["lost", "slow"], ["a", "b"], ("odd:c", "typo")),
])
def test_findings_are_acknowledged_by_id_or_object_and_correctness_never(acknowledged, blockers, warnings, unknown):
    verdict = _findings.judge(FOUND, acknowledged)
    assert [finding.id for finding in verdict.blockers] == blockers
    assert [finding.object for finding in verdict.warnings] == warnings
    assert verdict.unknown == unknown


@pytest.mark.parametrize("finding", FOUND)
def test_a_finding_is_what_the_schema_says_and_comes_back_whole(finding):
    assert _findings.from_dicts([valid(finding.as_dict(), "finding")]) == [finding]


def event(was="sg-1", now="sg-2", at="2026-01-04T22:00:00.000+00:00", name="source.security_groups"):
    return _journal.Event(name, "orders-rds", was, now, at, "alice@bastion#1")


def test_an_event_is_what_the_schema_says():
    valid(event().as_dict(), "journal_event")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=20,
))
def test_r33_an_event_survives_the_256_characters_of_a_tag(value):
    tags = _journal.event_tags(event(was=value))
    assert all(len(text) <= _journal.TAG_VALUE_LENGTH for text in tags.values())
    assert _journal.events_from_tags(tags) == [event(was=value)]


def test_a_torn_event_is_an_error_and_never_half_an_event():
    tags = _journal.event_tags(event(was="x" * 600))
    tags.pop(sorted(tags)[0])
    with pytest.raises(ValueError, match="torn"):
        _journal.events_from_tags(tags)


def test_parts_left_behind_by_a_longer_version_do_not_count():
    longer = _journal.event_tags(event(was="x" * 600))
    shorter = _journal.event_tags(event(was="y", at="2026-01-04T22:00:01.000+00:00"))
    assert [found.was for found in _journal.events_from_tags({**longer, **shorter})] == ["y"]


def test_r18_the_first_original_is_kept_however_often_it_is_written():
    merged = _journal.merge([event(was=["sg-app"], now=["sg-q"]), event(was=["sg-q"], now=["sg-q"])])
    assert merged["source.security_groups"].was == ["sg-app"]


def lease(seconds, holder="alice@bastion#1"):
    return _journal.Lease(1, holder, NOW, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("held, me, standing", [
    (None, None, "free"),
    (lease(30), None, "taken"),
    (lease(30), "bob@awx#2", "taken"),
    (lease(30), "alice@bastion#1", "held"),
    (lease(0), "bob@awx#2", "free"),
    (lease(-5), None, "free"),
    (lease(-5), "alice@bastion#1", "held"),
])
def test_r33_a_lease_is_held_free_or_taken(held, me, standing):
    assert _journal.standing(held, me, NOW) == standing


def test_a_lease_survives_its_tag():
    assert _journal.lease_from_tags(1, _journal.lease_tag(lease(60))) == lease(60)
    assert _journal.lease_from_tags(1, {}) is None


def test_the_status_document_is_what_the_schema_says_and_unknown_is_not_zero():
    document = valid(_status.status("orders", "replica", "replicating", "it follows"), "status")
    assert document["lag"] == {"bytes": None, "seconds": None}
    assert _status.line(document) == "replicating · it follows"


def test_a_phase_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="limbo"):
        _status.status("orders", "replica", "limbo", "")


@pytest.mark.parametrize("count, text", [
    (0, "0 B"), (999, "999 B"), (2048, "2.0 KiB"), (123731968, "118 MiB"), (3 * 2**30, "3.0 GiB"),
])
def test_sizes_are_written_for_a_person(count, text):
    assert _status.size(count) == text


@pytest.mark.parametrize("seconds, text", [(13, "00:13"), (61.9, "01:01"), (3723, "1:02:03")])
def test_durations_are_written_for_a_person(seconds, text):
    assert _status.duration(seconds) == text
