# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of pg_cron that travel along are paused before the target is checked, and run again once it serves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from cloudpg_sandbox.testing import Sandbox

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event, event_tags, stamp

from .estates import LOGIN, Estate
from .mishaps import Scene, task
from .runs import Playbooks

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
# The extension's table without the extension, as on a source whose jobs no library runs: no preflight minds them.
JOBS = f"""
    CREATE SCHEMA cron;
    CREATE TABLE cron.job (jobid bigint PRIMARY KEY, active boolean NOT NULL);
    INSERT INTO cron.job VALUES (1, true), (2, false), (3, true);
    GRANT USAGE ON SCHEMA cron TO {LOGIN};
    GRANT SELECT, UPDATE ON cron.job TO {LOGIN};
"""
TAKE_OVER = {"migration_take_over": True}


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, play: Playbooks, place) -> Iterator[Scene]:
    """A replica whose source has two jobs that are active and one that isn't."""
    estate = Estate(sandbox, place / "nightly", name="nightly").build()
    estate.vary(**estate.with_login())
    estate.sql(estate.source.host, JOBS)
    scene = Scene(sandbox, play, estate)
    made = scene.run("replicate")
    assert made.rc == 0, made.failed
    yield scene
    estate.close()


def active(scene: Scene) -> list[int]:
    with scene.inside("nightly-aurora-1") as cursor:
        cursor.execute("SELECT jobid FROM cron.job WHERE active ORDER BY 1")
        return [job for (job,) in cursor.fetchall()]


def test_p44_check_mode_names_the_jobs_and_pauses_none(scene):
    approved = {"migration_approved": [scene.estate.name]}
    run = scene.play("cutover", scene.estate.inventory, check=True, extra=approved)
    assert run.rc == 0, run.failed
    assert "pause cron jobs 1, 3 in database shop" in run.actions(scene.estate.name)
    assert active(scene) == [1, 3]


def test_r19_p44_jobs_are_paused_for_the_check_and_run_again_whoever_goes_on(scene):
    with scene.halted("cutover", task("check | Read the target")):
        assert active(scene) == []
    # That run is dead. The next one finds no job active, and knows from the journal which were.
    run = scene.run("cutover", **TAKE_OVER)
    assert run.rc == 0, run.failed
    assert active(scene) == [1, 3]
    with scene.inside("nightly-aurora-1") as cursor:
        cursor.execute("UPDATE cron.job SET active = false WHERE jobid = 3")
    run = scene.run("cutover")
    assert (run.rc, run.changed) == (0, [])
    assert active(scene) == [1], "a job that somebody paused afterwards is left alone"


def test_r19_p44_finish_lets_jobs_run_that_a_dead_cutover_left_paused(scene):
    family = scene.generations
    paused = Event(
        "target.cron_jobs", "nightly-aurora", [{"database": "shop", "ids": [1, 3]}], [],
        stamp(datetime.now(timezone.utc)), "somebody@there#00000001",
    )
    scene.ec2.create_tags(
        Resources=[family[max(family)]["GroupId"]],
        Tags=[{"Key": key, "Value": value} for key, value in event_tags(paused).items()],
    )
    run = scene.run("finish")
    assert run.rc == 0, run.failed
    assert active(scene) == [1, 3]
    run = scene.run("finish")
    assert (run.rc, run.changed) == (0, [])
