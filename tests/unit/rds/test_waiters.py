"""Our own loop: how often it looks, when it gives up, and the states that end it."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import WaitTimeout
from ansible_collections.cloudpg.migration.plugins.module_utils._patience import Patience, Sight, pause
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import state
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.waiters import living

from .builders import cluster, instance


class Time:
    def __init__(self):
        self.now, self.slept, self.kept = 0.0, [], 0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def keep(self):
        self.kept += 1

    def patience(self, timeout):
        return Patience(timeout, self.keep, self.clock, self.sleep)


@pytest.mark.parametrize("elapsed, seconds", [(0, 0.25), (2, 0.25), (10, 1), (100, 10), (10_000, 15)])
def test_the_pause_grows_with_the_wait_and_has_a_cap(elapsed, seconds):
    assert pause(elapsed) == seconds


def test_it_looks_until_done_and_keeps_the_lease_alive_between_two_looks():
    time, sights = Time(), [Sight(False, "creating"), Sight(False, "creating"), Sight(True, "available", "the cluster")]
    assert time.patience(60).until(lambda: sights.pop(0), "a cluster") == "the cluster"
    assert (time.slept, time.kept) == ([0.25, 0.25], 2)


def test_what_is_done_at_the_first_look_takes_no_time_and_no_lease():
    time = Time()
    time.patience(0).until(lambda: Sight(True, "available"), "a cluster")
    assert (time.slept, time.kept) == ([], 0)


def test_a_timeout_is_honoured_and_names_aim_and_last_state():
    time = Time()
    with pytest.raises(WaitTimeout) as raised:
        time.patience(3).until(lambda: Sight(False, "cluster shop is creating"), "cluster shop to be available")
    assert 2.5 < time.now <= 3
    assert raised.value.state == "cluster shop is creating"
    assert "for cluster shop to be available; last seen: cluster shop is creating" in raised.value.message


def test_waits_that_count_together_share_one_timeout():
    time = Time()
    patience = Patience(10, time.keep, time.clock, time.sleep, since=time.now)
    patience.until(lambda: Sight(time.now >= 8, "modifying"), "the groups")
    with pytest.raises(WaitTimeout, match="waited 10 s"):
        patience.until(lambda: Sight(False, "rebooting"), "the reboot")
    assert time.now <= 10


@pytest.mark.parametrize("kind, document, failures, status", [
    *(("cluster", cluster(Status=status), state.CLUSTER_FAILURES, status) for status in (
        "migration-failed", "cloning-failed", "failed", "inaccessible-encryption-credentials", "stopped", "deleting",
    )),
    *(("instance", instance(DBInstanceStatus=status), state.INSTANCE_FAILURES, status) for status in (
        "failed", "storage-full", "incompatible-network", "incompatible-parameters", "insufficient-capacity", "stopped",
    )),
])
def test_r6_a_state_that_leads_nowhere_ends_the_wait_and_is_named(kind, document, failures, status):
    with pytest.raises(RdsError, match=f"{kind} shop is {status}: it will not become available by itself"):
        living(kind, "shop", document, failures)


def test_r6_what_vanishes_while_it_is_waited_for_is_an_error():
    with pytest.raises(RdsError, match="cluster shop is gone"):
        living("cluster", "shop", None, state.CLUSTER_FAILURES)
