# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PlanetScale in the sandbox as the tests see it: its API over HTTP, its databases over TLS."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until

NUMBERS = itertools.count(1)
DATABASES = "organizations/sandbox/databases"
SIZE = "PS_10_AWS_X86"


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
        status, answer, _ = self.sandbox.planetscale(method, path, body, **options)
        assert status < 400, (status, answer)
        return answer

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str, str]:
        """Status, code and message of an answer which must be an error."""
        status, answer, _ = self.sandbox.planetscale(method, path, body, **options)
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
