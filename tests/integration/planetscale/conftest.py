# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PlanetScale in the sandbox as the tests see it: its API over HTTP, its databases over TLS."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until

from .. import forked

NUMBERS = itertools.count(1)
DATABASES = "organizations/sandbox/databases"
SIZE = "PS_10_AWS_X86"
GIB = 1 << 30
READS = ("get_", "list_")


@pytest.fixture(scope="session")
def run_module(sandbox: Sandbox) -> Callable[..., dict[str, Any]]:
    """run_module(name, args, check=False, diff=False, without=()): the module's result, as Ansible would run it."""

    def run(
        name: str, args: dict[str, Any], check: bool = False, diff: bool = False, without: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        environment = {key: value for key, value in sandbox.env.items() if key not in without}
        return forked.start(
            name, args, check, diff, prepare=lambda: os.environ.update(environment),
            secret=sandbox.env["PLANETSCALE_SERVICE_TOKEN"],
        ).result()

    return run


class Cloud:
    """The API with the few steps that most tests need."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @staticmethod
    def name(prefix: str) -> str:
        """A name no other test has."""
        return f"{prefix}-{next(NUMBERS)}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The body of an answer which must not be an error."""
        status, answer, _headers = self.sandbox.planetscale(method, path, body, **options)
        assert status < 400, (status, answer)
        return answer

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str, str]:
        """Status, code and message of an answer which must be an error."""
        status, answer, _headers = self.sandbox.planetscale(method, path, body, **options)
        assert status >= 400, (status, answer)
        return status, answer["code"], answer["message"]

    def make_database(self, name: str, **options: Any) -> dict[str, Any]:
        """A database, ready."""
        self.call("POST", DATABASES, {
            "name": name, "kind": "postgresql", "cluster_size": SIZE, "major_version": "18", "replicas": 0, **options,
        })
        wait_until(lambda: self.call("GET", f"{DATABASES}/{name}")["state"] == "ready")
        return self.call("GET", f"{DATABASES}/{name}")

    def make_role(self, database: str, name: str, **options: Any) -> dict[str, Any]:
        """A role, ready, with its password."""
        roles = f"{DATABASES}/{database}/branches/main/roles"
        role = self.call("POST", roles, {"name": name, **options})
        wait_until(lambda: self.call("GET", f"{roles}/{role['id']}")["ready"])
        return role

    def change(self, database: str, **wanted: Any) -> dict[str, Any]:
        """A change request, completed."""
        changes = f"{DATABASES}/{database}/branches/main/changes"
        change = self.call("PATCH", changes, wanted)
        wait_until(lambda: self.call("GET", f"{changes}/{change['id']}")["state"] == "completed")
        return self.call("GET", f"{changes}/{change['id']}")

    def changes(self, since: int) -> list[str]:
        """The operations since a moment that weren't reading."""
        return [one["operation"] for one in self.sandbox.log(since) if not one["operation"].startswith(READS)]

    @contextmanager
    def session(self, role: dict[str, Any], **options: Any) -> Iterator[Any]:
        """A cursor in autocommit, over TLS that is verified."""
        connection = psycopg2.connect(**{
            "host": role["access_host_url"], "port": 5432, "user": role["username"], "password": role["password"],
            "dbname": role["database_name"], "sslmode": "verify-full", "connect_timeout": 5,
            "sslrootcert": self.sandbox.env["CLOUDPG_SANDBOX_CA"], **options,
        })
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def value(self, role: dict[str, Any], sql: str, **options: Any) -> Any:
        """The first field of a statement's first row."""
        with self.session(role, **options) as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]


@pytest.fixture(scope="session")
def cloud(sandbox: Sandbox) -> Cloud:
    return Cloud(sandbox)


@pytest.fixture(scope="module")
def shop(cloud: Cloud) -> Iterator[str]:
    """A database, ready, which the tests of a module leave as they found it."""
    name = cloud.name("shop")
    cloud.make_database(name)
    yield name
    cloud.call("DELETE", f"{DATABASES}/{name}")


@pytest.fixture
def faults(sandbox: Sandbox) -> Iterator[Callable[..., str]]:
    """Inject faults that end with the test."""
    yield lambda name, **details: sandbox.control("POST", "faults", {"name": name, **details})["id"]
    sandbox.control("DELETE", "faults")


def wish(name: str, **options: Any) -> dict[str, Any]:
    """The arguments of a database that is to be made."""
    return {
        "name": name, "region": "eu-west", "major_version": 18, "cluster_size": SIZE, "replicas": 0,
        "minimum_storage_bytes": 20 * GIB, **options,
    }


@pytest.fixture
def fresh(cloud: Cloud) -> Iterator[str]:
    """A name whose database is gone after the test."""
    name = cloud.name("fresh")
    yield name
    cloud.sandbox.planetscale("DELETE", f"{DATABASES}/{name}")
