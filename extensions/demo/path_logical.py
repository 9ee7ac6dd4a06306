# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path `logical`: one RDS instance to another of a newer major by logical replication."""

from __future__ import annotations

from typing import Any

from cloudpg_sandbox.installations import Account, Installations
from scenario import APPLICATIONS, Scenario
from source import OWNER, create_instance

# The playbooks that are shown, beside migrate.
DOORS = ("rollback",)
OLD, NEW = 16, 18
# Of both parameter groups, for there is a way back: what RDS calls wal_level=logical.
PARAMETERS = {"rds.logical_replication": ("1", "pending-reboot")}


def build(scenario: Scenario) -> None:
    """The source, and the target beside it, which the same logins are let into."""
    scenario.build_source(major=OLD, parameters=PARAMETERS)
    clients = [APPLICATIONS, scenario.bastion_cidr]
    scenario.target = create_instance(
        scenario.sandbox, f"{scenario.name}-new", scenario.passwords, clients=clients, major=NEW,
        parameters=PARAMETERS,
    )


def variables(scenario: Scenario) -> dict[str, Any]:
    """What the inventory says beside what every path needs."""
    assert scenario.source and scenario.target, "build() comes first"
    programs = Installations(str(scenario.directory / "cache"), Account.for_servers()).get(NEW)
    return {
        "migration_path": "logical",
        "migration_source": {"postgres": scenario.postgres(host=scenario.source.host)},
        "migration_target": {"postgres": scenario.postgres(host=scenario.target.host)},
        "migration_databases": [OWNER],
        "migration_traffic": [{
            "kind": "pgbouncer",
            "admin": scenario.pooler.admin(scenario.passfile),
            "config": str(scenario.pooler.config),
            "databases": [OWNER],
            # Past the bastion, which is for controllers.
            "port": 5432,
        }],
        "logical_bindir": programs.bindir,
        "logical_connection": {"port": 5432},
        "logical_back_connection": {"port": 5432},
    }


def target_host(scenario: Scenario) -> str:
    """Where the clients belong once the migration has succeeded."""
    assert scenario.target, "build() comes first"
    return scenario.target.host


def moved(scenario: Scenario) -> str:
    """What the migration was, in a phrase."""
    assert scenario.source and scenario.target, "build() comes first"
    sides = [f"{side.identifier} (PostgreSQL {side.version})" for side in (scenario.source, scenario.target)]
    return f"database {OWNER} of RDS instance {sides[0]} to {sides[1]}"
