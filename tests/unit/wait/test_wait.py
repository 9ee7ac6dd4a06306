"""The one way to wait: what is printed, when it ends, how often it looks, and that the lease is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible.errors import AnsibleActionFail

from ansible_collections.cloudpg.migration.plugins.action import logical_wait
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import standing
from ansible_collections.cloudpg.migration.plugins.plugin_utils import _wait
from ansible_collections.cloudpg.migration.plugins.plugin_utils._wait import Look, WaitAction, pause


class Building(WaitAction):
    """Waits for a number to reach 3; every poll of the pretended info module takes a second."""

    info_module = "counting_info"

    def __init__(self, args, results, check_mode=False):
        self._task = SimpleNamespace(args=args, check_mode=check_mode, async_val=0, diff=False)
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), has_pipelining=True)
        self._supports_check_mode = self._supports_async = True
        self.now, self.results, self.calls, self.slept = 0.0, list(results), [], []
        self.clock, self.sleep = (lambda: self.now), self._sleep

    def _sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        self.calls.append((module_name, module_args))
        self.now += 1
        if module_name == "cloudpg.migration.aws_journal":
            return {"changed": False} if self.kept else {"failed": True, "msg": "held by bob"}
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    kept = True

    def options(self, args):
        return {}, args

    def describe(self, wanted):
        return "three"

    def look(self, result, wanted):
        if result["n"] < 0:
            return Look("it broke", failed="it broke for good")
        return Look(f"{result['n']} of 3", done=result["n"] >= 3, near=result["n"] == 2)


def wait(args, *numbers, **kwargs):
    action = Building(args, [{"n": number} for number in numbers], **kwargs)
    return action, action.run(task_vars={"inventory_hostname": "orders", "ansible_play_hosts": ["orders"]})


def test_it_ends_when_it_is_done_and_returns_the_last_state():
    action, result = wait({}, 1, 2, 3)
    assert (result["changed"], result["state"], result.get("failed")) == (False, {"n": 3}, None)
    assert action.slept == [2.0, 0.5]


def test_a_failure_state_ends_it_at_once():
    action, result = wait({}, -1)
    assert result["failed"] and result["msg"] == "it broke for good" and action.slept == []


def test_a_timeout_says_what_was_seen_last_and_keeps_the_state():
    action, result = wait({"wait_timeout": 7}, 1)
    assert result["failed"] and "wait_timeout 7" in result["msg"] and "last seen: 1 of 3" in result["msg"]
    assert result["state"] == {"n": 1} and action.now <= 7


def test_a_failed_poll_is_the_result():
    action = Building({}, [{"failed": True, "msg": "AccessDenied"}])
    assert action.run(task_vars={})["msg"] == "AccessDenied"


def test_check_mode_looks_at_nothing():
    action, result = wait({}, 1, check_mode=True)
    assert result["msg"] == "would wait for three" and action.calls == []


def test_r33_the_lease_is_renewed_while_waiting_and_a_lost_one_ends_the_wait():
    args = {"journal": {"migration": "orders"}, "region": "eu-west-1", "wait_timeout": 60}
    action, _result = wait(dict(args), 1)
    renewals = [given for name, given in action.calls if name == "cloudpg.migration.aws_journal"]
    assert len(renewals) >= 2
    assert renewals[0] == {"state": "held", "journal": {"migration": "orders"}, "region": "eu-west-1"}

    action = Building(dict(args), [{"n": 1}])
    action.kept = False
    with pytest.raises(AnsibleActionFail, match="held by bob"):
        action.run(task_vars={})


HELD = {"migration": "orders", "generation": 3, "holder": "me@here#1", "group_id": None}


class Following(logical_wait.ActionModule):
    """logical_wait on databases that never come in step, with a clock that runs by itself."""

    def __init__(self, journal, renewal):
        args = {"source": {"host": "a"}, "target": {"host": "b"}, "migration": "orders", "wait_timeout": 50}
        self._task = SimpleNamespace(args={**args, "journal": journal}, check_mode=False, async_val=0, diff=False)
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), has_pipelining=True)
        self._supports_check_mode = self._supports_async = True
        self.now, self.renewal, self.renewals = 0.0, renewal, []
        self.clock, self.sleep = (lambda: self.now), (lambda seconds: setattr(self, "now", self.now + seconds))

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        if module_name == "cloudpg.migration.logical_info":
            return standing.NOTHING
        self.renewals.append((module_name, module_args))
        return self.renewal


def test_r33_waiting_for_a_logical_copy_renews_the_lease_beside_the_data():
    action = Following(HELD, {"changed": False})
    assert action.run(task_vars={})["failed"], "they never came in step"
    assert len(action.renewals) >= 2
    assert action.renewals[0] == ("cloudpg.migration.pg_journal", {
        "state": "held", "journal": HELD, "source": {"host": "a"}, "target": {"host": "b"},
    })


@pytest.mark.parametrize("journal, renewal, words, code", [
    (HELD, {"failed": True, "msg": "held by bob", "code": "lease_lost"}, "held by bob", "lease_lost"),
    ({"migration": "orders"}, {}, "is not held", None),
    ({**HELD, "group_id": "sg-1"}, {}, "on AWS", None),
])
def test_r33_a_lock_that_is_lost_or_never_was_held_ends_the_wait(journal, renewal, words, code):
    with pytest.raises(AnsibleActionFail, match=words) as raised:
        Following(journal, renewal).run(task_vars={})
    assert raised.value.result.get("code") == code


def test_a_timeout_that_is_no_number_is_refused_by_name():
    with pytest.raises(AnsibleActionFail, match="wait_timeout"):
        wait({"wait_timeout": "soon"}, 1)


def test_one_line_when_something_changes_and_a_heartbeat_otherwise(monkeypatch):
    said = []
    monkeypatch.setattr(_wait, "Display", lambda: SimpleNamespace(display=said.append))
    wait({"wait_timeout": 70}, *[1] * 10, 2, 2, 3)
    assert [line.split(" · ")[0] for line in said] == ["[orders] 1 of 3", "[orders] 2 of 3", "[orders] 3 of 3"]
    said.clear()
    wait({"wait_timeout": 70}, 1)
    assert 2 <= len(said) <= 3


@pytest.mark.parametrize("near, hosts, seconds", [
    (True, 500, 0.5), (False, 1, 2.0), (False, 20, 2.0), (False, 50, 5.0),
])
def test_a_fleet_is_polled_slowly_and_the_end_of_a_wait_quickly(near, hosts, seconds):
    assert pause(Look("", near=near), hosts) == seconds
