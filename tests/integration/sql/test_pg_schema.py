# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_schema between real servers of different majors, by logins without superuser."""

from __future__ import annotations

import os
import re
import secrets
import signal
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import catalogue

from .sql_stand import SECRET, drop_database

TORTURE = (Path(__file__).parent / "torture.sql").read_text(encoding="utf-8")
SHOP = """
    CREATE SCHEMA shop;
    CREATE TYPE shop.state AS ENUM ('open', 'paid');
    CREATE TABLE shop.customers (id serial PRIMARY KEY, name text);
    CREATE TABLE shop.orders (id integer PRIMARY KEY, customer integer REFERENCES shop.customers, state shop.state);
    CREATE INDEX orders_state ON shop.orders (state);
    CREATE VIEW shop.paid AS SELECT * FROM shop.orders WHERE state = 'paid';
    CREATE SCHEMA audit;
    CREATE TABLE audit.log (id integer PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE audit.log_1 PARTITION OF audit.log FOR VALUES FROM (1) TO (100);
    CREATE TABLE audit."of *" (id integer REFERENCES shop.orders);
"""


def given(source, target, **more):
    return {"source": source.address(), "target": target.address(), "bindir": source.bindir, **more}


def seen(side):
    """All of a database that two majors can be compared by."""
    with connect(side.address()) as session:
        whole = catalogue.observe(session)
    things = {key: (thing.relation, thing.words, thing.looks) for key, thing in whole.by_key().items()}
    return things, whole.links, whole.comments, whole.grants


def relations(side):
    return {name for (name,) in side.query(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p', 'v') AND nspname !~ '^pg_|information_schema'"
    )}


@pytest.fixture(scope="module")
def shop(server_of, side_of):
    """The shop on 18 and an empty database on 16, for tests that change neither."""
    name = f"shop_{secrets.token_hex(3)}"
    sides = []
    for major in (18, 16):
        server_of(major).query(f"CREATE DATABASE {name} OWNER owner")
        sides.append(side_of(server_of(major), name))
    sides[0].run(SHOP)
    yield sides
    for side in sides:
        drop_database(side.server, name)


@pytest.mark.parametrize("majors", [(15, 16), (15, 18), (16, 18), (18, 16)])
def test_p37_p38_p39_everything_arrives_and_a_second_run_makes_nothing(run_module, pair, majors):
    source, target = pair(*majors)
    source.run(TORTURE)
    would = run_module("pg_schema", given(source, target), check=True, diff=True)
    assert would["changed"] and would["queries"] == [] and relations(target) == set()

    did = run_module("pg_schema", given(source, target), diff=True)
    assert did.get("msg") is None and did["actions"] == would["actions"] and did["diff"] == would["diff"]
    assert (did["tolerated"], did["different"], did["large_objects"]) == ([], [], 2)
    for mine, theirs in zip(seen(source), seen(target)):
        assert theirs == mine
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'torture'::regnamespace"
    assert target.query(owners) == [("owner",)]

    again = run_module("pg_schema", given(source, target))
    assert (again["changed"], again["actions"], again["statement_count"]) == (False, [], 0)


def test_p38_sections_come_one_by_one_and_foreign_keys_in_two_steps(run_module, pair):
    source, target = pair(15, 16)
    source.run(TORTURE)
    counts = "SELECT contype::text, count(*) FROM pg_constraint WHERE connamespace = 'torture'::regnamespace" \
             " AND contype IN ('p', 'f', 'x') GROUP BY 1 ORDER BY 1"
    run = {}
    for section in ("pre-data", "primary-keys", "post-data"):
        run[section] = run_module("pg_schema", given(source, target, sections=[section]))
        assert run[section].get("msg") is None and run[section]["changed"]
        assert not run_module("pg_schema", given(source, target, sections=[section]))["changed"]
        if section == "pre-data":
            assert target.query(counts) == []
            source_rows, target_rows = (side.query("SELECT count(*) FROM torture.types")[0][0]
                                        for side in (source, target))
            assert source_rows and not target_rows
        if section == "primary-keys":
            assert [kind for kind, _count in target.query(counts)] == ["p"]
            identity = "SELECT relreplident::text FROM pg_class WHERE oid = 'torture.unique_identity'::regclass"
            assert target.query(identity) == [("i",)]
    made = [query for query in run["post-data"]["queries"] if "FOREIGN KEY" in query or "VALIDATE" in query]
    plain = [query for query in made if "torture.events\n" in query]
    assert len(plain) == 1 and "NOT VALID" not in plain[0]  # up to 17 a partitioned table can't have it otherwise
    assert sum("NOT VALID;" in query for query in made) == sum("VALIDATE" in query for query in made) + 1 == 4
    validated = "SELECT conname::text, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2"
    assert target.query(validated) == source.query(validated)


def test_p38_a_foreign_key_that_was_left_unvalidated_is_only_validated(run_module, pair):
    source, target = pair(16, 18)
    source.run(SHOP)
    run_module("pg_schema", given(source, target))
    target.run("ALTER TABLE shop.orders DROP CONSTRAINT orders_customer_fkey")
    target.run("ALTER TABLE shop.orders ADD FOREIGN KEY (customer) REFERENCES shop.customers NOT VALID")
    did = run_module("pg_schema", given(source, target))
    assert did["queries"] == ["ALTER TABLE shop.orders VALIDATE CONSTRAINT orders_customer_fkey;"]


def test_an_interrupted_run_is_gone_on_with(run_module, begin_module, pair):
    source, target = pair(16, 18)
    source.run("CREATE SCHEMA s; " + "".join(f"CREATE TABLE s.t{n} (id serial PRIMARY KEY);" for n in range(150)))
    count = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= 16384"
    running = begin_module("pg_schema", given(source, target))
    wait_until(lambda: target.query(count)[0][0] > 20)
    running.send(signal.SIGKILL)
    running.text()
    wait_until(lambda: not target.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cloudpg.migration' AND datname = current_database()"
    ))
    assert target.query(count)[0][0] < 150
    did = run_module("pg_schema", given(source, target))
    assert did.get("msg") is None and did["changed"] and seen(target)[0] == seen(source)[0]


@pytest.mark.parametrize("more, there, left", [
    ({}, {"shop.customers", "shop.orders", "shop.paid", "audit.log", "audit.log_1", 'audit."of *"'}, {}),
    ({"tables": ["shop.customers"]}, {"shop.customers"}, {}),
    ({"tables": ["shop.orders"]}, {"shop.orders"},
     {"shop.orders orders_customer_fkey": "it needs shop.customers, which wasn't asked for"}),
    ({"tables": ["audit.log"]}, {"audit.log", "audit.log_1"}, {}),
    ({"schemas": ["audit"]}, {"audit.log", "audit.log_1", 'audit."of *"'},
     {"audit.of * of *_id_fkey": "it needs shop.orders, which wasn't asked for"}),
    ({"exclude": ["audit.log"]}, {"shop.customers", "shop.orders", "shop.paid", 'audit."of *"'},
     {"audit.log_1": "audit.log is excluded"}),
    ({"exclude": ["audit.*"]}, {"shop.customers", "shop.orders", "shop.paid"}, {}),
    ({"exclude": ["shop.orders"]}, {"shop.customers", "audit.log", "audit.log_1", 'audit."of *"'},
     {"shop.paid": "it needs TABLE shop.orders, which is left out"}),
])
def test_p49_only_what_was_asked_for_travels_with_what_it_needs(run_module, shop, more, there, left):
    would = run_module("pg_schema", given(*shop, **more), check=True)
    assert would.get("msg") is None
    made = [re.fullmatch("create (?:table(?! constraint)|view) (.*)", action) for action in would["actions"]]
    assert {one.group(1) for one in made if one} == there
    told = {one["name"]: one["reason"] for one in would["left_out"]}
    assert left.items() <= told.items() and would["left_out_count"] == len(would["left_out"])


def test_p49_what_was_asked_for_is_enough_to_be_made(run_module, pair):
    source, target = pair(16, 18)
    source.run(SHOP)
    more = {"tables": ["shop.orders", "audit.log"], "exclude": ["audit.*"]}
    did = run_module("pg_schema", given(source, target, tables=more["tables"]))
    assert did.get("msg") is None and relations(target) == {"shop.orders", "audit.log", "audit.log_1"}
    assert not run_module("pg_schema", given(source, target, tables=more["tables"]))["changed"]
    failed = run_module("pg_schema", given(source, target, **more))
    assert "tables names what can't be taken: audit.log" in failed["msg"]


def test_p49_what_cannot_travel_is_left_out_and_told(run_module, pair):
    source, target = pair(16, 18)
    source.run(SHOP + """
        CREATE PUBLICATION everything FOR TABLE shop.orders;
        CREATE SCHEMA cloudpg_migration;
        CREATE TABLE cloudpg_migration.event (id text);
    """)
    source.query("CREATE SUBSCRIPTION hidden CONNECTION 'host=127.0.0.1 port=1 password=very-secret' PUBLICATION p"
                 " WITH (connect = false, slot_name = NONE)")
    did = run_module("pg_schema", given(source, target))
    assert "very-secret" not in str(did) and {one["type"] for one in did["left_out"]} >= {"PUBLICATION"}
    assert target.query("SELECT nspname::text FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == []
    assert target.query("SELECT count(*) FROM pg_publication") == [(0,)]


def test_p49_an_extension_that_is_not_to_be_had_is_named_before_anything_is_done(run_module, pair):
    source, target = pair(15, 16)
    source.run("CREATE EXTENSION citext; CREATE TABLE public.mails (address citext PRIMARY KEY); CREATE TABLE plain ()")
    failed = run_module("pg_schema", given(source, target))
    assert failed["failed"] and "extensions citext aren't available" in failed["msg"] and relations(target) == set()
    did = run_module("pg_schema", given(source, target, extensions=[]))
    assert did.get("msg") is None and relations(target) == {"public.plain"}
    assert {one["name"]: one["reason"] for one in did["left_out"]}["public.mails"] == (
        "it needs EXTENSION citext, which is left out"
    )


def test_p49_extensions_travel_where_they_are_to_be_had(run_module, pair):
    source, target = pair(16, 18)
    source.query("CREATE EXTENSION vector SCHEMA public")
    source.run("CREATE TABLE public.points (id integer PRIMARY KEY, at vector(3))")
    as_boss = {"target": target.address("boss")}
    did = run_module("pg_schema", {**given(source, target), **as_boss})
    assert did.get("msg") is None and relations(target) == {"public.points"}
    assert target.query("SELECT extname::text FROM pg_extension ORDER BY 1") == [("plpgsql",), ("vector",)]
    assert not run_module("pg_schema", given(source, target))["changed"]


def test_p40_roles_that_are_missing_are_named_before_anything_is_done(run_module, pair):
    source, target = pair(16, 18)
    source.run(SHOP)
    source.query("CREATE ROLE only_here; GRANT only_here TO migration")
    try:
        source.query("GRANT CREATE ON SCHEMA shop TO only_here; ALTER TABLE shop.orders OWNER TO only_here")
        failed = run_module("pg_schema", given(source, target))
        assert failed["failed"] and "roles only_here don't exist on the target" in failed["msg"]
        assert relations(target) == set()
        did = run_module("pg_schema", given(source, target, owners=False, privileges=False))
        assert did.get("msg") is None and "shop.orders" in relations(target)
        owner = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = 'shop.orders'::regclass"
        assert target.query(owner) == [("migration",)]
        assert not run_module("pg_schema", given(source, target, owners=False, privileges=False))["changed"]
    finally:
        source.query("DROP OWNED BY only_here CASCADE; DROP ROLE only_here")


def test_another_owner_who_may_create_there_gets_his_table(run_module, pair):
    source, target = pair(16, 18)
    source.run(SHOP)
    for side in (source, target):
        side.query("GRANT plain TO migration")
    source.query("GRANT CREATE, USAGE ON SCHEMA shop TO plain; ALTER TABLE shop.orders OWNER TO plain")
    source.query("GRANT CREATE ON SCHEMA public TO plain")
    failed = run_module("pg_schema", {**given(source, target), "target": target.address("owner")})
    assert "can't make plain owner of anything" in failed["msg"] and relations(target) == set()
    assert run_module("pg_schema", given(source, target)).get("msg") is None
    owner = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = 'shop.orders'::regclass"
    assert target.query(owner) == [("plain",)]
    assert target.query("SELECT has_schema_privilege('plain', 'public', 'CREATE')") == [(True,)]
    assert not run_module("pg_schema", given(source, target))["changed"]
    for side in (source, target):
        side.query("REVOKE plain FROM migration")


def test_what_looks_different_is_a_failure_before_anything_is_done(run_module, pair):
    source, target = pair(15, 16)
    source.run(SHOP)
    target.run("CREATE SCHEMA shop; CREATE TABLE shop.customers (id bigint, name text)")
    failed = run_module("pg_schema", given(source, target))
    assert failed["failed"] and "table shop.customers" in failed["msg"] and "id bigint" in failed["msg"]
    assert relations(target) == {"shop.customers"}
    told = run_module("pg_schema", given(source, target, on_difference="report"), check=True)
    assert [one["object"] for one in told["different"]] == ["table shop.customers"]


def test_p38_p45_what_a_copy_has_built_is_recognised_and_the_rest_is_made(run_module, pair):
    source, target = pair(15, 16)
    source.run(TORTURE)
    assert run_module("pg_schema", given(source, target, sections=["pre-data"])).get("msg") is None
    copied = run_module("pg_copy", {
        "source": source.address(), "target": target.address(), "migration": "shop", "follow": False,
    })
    assert copied.get("msg") is None, copied
    rest = run_module("pg_schema", given(source, target))
    assert rest.get("msg") is None and rest["different"] == []
    assert "create index torture.sums_region" in rest["actions"]
    assert not any(action.startswith("create index torture.types_") for action in rest["actions"])
    sums = "SELECT region, amount FROM torture.sums ORDER BY 1"
    assert target.query(sums) == source.query(sums) and target.query("SELECT most FROM torture.of_sums")[0][0]
    assert not run_module("pg_schema", given(source, target))["changed"]


def test_p38_an_invalid_index_is_no_index(run_module, pair):
    source, target = pair(15, 16)
    source.run(SHOP)
    run_module("pg_schema", given(source, target))
    target.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.orders_state'::regclass")
    failed = run_module("pg_schema", given(source, target))
    assert failed["failed"] and "index shop.orders_state" in failed["msg"] and "(invalid)" in failed["msg"]


def test_an_error_ends_the_run_unless_it_is_tolerated(run_module, pair):
    source, target = pair(15, 16)
    source.run(SHOP)
    source.query("""
        CREATE FUNCTION shop.look() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        ALTER FUNCTION shop.look() OWNER TO owner;
        CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION shop.look()""")
    failed = run_module("pg_schema", given(source, target, owners=False))
    assert failed["failed"] and failed["code"] == "42501" and "create event trigger watch" in failed["msg"]
    assert failed["statements"][0]["status"] == "failed" and failed["statements"][0]["type"] == "EVENT TRIGGER"
    assert "shop.orders" in relations(target) and failed["changed"]
    rule = {"type": "EVENT TRIGGER", "sqlstate": "42501", "reason": "the service gives no superuser"}
    did = run_module("pg_schema", given(source, target, owners=False, tolerate=[rule]))
    assert did.get("msg") is None and rule in did["tolerance"] and not did["changed"]
    assert [one["action"] for one in did["tolerated"]] == ["create event trigger watch"]


def test_a_password_of_a_user_mapping_is_shown_nowhere(run_module, pair):
    source, target = pair(16, 18)
    source.query("""
        CREATE FOREIGN DATA WRAPPER anything;
        CREATE SERVER far FOREIGN DATA WRAPPER anything OPTIONS (host 'far.example.com');
        CREATE USER MAPPING FOR owner SERVER far OPTIONS (user 'x', password 'the-far-password');
        ALTER SERVER far OWNER TO owner""")
    sides = {"source": source.address("boss"), "target": target.address("boss")}
    did = run_module("pg_schema", {**given(source, target), **sides}, diff=True)
    assert did.get("msg") is None and "the-far-password" not in str(did)
    assert "create user mapping owner on server far" in did["actions"]
    assert "the-far-password" in str(target.query("SELECT umoptions FROM pg_user_mapping"))
    assert not run_module("pg_schema", {**given(source, target), **sides})["changed"]


def test_the_password_reaches_the_programs_by_their_environment_only(run_module, pair, tmp_path):
    source, target = pair(15, 16)
    source.run(SHOP)
    tmp_path.chmod(0o755)
    for name in ("pg_dump", "pg_restore"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] || {{ echo "$@"; env; }} > {tmp_path}/{name}.told\n'
            f'exec {source.bindir}/{name} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    did = run_module("pg_schema", {**given(source, target), "bindir": str(tmp_path)})
    assert did.get("msg") is None
    dump, restore = ((tmp_path / f"{name}.told").read_text(encoding="utf-8") for name in ("pg_dump", "pg_restore"))
    assert SECRET not in dump.splitlines()[0] and f"PGPASSWORD={SECRET}" in dump
    assert SECRET not in restore
    # A program that fails gives away nothing either.
    (tmp_path / "pg_dump").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 16.1" && exit\n'
        'echo "pg_dump: error: no way in with $PGPASSWORD" >&2; exit 1\n', encoding="utf-8")
    failed = run_module("pg_schema", {**given(source, target), "bindir": str(tmp_path)})
    assert failed["failed"] and "no way in with ********" in failed["msg"]


@pytest.mark.parametrize("more, said", [
    ({"bindir": "/nowhere"}, "in bindir /nowhere is none (P37)"),
    ({"bindir": "OLDER"}, "pg_dump must be of major 18 or newer, as the source is"),
    ({"tables": ["shop.nothing"]}, "tables names what can't be taken: shop.nothing"),
    ({"tables": ["audit.log_1"]}, "tables names what can't be taken: audit.log_1"),
    ({"database": "no_such_database"}, "no_such_database"),
    ({"target": {"host": None}}, "target.host is empty"),
])
def test_p37_bad_input_is_named_before_anything_is_done(run_module, shop, more, said):
    source, target = shop
    more = {name: target.bindir if value == "OLDER" else value for name, value in more.items()}
    failed = run_module("pg_schema", {**given(source, target), **more})
    assert failed["failed"] and said in failed["msg"] and relations(target) == set()


def test_a_login_that_may_not_read_the_source_or_write_the_target_is_told_so(run_module, shop):
    source, target = shop
    failed = run_module("pg_schema", {**given(source, target), "source": source.address("plain")})
    assert failed["failed"] and "permission denied" in failed["msg"] and "pg_read_all_data" in failed["msg"]
    failed = run_module("pg_schema", {**given(source, target), "target": target.address("plain"), "owners": False})
    assert failed["failed"] and failed["code"] == "42501" and failed["changed"] is False


def test_what_is_not_there_yet_is_planned_in_check_mode(run_module, shop):
    source, target = shop
    nowhere = {"host": None, "user": "migration"}
    would = run_module("pg_schema", {**given(source, target), "target": nowhere}, check=True)
    assert would["changed"] and "create table shop.orders" in would["actions"]
    nothing = run_module("pg_schema", {**given(source, target), "source": nowhere, "target": nowhere}, check=True)
    assert (nothing["changed"], nothing["actions"]) == (False, [])


def test_programs_are_found_without_being_told(run_module, pair, monkeypatch):
    source, target = pair(15, 16)
    source.run(SHOP)
    monkeypatch.setenv("PATH", f"{source.bindir}{os.pathsep}{os.environ['PATH']}")
    did = run_module("pg_schema", {**given(source, target), "bindir": None})
    assert did.get("msg") is None and "shop.orders" in relations(target)
