# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_roles between real servers; the target's login is no superuser."""

from __future__ import annotations

import secrets

import psycopg2
import pytest

PASSWORD = "a-new-long-password-of-the-application"


@pytest.fixture
def prefix():
    return f"r{secrets.token_hex(3)}"


@pytest.fixture
def sides(pair, prefix):
    """Two servers; on the target the login may create roles. All roles of the test go at its end."""

    def make(source_major=15, target_major=16):
        source, target = pair(source_major, target_major)
        target.query("ALTER ROLE migration CREATEROLE CREATEDB")
        # What no library defines is a superuser's to set, unless he allows it to others.
        target.query("GRANT SET ON PARAMETER my.setting TO migration")
        made.extend([source, target])
        return source, target

    made = []
    yield make
    for side in made:
        for (name,) in side.query("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE %s", [f"{prefix}%"]):
            side.query(f"DROP OWNED BY {name} CASCADE")
            side.query(f"DROP ROLE {name}")
        side.query("ALTER ROLE migration NOCREATEROLE NOCREATEDB")


@pytest.fixture
def staff(prefix):
    """SQL for a handful of roles with everything a role can have."""
    return f"""
        CREATE ROLE "{prefix}_Staff; 1" NOINHERIT CREATEDB;
        CREATE ROLE {prefix}_app LOGIN PASSWORD 'the-old-password-nobody-may-see' CONNECTION LIMIT 7
            VALID UNTIL '2031-02-03 04:05:06+00' IN ROLE "{prefix}_Staff; 1";
        CREATE ROLE {prefix}_boss CREATEROLE ADMIN {prefix}_app;
        GRANT pg_monitor TO {prefix}_boss;
        COMMENT ON ROLE {prefix}_app IS 'it''s the \\ application';
        ALTER ROLE {prefix}_app SET search_path TO "$user", "Odd, path", public;
        ALTER ROLE {prefix}_app SET statement_timeout TO '31s';
        ALTER ROLE {prefix}_app SET my.setting TO 'it''s \\ "x", y';
    """


def given(source, target, prefix, **more):
    return {"source": source.address(), "target": target.address(), "exclude": ["plain", "boss", "owner"], **more}


def described(side, prefix):
    """All that can be seen of the roles."""
    return side.query("""
        SELECT r.rolname, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit, rolvaliduntil,
            shobj_description(r.oid, 'pg_authid'), array(SELECT unnest(setconfig) FROM pg_db_role_setting
                WHERE setrole = r.oid AND setdatabase = 0 ORDER BY 1),
            array(SELECT g.rolname || CASE WHEN bool_or(m.admin_option) THEN ' admin' ELSE '' END
                FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid
                GROUP BY g.rolname ORDER BY 1)
        FROM pg_roles r WHERE rolname LIKE %s ORDER BY 1""", [f"{prefix}%"])


@pytest.mark.parametrize("majors", [(15, 16), (16, 18), (18, 16)])
def test_p40_p39_roles_travel_whole_but_for_their_passwords_and_only_once(run_module, sides, staff, prefix, majors):
    source, target = sides(*majors)
    source.query(staff)
    source.query(f"ALTER ROLE {prefix}_app IN DATABASE {source.database} SET work_mem TO '5MB'")
    source.query(f"ALTER DATABASE {source.database} SET timezone TO 'Europe/Berlin'")
    target.query("GRANT pg_monitor TO migration WITH ADMIN OPTION")
    args = given(source, target, prefix)
    would = run_module("pg_roles", args, check=True)
    assert would["changed"] and would["queries"] == [] and described(target, prefix) == []

    did = run_module("pg_roles", args)
    assert did.get("msg") is None and did["changed"] and did["actions"] == would["actions"]
    assert described(target, prefix) == described(source, prefix)
    assert did["without_password"] == [f"{prefix}_app"]
    assert target.query("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [f"{prefix}_app"]) == [(None,)]
    database = target.query("""
        SELECT coalesce(rolname, '-'), setconfig FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = setrole
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1""")
    assert database == [("-", ["TimeZone=Europe/Berlin"]), (f"{prefix}_app", ["work_mem=5MB"])]

    again = run_module("pg_roles", args)
    assert (again["changed"], again["actions"], again["statement_count"]) == (False, [], 0)


def test_p40_a_new_password_counts_and_is_nowhere_to_be_seen(run_module, sides, staff, prefix):
    source, target = sides()
    source.query(staff)
    target.query("ALTER SYSTEM SET log_statement = 'all'")
    target.query("SELECT pg_reload_conf()")
    args = given(source, target, prefix, roles=[f"{prefix}_app"], memberships=False,
                 passwords=[{"role": f"{prefix}_app", "password": PASSWORD}])
    did = run_module("pg_roles", args, diff=True)
    target.query("ALTER SYSTEM RESET log_statement")
    target.query("SELECT pg_reload_conf()")
    assert did["without_password"] == [] and PASSWORD not in str(did) and "SCRAM" not in str(did)
    with open(target.server.log_path, encoding="utf-8") as log:
        assert PASSWORD not in log.read()
    psycopg2.connect(**target.address(f"{prefix}_app", password=PASSWORD)).close()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(**target.address(f"{prefix}_app", password="another-one"))
    assert run_module("pg_roles", args)["changed"] is False


def test_p29_a_fenced_source_shuts_no_login_of_the_target(run_module, sides, staff, prefix):
    source, target = sides()
    source.query(staff)
    args = given(source, target, prefix, memberships=False)
    assert run_module("pg_roles", args)["changed"]
    before = described(target, prefix)
    source.query(f"ALTER ROLE {prefix}_app NOLOGIN CONNECTION LIMIT 0")
    assert run_module("pg_roles", args)["changed"] is False
    assert described(target, prefix) == before


def test_p40_what_belongs_to_a_service_or_cannot_be_given_is_left_out_and_told(run_module, sides, prefix):
    source, target = sides()
    source.query(f"CREATE ROLE {prefix}_super SUPERUSER BYPASSRLS REPLICATION")
    source.query(f"GRANT rds_superuser TO {prefix}_super")
    target.query("GRANT rds_superuser TO migration WITH ADMIN OPTION")
    try:
        did = run_module("pg_roles", given(source, target, prefix))
        assert did.get("msg") is None, did
        told = {one["object"]: one["reason"] for one in did["left_out"]}
        assert "superusers" in told[f"SUPERUSER of role {prefix}_super"]
        assert told[f"BYPASSRLS of role {prefix}_super"] == "the target's login may not give it"
        assert f"REPLICATION of role {prefix}_super" not in told
        assert "service" in told["role rds_superuser"] and "role pg_monitor" not in told
        # Membership in what is the service's own travels where the target has it.
        assert target.query("SELECT pg_has_role(%s, 'rds_superuser', 'MEMBER')", [f"{prefix}_super"]) == [(True,)]
        assert run_module("pg_roles", given(source, target, prefix))["changed"] is False
    finally:
        target.query("REVOKE rds_superuser FROM migration CASCADE")


@pytest.mark.parametrize("majors", [(16, 15), (15, 16)])
def test_the_login_becomes_a_member_only_when_asked_to(run_module, sides, staff, prefix, majors):
    source, target = sides(*majors)
    source.query(staff)
    right = "SET" if majors[1] >= 16 else "MEMBER"
    args = given(source, target, prefix, memberships=False)
    run_module("pg_roles", args)
    acts = f"SELECT pg_has_role('migration', '{prefix}_app', '{right}')"
    assert target.query(acts) == [(False,)]
    adopted = run_module("pg_roles", {**args, "adopt": True})
    assert adopted["changed"] and target.query(acts) == [(True,)]
    assert run_module("pg_roles", {**args, "adopt": True})["changed"] is False


def test_what_the_login_may_not_set_stops_the_run_unless_it_is_tolerated(run_module, sides, staff, prefix):
    source, target = sides()
    source.query(staff)
    target.query("REVOKE SET ON PARAMETER my.setting FROM migration")
    args = given(source, target, prefix, memberships=False)
    failed = run_module("pg_roles", args)
    assert failed["failed"] and failed["code"] == "42501" and "my.setting" in failed["msg"]
    rule = {"type": "SETTING", "sqlstate": "42501", "reason": "the service sets it"}
    went_on = run_module("pg_roles", {**args, "tolerate": [rule]})
    assert rule in went_on["tolerance"] and went_on["changed"]
    [excused] = went_on["tolerated"]
    assert "my.setting" in excused["action"] and excused["tolerated_because"] == "the service sets it"
    # What is tolerated is tried again, and doesn't count as a change.
    assert run_module("pg_roles", {**args, "tolerate": [rule]})["changed"] is False


@pytest.mark.parametrize("more, said", [
    ({"roles": ["nobody-like-this"]}, "roles names what the source hasn't: nobody-like-this"),
    ({"roles": ["rds_superuser"]}, "role rds_superuser can't travel: the server's or the service's own"),
    ({"passwords": [{"role": "stranger", "password": PASSWORD}]}, "passwords names roles that don't travel: stranger"),
    ({"source": {"host": None}}, "source.host is empty"),
])
def test_bad_input_is_named_before_anything_is_done(run_module, sides, prefix, more, said):
    source, target = sides()
    failed = run_module("pg_roles", {**given(source, target, prefix), **more})
    assert failed["failed"] and said in failed["msg"] and failed["statement_count"] == 0


def test_a_login_that_may_not_create_roles_stops_at_the_first_and_says_so(run_module, sides, staff, prefix):
    source, target = sides()
    source.query(staff)
    target.query("ALTER ROLE migration NOCREATEROLE")
    failed = run_module("pg_roles", given(source, target, prefix))
    assert failed["failed"] and failed["code"] == "42501" and "create role" in failed["msg"]
    assert [one["status"] for one in failed["statements"]] == ["failed"] and described(target, prefix) == []


def test_what_is_not_there_yet_is_planned_in_check_mode(run_module, sides, staff, prefix):
    source, target = sides()
    source.query(staff)
    nowhere = {"host": None, "user": "migration"}
    args = {**given(source, target, prefix), "target": nowhere}
    would = run_module("pg_roles", args, check=True)
    assert would["changed"] and f"create role {prefix}_app" in would["actions"]
    both = run_module("pg_roles", {**args, "source": nowhere}, check=True)
    assert both["changed"] is False and both["actions"] == []
    assert "target.host is empty" in run_module("pg_roles", args)["msg"]
