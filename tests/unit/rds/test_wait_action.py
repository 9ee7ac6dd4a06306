"""What aurora_replica_wait says and when it ends, for every answer of the info module."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible.errors import AnsibleActionFail

from ansible_collections.cloudpg.migration.plugins.action import aurora_replica_wait as waiting
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.metrics import REPLICA_LAG, SLOT_LAG


def wanted(until, **changes):
    return {
        "until": until, "source": "orders", "cluster": "orders-aurora", "after": "2026-03-02T12:00:00+00:00",
        "max_lag_seconds": 300.0, "metric_period": 60, **changes,
    }


def seen(status="available", members=("available",), **more):
    return {"replicas": [{
        "status": status,
        "members": [{"identifier": f"orders-aurora-{number}", "status": one} for number, one in enumerate(members, 1)],
    }], **more}


def figures(lag, slot=0, age=30):
    return {"metrics": {
        REPLICA_LAG: None if lag is None else {"value": lag, "age_seconds": age},
        SLOT_LAG: None if slot is None else {"value": slot, "age_seconds": age},
    }}


def look(until, result, **changes):
    return waiting.JUDGES[until](result, wanted(until, **changes))


@pytest.mark.parametrize("until, result, line, done", [
    ("cluster_available", seen("creating", ()), "replica orders-aurora: creating", False),
    ("cluster_available", seen("available", ()), "replica orders-aurora: available", True),
    ("created", seen("available", ()), "replica orders-aurora: available", False),
    ("created", seen("available", ["creating"]), "replica orders-aurora: available, creating", False),
    ("created", seen(), "replica orders-aurora: available, available", True),
])
def test_r2_building_is_over_when_cluster_and_instance_are_available(until, result, line, done):
    found = look(until, result)
    assert (found.line, found.done, found.failed) == (line, done, None)


@pytest.mark.parametrize("result, failed", [
    ({"replicas": []}, "the cluster orders-aurora doesn't exist"),
    (seen("migration-failed", ()), "cluster orders-aurora is migration-failed"),
    (seen("available", ["incompatible-network"]), "instance orders-aurora-1 is incompatible-network"),
])
@pytest.mark.parametrize("until", ["created", "in_step", "drained", "promoted"])
def test_r6_a_state_that_leads_nowhere_ends_every_wait(until, result, failed):
    assert failed in look(until, {**result, **figures(0), "drain": None, "promotion": None}).failed


@pytest.mark.parametrize("result, line, done", [
    (figures(0.4), "in step: lag 0.4 s · slot 0 B", True),
    (figures(0.4, 65 * 1024 ** 2), "in step: lag 0.4 s · slot 65.0 MiB", True),
    (figures(0.4, None), "in step: lag 0.4 s", True),
    (figures(300), "in step: lag 300.0 s · slot 0 B", True),
    (figures(300.1), "behind: lag 300.1 s · slot 0 B", False),
    (figures(None), "no figure of the lag yet · slot 0 B", False),
    (figures(0, age=180), "in step: lag 0.0 s · slot 0 B", True),
    (figures(0, age=181), "the last figure of the lag is 181 s old · slot 0 B", False),
])
def test_r12_in_step_needs_a_fresh_figure_and_none_is_not_zero(result, line, done):
    found = look("in_step", {**seen(), **result})
    assert (found.line, found.done) == (line, done)


@pytest.mark.parametrize("proven", [True, False])
def test_r13_drained_is_what_the_info_module_has_proven(proven):
    found = look("drained", seen(drain={"proven": proven, "reason": "because"}))
    assert (found.done, found.near) == (proven, not proven)
    assert "because" in found.line


@pytest.mark.parametrize("lacks", [[], ["status is promoting", "it has no writer"]])
def test_r16_promoted_needs_all_its_signs(lacks):
    found = look("promoted", seen("promoting", promotion={"done": not lacks, "lacks": lacks}))
    assert found.done is (not lacks)
    if lacks:
        assert found.line == "promoting orders-aurora: status is promoting, it has no writer"


def options(check_mode=False, **args):
    action = waiting.ActionModule.__new__(waiting.ActionModule)
    action._task = SimpleNamespace(check_mode=check_mode)
    return action.options({"source": "orders", "cluster": "orders-aurora", **args})


def test_options_are_split_between_the_wait_and_the_info_module():
    mine, theirs = options(until="drained", after="2026-03-02T12:00Z", max_lag_seconds="5", region="eu-west-1")
    assert (mine["max_lag_seconds"], mine["metric_period"]) == (5.0, 60)
    assert theirs == {
        "source": "orders", "cluster": "orders-aurora", "region": "eu-west-1", "metric_period": 60, "metrics": False,
        "drained_after": "2026-03-02T12:00Z",
    }


@pytest.mark.parametrize("args, words", [
    ({"until": "soon"}, "until is one of"),
    ({}, "until is one of"),
    ({"until": "created", "cluster": ""}, "cluster is needed"),
    ({"until": "in_step", "max_lag_seconds": "little"}, "max_lag_seconds is a number of seconds"),
    ({"until": "drained"}, "after is needed"),
])
def test_wrong_options_are_named(args, words):
    with pytest.raises(AnsibleActionFail, match=words):
        options(**args)


def test_in_check_mode_the_fence_may_be_unknown_yet():
    mine, _theirs = options(check_mode=True, until="drained", after="")
    action = waiting.ActionModule.__new__(waiting.ActionModule)
    assert action.describe(mine).endswith("to have everything that orders wrote before it was closed")
