# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path `planetscale`: an Aurora cluster to a PlanetScale database of a newer major."""

from __future__ import annotations

from typing import Any

from aurora import create_cluster
from cloudpg_sandbox.installations import Account, Installations
from scenario import Scenario, ScenarioError
from source import MASTER, OWNER

# The playbooks that are shown, beside migrate.
DOORS = ("rollback",)
OLD, NEW = 16, 18
ORGANIZATION = "sandbox"
# PlanetScale's edge in the clear: servers that were built without TLS can't subscribe to one that wants it.
PLAIN_PORT = 15433


def build(scenario: Scenario) -> None:
    """The source, without logical replication; the target comes with the migration."""
    scenario.build_source(major=OLD, make=create_cluster, kind="aurora")


def variables(scenario: Scenario) -> dict[str, Any]:
    """What the inventory says beside what every path needs."""
    assert scenario.source, "build() comes first"
    programs = Installations(str(scenario.directory / "cache"), Account.for_servers()).get(NEW)
    password = scenario.directory / f"{OWNER}.password"
    password.touch(mode=0o600)
    password.write_text(scenario.passwords[OWNER], encoding="utf-8")
    return {
        "migration_path": "planetscale",
        "migration_source": {
            "cluster": scenario.source.identifier,
            "postgres": scenario.postgres(host=scenario.source.host),
        },
        "migration_target": {
            "organization": ORGANIZATION,
            "database": scenario.name,
            "region": "eu-west",
            "major_version": NEW,
            "cluster_size": "PS_10_AWS_X86",
            "replicas": 0,
            "postgres": {
                "passfile": _passfile(scenario),
                "sslmode": "verify-full",
                "sslrootcert": scenario.sandbox.env["CLOUDPG_SANDBOX_CA"],
            },
        },
        "migration_databases": [OWNER],
        "migration_traffic": [{
            "kind": "pgbouncer",
            "admin": scenario.pooler.admin(scenario.passfile),
            "config": str(scenario.pooler.config),
            "databases": [OWNER],
            "port": 5432,
            "user": OWNER,
        }],
        "logical_bindir": programs.bindir,
        # The controller comes through the bastion, PlanetScale doesn't.
        "logical_connection": {"port": 5432},
        # The other way round the servers without TLS go.
        "logical_back_connection": {"port": PLAIN_PORT, "sslmode": "disable"},
        "planetscale_reboot_source": True,
        "planetscale_passwords": [
            {"role": OWNER, "password": f"{{{{ lookup('ansible.builtin.file', '{password}') }}}}"}
        ],
        "planetscale_exclude_roles": [MASTER],
    }


def before_cutover(scenario: Scenario) -> None:
    """The application's login has another name at PlanetScale: its owners tell PgBouncer and whoever goes past it."""
    where = _api(scenario, "branches/main")["id"]
    roles = _api(scenario, "branches/main/roles")["data"]
    host, user = roles[0]["access_host_url"], f"{OWNER}.{where}"
    scenario.pooler.know(user, scenario.passwords[OWNER])
    with open(scenario.passfile, "a", encoding="utf-8") as passwords:
        passwords.write(f"*:*:*:{user}:{scenario.passwords[OWNER]}\n")
    tls = {"port": 5432, "sslmode": "verify-full", "sslrootcert": scenario.sandbox.env["CLOUDPG_SANDBOX_CA"]}
    scenario.unusual[host] = {"user": user, **tls}
    login = next(role["username"] for role in roles if role["name"] == f"cloudpg-{scenario.name}")
    scenario.unusual_controller[host] = {"user": login, "passfile": _passfile(scenario), **tls}


def target_host(scenario: Scenario) -> str:
    """Where the clients belong once the migration has succeeded."""
    return _api(scenario, "branches/main/roles")["data"][0]["access_host_url"]


def moved(scenario: Scenario) -> str:
    """What the migration was, in a phrase."""
    assert scenario.source, "build() comes first"
    source = f"{scenario.source.identifier} (PostgreSQL {scenario.source.version})"
    return f"database {OWNER} of Aurora cluster {source} to PlanetScale database {scenario.name} (PostgreSQL {NEW})"


def _passfile(scenario: Scenario) -> str:
    return str(scenario.directory / "planetscale.passfile")


def _api(scenario: Scenario, what: str) -> Any:
    status, answer, _headers = scenario.sandbox.planetscale(
        "GET", f"organizations/{ORGANIZATION}/databases/{scenario.name}/{what}"
    )
    if status != 200:
        raise ScenarioError(f"PlanetScale's API says {status}: {answer}")
    return answer
