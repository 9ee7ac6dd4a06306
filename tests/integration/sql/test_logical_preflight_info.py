# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""logical_preflight_info between real servers of different majors."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

TORTURE = (Path(__file__).parent / "torture.sql").read_text()
# What the shared servers always have to say, whatever is in the databases.
OF_SERVERS = {
    "no-origin-filter", "slot-lost-on-failover", "no-disable-on-error", "orphan-slot", "long-transaction",
    "prepared-transaction", "target-older", "login-cannot-subscribe", "slot-may-be-lost",
}


def given(source, target, **more):
    return {
        "source": source.address(), "target": target.address(), "migration": "orders",
        "databases": [source.database], **more,
    }


def told(result):
    """Ids with their objects, without the database before them and without what is the servers' own."""
    assert not result.get("failed"), result
    assert all(one["reason"] and one["cure"] for one in result["findings"])
    return {
        (one["id"], one["object"].partition("/")[2] or one["object"]) for one in result["findings"]
        if one["id"] not in OF_SERVERS
    }


def test_a_database_that_has_all_it_needs_raises_no_finding(pair, run_module):
    source, target = pair(16, 18)
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    result = run_module("logical_preflight_info", given(source, target), check=True)
    assert told(result) == set()
    assert result["databases"] == [{
        "name": source.database, "tables": 1, "on_target": True, "encoding": "UTF8",
        "size_bytes": result["databases"][0]["size_bytes"],
    }]
    assert (result["source"]["version_num"] // 10000, result["target"]["version_num"] // 10000) == (16, 18)


def test_everything_that_goes_wrong_in_migrations_is_found_beforehand(pair, run_module):
    source, target = pair(15, 18)
    source.run(TORTURE)
    target.run("CREATE SCHEMA torture; CREATE TABLE torture.tree (id int); INSERT INTO torture.tree VALUES (1)")
    source.run("ALTER TABLE torture.triggered ENABLE ALWAYS TRIGGER touch")
    source.run("CREATE TABLE torture.jsons (what json); ALTER TABLE torture.jsons REPLICA IDENTITY FULL")
    result = run_module("logical_preflight_info", given(source, target))
    found = told(result)
    facts = {one["id"]: one["fact"] for one in result["findings"]}
    for id, name, fact in (
        ("unlogged-table", "torture.scratch", "P1"),
        ("large-objects", source.database, "P1"),
        ("materialized-view", "torture.sums", "P45"),
        ("table-without-identity", "torture.no_key", "P2"),
        ("table-without-identity", "torture.deferrable_keys", "P2"),
        ("identity-full", "torture.full_identity", "P4"),
        ("identity-not-comparable", "torture.jsons", "P4"),
        ("generated-columns", "torture.generated", "P21"),
        ("trigger-fires-on-apply", "torture.triggered.touch", "P8"),
        ("target-not-empty", "torture.tree", "P55"),
    ):
        assert (id, name) in found and facts[id] == fact, (id, name)
    severities = [one["severity"] for one in result["findings"]]
    assert severities == sorted(severities)


def test_p3_p4_identities_that_may_be_set_are_no_hindrance(pair, run_module):
    source, target = pair(16, 18)
    source.run("CREATE TABLE u (id int NOT NULL UNIQUE); CREATE TABLE n (id int UNIQUE)")
    assert told(run_module("logical_preflight_info", given(source, target))) == {
        ("table-without-identity", "public.u"), ("table-without-identity", "public.n"),
    }
    assert told(run_module("logical_preflight_info", given(source, target, using_index=["*"]))) == {
        ("table-without-identity", "public.n"),
    }
    allowed = given(source, target, using_index=["*"], full=["public.n"])
    assert told(run_module("logical_preflight_info", allowed)) == set()


def test_only_what_is_chosen_is_looked_at(pair, run_module):
    source, target = pair(16, 18)
    source.run(TORTURE)
    result = run_module("logical_preflight_info", given(source, target, tables=["torture.events", "torture.tree"]))
    assert told(result) == {
        ("large-objects", source.database), ("foreign-key-leaves-selection", "torture.event_notes."
                                             "event_notes_event_region_at_fkey"),
        ("foreign-key-leaves-selection", "torture.orphans.of_a_tree"),
    }
    assert result["databases"][0]["tables"] == 5
    absent = run_module("logical_preflight_info", given(source, target, tables=["torture.nothing"]))
    assert absent["failed"] and "torture.nothing" in absent["msg"]


def test_p9_p36_what_holds_a_slot_up_is_named(pair, run_module):
    source, target = pair(16, 18)
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    with closing(source.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left behind'")
    result = run_module("logical_preflight_info", given(source, target))
    [finding] = [one for one in result["findings"] if one["object"] == f"{source.database}/left behind"]
    assert (finding["id"], finding["severity"], finding["fact"]) == ("prepared-transaction", "blocker", "P9")
    source.query("ROLLBACK PREPARED 'left behind'")
    assert "prepared-transaction" not in {
        one["id"] for one in run_module("logical_preflight_info", given(source, target))["findings"]
    }


def test_p13_p57_slots_and_subscriptions_of_others_are_named_ours_are_not(pair, run_module):
    source, target = pair(16, 18)
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    for slot in ("someone", "cloudpg_orders"):
        source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"{slot}_{source.database}"])
    for name in ("other", "cloudpg_orders"):
        source.query(
            f"CREATE SUBSCRIPTION {name} CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p"
            f" WITH (connect = false, slot_name = '{name}')"
        )
        source.query(f"ALTER SUBSCRIPTION {name} ENABLE")
    result = run_module("logical_preflight_info", given(source, target))
    found = {(one["id"], one["object"]) for one in result["findings"]}
    assert ("orphan-slot", f"someone_{source.database}") in found
    assert ("orphan-slot", f"cloudpg_orders_{source.database}") not in found
    assert told(result) == {("source-subscribes", "other")}


def test_p41_p48_rights_that_are_missing_are_findings(pair, run_module):
    source, target = pair(16, 18)
    source.run(
        "CREATE TABLE closed (id int PRIMARY KEY); CREATE TABLE hidden (id int PRIMARY KEY);"
        "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; GRANT SELECT ON hidden TO plain"
    )
    asked = {**given(source, target), "source": source.address("plain"), "target": target.address("plain")}
    result = run_module("logical_preflight_info", asked)
    assert told(result) | {(one["id"], one["object"]) for one in result["findings"]} >= {
        ("login-lacks-monitor", "source/plain"), ("login-lacks-replication", "source/plain"),
        ("login-cannot-subscribe", "target/plain"), ("target-login-lacks-monitor", "target/plain"),
        ("table-not-readable", "public.closed"), ("table-not-owned", "public.hidden"),
        ("row-security", "public.hidden"), ("database-create", source.database),
        ("target-database-create", target.database),
    }


def test_what_this_migration_brought_is_no_hindrance(pair, run_module):
    source, target = pair(16, 18)
    for side in (source, target):
        side.run("CREATE TABLE t (id int PRIMARY KEY)")
    target.run("INSERT INTO t VALUES (1)")
    assert told(run_module("logical_preflight_info", given(source, target))) == {("target-not-empty", "public.t")}
    target.run("CREATE SCHEMA cloudpg_migration; CREATE TABLE cloudpg_migration.copy_run (migration text)", "migration")
    target.run("INSERT INTO cloudpg_migration.copy_run VALUES ('billing')", "migration")
    assert told(run_module("logical_preflight_info", given(source, target))) == {("target-not-empty", "public.t")}
    target.run("INSERT INTO cloudpg_migration.copy_run VALUES ('orders')", "migration")
    assert told(run_module("logical_preflight_info", given(source, target))) == set()


@pytest.mark.parametrize(("create", "expected"), [
    (False, {("database-missing", "only_here")}), (True, {("login-cannot-create-database", "migration")}),
])
def test_p57_a_database_that_the_target_lacks(server_of, side_of, run_module, create, expected):
    source, target = side_of(server_of(16), "only_here"), side_of(server_of(18), "postgres")
    source.server.query("CREATE DATABASE only_here OWNER owner")
    try:
        source.run("CREATE TABLE t (id int PRIMARY KEY)")
        assert told(run_module("logical_preflight_info", given(source, target, create_databases=create))) == expected
    finally:
        source.server.query("DROP DATABASE only_here WITH (FORCE)")


def test_p57_p42_text_that_means_something_else_there(server_of, side_of, run_module):
    sides = []
    for major, encoding in ((16, "UTF8"), (18, "LATIN1")):
        server = server_of(major)
        server.query(f"CREATE DATABASE texts OWNER owner ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        sides.append(side_of(server, "texts"))
    try:
        sides[0].run("CREATE TABLE t (id int PRIMARY KEY)")
        assert told(run_module("logical_preflight_info", given(*sides))) == {("encoding-narrower", "texts")}
    finally:
        for side in sides:
            side.server.query("DROP DATABASE texts WITH (FORCE)")


def test_a_target_that_is_not_there_yet_leaves_the_source_to_look_at_where_that_is_meant(pair, run_module):
    source, _target = pair(16, 18)
    source.run("CREATE TABLE t (what text)")
    asked = {"source": source.address(), "target": {"host": None}, "migration": "orders",
             "databases": [source.database]}
    result = run_module("logical_preflight_info", asked, check=True)
    assert told(result) == {("table-without-identity", "public.t")} and result["target"] is None
    assert run_module("logical_preflight_info", asked)["failed"]
    later = run_module("logical_preflight_info", {**asked, "target_later": True})
    assert (told(later), later["target"]) == (told(result), None)
    assert run_module("logical_preflight_info", {**asked, "source": {"host": None}}, check=True)["findings"] == []


def test_p48_a_database_that_is_not_there_fails(pair, run_module):
    source, target = pair(16, 18)
    result = run_module("logical_preflight_info", {**given(source, target), "databases": ["nowhere"]})
    assert result["failed"] and "nowhere" in result["msg"]
