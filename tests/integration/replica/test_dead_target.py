# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Past the promotion: a target that isn't what the source was never opens, one that is can only go forward (R19)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import Sandbox
from scenario import OWNER

from .estates import Estate
from .mishaps import Scene, groups_of, task
from .runs import Playbooks
from .test_abort import PLENTY

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Scene]:
    counted = [{"database": OWNER, "table": "sales.orders"}]
    estate = Estate(sandbox, place / "doubtful", name="doubtful").build(replica_count_tables=counted, **PLENTY)
    estate.vary(**estate.with_login())
    scene = Scene(sandbox, play, estate)
    assert scene.run("replicate").rc == 0
    yield scene
    estate.close()


def test_r19_a_promoted_target_that_lacks_rows_stays_closed_and_dead_until_rollback_removes_it(scene):
    with scene.halted("cutover", task("check | Read the target")) as halted:
        with scene.inside("doubtful-aurora-1") as cursor:
            cursor.execute("TRUNCATE sales.orders CASCADE")
        said = halted.goes_on().error("doubtful")
    assert "everything was put back" in said and 'It stopped at "cutover | check | The target takes writes' in said
    assert f"{OWNER}: sales.orders has 0 rows, the source " in said
    own = {scene.estate.source.security_group}
    assert groups_of(scene.source) == own and not groups_of(scene.cluster) & own

    for verb in ("cutover", "replicate"):
        again = scene.run(verb)
        assert again.rc and "it is dead; rollback.yml removes it" in again.error("doubtful"), verb
    undone = scene.run("rollback")
    assert undone.rc == 0, undone.failed
    assert (groups_of(scene.source), scene.generations) == (own, {})
    assert scene.estate.cluster not in [one["DBClusterIdentifier"] for one in scene.clusters]


def test_r19_behind_the_open_there_is_only_forward_and_the_next_run_goes_on(scene):
    assert scene.run("replicate").rc == 0
    with scene.fault({"name": "access_denied", "operation": "rds:ModifyDBCluster", "identifier": "doubtful-aurora"}):
        run = scene.run("cutover")
    said = run.error("doubtful")
    assert run.rc and "is promoted and checked, and opening it stopped at" in said, said
    assert "allow the IAM action rds:ModifyDBCluster" in said and "it goes on forward" in said
    own = {scene.estate.source.security_group}
    assert not groups_of(scene.source) & own, "the source doesn't open any more"

    refused = scene.run("rollback")
    assert refused.rc and "Going back would lose them, so nothing was changed" in refused.error("doubtful")
    on = scene.run("cutover")
    assert on.rc == 0, on.failed
    assert groups_of(scene.cluster) == own and not groups_of(scene.source) & own
