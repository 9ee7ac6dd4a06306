# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover that fails at any step before the open puts everything back, in time, and says where it stopped."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until
from scenario import OWNER

from .estates import Estate
from .mishaps import Scene, groups_of, task
from .runs import Playbooks, Run

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
# More than any machine needs: for failures that come by themselves.
PLENTY = {"migration_max_outage": 400, "replica_undo_seconds": 100}
# Kept back for the undo, where time is what the failure is about.
UNDO = 60
# Seconds a transition takes in the tests' sandbox.
PACE = 0.05


class Patient(Scene):
    """Knows how long this machine needs from closing the source to the promotion and back: its first run tells."""

    there_and_back = 0.0

    @property
    def forward(self) -> int:
        """Seconds in which the promotion is reached for sure."""
        assert self.there_and_back, "a test before this one tells"
        return math.ceil(1.5 * self.there_and_back)

    @property
    def hurry(self) -> dict[str, int]:
        """A promise with time for the way to the promotion, but for nothing that hangs."""
        return {"migration_max_outage": self.forward + UNDO, "replica_undo_seconds": UNDO}


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Patient]:
    """A replica that follows its source, with a pooler in front."""
    estate = Estate(sandbox, place / "thwarted", name="thwarted").build()
    estate.vary(**estate.with_login(), **estate.through_pooler())
    scene = Patient(sandbox, play, estate)
    made = scene.run("replicate")
    assert made.rc == 0, made.failed
    yield scene
    estate.close()


def closed_for(said: str) -> float:
    found = re.search(r"it had been closed for ([\d.]+) s", said)
    assert found, said
    return float(found[1])


def assert_put_back(scene: Scene) -> None:
    """The source serves as before, the target lets nobody in, clients go on where they were."""
    estate, [address] = scene.estate, [
        server["address"] for server in scene.sandbox.control("GET", "status")["servers"]
        if server["identifier"] == f"{scene.estate.name}-aurora-1"
    ]
    assert groups_of(scene.source) == {estate.source.security_group}
    assert estate.lets_in(estate.source.host) == ["application", "controller"]
    assert "application" not in estate.lets_in(address)
    assert estate.pooler.leads_to(OWNER) == estate.source.host
    through_pooler = estate.connect(estate.pooler.address, OWNER, estate.pooler.port)
    with through_pooler.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        assert cursor.fetchone() == (False,)
    through_pooler.close()
    assert scene.lease == ""


def stopped_at(run: Run, step: str, cause: str) -> str:
    """What it said: that everything was put back, at which step it stopped and why."""
    said = run.error("thwarted")
    assert run.rc and "everything was put back: the source serves as before" in said, said
    assert re.search(rf'It stopped at "[^"]*{re.escape(step)}', said) and re.search(cause, said), said
    return said


DENIED = "allow the IAM action rds:{}"
BY_THEMSELVES = [
    ({"name": "access_denied", "operation": "rds:PromoteReadReplicaDBCluster"},
     "promote | Make the replica", DENIED.format("PromoteReadReplicaDBCluster"), True),
    ({"name": "access_denied", "operation": "rds:DescribeDBEngineVersions"},
     "preflight | Check both sides", DENIED.format("DescribeDBEngineVersions"), False),
    ({"name": "access_denied", "operation": "rds:ModifyDBInstance", "identifier": "thwarted-rds"},
     "close | Close the source", DENIED.format("ModifyDBInstance"), True),
    ({"name": "access_denied", "operation": "rds:RebootDBInstance", "identifier": "thwarted-rds"},
     "close | Close the source", DENIED.format("RebootDBInstance"), True),
    ({"name": "refuse_transition", "transition": "promoting", "identifier": "thwarted-aurora"},
     "promote | Wait for the promotion", "waited|gave|refused|failed", True),
]


@pytest.mark.parametrize(
    "fault, step, cause, closed", BY_THEMSELVES,
    ids=["promotion-refused", "gate", "groups-refused", "reboot-refused", "promotion-given-up"],
)
def test_r18_r19_a_failure_before_the_open_is_put_back_and_says_where_and_how_long(scene, fault, step, cause, closed):
    began = time.monotonic()
    with scene.fault(fault):
        # Only a promotion that never comes is waited for as long as was promised.
        run = scene.run("cutover", **(scene.hurry if "transition" in fault else PLENTY))
    took = time.monotonic() - began
    said = stopped_at(run, step, cause)
    assert ("it had been closed" in said) == closed, said
    if closed:
        assert closed_for(said) < took
        scene.there_and_back = scene.there_and_back or closed_for(said)
    assert_put_back(scene)


def test_p52_a_session_that_came_behind_the_fence_is_named_and_everything_put_back(scene):
    """No group keeps out what is inside the server already, such as a background worker of an extension."""
    with scene.halted("cutover", task("close | Prove that no client is left"), **PLENTY) as run:
        [server] = [one for one in scene.sandbox.control("GET", "status")["servers"]
                    if one["identifier"] == "thwarted-rds"]
        worker = psycopg2.connect(host=server["socket"], port=server["port"], user=OWNER, dbname=OWNER)
        said = stopped_at(run.goes_on(), "close | Prove that no client is left", "1 backends may write, the oldest pid")
        worker.close()
    assert f"user {OWNER}, database {OWNER}" in said
    assert_put_back(scene)


def too_slow_a_reboot(scene: Patient):
    """It ends within the time for the undo."""
    return scene.fault({
        "name": "slow_transition", "transition": "rebooting", "identifier": "thwarted-rds", "times": 1,
        "factor": (scene.forward + UNDO / 4) / PACE,
    })


@contextmanager
def a_replay_that_stands_still(scene: Patient) -> Iterator[None]:
    with scene.inside("thwarted-aurora-1") as cursor:
        cursor.execute("SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_wal_replay_resume()")


@pytest.mark.parametrize("trouble, step, cause", [
    (too_slow_a_reboot, "close | Close the source", r"waited \d+ s \(wait_timeout \d+\) for instance thwarted-rds"),
    (a_replay_that_stands_still, "drain | Wait until the replica has replayed it", r"waited \d+ s \(wait_timeout \d+"),
], ids=["reboot", "drain"])
def test_what_takes_longer_than_was_promised_is_ended_in_time_for_the_undo(scene, trouble, step, cause):
    promise = scene.hurry
    with trouble(scene):
        run = scene.run("cutover", **promise)
    assert closed_for(stopped_at(run, step, cause)) < promise["migration_max_outage"]
    assert_put_back(scene)


def test_r16_a_promotion_there_is_no_time_left_for_is_not_begun(scene):
    promise = scene.hurry
    with scene.halted("cutover", task("promote | Begin only what there is time for"), **promise) as halted:
        limit = time.monotonic() + scene.forward
        mark = scene.sandbox.mark()
        wait_until(lambda: time.monotonic() > limit, 600, every=0.5)
        run = halted.goes_on()
    said = stopped_at(run, "promote | Begin only", "no time is left for a promotion, which can't be undone")
    assert closed_for(said) >= scene.forward
    assert "PromoteReadReplicaDBCluster" not in [call["operation"] for call in scene.sandbox.log(mark)]
    assert_put_back(scene)


def test_r19_a_promotion_too_slow_for_the_promise_leaves_a_dead_target_that_only_rollback_removes(scene):
    promise = scene.hurry
    slow = {"name": "slow_transition", "transition": "promoting", "identifier": "thwarted-aurora", "factor": 4000}
    with scene.fault(slow):
        run = scene.run("cutover", **promise)
        said = stopped_at(run, "promote | Wait for the promotion", r"waited \d+ s")
        assert closed_for(said) < promise["migration_max_outage"]
        assert_put_back(scene)
        # It is still under way at AWS, which is as slow as ever.
        assert scene.cluster["Status"] == "promoting"
        again = scene.run("cutover", **promise)
    assert again.rc and "rollback.yml" in again.error("thwarted")
