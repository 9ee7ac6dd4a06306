# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at when something went wrong: who holds the lock, who is let in, what was called."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from cloudpg_sandbox.testing import Sandbox, wait_until
from scenario import OWNER

from .estates import Estate
from .runs import CHECKOUT, PATIENCE, Playbooks, Run, read_events

LEASE = "cloudpg:lease"
CALLBACKS = CHECKOUT / "tests" / "chaos" / "callback_plugins"


@dataclass
class Halted:
    """A run that waits at a boundary."""

    process: subprocess.Popen[str]
    trace: Path

    def goes_on(self) -> Run:
        """Let it go on to its end."""
        Path(f"{self.trace}.go").touch()
        self.process.wait(PATIENCE)
        return read_events(self.process.returncode, self.said)

    @property
    def said(self) -> str:
        return Path(f"{self.trace}.said").read_text(encoding="utf-8")


def task(name: str) -> str:
    """The boundary before a task of the cutover."""
    return f"Cutover / cloudpg.migration.replica : cutover | {name} #1"


class Scene:
    """An estate, the cloud it is in and the playbooks that are run on it."""

    def __init__(self, sandbox: Sandbox, play: Playbooks, estate: Estate) -> None:
        self.sandbox, self.play, self.estate = sandbox, play, estate
        self.rds, self.ec2 = sandbox.client("rds"), sandbox.client("ec2")

    def run(self, verbs: str, **extra: Any) -> Run:
        """A verb to its end, approved."""
        return self.play(verbs, self.estate.inventory, extra=self._approved(extra))

    @contextmanager
    def halted(self, verb: str, boundary: str, **extra: Any) -> Iterator[Halted]:
        """The same, waiting where that task begins."""
        trace = self.estate.directory / f"trace-{secrets.token_hex(4)}"
        command = self.play.command(verb, [self.estate.inventory], extra=self._approved(extra))
        # Into a file: nobody reads a pipe while the run waits, and a full one would hold it up before.
        with open(f"{trace}.said", "w", encoding="utf-8") as said:
            process = self.play.start(
                command, said, ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS), ANSIBLE_CALLBACKS_ENABLED="chaos_trace",
                CHAOS_TRACE=str(trace), CHAOS_HALT=boundary,
            )
        halted = Halted(process, trace)
        try:
            wait_until(lambda: process.poll() is not None or _halts(trace), PATIENCE)
            assert process.poll() is None, halted.said[-2000:]
            yield halted
        finally:
            process.kill()
            process.wait()

    def _approved(self, extra: dict[str, Any]) -> dict[str, Any]:
        return {"migration_approved": [self.estate.name], **extra}

    @property
    def generations(self) -> dict[int, dict[str, Any]]:
        """The migration's security groups by generation."""
        name = f"cloudpg-{self.estate.name}-"
        found = self.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [f"{name}*"]}])
        return {int(group["GroupName"].removeprefix(name)): group for group in found["SecurityGroups"]}

    @property
    def lease(self) -> str:
        """The newest generation's: since, until and holder; empty when nobody holds it."""
        family = self.generations
        tags = family[max(family)].get("Tags", []) if family else []
        return next((tag["Value"] for tag in tags if tag["Key"] == LEASE), "")

    def write_lease(self, text: str) -> None:
        family = self.generations
        self.ec2.create_tags(Resources=[family[max(family)]["GroupId"]], Tags=[{"Key": LEASE, "Value": text}])

    @contextmanager
    def inside(self, identifier: str) -> Iterator[Any]:
        """A session of the sandbox's own in the shop's database of this server, past every fence."""
        [server] = [one for one in self.sandbox.control("GET", "status")["servers"] if one["identifier"] == identifier]
        connection = psycopg2.connect(host=server["socket"], port=server["port"], user="rdsadmin", dbname=OWNER)
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    @property
    def source(self) -> dict[str, Any]:
        return self.rds.describe_db_instances(DBInstanceIdentifier=self.estate.instance)["DBInstances"][0]

    @property
    def cluster(self) -> dict[str, Any]:
        return self.rds.describe_db_clusters(DBClusterIdentifier=self.estate.cluster)["DBClusters"][0]

    @property
    def clusters(self) -> list[dict[str, Any]]:
        return self.rds.describe_db_clusters()["DBClusters"]

    @contextmanager
    def fault(self, *specs: dict[str, Any]) -> Iterator[None]:
        for spec in specs:
            self.sandbox.control("POST", "faults", spec)
        try:
            yield
        finally:
            self.sandbox.control("DELETE", "faults")


def _halts(trace: Path) -> bool:
    return trace.exists() and '"halted": true' in trace.read_text(encoding="utf-8")


def groups_of(document: dict[str, Any]) -> set[str]:
    return {group["VpcSecurityGroupId"] for group in document["VpcSecurityGroups"]}
