"""Where a migration by replica stands, for every state a run may leave behind."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import phase


def replica(is_replica=True, status="available", members=("available",), tags=None):
    return {
        "identifier": "orders-aurora", "is_replica": is_replica, "status": status,
        "members": [{"status": member} for member in members],
        "tags": {"cloudpg:migration": "orders"} if tags is None else tags,
    }


def events(**now):
    return {name.replace("__", "."): {"now": value, "at": "2026-01-04T22:00:00+00:00"} for name, value in now.items()}


FENCED = {"source__fenced": "2026-01-04T21:59:00+00:00"}
DEAD = ["target-dead"]
PROMOTION = {"target__promotion": FENCED["source__fenced"]}


@pytest.mark.parametrize("seen, journal, expected, blockers", [
    (None, {}, "absent", []),
    (None, events(**FENCED), "aborted", ["source-closed"]),
    (replica(tags={}), {}, "absent", ["target-foreign"]),
    (replica(tags={"cloudpg:migration": "other"}), {}, "absent", ["target-foreign"]),
    (replica(status="creating", members=()), {}, "building", []),
    (replica(members=()), {}, "building", []),
    (replica(members=("creating",)), {}, "building", []),
    (replica(), {}, "replicating", []),
    (replica(), events(source__fenced=None), "replicating", []),
    (replica(), events(**FENCED), "quiesced", []),
    (replica(), events(target__dead=True), "aborted", DEAD),
    (replica(), events(**FENCED, target__dead=True), "aborted", DEAD),
    (replica(status="promoting"), events(target__dead=True), "aborted", DEAD),
    (replica(), events(target__dead=False), "replicating", []),
    (replica(is_replica=False), events(target__dead=True), "aborted", DEAD),
    (replica(is_replica=False, status="deleting", members=()), events(target__dead=True), "aborted", DEAD),
    (replica(), {"source.security_groups": {"was": ["sg-app"], "now": ["sg-ours"]}}, "quiesced", []),
    (replica(), {"source.security_groups": {"was": ["sg-app"], "now": ["sg-app"]}}, "replicating", []),
    (replica(is_replica=False), events(**FENCED, **PROMOTION), "promoted", []),
    (replica(status="promoting"), events(**FENCED, **PROMOTION), "promoted", []),
    (replica(status="promoting"), events(**FENCED), "building", []),
    # Promoted, but the source was open meanwhile, was closed anew, or was never closed by this migration.
    (replica(is_replica=False), events(source__fenced=None, **PROMOTION), "aborted", DEAD),
    (replica(is_replica=False), events(source__fenced="2026-01-04T22:30:00+00:00", **PROMOTION), "aborted", DEAD),
    (replica(is_replica=False), events(**FENCED), "aborted", DEAD),
    (replica(is_replica=False), events(**FENCED, **PROMOTION, target__dead=True), "aborted", DEAD),
    # Opened by a run that had lost the migration to the one which wrote it down as dead.
    (replica(is_replica=False), events(**FENCED, **PROMOTION, target__dead=True, target__opened=True), "aborted", DEAD),
    (replica(is_replica=False), events(**FENCED, **PROMOTION, target__opened=True), "open", []),
    (replica(is_replica=False), events(target__opened=True), "open", []),
    (replica(is_replica=False), events(target__opened=True, migration__finished=True), "finished", []),
    (replica(is_replica=False), {}, "finished", []),
])
def test_r16_r19_the_phase_is_told_from_the_real_state_and_the_journal(seen, journal, expected, blockers):
    found = phase.phase(seen, journal, "orders")
    assert (found[0], found[2]) == (expected, blockers)


@pytest.mark.parametrize("groups, expected", [
    (["sg-ours"], "promoted"), (["sg-older-of-ours"], "promoted"), (["sg-app"], "aborted"),
    (["sg-ours", "sg-app"], "aborted"),
])
def test_a_source_that_was_opened_by_hand_is_not_closed_whatever_the_journal_says(groups, expected):
    source = {"security_groups": [{"id": group} for group in groups]}
    journal, family = events(**FENCED, **PROMOTION), ["sg-older-of-ours", "sg-ours"]
    assert phase.phase(replica(is_replica=False), journal, "orders", source, family)[0] == expected


@pytest.mark.parametrize("metrics, seconds, count", [
    (None, None, None),
    ({"RDSToAuroraPostgreSQLReplicaLag": None, "OldestReplicationSlotLag": None}, None, None),
    ({"RDSToAuroraPostgreSQLReplicaLag": {"value": 0.0}, "OldestReplicationSlotLag": {"value": 4096.0}}, 0.0, 4096),
])
def test_r12_missing_metrics_are_not_zero(metrics, seconds, count):
    lag = phase.document("orders", replica(), {}, metrics=metrics)["lag"]
    assert lag == {"seconds": seconds, "bytes": count}


def test_a_lag_is_only_told_while_it_follows():
    metrics = {"RDSToAuroraPostgreSQLReplicaLag": {"value": 3.0}}
    opened = phase.document("orders", replica(is_replica=False), events(target__opened=True), metrics=metrics)
    assert opened["lag"]["seconds"] is None
