# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several migrations in one run: a broken one harms neither the one before it nor those after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import Sandbox

from .estates import Estate
from .mishaps import groups_of
from .runs import READS, Playbooks

pytestmark = pytest.mark.long

NAMES = ("first", "second", "third")


@pytest.fixture
def fleet(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[dict[str, Estate]]:
    """Three replicas that follow their sources; each migration has an inventory file, in this order."""
    estates = {name: Estate(sandbox, place / name, name=name) for name in NAMES}
    for estate in estates.values():
        estate.build(migration_acknowledged=["server-not-read"])
    built = play("replicate", *(estate.inventory for estate in estates.values()))
    assert built.rc == 0, built.failed
    yield estates
    for estate in estates.values():
        estate.close()


def test_a_broken_host_is_put_back_alone_and_the_next_wave_does_not_start(fleet, sandbox, play):
    rds = sandbox.client("rds")

    def source(name: str) -> set[str]:
        [found] = rds.describe_db_instances(DBInstanceIdentifier=f"{name}-rds")["DBInstances"]
        return groups_of(found)

    def cluster(name: str) -> dict:
        return rds.describe_db_clusters(DBClusterIdentifier=f"{name}-aurora")["DBClusters"][0]

    mark, third = sandbox.mark(), cluster("third")
    sandbox.control(
        "POST", "faults", {"name": "access_denied", "operation": "rds:RebootDBInstance", "identifier": "second-rds"}
    )
    try:
        run = play("cutover", *(estate.inventory for estate in fleet.values()), extra={"migration_approved": NAMES})
    finally:
        sandbox.control("DELETE", "faults")
    own = {name: {fleet[name].source.security_group} for name in NAMES}

    assert run.rc and "everything was put back" in run.error("second")
    assert run.stats["first"]["failures"] == 0 and "third" not in run.stats
    assert groups_of(cluster("first")) == own["first"] and source("first") != own["first"]
    assert groups_of(cluster("second")) != own["second"] and source("second") == own["second"]
    assert (cluster("third"), source("third")) == (third, own["third"])

    calls = [call for call in sandbox.log(mark) if not call["operation"].startswith(READS)]
    reboots = [number for number, call in enumerate(calls) if call["operation"] == "RebootDBInstance"]
    refused = next(number for number in reboots if calls[number]["error_code"])
    touched = {
        str(value) for call in calls[refused:] if call["service"] == "rds"
        for key, value in call["params"].items() if key.endswith("Identifier")
    }
    assert touched == {"second-rds"}
