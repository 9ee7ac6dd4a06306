# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_subscription between real servers of different majors."""

from __future__ import annotations

import threading

import pytest
from cloudpg_sandbox.testing import wait_until

from .sql_stand import SECRET

NAME = "cloudpg_orders_eu"
TABLES = """
    CREATE TABLE items (id int PRIMARY KEY, code text);
    CREATE TABLE "Odd ""one" (id int PRIMARY KEY);
"""
# A login whose password has all that a connection string must quote.
HARD = "a long = pass'word with \\ and \"quotes\""


def given(source, target, user="migration", **more):
    # The servers of two of the installations speak no TLS.
    connection = {"sslmode": "disable", **more.pop("connection", {})}
    return {
        "source": source.address(), "target": target.address(user), "migration": "orders-eu", "connection": connection,
        "publications": ["p"], "patience": 4, **more,
    }


def found(result, id):
    return [one["object"] for one in result["findings"] if one["id"] == id]


def ready(target):
    return target.query("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'") == [(0,)]


def rows(side):
    return side.query("SELECT * FROM items ORDER BY id")


def begin(source, target):
    source.run(TABLES + "INSERT INTO items VALUES (1, 'a'), (2, 'b')")
    target.run(TABLES)
    source.query('CREATE PUBLICATION p FOR TABLE items, "Odd ""one"')
    return source, target


@pytest.fixture(params=[(15, 16), (15, 18), (16, 18), (18, 16)], ids="{0[0]}to{0[1]}".format)
def sides(request, pair):
    return begin(*pair(*request.param))


@pytest.fixture
def two(pair):
    return begin(*pair(16, 18))


def test_p18_it_copies_and_follows_and_a_second_run_changes_nothing(sides, run_module):
    source, target = sides
    would = run_module("pg_subscription", given(*sides), check=True)
    assert would["changed"] and would["subscription"] is None
    assert target.query("SELECT count(*) FROM pg_subscription") == [(0,)]
    did = run_module("pg_subscription", given(*sides))
    assert did["changed"] and did["actions"] == would["actions"] and did["diff"] == would["diff"], did
    assert "CONNECTION '(the connection)'" in did["queries"][0] and "password" not in did["connection"]
    assert did["subscription"]["worker"]["pid"] and did["findings"] == []
    wait_until(lambda: ready(target))
    source.run("INSERT INTO items VALUES (3, 'c')")
    wait_until(lambda: len(rows(target)) == 3)

    again = run_module("pg_subscription", given(*sides))
    assert (again["changed"], again["actions"], again["queries"], again["findings"]) == (False, [], [], [])
    seen = again["subscription"]
    assert seen["tables"] == {"count": 2, "ready": 2, "states": {"r": 2}} and seen["not_ready"] == []
    assert seen["errors"] == {"apply": 0, "sync": 0} and seen["slot"]["wal_status"] == "reserved"
    assert seen["relations"] == {"published": 2, "not_subscribed": [], "not_published": []}


def test_p12_p13_absent_takes_subscription_slot_and_journal_entry(sides, run_module):
    source, target = sides
    run_module("pg_subscription", given(*sides))
    assert target.query("SELECT count(*) FROM cloudpg_migration.event") == [(1,)]
    absent = given(*sides, state="absent")
    assert len(run_module("pg_subscription", absent, check=True)["actions"]) == 2
    did = run_module("pg_subscription", absent)
    assert did["changed"] and did["subscription"] is None and did["findings"] == []
    assert target.query("SELECT count(*) FROM pg_subscription") == [(0,)]
    assert source.query("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()") == []
    assert target.query("SELECT count(*) FROM cloudpg_migration.event") == [(0,)]
    assert not run_module("pg_subscription", absent)["changed"]


def test_p12_absent_with_a_dead_publisher_and_the_slot_when_it_is_back(new_server, side_of, pair, run_module):
    _rest, target = pair(16, 18)
    mortal = new_server("mortal", 16)
    mortal.query(f'CREATE DATABASE "{target.database}" OWNER owner')
    source = side_of(mortal, target.database)
    begin(source, target)
    run_module("pg_subscription", given(source, target))
    wait_until(lambda: ready(target))
    mortal.stop()
    seen = run_module("pg_subscription", given(source, target), check=True)
    assert found(seen, "source-unreadable") == [NAME] and found(seen, "worker-missing")
    gone = run_module("pg_subscription", given(source, target, state="absent"))
    assert gone["changed"] and found(gone, "slot-left-behind") == [NAME]
    assert target.query("SELECT count(*) FROM pg_subscription") == [(0,)]
    told = run_module("pg_subscription", given(source, target))
    assert told["failed"] and "can't be made while the source can't be read" in told["msg"]
    mortal.start()
    back = run_module("pg_subscription", given(source, target, state="absent"))
    assert back["actions"] == [f"drop slot {NAME} on the source"]
    assert mortal.query("SELECT count(*) FROM pg_replication_slots") == [(0,)]


def test_p11_tables_that_are_apart_are_found_and_refreshed(two, run_module):
    source, target = two
    run_module("pg_subscription", given(*two))
    for side in two:
        side.run("CREATE TABLE later (id int PRIMARY KEY)")
    source.run("INSERT INTO later VALUES (1)")
    source.query('ALTER PUBLICATION p SET TABLE items, later')
    seen = run_module("pg_subscription", given(*two))
    assert not seen["changed"] and found(seen, "relation-sets-apart") == [NAME]
    assert seen["subscription"]["relations"]["not_subscribed"] == ["public.later"]
    assert seen["subscription"]["errors"] == {"apply": 0, "sync": 0}
    did = run_module("pg_subscription", given(*two, refresh="with_data"))
    assert did["changed"] and found(did, "relation-sets-apart") == []
    wait_until(lambda: target.query("SELECT count(*) FROM later") == [(1,)])
    assert not run_module("pg_subscription", given(*two, refresh="with_data"))["changed"]


def test_p11_a_slot_made_before_goes_without_copying(two, run_module):
    source, target = two
    told = run_module("pg_subscription", given(*two, create_slot=False))
    assert told["failed"] and {one["id"] for one in told["findings"]} == {"slot-and-copy", "slot-missing"}
    source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [NAME])
    told = run_module("pg_subscription", given(*two))
    assert told["failed"] and found(told, "slot-exists") == [NAME]
    run_module("pg_subscription", given(*two, create_slot=False, copy_data=False, enabled=False))
    source.run("INSERT INTO items VALUES (9, 'z')")
    assert rows(target) == []
    did = run_module("pg_subscription", given(*two, create_slot=False, copy_data=False))
    assert did["actions"] == [f"enable subscription {NAME}"]
    wait_until(lambda: rows(target) == [(9, "z")])


def test_p18_a_crash_loop_is_told_from_a_worker_that_runs(two, run_module):
    source, target = two
    run_module("pg_subscription", given(*two))
    wait_until(lambda: ready(target))
    target.run("INSERT INTO items VALUES (7, 'in the way')")
    source.run("INSERT INTO items VALUES (7, 'x')")
    wait_until(lambda: target.query("SELECT apply_error_count > 0 FROM pg_stat_subscription_stats") == [(True,)])
    seen = run_module("pg_subscription", given(*two))
    assert not seen["changed"] and found(seen, "worker-crash-looping") == [NAME]
    target.run("DELETE FROM items WHERE id = 7")
    wait_until(lambda: (7, "x") in rows(target))
    mended = run_module("pg_subscription", given(*two))
    assert found(mended, "worker-crash-looping") == [] and found(mended, "errors-in-the-past") == [NAME]


def test_p19_one_that_an_error_switched_off_is_not_quietly_enabled(two, run_module):
    source, target = two
    wish = given(*two, disable_on_error=True)
    run_module("pg_subscription", wish)
    wait_until(lambda: ready(target))
    target.run("INSERT INTO items VALUES (7, 'in the way')")
    source.run("INSERT INTO items VALUES (7, 'x')")
    wait_until(lambda: target.query("SELECT subenabled FROM pg_subscription") == [(False,)])
    wait_until(lambda: target.query("SELECT apply_error_count > 0 FROM pg_stat_subscription_stats") == [(True,)])
    told = run_module("pg_subscription", wish)
    assert told["failed"] and found(told, "subscription-silently-off") == [NAME]
    seen = run_module("pg_subscription", wish | {"enabled": False})
    assert not seen["changed"] and found(seen, "subscription-silently-off") == [NAME]
    target.run("DELETE FROM items WHERE id = 7")
    did = run_module("pg_subscription", wish | {"acknowledged": ["subscription-silently-off"]})
    assert did["changed"] and did["subscription"]["worker"]
    wait_until(lambda: (7, "x") in rows(target))


def test_p14_a_lost_slot_is_named(new_server, side_of, pair, run_module):
    _rest, target = pair(16, 18)
    small = new_server("small", 16, max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB")
    small.query(f'CREATE DATABASE "{target.database}" OWNER owner')
    source = side_of(small, target.database)
    begin(source, target)
    run_module("pg_subscription", given(source, target))
    wait_until(lambda: ready(target))
    run_module("pg_subscription", given(source, target, enabled=False))
    for _rest in range(4):
        source.query("SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
    source.query("CHECKPOINT")
    seen = run_module("pg_subscription", given(source, target, enabled=False))
    assert seen["subscription"]["slot"]["wal_status"] == "lost" and found(seen, "slot-lost") == [NAME]
    run_module("pg_subscription", given(source, target, state="absent"))


@pytest.fixture
def hard(two):
    """A login of the source whose password has everything a connection's text has to quote."""
    source, _target = two
    source.query("CREATE ROLE hard LOGIN REPLICATION PASSWORD %s IN ROLE owner", [HARD])
    yield
    source.query("DROP ROLE hard")


@pytest.mark.usefixtures("hard")
def test_p23_connections_are_compared_as_libpq_reads_them(two, run_module):
    source, target = two
    wish = given(*two, user="boss", connection={"user": "hard", "password": HARD})
    did = run_module("pg_subscription", wish)
    assert did["changed"] and HARD not in str(did), did
    wait_until(lambda: ready(target))
    assert not run_module("pg_subscription", wish)["changed"]
    # Another order, other blanks and a port that goes without saying are the same connection.
    quoted = HARD.replace("\\", "\\\\").replace("'", "\\'")
    target.query(f"ALTER SUBSCRIPTION {NAME} CONNECTION %s", [
        f"  connect_timeout = 10 password='{quoted}'   user=hard  dbname={source.database} sslmode=disable"
        f" host = {source.server.address}"])
    assert not run_module("pg_subscription", wish)["changed"]
    target.query(f"ALTER SUBSCRIPTION {NAME} CONNECTION %s", [
        f"host={source.server.address} user=hard password=another dbname={source.database} connect_timeout=10"])
    drift = run_module("pg_subscription", wish)
    assert drift["actions"] == [f"change password, sslmode in the connection of subscription {NAME}"]
    assert not run_module("pg_subscription", wish)["changed"]


def test_p23_where_the_connection_is_hidden_the_journal_tells(two, run_module):
    source, target = two
    wish = given(*two)
    run_module("pg_subscription", wish)
    assert SECRET not in str(target.query("SELECT * FROM cloudpg_migration.event"))
    assert not run_module("pg_subscription", wish)["changed"]
    other = given(*two, connection={"connect_timeout": 7})
    assert run_module("pg_subscription", other)["actions"] == [
        f"change connect_timeout in the connection of subscription {NAME}"]
    assert "connect_timeout=7" in target.query("SELECT subconninfo FROM pg_subscription")[0][0]
    assert not run_module("pg_subscription", other)["changed"]
    target.query("DROP SCHEMA cloudpg_migration CASCADE")
    assert found(run_module("pg_subscription", wish), "connection-hidden") == [NAME]


def test_p26_options_converge_by_version(sides, run_module):
    source, target = sides
    wish = {"streaming": "parallel", "binary": True, "disable_on_error": True, "synchronous_commit": "local",
            "run_as_owner": True}
    run_module("pg_subscription", given(*sides))
    assert run_module("pg_subscription", given(*sides, **wish))["changed"]
    seen = run_module("pg_subscription", given(*sides, **wish))
    assert not seen["changed"]
    assert {name: seen["subscription"][name] for name in wish} == {
        "streaming": "parallel", "binary": "true", "disable_on_error": "true", "synchronous_commit": "local",
        "run_as_owner": "true",
    }
    assert run_module("pg_subscription", given(*sides, streaming="off", enabled=False))["changed"]
    told = run_module("pg_subscription", given(*sides, two_phase=True, enabled=False))
    assert told["changed"] if target.major >= 18 else found(told, "two-phase-fixed") == [NAME]
    told = run_module("pg_subscription", given(*sides, failover=False))
    assert told["changed"] if target.major >= 17 else "needs PostgreSQL 17" in told["msg"]


def test_p25_p26_an_old_source_ignores_origin_none(pair, run_module):
    told = run_module("pg_subscription", given(*begin(*pair(15, 16)), origin="none"))
    assert told["failed"] and found(told, "origin-ignored") == [NAME]


def test_p9_a_slot_that_waits_for_a_writer_names_it(two, run_module):
    source, target = two
    writer = source.connect()
    writer.autocommit = False
    writer.cursor().execute("INSERT INTO items VALUES (4, 'd')")
    told = run_module("pg_subscription", given(*two, wait_timeout=2))
    assert told["failed"] and told["code"] == "57014" and "owner (pid" in told["msg"], told
    assert target.query("SELECT count(*) FROM pg_subscription") == [(0,)]
    assert source.query("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()") == []
    timer = threading.Timer(1.0, writer.commit)
    timer.start()
    assert run_module("pg_subscription", given(*two))["changed"]
    timer.join()


def test_p9_p10_what_can_not_be_followed_is_refused_before_anything_is_made(two, run_module):
    source, target = two
    source.run("BEGIN; INSERT INTO items VALUES (5, 'e'); PREPARE TRANSACTION 'left over'")
    target.run("DROP TABLE items")
    told = run_module("pg_subscription", given(*two, publications=["p", "gone"]))
    assert told["failed"] and {one["id"]: one["object"] for one in told["findings"]} == {
        "prepared-transactions": NAME, "publication-missing": "gone", "tables-missing": "public.items",
    }
    assert target.query("SELECT count(*) FROM pg_subscription") == [(0,)]


def test_drift_of_publications_slot_and_switch_is_met(two, run_module):
    source, target = two
    source.query("CREATE PUBLICATION other FOR TABLE items")
    run_module("pg_subscription", given(*two))
    target.query(f"ALTER SUBSCRIPTION {NAME} SET PUBLICATION other WITH (refresh = false)")
    target.query(f"ALTER SUBSCRIPTION {NAME} DISABLE")
    target.query(f"ALTER SUBSCRIPTION {NAME} SET (slot_name = NONE)")
    did = run_module("pg_subscription", given(*two))
    assert len(did["actions"]) == 3 and did["subscription"]["publications"] == ["p"] and did["subscription"]["worker"]
    assert not run_module("pg_subscription", given(*two))["changed"]


def test_missing_rights_are_told_without_a_secret(two, run_module):
    source, target = two
    told = run_module("pg_subscription", given(*two, user="plain"))
    assert told["failed"] and told["code"] == "42501"
    told = run_module("pg_subscription", given(*two, connection={"password": "wrong-but-long-secret"}))
    assert told["failed"] and "could not connect" in told["msg"] and "wrong-but-long-secret" not in str(told)
    told = run_module("pg_subscription", given(*two, connection={"user": "owner"}))
    assert told["failed"] and target.query("SELECT count(*) FROM pg_subscription") == [(0,)]


def test_bad_input_is_told(two, run_module):
    for more, told in [
        ({"migration": None}, "name and migration are empty"), ({"target": {"host": None}}, "target.host is empty"),
        ({"streaming": "maybe"}, "streaming"), ({"connection": {"sslmode": "verify-full"}}, "sslrootcert is empty"),
        ({"source": two[0].address(password=None, passfile="/nowhere/pgpass")}, "/nowhere/pgpass can't be read"),
    ]:
        answer = run_module("pg_subscription", given(*two) | more)
        assert answer["failed"] and told in answer["msg"], answer


def test_a_passfile_serves_both_ways(two, run_module, tmp_path):
    source, target = two
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"# all\n*:5432:*:migration:{SECRET}\n")
    passfile.chmod(0o600)
    wish = given(*two) | {"source": source.address(password=None, passfile=str(passfile))}
    assert run_module("pg_subscription", wish)["changed"]
    wait_until(lambda: ready(target))


def test_sides_that_are_not_there_yet_are_planned_for(two, run_module):
    nowhere = {"host": None}
    would = run_module("pg_subscription", given(*two) | {"target": nowhere}, check=True)
    assert would["changed"] and would["subscription"] is None
    assert run_module("pg_subscription", given(*two) | {"source": nowhere}, check=True)["changed"]
    assert not run_module("pg_subscription", given(*two, state="absent") | {"target": nowhere}, check=True)["changed"]
