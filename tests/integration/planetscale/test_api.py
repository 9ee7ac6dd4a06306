# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's PlanetScale API: what it answers, what it refuses, how its states go on."""

from __future__ import annotations

from typing import Any

import pytest
from cloudpg_sandbox.testing import wait_until

DATABASES = "organizations/sandbox/databases"
SIZE = "PS_10_AWS_X86"
BODY = {"name": "unmade", "kind": "postgresql", "cluster_size": SIZE}


# -- the token, errors, pages ----


@pytest.mark.parametrize("token", ["", "nobody:nothing", "sandboxtokenid", "sandboxtokenid:wrong"])
def test_s1_without_the_token_nothing_is_told(cloud: Any, token: str) -> None:
    assert cloud.refused("GET", DATABASES, token=token)[:2] == (401, "unauthorized")


def test_s6_regions_with_their_import_addresses_are_open_to_anybody(cloud: Any) -> None:
    regions = cloud.call("GET", "regions", token="")
    assert all(region["public_ip_addresses"] for region in regions["data"])


@pytest.mark.parametrize("path", [
    "organizations/nobody/databases", f"{DATABASES}/none", f"{DATABASES}/none/branches/main/roles", "nothing/here",
])
def test_s1_what_is_not_there_is_not_found(cloud: Any, path: str) -> None:
    assert cloud.refused("GET", path)[:2] == (404, "not_found")


@pytest.mark.parametrize(("change", "code", "said"), [
    ({"name": "Not A Name"}, "unprocessable", "Name can only contain"),
    ({"name": None}, "invalid_params", "name is required"),
    ({"cluster_size": "PS_10"}, "unprocessable", "PS_10 is not available"),
    ({"region": "moon"}, "unprocessable", "Region moon"),
    ({"replicas": 1}, "unprocessable", "0 or at least 2"),
    ({"replicas": "two"}, "invalid_params", "replicas must be an integer"),
    ({"major_version": "16"}, "unprocessable", "there are 17, 18"),
    ({"storage": {"minimum_storage_bytes": 1}}, "invalid_params", "minimum_storage_bytes"),
    ({"kind": "mysql"}, "unprocessable", "postgresql only"),
])
def test_s2_a_database_that_cannot_be_is_refused(cloud: Any, change: dict[str, Any], code: str, said: str) -> None:
    status, told, message = cloud.refused("POST", DATABASES, {**BODY, **change})
    assert (status, told) == (422, code)
    assert said in message
    assert "unmade" not in [one["name"] for one in cloud.call("GET", DATABASES)["data"]]


def test_s1_a_list_comes_in_pages(cloud: Any, shop: str) -> None:
    roles = f"{DATABASES}/{shop}/branches/main/roles"
    made = [cloud.make_role(shop, cloud.name("page"))["id"] for _number in range(2)]
    first = cloud.call("GET", f"{roles}?per_page=2")
    second = cloud.call("GET", f"{roles}?per_page=2&page={first['next_page']}")
    assert (len(first["data"]), first["prev_page"], first["total_count"]) == (2, None, 3)
    assert (len(second["data"]), second["next_page"], second["prev_page"]) == (1, None, 1)
    assert cloud.refused("GET", f"{roles}?page=0")[:2] == (400, "bad_request")
    for role in made:
        cloud.call("DELETE", f"{roles}/{role}")


# -- databases and branches ----


def test_s2_a_database_is_pending_until_it_is_ready(cloud: Any, faults: Any) -> None:
    name = cloud.name("slow")
    faults("slow_transition", identifier=name, transition="creating", factor=100_000)
    status, answer, _headers = cloud.sandbox.planetscale("POST", DATABASES, {**BODY, "name": name})
    assert (status, answer["state"]) == (201, "pending")
    roles = f"{DATABASES}/{name}/branches/main/roles"
    assert cloud.refused("POST", roles, {"name": "early"})[:2] == (422, "unprocessable")
    cloud.sandbox.control("DELETE", "faults")
    wait_until(lambda: cloud.call("GET", f"{DATABASES}/{name}")["state"] == "ready")
    assert cloud.refused("POST", DATABASES, {**BODY, "name": name})[2] == "Name has already been taken"
    cloud.call("DELETE", f"{DATABASES}/{name}")
    assert cloud.refused("GET", f"{DATABASES}/{name}")[0] == 404


def test_s3_a_new_branch_takes_over_no_parameters(cloud: Any, shop: str) -> None:
    branches = f"{DATABASES}/{shop}/branches"
    cloud.change(shop, parameters={"pgconf": {"work_mem": "8MB"}})
    cloud.call("POST", branches, {"name": "copy", "parent_branch": "main"})
    wait_until(lambda: cloud.call("GET", f"{branches}/copy")["ready"])
    values = {one["name"]: one["value"] for one in cloud.call("GET", f"{branches}/copy/parameters")}
    assert values["work_mem"] == "4MB"
    assert cloud.call("GET", f"{branches}/copy")["parent_branch"] == "main"
    cloud.call("DELETE", f"{branches}/copy")
    cloud.change(shop, parameters={"pgconf": {"work_mem": "4MB"}})
    assert cloud.refused("DELETE", f"{branches}/main")[0] == 422


def test_a_database_that_is_protected_stays(cloud: Any, shop: str) -> None:
    cloud.call("PATCH", f"{DATABASES}/{shop}", {"deletion_protected": True})
    assert cloud.refused("DELETE", f"{DATABASES}/{shop}")[:2] == (422, "unprocessable")
    cloud.call("PATCH", f"{DATABASES}/{shop}", {"deletion_protected": False})


# -- changes ----


def test_s5_a_change_goes_through_its_states_and_nothing_to_change_is_204(cloud: Any, shop: str, faults: Any) -> None:
    changes = f"{DATABASES}/{shop}/branches/main/changes"
    wanted = {"parameters": {"pgconf": {"max_worker_processes": "10"}}}
    faults("slow_transition", identifier=shop, transition="modifying", factor=100_000)
    status, change, _headers = cloud.sandbox.planetscale("PATCH", changes, wanted)
    assert status == 200
    wait_until(lambda: cloud.call("GET", f"{changes}/{change['id']}")["state"] == "pending")
    assert cloud.sandbox.planetscale("PATCH", changes, wanted)[0] == 204
    second = cloud.call("PATCH", changes, {"storage": {"minimum_storage_bytes": 20 << 30}})
    assert second["state"] == "queued"
    cloud.sandbox.control("DELETE", "faults")
    wait_until(lambda: cloud.call("GET", f"{changes}/{second['id']}")["state"] == "completed")
    done = cloud.call("GET", changes)["data"]
    assert [one["id"] for one in done[:2]] == [second["id"], change["id"]]
    assert (done[0]["minimum_storage_bytes"], done[0]["previous_minimum_storage_bytes"]) == (20 << 30, 10 << 30)
    assert done[0]["parameters"] == wanted["parameters"]


def test_s5_a_change_that_needs_it_restarts_the_server(cloud: Any, shop: str) -> None:
    role = cloud.make_role(shop, cloud.name("watch"))
    began = cloud.value(role, "SELECT pg_postmaster_start_time()")
    cloud.change(shop, parameters={"pgconf": {"work_mem": "16MB"}})
    assert cloud.value(role, "SELECT pg_postmaster_start_time()") == began
    assert cloud.value(role, "SHOW work_mem") == "16MB"
    cloud.change(shop, parameters={"pgconf": {"max_worker_processes": "12"}})
    assert cloud.value(role, "SELECT pg_postmaster_start_time()") > began
    assert cloud.value(role, "SHOW max_worker_processes") == "12"


def test_a_change_that_is_refused_is_canceled_and_changes_nothing(cloud: Any, shop: str, faults: Any) -> None:
    changes = f"{DATABASES}/{shop}/branches/main/changes"
    faults("refuse_transition", identifier=shop, transition="modifying", times=1)
    wanted = {"parameters": {"pgconf": {"work_mem": "99MB"}}}
    change = cloud.call("PATCH", changes, wanted)
    wait_until(lambda: cloud.call("GET", f"{changes}/{change['id']}")["state"] == "canceled")
    values = {one["name"]: one["value"] for one in cloud.call("GET", f"{DATABASES}/{shop}/branches/main/parameters")}
    assert values["work_mem"] != "99MB"
    assert cloud.sandbox.planetscale("PATCH", changes, wanted)[0] == 200


@pytest.mark.parametrize(("wanted", "said"), [
    ({"pgconf": {"no_such_thing": "1"}}, "pgconf.no_such_thing does not exist"),
    ({"pgbouncer": {"work_mem": "8MB"}}, "pgbouncer.work_mem does not exist"),
    ({"pgconf": {"max_worker_processes": "many"}}, "must be between"),
    ({"pgconf": {"fsync": "off"}}, "can't be changed"),
    ({"pgconf": {"wal_level": "minimal"}}, "must be one of"),
    ({"work_mem": "8MB"}, "nested by namespace"),
])
def test_s5_a_parameter_that_cannot_be_is_refused(cloud: Any, shop: str, wanted: dict[str, Any], said: str) -> None:
    path = f"{DATABASES}/{shop}/branches/main/changes"
    status, _code, message = cloud.refused("PATCH", path, {"parameters": wanted})
    assert status == 422
    assert said in message


def test_s6_extensions_say_whether_they_are_to_be_had(cloud: Any, shop: str) -> None:
    found = {one["name"]: one for one in cloud.call("GET", f"{DATABASES}/{shop}/branches/main/extensions")}
    assert found["plpgsql"]["available"]
    assert not found["pg_cron"]["available"]
    assert found["pg_cron"]["unavailable_reason"]
    assert found["pg_cron"]["loader"] == "shared_preload_libraries"


# -- faults and the log ----


@pytest.mark.parametrize(("fault", "status", "code"), [
    ("throttling", 429, "too_many_requests"), ("internal_error", 500, "InternalFailure"),
    ("service_unavailable", 503, "ServiceUnavailable"), ("access_denied", 403, "forbidden"),
    ("expired_token", 401, "unauthorized"),
])
def test_a_fault_of_the_service_strikes_the_operation_it_names(
    cloud: Any, faults: Any, fault: str, status: int, code: str
) -> None:
    faults(fault, operation="planetscale:list_databases", times=1)
    seen, answer, headers = cloud.sandbox.planetscale("GET", DATABASES)
    assert (seen, answer["code"]) == (status, code)
    assert ("Retry-After" in headers) == (status == 429)
    assert cloud.call("GET", "regions")["data"]
    cloud.call("GET", DATABASES)


def test_a_fault_of_no_operation_is_refused(faults: Any) -> None:
    with pytest.raises(Exception, match="planetscale has no operation like 'CreateRole'"):
        faults("throttling", operation="planetscale:CreateRole")


def test_the_log_has_the_calls_under_their_names_and_no_secret(cloud: Any, shop: str) -> None:
    since = cloud.sandbox.mark()
    role = cloud.make_role(shop, cloud.name("logged"))
    cloud.refused("GET", DATABASES, token="someone:with-another-token-4711")
    entries = cloud.sandbox.log(since)
    assert [entry["operation"] for entry in entries][:2] == ["create_role", "get_role"]
    assert (entries[0]["service"], entries[0]["params"]["database"]) == ("planetscale", shop)
    secrets = [role["password"], cloud.sandbox.env["PLANETSCALE_SERVICE_TOKEN"], "with-another-token-4711"]
    text = str(entries) + cloud.sandbox.sandbox_log()
    assert [secret for secret in secrets if secret in text] == []
