# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_server_info on real servers."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.gate import lsn_number

CRON = """
    CREATE SCHEMA cron;
    CREATE TABLE cron.job (jobid bigint PRIMARY KEY, username text DEFAULT 'app', active boolean NOT NULL);
    INSERT INTO cron.job VALUES (1, DEFAULT, true), (2, DEFAULT, false), (3, DEFAULT, true);
    GRANT USAGE ON SCHEMA cron TO migration, plain;
    GRANT SELECT ON cron.job TO migration, plain;
"""


def look(run, server, database, **more):
    found = run("pg_server_info", server=server, databases=[database], **more)
    assert "failed" not in found, found["msg"]
    assert found["changed"] is False
    return found["server"], next(row for row in found["server"]["databases"] if row["name"] == database)


def test_a_server_is_described(run, at, primary, database):
    primary.query("CREATE EXTENSION vector; SELECT lo_create(4711)", dbname=database)
    server, seen = look(run, at(primary), database)
    assert server["version_num"] // 10000 == 16
    assert server["in_recovery"] is False
    assert server["settings"]["wal_level"] == "logical"
    assert server["settings"]["rds.logical_replication"] is None
    assert server["shared_preload_libraries"] == []
    assert server["system_identifier"] == primary.query("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert seen["size_bytes"] > 1_000_000 and seen["encoding"] == "UTF8"
    assert seen["collation_mismatches"] == []
    assert "vector" in {extension["name"] for extension in seen["extensions"]}
    assert seen["large_objects"] == 1
    assert (seen["cron_jobs"], seen["cron_jobs_active"], seen["cron_jobs_readable"]) == (None, None, True)


def test_r9_unlogged_tables_are_found_in_every_database(run, at, primary, database):
    primary.query('CREATE SCHEMA s; CREATE UNLOGGED TABLE s."Cache" (a int); CREATE TABLE kept (a int)',
                  dbname=database)
    found = run("pg_server_info", server=at(primary))["server"]["databases"]
    assert {row["name"]: row["unlogged_tables"] for row in found if row["unlogged_table_count"]} == {
        database: ['s."Cache"']
    }
    assert "rdsadmin" not in {row["name"] for row in found}
    assert {"postgres", "template1"} <= {row["name"] for row in found}


def test_r29_memberships_count_as_attributes(run, at, primary):
    told = {
        user: run("pg_server_info", server=at(primary, user), databases=["postgres"])["server"]["login"]
        for user in ("migration", "plain", "boss")
    }
    assert {user: (login["administrator"], login["replication"], login["monitor"]) for user, login in told.items()} == {
        "migration": (True, True, True), "plain": (False, False, False), "boss": (True, True, True),
    }
    assert told["migration"]["superuser"] is False


def test_what_a_login_may_not_see_is_null(run, at, primary, database):
    server, _database = look(run, at(primary, "plain"), database)
    assert server["long_transactions"] is None
    assert server["shared_preload_libraries"] is None
    assert server["settings"]["wal_level"] == "logical"


def test_a_standby_is_described_as_well(run, at, standby):
    server = run("pg_server_info", server=at(standby), databases=["postgres"])["server"]
    assert server["in_recovery"] is True


def test_slots_prepared_transactions_and_subscriptions_are_listed(run, at, primary, database):
    primary.query("SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')", dbname=database)
    try:
        with primary.connect(database) as session, session.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("CREATE TABLE a (a int)")
            cursor.execute("PREPARE TRANSACTION 'half'")
        primary.query(
            "CREATE SUBSCRIPTION \"From ERP\" CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)",
            dbname=database,
        )
        server, seen = look(run, at(primary), database)
    finally:
        primary.query("SELECT pg_drop_replication_slot('cdc')")
    slots = {slot["name"]: slot for slot in server["slots"]}
    assert set(slots) == {"cdc", "standby_slot"}
    assert (slots["cdc"]["type"], slots["cdc"]["active"], slots["cdc"]["wal_status"]) == ("logical", False, "reserved")
    assert slots["cdc"]["retained_bytes"] >= 0
    assert (server["prepared_transaction_count"], server["prepared_transactions"][0]["gid"]) == (1, "half")
    assert [(row["name"], row["enabled"]) for row in seen["subscriptions"]] == [("From ERP", False)]


def test_p44_cron_jobs_are_counted(run, at, primary, database):
    primary.query(CRON, dbname=database)
    _server, seen = look(run, at(primary), database)
    assert (seen["cron_jobs"], seen["cron_jobs_active"], seen["cron_jobs_readable"]) == (3, 2, True)


def test_p41_jobs_behind_a_policy_are_unknown_and_not_few(run, at, primary, database):
    primary.query(CRON + "ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;"
                  "CREATE POLICY own ON cron.job USING (username = current_user)", dbname=database)
    _server, seen = look(run, at(primary), database)
    assert (seen["cron_jobs"], seen["cron_jobs_readable"]) == (None, False)
    _server, seen = look(run, at(primary, "boss"), database)
    assert (seen["cron_jobs"], seen["cron_jobs_readable"]) == (3, True)


def test_tables_are_counted_exactly(run, at, primary, database):
    primary.query('CREATE TABLE "Order" AS SELECT generate_series(1, 1234); GRANT SELECT ON "Order" TO migration',
                  dbname=database)
    table = {"database": database, "table": 'public."Order"'}
    server, _database = look(run, at(primary), database, count_tables=[table])
    assert server["tables"] == [{**table, "rows": 1234}]


def test_p41_a_count_that_a_policy_would_falsify_is_an_error(run, at, primary, database):
    primary.query("CREATE TABLE t AS SELECT generate_series(1, 9); GRANT SELECT ON t TO migration;"
                  "ALTER TABLE t ENABLE ROW LEVEL SECURITY", dbname=database)
    found = run("pg_server_info", server=at(primary), databases=[database],
                count_tables=[{"database": database, "table": "public.t"}])
    assert found["failed"] and "row-level security" in found["msg"]


@pytest.mark.parametrize("more, said", [
    ({"databases": ["nowhere"]}, "no database nowhere"),
    ({"count_tables": [{"database": "nowhere", "table": "public.t"}]}, "count_tables names nowhere"),
    ({"count_tables": [{"database": "postgres", "table": "public.gone"}]}, "no table public.gone"),
    ({"count_tables": [{"database": "postgres", "table": "pg_class; DROP"}]}, "Cure"),
])
def test_what_is_not_there_is_an_error(run, at, primary, more, said):
    found = run("pg_server_info", server=at(primary), **more)
    assert found["failed"] and said in found["msg"]


def test_a_database_that_can_not_be_read_is_not_left_out_silently(run, at, primary, database):
    primary.query(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    found = run("pg_server_info", server=at(primary))
    assert found["failed"] and database in found["msg"]


def test_a_function_of_a_user_does_not_stand_in_for_the_servers(run, at, primary, database):
    primary.query("CREATE FUNCTION public.count(text) RETURNS int LANGUAGE sql AS 'SELECT 1/0';"
                  f"ALTER DATABASE {database} SET search_path = public, pg_catalog;"
                  "CREATE FUNCTION public.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS"
                  " $$BEGIN RAISE 'hijacked'; END$$", dbname=database)
    look(run, at(primary), database)


@pytest.mark.parametrize("check, failed", [(True, False), (False, True)])
def test_a_host_that_is_not_there_yet_is_nothing_in_check_mode_and_an_error_outside(run, check, failed):
    found = run("pg_server_info", check=check, server={"host": None})
    assert found.get("failed", False) is failed
    assert found.get("server") is None


def test_a_wrong_password_is_not_repeated(run, primary):
    wrong = "another-long-dummy-secret"
    found = run("pg_server_info", server={"host": primary.address, "user": "migration", "password": wrong})
    assert found["failed"] and found["code"] == "08001"
    assert wrong not in str(found)


@pytest.mark.parametrize("other_major", [15, 17, 18], indirect=True)
def test_other_majors_answer_the_same_questions(run, at, other_major):
    server = run("pg_server_info", server=at(other_major))["server"]
    assert server["version_num"] // 10000 == other_major.installation.major
    marked = run("pg_replication_info", server=at(other_major), mark=True)
    assert lsn_number(marked["lsn"]) <= lsn_number(marked["replication"]["flush_lsn"])
    assert run("pg_session_info", server=at(other_major))["readable"]
    assert run("pg_carried_jobs", server=at(other_major))["changed"] is False
