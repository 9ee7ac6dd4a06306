# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox against the description that PlanetScale publishes of its API (S7).

The description is PlanetScale's and isn't part of the project: name a copy of it, YAML or JSON, in PLANETSCALE_OPENAPI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cloudpg_sandbox.planetscale_catalogue import OPERATIONS
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.errors import ACCESSES

from .conftest import DATABASES, GIB, wish

FILE = os.environ.get("PLANETSCALE_OPENAPI")
pytestmark = pytest.mark.skipif(not FILE, reason="PLANETSCALE_OPENAPI names no description of the API")


class Loader(yaml.CSafeLoader):
    """YAML 1.2's booleans: `off` and `on` are words."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class Description:
    """An OpenAPI 3.0 document, by operation."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, item in document["paths"].items() for method, operation in item.items() if method != "parameters"
        }

    def resolved(self, schema: Any, strict: bool) -> Any:
        """JSON Schema of OpenAPI's: references followed, `nullable` said in JSON Schema's way."""
        if isinstance(schema, list):
            return [self.resolved(one, strict) for one in schema]
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return self.resolved(found, strict)
        made = {key: self.resolved(value, strict) for key, value in schema.items() if key != "nullable"}
        if strict and made.get("type") == "object" and "properties" in made:
            made["additionalProperties"] = False
        return {"anyOf": [{"type": "null"}, made]} if schema.get("nullable") else made

    def check_answer(self, operation: str, status: int, body: Any) -> None:
        """What the sandbox answers has all that is required, in the right types."""
        answer = self.operations[operation][2]["responses"][str(status)]
        answer = self.resolved(answer, strict=False)
        for content in answer.get("content", {}).values():
            jsonschema.validate(body, content["schema"])

    def check_request(self, operation: str, body: Any, query: Mapping[str, Any]) -> None:
        """What is asked has nothing that the API doesn't know."""
        known = self.operations[operation][2]
        for content in known.get("requestBody", {}).get("content", {}).values():
            jsonschema.validate(body, self.resolved(content["schema"], strict=True))
        named = {one["name"] for one in self.resolved(known.get("parameters", []), strict=False)}
        assert set(query) <= named


@pytest.fixture(scope="module")
def description() -> Description:
    assert FILE
    with open(FILE, encoding="utf-8") as handle:
        text = handle.read()
    return Description(json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, Loader))


@pytest.mark.timeout(400)
def test_s7_the_operations_are_the_published_ones(description: Description) -> None:
    published = {name: (method, path) for name, (method, path, _known) in description.operations.items()}
    assert {name: published.get(name) for name in OPERATIONS} == OPERATIONS


def fetch(cloud: Any, description: Description, operation: str, body: Any = None, query: str = "", **path: str) -> Any:
    """Carry an operation out, request and answer held against the description."""
    method, place = OPERATIONS[operation]
    asked = dict(part.split("=", 1) for part in query.split("&") if part)
    description.check_request(operation, body or {}, asked)
    where = place.format(organization="sandbox", **path) + (f"?{query}" if query else "")
    status, answer, _headers = cloud.sandbox.planetscale(method, where, body)
    assert status < 400, (operation, status, answer)
    description.check_answer(operation, status, answer)
    return answer


def test_s7_every_answer_has_the_published_shape(cloud: Any, description: Description) -> None:
    done: set[str] = set()

    def ask(operation: str, body: Any = None, query: str = "", **path: str) -> Any:
        done.add(operation)
        return fetch(cloud, description, operation, body, query, **path)

    name = cloud.name("shape")
    ask("create_database", {
        "name": name, "kind": "postgresql", "cluster_size": "PS_10_AWS_ARM", "major_version": "18", "replicas": 2,
        "region": "eu-west", "storage": {"minimum_storage_bytes": 20 << 30},
    })
    at = {"database": name, "branch": "main"}
    wait_until(lambda: cloud.call("GET", f"{DATABASES}/{name}")["ready"])
    for operation in ("list_public_regions", "get_organization", "list_regions_for_organization", "list_databases"):
        ask(operation)
    ask("list_cluster_size_skus", query="engine=postgresql&region=eu-west")
    for operation in ("get_database", "list_database_regions", "list_branches", "get_branch", "list_parameters"):
        ask(operation, **at)
    ask("list_extensions", **at)
    ask("update_database_settings", {"deletion_protected": False}, **at)
    ask("create_branch", {"name": "second", "parent_branch": "main"}, database=name)
    change = ask("update_branch_change_request", {
        "cluster_size": "PS_20_AWS_ARM", "parameters": {"pgconf": {"work_mem": "8MB"}},
    }, **at)
    wait_until(lambda: ask("get_branch_change_request", **at, id=change["id"])["state"] == "completed")
    assert ask("update_branch_change_request", {"cluster_size": "PS_20_AWS_ARM"}, **at) is None
    ask("list_branch_change_requests", query="page=1&per_page=1", **at)
    roles = [
        ask("create_role", {"name": one, "inherited_roles": ["postgres"], "ttl": 3600, "with_replication": True}, **at)
        for one in ("first", "second")
    ]
    for operation in ("list_roles", "get_default_role", "reset_default_role"):
        ask(operation, **at)
    for operation, body in (("get_role", None), ("reset_role", None), ("update_role", {"name": "renamed"}),
                            ("reassign_role_objects", {"successor": roles[1]["id"]}), ("delete_role", None)):
        ask(operation, body, **at, id=roles[0]["id"])
    ask("delete_role", query="successor=postgres", **at, id=roles[1]["id"])
    entry = ask("create_database_postgres_cidr", {"cidrs": ["127.0.0.0/8"], "role": "someone"}, database=name)
    ask("list_database_postgres_cidrs", database=name)
    ask("get_database_postgres_cidr", database=name, id=entry["id"])
    ask("update_database_postgres_cidr", {"cidrs": ["10.0.0.0/8"]}, database=name, id=entry["id"])
    ask("delete_database_postgres_cidr", database=name, id=entry["id"])
    ask("delete_branch", database=name, branch="second")
    ask("delete_database", database=name)
    assert done == set(OPERATIONS)


def test_s7_the_modules_ask_for_nothing_that_the_api_does_not_know(
    cloud: Any, description: Description, run_module: Any, fresh: str, tmp_path: Path
) -> None:
    since = cloud.sandbox.mark()
    role = {"database": fresh, "name": "cloudpg-orders", "passfile": str(tmp_path / "pgpass")}
    made = run_module("planetscale_database", wish(fresh))
    run_module("planetscale_database", wish(fresh, cluster_size="PS_20_AWS_X86", replicas=2))
    run_module("planetscale_role", {**role, "inherited_roles": ["postgres"], "with_replication": True, "ttl": 3600})
    (tmp_path / "pgpass").unlink()
    run_module("planetscale_role", {**role, "lost_password": "reset"})
    run_module("planetscale_parameters", {
        "database": fresh, "pgconf": {"work_mem": "8MB"}, "minimum_storage_bytes": 30 * GIB,
    })
    run_module("planetscale_parameters_info", {"database": fresh, "extensions": True})
    run_module("planetscale_database_info", {"offers": True, "region": "eu-west"})
    run_module("planetscale_database_info", {"name": fresh})
    run_module("planetscale_role", {**role, "state": "absent", "successor": "postgres"})
    run_module("planetscale_database", {"name": fresh, "state": "absent", "id": made["database"]["id"]})
    asked = set()
    for entry in cloud.sandbox.log(since):
        asked.add(entry["operation"])
        _method, path, known = description.operations[entry["operation"]]
        named = {one["name"] for one in description.resolved(known.get("parameters", []), strict=False)}
        body = {key: value for key, value in entry["params"].items() if key not in named and f"{{{key}}}" not in path}
        # A parameter of the query that isn't known is left over here, and refused as a part of the body.
        assert body == {} or "requestBody" in known, entry
        description.check_request(entry["operation"], body, {})
    assert asked == set(ACCESSES)
