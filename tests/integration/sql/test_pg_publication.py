# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_publication on real servers."""

from __future__ import annotations


import psycopg2
import pytest

TABLES = """
    CREATE SCHEMA sales;
    CREATE SCHEMA "Odd ""schema";
    CREATE TABLE keyed (id int PRIMARY KEY, region text, name text);
    CREATE TABLE other (id int PRIMARY KEY);
    CREATE TABLE heap (a int);
    CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
    CREATE TABLE sales.orders (id int PRIMARY KEY, "Total ""x"" y" numeric);
    CREATE TABLE "Odd ""schema"."T;a.b{}%s" (id int PRIMARY KEY);
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (more int) INHERITS (parent);
    CREATE TABLE parted (day date, id int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
    CREATE TABLE parted_26 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE parted_27 PARTITION OF parted FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY LIST (id);
    CREATE TABLE parted_27_1 PARTITION OF parted_27 FOR VALUES IN (1);
"""
ODD = '"Odd ""schema"."T;a.b{}%s"'
GOOD = ["public.keyed", "public.other", "sales.orders", ODD, "public.parent", "public.parted"]
BAD = ["public.heap", "public.child"]


def given(side, user="migration", **more):
    return {"server": side.address(user), "migration": "orders-eu", **more}


def published(side, name="cloudpg_orders_eu"):
    return sorted(row[0] for row in side.query(
        "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_publication_tables WHERE pubname = %s", [name]
    ))


def found(result, id):
    return sorted(one["object"] for one in result["findings"] if one["id"] == id)


@pytest.fixture(params=[15, 18])
def side(request, pair):
    source, _rest = pair(request.param, 16)
    source.run(TABLES)
    return source


def converges(run_module, wish):
    """Run it as check, for real and again; the result of the real run."""
    would = run_module("pg_publication", wish, check=True)
    assert not would.get("failed"), would["msg"]
    did = run_module("pg_publication", wish)
    assert did["changed"] and did["actions"] == would["actions"] and did["diff"] == would["diff"]
    again = run_module("pg_publication", wish)
    assert (again["changed"], again["actions"], again["queries"]) == (False, [], [])
    assert again["publication"] == did["publication"]
    return did


def test_p2_a_table_without_identity_is_refused_before_the_source_breaks(side, run_module):
    told = run_module("pg_publication", given(side))
    assert told["failed"] and told["code"] == "refused" and "Cure" in told["msg"]
    assert found(told, "table-without-identity") == sorted(BAD)
    side.run("INSERT INTO heap VALUES (1); UPDATE heap SET a = 2")
    assert side.query("SELECT count(*) FROM pg_publication") == [(0,)]


def test_p2_they_go_into_a_publication_of_their_own(side, run_module):
    first = converges(run_module, given(side, without_identity="skip"))
    assert published(side) == sorted({*GOOD, "public.parted_26", "public.parted_27_1"} - {"public.parted"})
    assert sorted(first["left_out"]) == sorted(BAD) and first["left_out_count"] == 2

    converges(run_module, given(side, name="Only Inserts", without_identity="only", publish=["insert", "truncate"]))
    assert published(side, "Only Inserts") == sorted(BAD)
    side.run("INSERT INTO heap VALUES (1); UPDATE heap SET a = 2; DELETE FROM child; DELETE FROM keyed")
    assert side.query("SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname ~ 'Only'"
                      ) == [(True, False, False, True)]


def test_p2_acknowledged_it_is_done_and_the_source_breaks_as_told(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE heap (a int); INSERT INTO heap VALUES (1)")
    assert run_module("pg_publication", given(side, acknowledged=["table-without-identity"]))["changed"]
    with pytest.raises(psycopg2.Error, match="replica identity"):
        side.run("UPDATE heap SET a = 2")


def test_p2_insert_only_needs_no_identity_and_widening_it_does(side, run_module):
    converges(run_module, given(side, publish=["insert"]))
    told = run_module("pg_publication", given(side))
    assert told["failed"] and found(told, "table-without-identity") == sorted(BAD)
    converges(run_module, given(side, exclude=BAD))
    assert "public.heap" not in published(side)


def test_it_converges_from_any_list_to_any_other(side, run_module):
    good = given(side, exclude=BAD)
    converges(run_module, good)
    converges(run_module, given(side, tables=["public.keyed", ODD], publish=["insert", "update"]))
    assert published(side) == sorted([ODD, "public.keyed"])
    converges(run_module, given(side, schemas=["sales"], tables=["public.other"]))
    assert published(side) == ["public.other", "sales.orders"]
    converges(run_module, given(side, tables=["public.keyed"], row_filters={"public.keyed": "id > 5 AND id <> 7"},
                                columns={"public.keyed": ["id", "name"]}))
    converges(run_module, given(side, tables=["public.keyed"], row_filters={"public.keyed": "id in (1, 2)"}))
    converges(run_module, given(
        side, tables=["sales.orders"], columns={"sales.orders": ["id", 'Total "x" y']}, publish=["insert"]))
    converges(run_module, good)
    assert len(published(side)) == 7


def test_p5_a_partitioned_table_stands_for_its_partitions_unless_one_is_left_out(side, run_module):
    converges(run_module, given(side, tables=["public.parted"]))
    assert published(side) == ["public.parted_26", "public.parted_27_1"]
    converges(run_module, given(side, tables=["public.parted"], exclude=["*_26"]))
    assert published(side) == ["public.parted_27_1"]
    converges(run_module, given(
        side, tables=["public.parted"], publish_via_partition_root=True, row_filters={"public.parted": "id > 1"}))
    assert published(side) == ["public.parted"]
    converges(run_module, given(side, tables=["public.parted"]))
    told = run_module("pg_publication", given(
        side, tables=["public.parted"], exclude=["*_26"], publish_via_partition_root=True))
    assert told["failed"] and "public.parted_26" in told["msg"]
    told = run_module("pg_publication", given(side, tables=["public.parted"], row_filters={"public.parted": "id > 1"}))
    assert told["failed"] and found(told, "filter-of-partitioned-table") == ["public.parted"]


def test_p5_identity_is_looked_at_in_every_leaf_and_in_the_root_by_whose_name_it_goes(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("""
        CREATE TABLE parted (day int NOT NULL) PARTITION BY LIST (day);
        CREATE TABLE one PARTITION OF parted FOR VALUES IN (1);
        CREATE TABLE two PARTITION OF parted FOR VALUES IN (2);
        ALTER TABLE one ADD PRIMARY KEY (day);
    """)
    told = run_module("pg_publication", given(side))
    assert found(told, "table-without-identity") == ["public.two"]
    side.run("ALTER TABLE two REPLICA IDENTITY FULL")
    assert run_module("pg_publication", given(side), check=True)["changed"]
    told = run_module("pg_publication", given(side, publish_via_partition_root=True))
    assert found(told, "table-without-identity") == ["public.parted"]


def test_p5_all_tables_can_not_be_narrowed_but_made_anew(side, run_module):
    side.run("DROP TABLE heap; DROP TABLE child")
    everything = given(side, "boss", scope="all")
    converges(run_module, everything)
    narrower = given(side, "boss", tables=["public.keyed"])
    told = run_module("pg_publication", narrower)
    assert told["failed"] and found(told, "publication-of-all-tables") and "recreate" in told["msg"]
    converges(run_module, narrower | {"recreate": True})
    assert published(side) == ["public.keyed"]
    assert run_module("pg_publication", everything)["failed"]


def test_p26_schemas_follow_what_is_made_later(side, run_module):
    converges(run_module, given(side, "boss", scope="schemas", schemas=["sales"], tables=["public.keyed"]))
    side.run("CREATE TABLE sales.later (id int PRIMARY KEY)")
    assert published(side) == ["public.keyed", "sales.later", "sales.orders"]
    converges(run_module, given(side, "boss", tables=["public.keyed"]))
    converges(run_module, given(side, "boss", scope="schemas", schemas=["sales"]))
    side.run("CREATE TABLE sales.heap (a int)")
    told = run_module("pg_publication", given(side, "boss", scope="schemas", schemas=["sales"]))
    assert told["failed"] and found(told, "table-without-identity") == ["sales.heap"]


def test_p2_filters_and_columns_must_go_with_the_identity(pair, run_module):
    side, _rest = pair(16, 18)
    side.run(TABLES + "ALTER TABLE other REPLICA IDENTITY FULL")
    keyed, other = given(side, tables=["public.keyed"]), given(side, tables=["public.other"])
    told = run_module("pg_publication", keyed | {"row_filters": {"public.keyed": "region = 'EU'"}})
    assert told["failed"] and found(told, "filter-beyond-identity") == ["public.keyed"] and "region" in told["msg"]
    told = run_module("pg_publication", keyed | {"columns": {"public.keyed": ["name"]}})
    assert told["failed"] and found(told, "columns-lack-identity") == ["public.keyed"]
    told = run_module("pg_publication", other | {"columns": {"public.other": ["id"]}})
    assert told["failed"] and found(told, "columns-lack-identity") == ["public.other"]
    converges(run_module, other | {"row_filters": {"public.other": "id > 1"}})
    converges(run_module, keyed | {"publish": ["insert"], "row_filters": {"public.keyed": "region = 'EU'"}})


def test_p4_a_full_row_that_can_not_be_compared_is_refused_whatever_is_acknowledged(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("CREATE TABLE documents (doc json); ALTER TABLE documents REPLICA IDENTITY FULL")
    told = run_module("pg_publication", given(side, acknowledged=["identity-not-comparable"]))
    assert told["failed"] and found(told, "identity-not-comparable") == ["public.documents"]
    converges(run_module, given(side, publish=["insert"]))


def test_drift_is_met_and_absent_is_absent(side, run_module):
    wish = given(side, tables=["public.keyed", "public.other"])
    converges(run_module, wish)
    side.query("ALTER PUBLICATION cloudpg_orders_eu SET (publish = 'insert')")
    side.query("ALTER PUBLICATION cloudpg_orders_eu SET TABLE sales.orders, keyed WHERE (id > 1)")
    assert len(converges(run_module, wish)["actions"]) == 4
    assert run_module("pg_publication", given(side, state="absent"), check=True)["changed"]
    assert run_module("pg_publication", given(side, state="absent"))["changed"]
    assert not run_module("pg_publication", given(side, state="absent"))["changed"]


def test_ten_thousand_tables_are_one_pass(pair, run_module):
    side, _rest = pair(16, 18)
    side.run("""
        DO $$ BEGIN FOR n IN 1..10000 LOOP
            EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', n); IF n % 200 = 0 THEN COMMIT; END IF;
        END LOOP; END $$
    """)
    did = run_module("pg_publication", given(side))
    assert did["changed"]
    assert len(published(side)) == did["publication"]["table_count"] == 10000
    assert len(str(did)) < 100_000 and len(did["publication"]["tables"]) == 100
    assert not run_module("pg_publication", given(side))["changed"]


def test_a_login_without_the_right_is_told_so(side, run_module):
    told = run_module("pg_publication", given(side, "plain", exclude=BAD))
    assert told["failed"] and told["code"] == "42501"
    told = run_module("pg_publication", given(side, scope="schemas", schemas=["sales"]))
    assert told["failed"] and told["code"] == "42501" and "superuser" in told["msg"]


def test_bad_input_is_told(pair, run_module):
    side, _rest = pair(16, 18)
    side.run(TABLES)
    for more, told in [
        ({"tables": ["public.gone"]}, "public.gone"), ({"schemas": ["gone"]}, "gone"),
        ({"row_filters": {"public.gone": "true"}}, "public.gone"), ({"row_filters": {"public.other": "no > 1"}}, "no"),
        ({"columns": {"public.other": []}}, "no list"), ({"columns": {"public.other": ["gone", "id"]}}, "gone"),
        ({"scope": "all"}, "narrowed by exclude"), ({"scope": "schemas", "exclude": []}, "needs schemas"),
        ({"publish": []}, "publish is empty"), ({"migration": None}, "name and migration are empty"),
        ({"publish_generated_columns": "stored"}, "needs PostgreSQL 18"), ({"server": {"host": None}}, "server.host"),
    ]:
        answer = run_module("pg_publication", given(side, exclude=BAD) | more)
        assert answer["failed"] and told in answer["msg"], answer
    assert side.query("SELECT count(*) FROM pg_publication") == [(0,)]


def test_a_server_that_is_not_there_yet_publishes_nothing(run_module):
    told = run_module("pg_publication", {"server": {"host": None}, "name": "p"}, check=True)
    assert not told["changed"] and told["publication"] is None
