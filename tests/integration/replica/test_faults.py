# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS in bad weather: a run goes on, or stops with one message that says why and what to do. It never loses a write."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until

from .estates import Estate
from .mishaps import Scene, groups_of, task
from .runs import Playbooks, Run

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
COMMITS = 60


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Scene]:
    """Nothing is built yet; clients write through a pooler and past it."""
    estate = Estate(sandbox, place / "stormy", name="stormy").build(migration_max_outage=400)
    estate.vary(**estate.with_login(), **estate.through_pooler())
    estate.start_writers(30)
    yield Scene(sandbox, play, estate)
    estate.close()


def the_message(run: Run) -> str:
    """The one thing that the run says went wrong."""
    said = {task.msg for task in run.of("stormy") if task.failed}
    assert run.rc and len(said) == 1, said
    assert "Traceback" not in run.stdout and "MODULE FAILURE" not in run.stdout
    return said.pop()


@pytest.mark.parametrize("fault, cause", [
    ({"name": "access_denied", "operation": "rds:DescribeDBInstances"}, "allow the IAM action rds:DescribeDBInstances"),
    ({"name": "access_denied", "operation": "ec2:DescribeSecurityGroups"},
     "allow the IAM action ec2:DescribeSecurityGroups"),
    ({"name": "expired_token", "operation": "cloudwatch:*"}, "get fresh credentials and run again"),
], ids=["rds-denied", "ec2-denied", "expired"])
def test_what_no_retry_helps_against_is_said_in_one_message(scene, fault, cause):
    with scene.fault(fault):
        assert cause in the_message(scene.run("preflight"))


def test_a_server_that_is_down_is_named_with_its_address(scene):
    instance = f"servers/{scene.estate.instance}"
    scene.sandbox.control("POST", instance, {"action": "stop"})
    try:
        said = the_message(scene.run("preflight"))
    finally:
        scene.sandbox.control("POST", instance, {"action": "start"})
    assert re.search(rf"{re.escape(scene.estate.source.host)}.*(refused|closed|terminat)", said), said


def test_r6_a_target_that_fails_while_it_is_built_ends_the_wait_and_rollback_removes_it(scene):
    with scene.fault({"name": "refuse_transition", "transition": "creating", "identifier": "stormy-aurora"}):
        said = the_message(scene.run("replicate"))
    assert "cluster stormy-aurora is" in said and "failed" in said and "it will not become available by itself" in said
    undone = scene.run("rollback")
    assert undone.rc == 0, undone.failed


# What a user's hook does when clients are to be held: the worst moment for either server.
STRIKE = """\
- name: Restart the target and cut what is connected to the source
  ansible.builtin.uri:
    url: "{endpoint}/_sandbox/servers/{{{{ item.0 }}}}"
    method: POST
    body_format: json
    body: {{action: "{{{{ item.1 }}}}"}}
  loop: [[stormy-aurora-1, restart], [stormy-rds, drop_connections]]
  when: traffic_step == 'pause'
"""


def test_bad_weather_restarts_and_cut_connections_at_once_cost_time_and_no_write(scene):
    """A fifth of all calls is throttled, others fail or lose their answers; behind that, both servers are disturbed."""
    estate = scene.estate
    hook = estate.directory / "strike.yml"
    hook.write_text(STRIKE.format(endpoint=scene.sandbox.endpoint), encoding="utf-8")
    estate.vary(migration_traffic=[*estate.variables_now["migration_traffic"], {"kind": "hook", "tasks": str(hook)}])
    estate.await_commits(COMMITS)
    with scene.fault(
        {"name": "throttling", "operation": "*", "rate": 0.2, "seed": 1},
        {"name": "service_unavailable", "operation": "*", "rate": 0.05, "seed": 2},
        {"name": "drop_response", "operation": "*", "rate": 0.05, "seed": 3},
    ):
        run = scene.run("migrate")
        struck = [fault["struck"] for fault in scene.sandbox.control("GET", "faults")]
    assert all(struck), struck
    if run.rc:
        assert "Cure: " in the_message(run) or "everything was put back" in the_message(run)
        run = scene.run("migrate")
    assert run.rc == 0, run.failed
    target = scene.cluster["Endpoint"]
    estate.lead_direct_clients(target)
    estate.await_commits(COMMITS)
    estate.stop_writers()
    told = estate.verify(target, estate.source.host)
    assert told["passed"] and told["acked"] > COMMITS, told["findings"]


# Without a login CloudWatch alone is the gate

class Blind(Scene):
    """Knows how quick the machine is: seconds that are enough to close a source, and not much more."""

    enough = 0

    def measure(self) -> Blind:
        began = time.monotonic()
        assert self.run("status").rc == 0
        self.enough = math.ceil(6 * (time.monotonic() - began))
        return self

    @property
    def promise(self) -> dict[str, int]:
        return {"migration_max_outage": self.enough + 60, "replica_undo_seconds": 60}

    def slot_lag(self) -> float:
        """The newest figure of the log that the source still holds for its replica, in bytes."""
        now = datetime.now(timezone.utc)
        found = self.sandbox.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/RDS", MetricName="OldestReplicationSlotLag", Period=1, Statistics=["Maximum"],
            Dimensions=[{"Name": "DBInstanceIdentifier", "Value": self.estate.instance}],
            StartTime=now - timedelta(seconds=10), EndTime=now + timedelta(seconds=2),
        )["Datapoints"]
        return max(found, key=lambda point: point["Timestamp"])["Maximum"] if found else 0.0

    def target(self, action: str) -> None:
        self.sandbox.control("POST", f"servers/{self.estate.cluster}-1", {"action": action})


@pytest.fixture(scope="module")
def blind(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Blind]:
    estate = Estate(sandbox, place / "blind", name="blind").build(migration_acknowledged=["server-not-read"])
    yield Blind(sandbox, play, estate).measure()
    estate.close()


def test_r12_missing_figures_of_the_lag_are_not_taken_for_zero(blind):
    with blind.fault({"name": "missing_metrics", "metric": "RDSToAuroraPostgreSQLReplicaLag"}):
        run = blind.run("replicate", migration_build_timeout=blind.enough)
    said = run.error("blind")
    assert run.rc and "no figure of the lag yet" in said, said
    assert blind.run("replicate").rc == 0, "it goes on where it was"


def assert_gate_held(blind: Blind, run: Run, why: str) -> None:
    said = run.error("blind")
    assert run.rc and "everything was put back" in said and why in said, said
    assert 'It stopped at "cutover | drain | Wait until CloudWatch proves the catch-up' in said, said
    assert groups_of(blind.source) == {blind.estate.source.security_group}
    assert blind.cluster["ReplicationSourceIdentifier"], "nothing was promoted"


def test_r12_a_drain_without_figures_is_never_proven_whatever_the_weather(blind):
    with blind.halted("cutover", task("close | Close the source to everybody and end the sessions it has"),
                      **blind.promise) as halted, blind.fault(
        {"name": "missing_metrics", "metric": "*", "identifier": blind.estate.instance},
        {"name": "throttling", "operation": "*", "rate": 0.2, "seed": 4},
    ):
        run = halted.goes_on()
    assert_gate_held(blind, run, "no sample of OldestReplicationSlotLag whose period began after")


def test_r12_a_drain_by_a_figure_that_does_not_change_any_more_is_never_proven(blind):
    """The replica was behind when CloudWatch got stuck."""
    with blind.halted("cutover", task("close | Close the source to everybody and end the sessions it has"),
                      **blind.promise) as halted:
        blind.target("stop")
        with blind.inside(blind.estate.instance) as cursor:
            cursor.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000))")
        wait_until(lambda: blind.slot_lag() > 0, 60)
        with blind.fault(
            {"name": "stale_metrics", "metric": "OldestReplicationSlotLag"},
            {"name": "internal_error", "operation": "*", "rate": 0.1, "seed": 5},
        ):
            blind.target("start")
            run = halted.goes_on()
    assert_gate_held(blind, run, "was not seen at 0")
