# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases closed by a login that is no superuser, proven to be at rest, and opened again."""

from __future__ import annotations

import threading
from contextlib import closing, suppress

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

ACL = """
    SELECT array(SELECT (CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, grantor::regrole,
                         privilege_type, is_grantable)::text
                 FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) ORDER BY 1),
           array(SELECT s::text FROM pg_db_role_setting s WHERE setdatabase = d.oid ORDER BY 1)
    FROM pg_database d WHERE datname = %s
"""


@pytest.fixture(params=[16, 18])
def side(request, server_of, side_of):
    """A database of the owner's, on a server where the migration's login may end sessions of others."""
    server = server_of(request.param)
    name = f"q{request.param}"
    server.query(f"CREATE DATABASE {name} OWNER owner")
    server.query("GRANT pg_signal_backend TO migration")
    yield side_of(server, name)
    server.query("REVOKE pg_signal_backend FROM migration")
    for (gid,) in server.query("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name]):
        server.query("ROLLBACK PREPARED %s", [gid], dbname=name)
    server.query(f"DROP DATABASE {name} WITH (FORCE)")


def given(side, **more):
    return {"server": side.address(), "migration": "orders", **more}


def may_connect(side, user):
    try:
        side.connect(user).close()
    except psycopg2.OperationalError:
        return False
    return True


def acl(side):
    return side.query(ACL, [side.database])


def test_p29_closed_proven_and_undone_to_the_letter(side, run_module):
    side.query(f"GRANT CONNECT ON DATABASE {side.database} TO plain WITH GRANT OPTION")
    side.query(f"ALTER DATABASE {side.database} SET default_transaction_read_only = off")
    before = acl(side)
    would = run_module("pg_quiesce", given(side), check=True)
    assert would["changed"] and acl(side) == before and side.query("SELECT to_regclass('cloudpg_migration.event')") == [
        (None,)]
    with closing(side.connect("plain")) as session:
        did = run_module("pg_quiesce", given(side), diff=True)
        assert did["changed"] and did["proof"]["proven"], did
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("SELECT 1")
    assert [may_connect(side, user) for user in ("owner", "plain", "migration")] == [False, False, True]
    again = run_module("pg_quiesce", given(side))
    assert not again["changed"] and again["proof"]["proven"] and again["actions"] == []
    opened = run_module("pg_quiesce", given(side, state="open"))
    assert opened["changed"] and acl(side) == before
    assert side.query("SELECT count(*) FROM cloudpg_migration.event") == [(0,)]
    assert not run_module("pg_quiesce", given(side, state="open"))["changed"]
    assert may_connect(side, "plain")


def test_p50_a_closed_database_has_the_catalogue_of_an_open_one(side, run_module):
    catalogue = {"server": side.address(), "database": side.database}
    before = run_module("pg_catalog_info", catalogue)["fingerprint"]
    assert run_module("pg_quiesce", given(side))["changed"]
    told = run_module("pg_catalog_info", {**catalogue, "since": before})
    assert told["changes"] == [], told["changes"]
    assert run_module("pg_quiesce", given(side, state="open"))["changed"]
    side.query(f"GRANT CREATE ON DATABASE {side.database} TO plain")
    told = run_module("pg_catalog_info", {**catalogue, "since": before})
    assert [(one["class"], one["object"]) for one in told["changes"]] == [("grants", "database")], told["changes"]


def test_p29_who_gets_in_all_the_same_is_read_only_and_the_migration_is_not(side, run_module):
    run_module("pg_quiesce", given(side))
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        side.run("CREATE TABLE t ()", "boss")
    side.run("CREATE TABLE t ()", "migration")
    run_module("pg_quiesce", given(side, state="open"))
    side.run("CREATE TABLE u ()", "owner")


def test_p52_no_write_survives_a_fence_under_load(side, run_module):
    side.run("CREATE TABLE t (n int); GRANT INSERT ON t TO plain")
    stop, acked, refused = threading.Event(), [], [[], [], []]

    def write(user, tried):
        while not stop.is_set():
            tried.append(1)
            with suppress(psycopg2.Error), closing(side.connect(user)) as session, session.cursor() as cursor:
                tried.clear()
                cursor.execute("SET synchronous_commit = off")
                while not stop.is_set():
                    cursor.execute("INSERT INTO t VALUES (1)")
                    acked.append(1)

    writers = [threading.Thread(target=write, args=which) for which in zip(("owner", "plain", "owner"), refused)]
    for writer in writers:
        writer.start()
    try:
        wait_until(lambda: len(acked) > 50)
        assert run_module("pg_quiesce", given(side))["proof"]["proven"]
        [(count,)] = side.query("SELECT count(*) FROM t")
        # They go on trying.
        wait_until(lambda: any(len(tried) > 3 for tried in refused))
        assert side.query("SELECT count(*) FROM t") == [(count,)] and len(acked) <= count
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_p52_without_pg_monitor_nothing_is_proven_and_nothing_is_done(side, run_module):
    side.query("REVOKE pg_monitor FROM migration")
    before = acl(side)
    try:
        with closing(side.connect("plain")):
            told = run_module("pg_quiesce", given(side))
    finally:
        side.query("GRANT pg_monitor TO migration")
    assert "hide what they are" in told["msg"] and "pg_monitor" in told["msg"]
    assert acl(side) == before


def test_p52_a_prepared_transaction_stands_against_the_proof(side, run_module):
    side.run("CREATE TABLE t (n int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'later'")
    told = run_module("pg_quiesce", given(side))
    assert "1 prepared transactions" in told["msg"] and "later" in told["msg"] and may_connect(side, "owner")


def test_p31_what_cannot_be_revoked_or_ended_is_said_before_anything_is_done(side, run_module):
    before = acl(side)
    side.query("REVOKE owner FROM migration")
    try:
        told = run_module("pg_quiesce", given(side))
        assert "belongs to owner" in told["msg"] and "GRANT owner TO migration" in told["msg"]
    finally:
        side.query("GRANT owner TO migration")
    with closing(side.connect("boss")):
        told = run_module("pg_quiesce", given(side))
        assert "may not end 1 sessions" in told["msg"] and "boss" in told["msg"]
    side.query("GRANT migration TO plain")
    try:
        told = run_module("pg_quiesce", given(side))
        assert "plain may still connect" in told["msg"]
    finally:
        side.query("REVOKE migration FROM plain")
    assert acl(side) == before


def test_p31_a_grant_by_another_is_refused(side, run_module):
    side.query(f"GRANT CONNECT ON DATABASE {side.database} TO plain WITH GRANT OPTION")
    side.run(f"GRANT CONNECT ON DATABASE {side.database} TO boss", "plain")
    told = run_module("pg_quiesce", given(side))
    assert "granted to boss by plain" in told["msg"]


def test_an_unknown_database_and_a_bad_name_are_said(side, run_module):
    assert "no database nowhere" in run_module("pg_quiesce", given(side, databases=["nowhere"]))["msg"]
    assert "cannot be the name" in run_module("pg_quiesce", given(side, migration="A b"))["msg"]
    later = run_module("pg_quiesce", {**given(side), "server": {"host": None}}, check=True)
    assert later["changed"] and not later["proof"]["proven"]
