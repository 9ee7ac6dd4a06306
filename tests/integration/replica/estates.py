# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is migrated: the demo's shop on RDS, small and idle, and a picture of all there is of it."""

from __future__ import annotations

import itertools
import re
import secrets
from pathlib import Path
from typing import Any

import psycopg2
from cloudpg_sandbox.testing import Sandbox
from scenario import BASTION_PORT, MASTER, OWNER, Scenario

from .runs import CHECKOUT

PERMISSIONS = CHECKOUT / "docs" / "permissions.md"
LOGIN = "migrator"
PORTS = itertools.count(6432)  # every estate of a sandbox has a pooler of its own


def documented(language: str, heading: str) -> str:
    """The block of docs/permissions.md in this language under this heading."""
    for section in re.split(r"^#+ ", PERMISSIONS.read_text(encoding="utf-8"), flags=re.MULTILINE):
        found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
        if found and section.startswith(f"{heading}\n"):
            return found[1]
    raise AssertionError(f"docs/permissions.md has no {language} under {heading}")


class Estate(Scenario):
    """The shop of the demo on RDS without clients that write, and an inventory in which it is one migration."""

    inventory: Path
    variables_now: dict[str, Any]

    def __init__(self, sandbox: Sandbox, directory: Path, name: str) -> None:
        super().__init__(sandbox, directory, name=name, pooler_port=next(PORTS))

    @property
    def instance(self) -> str:
        return f"{self.name}-rds"

    @property
    def cluster(self) -> str:
        return f"{self.name}-aurora"

    def build(self, **variables: Any) -> Estate:
        """Make the source, the login of docs/permissions.md and the inventory."""
        self.directory.mkdir()
        self.directory.chmod(0o711)
        self.passwords[LOGIN] = secrets.token_hex(16)
        self.build_source()
        grants = documented("sql", "The login") + documented("sql", "Counted tables")
        self.sql(self.source.host, grants.replace(":'password'", f"'{self.passwords[LOGIN]}'"))
        self.variables_now = self.common() | variables
        self.inventory = self.write_inventory(self.variables_now)
        return self

    def vary(self, **variables: Any) -> None:
        """Say something else in the inventory."""
        self.variables_now |= variables
        self.write_inventory(self.variables_now)

    def common(self) -> dict[str, Any]:
        """What a migration without any login says."""
        return {
            "migration_path": "replica",
            "migration_source": {"instance": self.instance},
            "migration_target": {"cluster": self.cluster, "instance_class": "db.r6g.large"},
            "migration_max_outage": 400,
            # the sandbox measures every second; AWS publishes once a minute
            "replica_metric_period": 1,
        }

    def with_login(self) -> dict[str, Any]:
        """The rest for a migration with a login, which comes through the fence."""
        login = self.postgres(user=LOGIN)
        return {
            "migration_source": {"instance": self.instance, "postgres": login},
            "migration_target": {**self.common()["migration_target"], "postgres": login},
            "migration_controller_cidrs": [self.bastion_cidr],
        }

    def through_pooler(self) -> dict[str, Any]:
        """Clients of a PgBouncer that runs from now on."""
        self.start_pooler()
        return {"migration_traffic": self.variables()["migration_traffic"]}

    def connect(self, host: str, user: str, port: int = BASTION_PORT) -> Any:
        """A session in the shop's database as the controller has it, or on port 5432 as an application."""
        return psycopg2.connect(
            host=host, port=port, user=user, password=self.passwords[user], dbname=OWNER, connect_timeout=10
        )

    def sql(self, host: str, statements: str, user: str = MASTER, port: int = BASTION_PORT) -> list[tuple[Any, ...]]:
        """The rows of the last statement."""
        connection = self.connect(host, user, port)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statements)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def lets_in(self, host: str) -> list[str]:
        """Which of application and controller a server lets in."""
        found = []
        for who, port in (("application", 5432), ("controller", BASTION_PORT)):
            try:
                self.connect(host, OWNER, port).close()
            except psycopg2.OperationalError as error:
                refused = ("no pg_hba.conf entry", "permission denied for database")
                assert any(words in str(error) for words in refused), error
            else:
                found.append(who)
        return found


# Everything that a run in check mode must leave alone
_INSIDE = """
    SELECT 'started', pg_postmaster_start_time()::text
    UNION ALL SELECT 'setting', name || '=' || setting FROM pg_settings WHERE name NOT LIKE 'transaction_%'
    UNION ALL SELECT 'role', r::text FROM pg_roles r
    UNION ALL SELECT 'member', m::text FROM pg_auth_members m
    UNION ALL SELECT 'subscription', format('%s %s', subname, subenabled) FROM pg_subscription
    UNION ALL SELECT 'publication', pubname FROM pg_publication
    UNION ALL SELECT 'slot', slot_name FROM pg_replication_slots
    UNION ALL SELECT 'relation', concat_ws(' ', oid, relname, relkind, relreplident) FROM pg_class WHERE oid > 16384
    ORDER BY 1, 2
"""


def picture(sandbox: Sandbox, estate: Estate) -> dict[str, Any]:
    """What is there on AWS, in the servers and in the pooler, as far as it belongs to an estate."""
    rds, ec2 = sandbox.client("rds"), sandbox.client("ec2")
    instances = _ours(estate, rds.describe_db_instances()["DBInstances"], "DBInstanceIdentifier")
    clusters = _ours(estate, rds.describe_db_clusters()["DBClusters"], "DBClusterIdentifier")
    groups = ec2.describe_security_groups()["SecurityGroups"]
    parameters = rds.describe_db_parameter_groups()["DBParameterGroups"]
    cluster_parameters = rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]
    servers = _ours(estate, sandbox.control("GET", "status")["servers"], "identifier")
    return {
        "instances": instances,
        "clusters": clusters,
        "groups": [group for group in groups if group["GroupName"].startswith(f"cloudpg-{estate.name}-")],
        "parameters": _ours(estate, parameters, "DBParameterGroupName"),
        "cluster parameters": _ours(estate, cluster_parameters, "DBClusterParameterGroupName"),
        "servers": {one["identifier"]: _inside(one) for one in servers},
        "doors": {one["identifier"]: estate.lets_in(one["address"]) for one in servers},
        "pooler": estate.pooler.config.read_text("utf-8") if estate.pooler.config.exists() else None,
    }


def _inside(server: dict[str, Any]) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(host=server["socket"], port=server["port"], user="rdsadmin", dbname=OWNER)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_INSIDE)
            return cursor.fetchall()
    finally:
        connection.close()


def _ours(estate: Estate, documents: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Those that belong to the estate, without what changes by itself."""
    return [
        {key: value for key, value in document.items() if "LatestRestorableTime" not in key}
        for document in documents if document[name].startswith(estate.name)
    ]
