# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A branch of the sandbox's PlanetScale as a client of PostgreSQL meets it: TLS, names, privileges, networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

DATABASES = "organizations/sandbox/databases"
LESSER = ["pg_read_all_data", "pg_write_all_data", "pg_create_subscription", "postgres"]


def roles(database: str) -> str:
    return f"{DATABASES}/{database}/branches/main/roles"


@pytest.fixture(scope="module")
def login(cloud: Any, shop: str) -> Iterator[dict[str, Any]]:
    """A role as a migration has it."""
    role = cloud.make_role(shop, "migration", inherited_roles=LESSER, with_replication=True)
    yield role
    cloud.call("DELETE", f"{roles(shop)}/{role['id']}?successor=postgres")


@pytest.mark.parametrize("options", [{}, {"sslnegotiation": "direct"}], ids=["asked for", "direct"])
def test_s8_tls_is_verified_by_the_client(cloud: Any, login: dict[str, Any], options: dict[str, str]) -> None:
    assert cloud.value(login, "SELECT 42", **options) == 42


@pytest.mark.parametrize(("options", "said"), [
    ({"sslmode": "disable"}, "without TLS are refused"),
    ({"sslrootcert": "/etc/ssl/certs/ca-certificates.crt"}, "certificate verify failed"),
    ({"user": "postgres"}, "names no branch"),
    ({"user": "postgres.somebodyelse"}, "names no branch"),
    ({"password": "a-wrong-password-of-the-tests"}, "password authentication failed"),
])
def test_s8_a_client_that_does_it_wrong_is_told(
    cloud: Any, login: dict[str, Any], options: dict[str, str], said: str
) -> None:
    with pytest.raises(psycopg2.OperationalError, match=said):
        cloud.value(login, "SELECT 1", **options)


def test_s8_the_session_has_the_base_name(cloud: Any, login: dict[str, Any]) -> None:
    assert login["username"] == f"{login['base_username']}.{login['branch']['id']}"
    assert cloud.value(login, "SELECT current_user") == login["base_username"]
    with cloud.session(login) as cursor:
        cursor.execute(f"CREATE SCHEMA named; GRANT USAGE ON SCHEMA named TO {login['base_username']}")
        cursor.execute("DROP SCHEMA named")


def test_s8_a_query_is_cancelled_through_the_edge(cloud: Any, login: dict[str, Any]) -> None:
    with cloud.session(login) as cursor, cloud.session(login) as other:
        pid = cursor.connection.info.backend_pid
        cursor.connection.cancel()
        cursor.execute("SELECT 1")
        other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND client_addr = '127.0.0.1'", [pid])
        assert other.fetchone() == (1,)


def test_s8_replication_goes_by_the_direct_port(cloud: Any, login: dict[str, Any]) -> None:
    with cloud.session(login, replication="database") as cursor:
        cursor.execute("IDENTIFY_SYSTEM")
        assert cursor.fetchone()[3] == "postgres"


def test_a_client_without_tls_has_a_port_of_its_own(cloud: Any, login: dict[str, Any]) -> None:
    assert cloud.value(login, "SELECT current_user", port=15433, sslmode="disable") == login["base_username"]


def test_s9_the_database_is_of_the_major_that_was_asked_for(cloud: Any, login: dict[str, Any]) -> None:
    assert cloud.value(login, "SHOW server_version_num").startswith("18")


def test_s10_the_default_role_is_no_superuser(cloud: Any, login: dict[str, Any]) -> None:
    sql = (
        "SELECT (rolsuper, rolcreatedb, rolcreaterole, rolcanlogin, rolreplication, rolbypassrls,"
        " pg_has_role(oid, 'pg_create_subscription', 'USAGE'))::text FROM pg_roles WHERE rolname = 'postgres'"
    )
    assert cloud.value(login, sql) == "(f,t,t,t,t,t,t)"


def test_s12_there_are_four_worker_processes(cloud: Any, login: dict[str, Any]) -> None:
    assert cloud.value(login, "SHOW max_worker_processes") == "4"


def test_s4_the_password_is_told_once(cloud: Any, shop: str) -> None:
    role = cloud.make_role(shop, cloud.name("once"))
    assert role["password"].startswith("pscale_pw_")
    assert cloud.call("GET", f"{roles(shop)}/{role['id']}")["password"] == ""
    assert {one["password"] for one in cloud.call("GET", roles(shop))["data"]} == {""}
    anew = cloud.call("POST", f"{roles(shop)}/{role['id']}/reset")
    assert cloud.value({**role, "password": anew["password"]}, "SELECT 1") == 1
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        cloud.value(role, "SELECT 1")
    cloud.call("DELETE", f"{roles(shop)}/{role['id']}")


def test_s4_a_role_has_what_it_inherits(cloud: Any, shop: str, login: dict[str, Any]) -> None:
    reader = cloud.make_role(shop, cloud.name("reader"), inherited_roles=["pg_read_all_data"])
    with cloud.session(login) as cursor:
        cursor.execute("CREATE TABLE public.item (id int); INSERT INTO public.item VALUES (7)")
    assert cloud.value(reader, "SELECT id FROM public.item") == 7
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cloud.value(reader, "INSERT INTO public.item VALUES (8) RETURNING id")
    with cloud.session(login) as cursor:
        cursor.execute("DROP TABLE public.item")
    cloud.call("DELETE", f"{roles(shop)}/{reader['id']}")
    assert cloud.refused("POST", roles(shop), {"name": "x", "inherited_roles": ["pg_superuser"]})[0] == 422


def test_s4_a_role_that_owns_something_goes_only_with_a_successor(cloud: Any, shop: str) -> None:
    owner = cloud.make_role(shop, cloud.name("owner"), inherited_roles=["postgres"])
    with cloud.session(owner) as cursor:
        cursor.execute("CREATE TABLE public.owned (id int)")
    path = f"{roles(shop)}/{owner['id']}"
    status, code, message = cloud.refused("DELETE", path)
    assert (status, code) == (422, "unprocessable")
    assert "owns objects" in message
    assert cloud.refused("DELETE", f"{path}?successor=nobody")[0] == 422
    cloud.call("DELETE", f"{path}?successor=postgres")
    assert cloud.refused("GET", path)[0] == 404


def test_s4_a_role_ends_with_its_time_to_live(cloud: Any, shop: str) -> None:
    role = cloud.make_role(shop, cloud.name("brief"), ttl=1)
    path = f"{roles(shop)}/{role['id']}"
    wait_until(lambda: cloud.call("GET", path)["expired"])
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        cloud.value(role, "SELECT 1")
    cloud.call("DELETE", path)


def test_s6_a_restriction_lets_its_networks_in_and_nobody_else(cloud: Any, shop: str, login: dict[str, Any]) -> None:
    cidrs = f"{DATABASES}/{shop}/cidrs"
    entry = cloud.call("POST", cidrs, {"cidrs": ["10.0.0.0/8"], "description": "elsewhere"})
    with pytest.raises(psycopg2.OperationalError, match="no pg_hba.conf entry"):
        cloud.value(login, "SELECT 1")
    cloud.call("PATCH", f"{cidrs}/{entry['id']}", {"cidrs": ["127.0.0.0/8"]})
    assert cloud.value(login, "SELECT 1") == 1
    assert cloud.refused("POST", cidrs, {"cidrs": ["somewhere"]})[0] == 422
    assert [one["id"] for one in cloud.call("GET", cidrs)["data"]] == [entry["id"]]
    cloud.call("DELETE", f"{cidrs}/{entry['id']}")
    assert cloud.call("GET", cidrs)["data"] == []


def test_the_control_api_reaches_a_branch_by_its_id(cloud: Any, shop: str, login: dict[str, Any]) -> None:
    [branch] = [one for one in cloud.sandbox.control("GET", "status")["branches"] if one["database"] == shop]
    assert branch["identifier"] == login["branch"]["id"]
    with cloud.session(login) as cursor:
        assert cloud.sandbox.control("POST", f"servers/{branch['identifier']}", {"action": "drop_connections"})["cut"]
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    assert cloud.value(login, "SELECT 1") == 1
