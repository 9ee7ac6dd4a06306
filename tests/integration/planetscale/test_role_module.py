# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module planetscale_role: passwords above all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import psycopg2
import pytest

LESSER = ["pg_read_all_data", "pg_write_all_data", "pg_create_subscription", "pg_monitor", "postgres"]


@pytest.fixture
def login(shop: str, cloud: Any, tmp_path: Path) -> dict[str, Any]:
    """The arguments of a role that is to be made."""
    return {
        "database": shop, "name": cloud.name("login"), "inherited_roles": LESSER, "with_replication": True,
        "passfile": str(tmp_path / "pgpass"),
    }


def connect(cloud: Any, role: dict[str, Any], passfile: str) -> str:
    """Who one is after connecting with the password file."""
    connection = psycopg2.connect(
        host=role["host"], port=role["port"], user=role["username"], dbname=role["dbname"], passfile=passfile,
        sslmode="verify-full", sslrootcert=cloud.sandbox.env["CLOUDPG_SANDBOX_CA"], connect_timeout=5,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            return cursor.fetchone()[0]
    finally:
        connection.close()


def test_s4_a_password_goes_into_the_password_file_and_nowhere_else(
    cloud: Any, run_module: Any, login: dict[str, Any]
) -> None:
    path = Path(login["passfile"])
    path.write_text("other:5432:*:somebody:their-own-password\n")
    predicted = run_module("planetscale_role", login, check=True)
    assert predicted["changed"] and predicted["role"]["host"] is None
    assert path.read_text().count("\n") == 1
    made = run_module("planetscale_role", login, diff=True)
    first, second = path.read_text().splitlines()
    assert second == "other:5432:*:somebody:their-own-password"
    host, _port, _database, user, password = first.split(":")
    assert (host, user) == (made["role"]["host"], made["role"]["username"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert connect(cloud, made["role"], login["passfile"]) == made["role"]["base_username"]
    assert password.startswith("pscale_pw_")
    assert password not in json.dumps([made, predicted]) + cloud.sandbox.sandbox_log() + str(cloud.sandbox.log())


def test_s4_a_second_run_never_rotates_a_password(cloud: Any, run_module: Any, login: dict[str, Any]) -> None:
    made = run_module("planetscale_role", login)
    text, since = Path(login["passfile"]).read_text(), cloud.sandbox.mark()
    for options in ({}, {"lost_password": "reset"}):
        again = run_module("planetscale_role", {**login, **options})
        assert (again["changed"], again["role"]) == (False, made["role"])
    assert cloud.changes(since) == []
    assert Path(login["passfile"]).read_text() == text


def test_s4_a_lost_password_is_an_error_unless_a_new_one_is_allowed(
    cloud: Any, run_module: Any, login: dict[str, Any]
) -> None:
    role = run_module("planetscale_role", login)["role"]
    os.unlink(login["passfile"])
    refused = run_module("planetscale_role", login)
    assert refused["code"] == "password_lost" and "told only once" in refused["msg"]
    reset = {**login, "lost_password": "reset"}
    assert run_module("planetscale_role", reset, check=True)["changed"]
    assert not Path(login["passfile"]).exists()
    assert run_module("planetscale_role", reset)["changed"]
    assert connect(cloud, role, login["passfile"]) == role["base_username"]


def test_s4_a_role_whose_answer_was_lost_still_gets_its_password_written(
    cloud: Any, run_module: Any, login: dict[str, Any], faults: Any
) -> None:
    faults("drop_response", operation="planetscale:create_role", times=1)
    role = run_module("planetscale_role", login)["role"]
    assert connect(cloud, role, login["passfile"]) == role["base_username"]


def test_s4_the_default_role_is_never_touched(cloud: Any, run_module: Any, login: dict[str, Any]) -> None:
    since = cloud.sandbox.mark()
    for options in ({"lost_password": "reset"}, {"state": "absent"}):
        result = run_module("planetscale_role", {
            "database": login["database"], "name": "postgres", "passfile": login["passfile"], **options,
        })
        assert result["failed"] and "Cure:" in result["msg"]
    assert cloud.changes(since) == []


@pytest.mark.parametrize(("options", "said"), [
    ({"inherited_roles": ["pg_read_all_data"]}, "it inherits pg_create_subscription"),
    ({"with_replication": False}, "its with_replication is true"),
    ({"inherited_roles": ["pg_superuser"]}, "pg_superuser can't be inherited"),
    ({"passfile": "/nowhere/at/all/pgpass"}, "can't be written in its directory"),
    ({"database": "none"}, "database none doesn't exist"),
])
def test_s4_a_role_that_differs_or_cannot_be_is_an_error(
    run_module: Any, login: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    run_module("planetscale_role", login)
    result = run_module("planetscale_role", {**login, **options})
    assert result["failed"] and said in result["msg"]


def test_s4_a_role_that_owns_something_goes_with_a_successor(
    cloud: Any, run_module: Any, login: dict[str, Any]
) -> None:
    role = run_module("planetscale_role", login)["role"]
    password = Path(login["passfile"]).read_text().strip().rsplit(":", 1)[1]
    held = {"access_host_url": role["host"], "username": role["username"], "password": password,
            "database_name": role["dbname"]}
    with cloud.session(held) as cursor:
        cursor.execute("CREATE TABLE public.kept (id int)")
    gone = {"database": login["database"], "name": login["name"], "state": "absent", "passfile": login["passfile"]}
    refused = run_module("planetscale_role", gone)
    assert refused["failed"] and "owns objects" in refused["msg"]
    assert run_module("planetscale_role", {**gone, "successor": "postgres"}, check=True)["changed"]
    assert run_module("planetscale_role", {**gone, "successor": "postgres"})["changed"]
    assert Path(login["passfile"]).read_text() == ""
    assert not run_module("planetscale_role", {**gone, "successor": "postgres"})["changed"]


def test_in_check_mode_a_role_is_planned_where_there_is_no_database_yet(
    run_module: Any, login: dict[str, Any]
) -> None:
    result = run_module("planetscale_role", {**login, "database": "none"}, check=True)
    assert result["changed"] and result["role"]["predicted"] and result["role"]["host"] is None


def test_roles_are_listed_without_passwords(run_module: Any, login: dict[str, Any]) -> None:
    run_module("planetscale_role", login)
    result = run_module("planetscale_role_info", {"database": login["database"]})
    assert {"postgres", login["name"]} <= {role["name"] for role in result["roles"]}
    assert all("password" not in role for role in result["roles"])
    [one] = run_module("planetscale_role_info", {"database": login["database"], "name": "postgres"})["roles"]
    assert one["default"]
