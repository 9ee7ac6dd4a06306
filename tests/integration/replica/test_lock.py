# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time: who comes second is told who holds the migration, who lost it changes nothing more (R33)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import Sandbox

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import LeaseLost
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal

from .estates import Estate
from .mishaps import Scene
from .runs import Playbooks, changes

pytestmark = pytest.mark.long
ENTERING = "Replicate / held | Enter #1"


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Scene]:
    estate = Estate(sandbox, place / "locked", name="locked").build(migration_acknowledged=["server-not-read"])
    yield Scene(sandbox, play, estate)
    estate.close()


def test_r33_of_two_runs_one_wins_and_a_takeover_ends_it(scene):
    with scene.halted("replicate", ENTERING, migration_job="the-first") as first:
        since, until, holder = scene.lease.split(" ", 2)
        generation = max(scene.generations)

        second = scene.run("replicate", migration_lock_timeout=0)
        said = second.error("locked")
        assert f"held by {holder} since {since}, its lease runs until {until}" in said and "Cure:" in said
        assert holder.endswith("job the-first") and second.changed == []

        third = scene.run("replicate", migration_take_over=True)
        assert third.rc == 0, third.failed
        assert (max(scene.generations), scene.lease) == (generation + 1, "")

        mark = scene.sandbox.mark()
        loser = first.goes_on()
        said = loser.error("locked")
        assert loser.rc and f"the lock of {holder} (generation {generation}) is lost" in said, said
        assert "taken over and given back since" in said and "Nothing more was changed" in said
        assert (loser.changed, changes(scene.sandbox.log(mark))) == ([], [])


def test_r33_a_lapsed_lease_is_taken_over_without_waiting(scene):
    generation, past = max(scene.generations), (datetime.now(timezone.utc) - timedelta(seconds=1)).isoformat()
    scene.write_lease(f"{past} {past} somebody@gone#00000000")
    run = scene.run("replicate", migration_lock_timeout=0)
    assert (run.rc, run.changed, scene.lease) == (0, [], ""), run.failed
    assert max(scene.generations) == generation + 1


def test_r33_nothing_is_sent_once_the_lease_has_run_out_however_late_a_retry_comes(sandbox):
    """Between a guard and its change lies a network that was away, or a machine that slept."""
    moment = datetime.now(timezone.utc)
    ec2, rds = sandbox.client("ec2"), sandbox.client("rds")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    family, _over = journal.acquire(ec2, "sleepy", vpc, "anna@bastion#00000001", journal.Queue())
    held = {
        "migration": "sleepy", "generation": 1, "holder": "anna@bastion#00000001", "group_id": family.newest.group_id,
    }
    lock = journal.Lock(ec2, held, lambda: moment)
    lock.cover(rds)
    with pytest.raises(LeaseLost, match="ran out before DeleteDBInstance could be sent"):
        rds.delete_db_instance(DBInstanceIdentifier="nothing")
    lock.guard()
    with pytest.raises(rds.exceptions.DBInstanceNotFoundFault):
        rds.delete_db_instance(DBInstanceIdentifier="nothing")
    moment += timedelta(seconds=60)
    mark = sandbox.mark()
    with pytest.raises(LeaseLost, match="ran out before DeleteDBInstance could be sent"):
        rds.delete_db_instance(DBInstanceIdentifier="nothing")
    assert sandbox.log(mark) == []
    assert rds.describe_db_instances()["ResponseMetadata"]["HTTPStatusCode"] == 200
