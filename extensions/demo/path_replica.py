# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path `replica`: RDS to Aurora through an Aurora replica that is promoted."""

from __future__ import annotations

from typing import Any

from scenario import Scenario

# The playbooks that are shown, beside migrate.
DOORS = ("rollback",)


def build(scenario: Scenario) -> None:
    """The source; the target comes with the migration."""
    scenario.build_source()


def variables(scenario: Scenario) -> dict[str, Any]:
    """What the inventory says beside what every path needs."""
    return {
        "migration_path": "replica",
        "migration_target": {
            "cluster": _cluster(scenario),
            "instance_class": "db.r6g.large",
            "postgres": scenario.postgres(),
        },
        # the sandbox measures every second; AWS publishes once a minute
        "replica_metric_period": 1,
    }


def target_host(scenario: Scenario) -> str:
    """Where the clients belong once the migration has succeeded."""
    found = scenario.sandbox.client("rds").describe_db_clusters(DBClusterIdentifier=_cluster(scenario))
    return found["DBClusters"][0]["Endpoint"]


def moved(scenario: Scenario) -> str:
    """What the migration was, in a phrase."""
    assert scenario.source, "the scenario has a source by now"
    source = scenario.source
    return f"RDS instance {source.identifier} (PostgreSQL {source.version}) to Aurora cluster {_cluster(scenario)}"


def _cluster(scenario: Scenario) -> str:
    return f"{scenario.name}-aurora"
