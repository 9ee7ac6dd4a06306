# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_replica_identity on real servers."""

from __future__ import annotations

import threading

import psycopg2
import pytest

TABLES = """
    CREATE SCHEMA "Odd ""schema";
    CREATE DOMAIN papers AS json;
    CREATE TYPE spot AS (at point, label text);
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE keyed (id int PRIMARY KEY);
    CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
    CREATE TABLE uniquely (code text NOT NULL UNIQUE, other int UNIQUE);
    CREATE TABLE nullable (code text UNIQUE);
    CREATE TABLE partly (code text NOT NULL);
    CREATE UNIQUE INDEX partly_index ON partly (code) WHERE code > 'a';
    CREATE TABLE heap (a text, b varchar(3), c numeric, d jsonb, e int4range, f mood, g text[], h inet, i bit(3));
    CREATE TABLE documents (doc json);
    CREATE TABLE domains (doc papers);
    CREATE TABLE composites (spots spot[]);
    CREATE TABLE records (whole keyed);
    CREATE UNLOGGED TABLE unlogged (id int);
    CREATE TABLE nothing ();
    CREATE TABLE "Odd ""schema"."T;a.b{}%s" ("Code ""1"" x" int NOT NULL UNIQUE);
    CREATE TABLE parted (day date NOT NULL, code int NOT NULL) PARTITION BY RANGE (day);
    CREATE UNIQUE INDEX parted_index ON parted (day, code);
    CREATE TABLE parted_26 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"""
ODD = '"Odd ""schema"."T;a.b{}%s"'


def identities(side):
    return dict(side.query(
        "SELECT c.oid::regclass::text, relreplident FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p') AND nspname !~ '^(pg_|info|cloudpg)'"
    ))


def given(side, **more):
    return {"server": side.address(), "migration": "orders-eu", **more}


def found(result, id):
    return sorted(one["object"] for one in result["findings"] if one["id"] == id)


@pytest.fixture(params=[15, 18])
def side(request, pair):
    source, _rest = pair(request.param, 16)
    source.run(TABLES)
    return source


def test_p2_p3_p4_each_table_is_told_what_it_needs_and_nothing_is_touched(side, run_module):
    before = identities(side)
    told = run_module("pg_replica_identity", given(side))
    assert not told["changed"] and identities(side) == before
    assert found(told, "table-without-identity") == sorted([
        f"public.{name}" for name in (
            "late", "uniquely", "nullable", "partly", "heap", "documents", "domains", "composites", "records",
            "nothing", "parted", "parted_26")
    ] + [ODD])
    assert found(told, "table-unlogged") == ["public.unlogged"]
    seen = {one["table"]: one for one in told["tables"]}
    assert seen["public.uniquely"]["candidates"] == ["uniquely_code_key"]
    assert seen["public.parted_26"]["candidates"] and seen["public.parted"]["candidates"] == ["parted_index"]
    assert {name for name, one in seen.items() if one["not_comparable"]} == {
        "public.documents", "public.domains", "public.composites",
    }
    assert told["counts"] == {"tables": 15, "primary_key": 1, "index": 0, "full": 0, "without": 14}


def test_p3_p4_p5_what_is_allowed_is_set_journalled_and_put_back(side, run_module):
    before = identities(side)
    wish = given(side, using_index=["*"], full=["public.h*", "public.partly", "public.documents"])
    would = run_module("pg_replica_identity", wish, check=True)
    assert would["changed"] and would["queries"] == [] and identities(side) == before

    did = run_module("pg_replica_identity", wish)
    assert did["actions"] == would["actions"] and did["diff"] == would["diff"]
    changed = {name: now for name, now in identities(side).items() if before[name] != now}
    assert changed == {"uniquely": "i", "parted": "i", "parted_26": "i", ODD: "i", "heap": "f", "partly": "f"}
    assert found(did, "identity-not-comparable") == ["public.documents"]
    assert not run_module("pg_replica_identity", wish)["changed"]

    # What is set must serve: the source's updates go on when all of it is published.
    side.query("CREATE PUBLICATION p FOR TABLE uniquely, parted, heap, partly")
    side.run("INSERT INTO parted VALUES ('2026-05-05', 1); UPDATE parted SET code = 2; UPDATE heap SET a = 'x'")
    refused = run_module("pg_replica_identity", given(side, state="restored"))
    assert refused["failed"] and found(refused, "table-still-published") == [
        "public.heap", "public.parted_26", "public.partly", "public.uniquely",
    ]
    # In check mode an earlier task would have dropped it.
    assert "failed" not in run_module("pg_replica_identity", given(side, state="restored"), check=True)
    side.query("DROP PUBLICATION p")
    back = run_module("pg_replica_identity", given(side, state="restored", exclude=["public.heap"]))
    assert len(back["actions"]) == 5 and identities(side) == {**before, "heap": "f"}
    assert len(run_module("pg_replica_identity", given(side, state="restored"))["actions"]) == 1
    assert identities(side) == before
    assert not run_module("pg_replica_identity", given(side, state="restored"))["changed"]
    assert side.query("SELECT count(*) FROM cloudpg_migration.event") == [(0,)]


def test_p2_an_update_of_a_published_table_without_identity_really_fails(pair):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE t (code text UNIQUE); INSERT INTO t VALUES ('a')")
    side.query("CREATE PUBLICATION p FOR TABLE t")
    with pytest.raises(psycopg2.Error, match="replica identity"):
        side.run("UPDATE t SET code = 'b'")


def test_p4_a_reader_holds_it_up_and_is_named_and_then_it_goes_on(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE heap (a int); CREATE TABLE other (a int)")
    reader = side.connect()
    reader.autocommit = False
    reader.cursor().execute("SELECT * FROM heap")
    told = run_module("pg_replica_identity", given(side, full=["public.heap"], wait_timeout=0))
    assert told["failed"] and told["code"] == "55P03" and "owner (pid" in told["msg"]
    assert identities(side)["heap"] == "d"
    assert side.query("SELECT count(*) FROM cloudpg_migration.event") == [(0,)]

    timer = threading.Timer(1.0, reader.close)
    timer.start()
    assert run_module("pg_replica_identity", given(side, full=["public.heap"], wait_timeout=30))["changed"]
    timer.join()
    assert identities(side)["heap"] == "f"


def test_p4_drift_is_met(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int PRIMARY KEY, x int UNIQUE)")
    wish = given(side, full=["*"])
    assert run_module("pg_replica_identity", wish)["changed"]
    side.run("ALTER TABLE a REPLICA IDENTITY DEFAULT; ALTER TABLE b REPLICA IDENTITY NOTHING")
    assert len(run_module("pg_replica_identity", wish, check=True)["actions"]) == 2
    side.run("DROP TABLE a")
    told = run_module("pg_replica_identity", given(side, state="restored"))
    assert not told["changed"] and found(told, "identity-changed-since") == ["public.b"]
    assert side.query("SELECT object FROM cloudpg_migration.event") == [("public.b",)]


def test_an_explicit_index_is_used_though_there_is_a_primary_key(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE a (id int PRIMARY KEY, x int NOT NULL, y int UNIQUE); CREATE UNIQUE INDEX ax ON a (x)")
    assert run_module("pg_replica_identity", given(side, indexes={"public.a": "ax"}))["changed"]
    assert identities(side)["a"] == "i"
    told = run_module("pg_replica_identity", given(side, indexes={"public.a": "a_y_key"}))
    assert told["failed"] and "y may be NULL" in told["msg"] and found(told, "index-not-usable") == ["public.a"]


def test_bad_input_is_told(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE a (id int)")
    for more, told in [
        ({"tables": ["public.gone"]}, "public.gone"), ({"indexes": {"public.gone": "x"}}, "public.gone"),
        ({"schemas": ["gone"]}, "gone"), ({"server": {"host": None}}, "server.host"), ({"state": "gone"}, "state"),
    ]:
        answer = run_module("pg_replica_identity", given(side) | more)
        assert answer["failed"] and told in answer["msg"], answer


def test_a_login_that_does_not_own_the_table_is_told_who_may(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE a (id int); GRANT CREATE ON DATABASE " + side.database + " TO plain")
    told = run_module("pg_replica_identity", given(side, full=["*"]) | {"server": side.address("plain")})
    assert told["failed"] and told["code"] == "42501" and "owner" in told["msg"]
    assert found(run_module("pg_replica_identity", given(side) | {"server": side.address("plain")}),
                 "table-without-identity") == ["public.a"]


def test_a_server_that_is_not_there_yet_needs_nothing(run_module):
    told = run_module("pg_replica_identity", {"server": {"host": None}, "migration": "orders"}, check=True)
    assert not told["changed"] and told["counts"]["tables"] == 0
