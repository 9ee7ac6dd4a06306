# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_compare between real servers of different majors."""

from __future__ import annotations

from pathlib import Path

import pytest

TORTURE = (Path(__file__).parent / "torture.sql").read_text()
# Each side's pair of databases stays as it is for tests which only read.
MAJORS = [(15, 16), (15, 18), (16, 18), (18, 16)]


def both(source, target, **more):
    return {"source": source.address(), "target": target.address(), **more}


def alike(pair, majors=(16, 18), statements=TORTURE):
    sides = pair(*majors)
    for side in sides:
        side.run(statements)
    return sides


def keys_of(result):
    return {
        one["table"]: {(tuple(key["key"].values()), key["difference"]) for key in one["keys"]}
        for one in result["row_differences"]
    }


@pytest.mark.parametrize("majors", MAJORS, ids="{0[0]}to{0[1]}".format)
def test_p48_everything_that_goes_wrong_in_migrations_is_alike_on_two_majors(pair, run_module, majors):
    result = run_module("pg_compare", both(*alike(pair, majors)), check=True)
    assert not result.get("failed"), result["msg"]
    assert (result["equal"], result["changed"], result["not_compared"]) == (True, False, [])
    assert result["compared"]["tables"] == 32 and result["compared"]["rows"] == 432
    assert result["compared"]["objects"] > 300


ROWS = {
    "a value": ("UPDATE torture.types SET raw = raw || '\\x00' WHERE id = 5", "torture.types",
                {(("5",), "different")}),
    "minus zero": ("UPDATE torture.types SET approximate = 0 WHERE id = 1002", "torture.types",
                   {(("1002",), "different")}),
    "trailing zeros": ("UPDATE torture.types SET exact = round(exact, 30) WHERE id = 3", "torture.types",
                       {(("3",), "different")}),
    "empty for null": ("UPDATE torture.\"ä23456789_123456789_123456789_123456789_123456789_123456789_12\""
                       " SET \"%s %% {} :name $1\" = '' WHERE id = 2",
                       'torture."ä23456789_123456789_123456789_123456789_123456789_123456789_12"',
                       {(("2",), "different")}),
    "a row more": ("INSERT INTO torture.tree VALUES (4711, NULL)", "torture.tree", {(("4711",), "only on the target")}),
    "a row less": ("DELETE FROM torture.event_notes WHERE id = 7", "torture.event_notes",
                   {(("7",), "missing on the target")}),
    "a partition of three levels": (
        "UPDATE torture.events SET amount = 1 WHERE id = 60", 'torture."Events EU 2026 #0"',
        {(("60", "de", "2026-01-30"), "different")},
    ),
    "a child of a table": ("UPDATE torture.truck SET payload = 9 WHERE payload = 2000", "torture.truck", set()),
    "columns that changed places": (
        "UPDATE torture.unique_identity SET code = 'c' || version || 'x' WHERE code = 'c9'", "torture.unique_identity",
        {(("c9", "0"), "missing on the target"), (("c0x", "0"), "only on the target")},
    ),
}


def test_w8_rows_that_differ_fail_and_are_named_by_their_keys(pair, run_module):
    source, target = alike(pair)
    for statement, _table, _keys in ROWS.values():
        target.query("SET session_replication_role = replica; " + statement)
    result = run_module("pg_compare", both(source, target, objects=[]))
    told = run_module("pg_compare", both(source, target, objects=[], fail_on_difference=False))
    assert result["failed"] and "torture." in result["msg"]
    assert not told.get("failed") and told["equal"] is False and not told["changed"]
    expected = {}
    for _statement, table, keys in ROWS.values():
        expected.setdefault(table, set()).update(keys)
    found = keys_of(result)
    assert {difference for _hash, difference in found.pop("torture.truck")} == {
        "missing on the target", "only on the target",
    }
    expected.pop("torture.truck")
    assert found == expected


def test_p48_tables_without_a_key_are_multisets(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE bag (what text, n integer)")
    source.run("INSERT INTO bag VALUES ('a', 1), ('a', 1), ('b', 2), (NULL, NULL)")
    target.run("INSERT INTO bag VALUES (NULL, NULL), ('b', 2), ('a', 1), ('a', 1)")
    assert run_module("pg_compare", both(source, target))["equal"] is True
    target.run("DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag WHERE what = 'a')")
    target.run("INSERT INTO bag VALUES ('b', 2)")
    result = run_module("pg_compare", both(source, target))
    [found] = result["row_differences"]
    assert (found["source_rows"], found["target_rows"], found["key_count"]) == (4, 4, 2)
    assert {key["difference"] for key in found["keys"]} == {
        "2 times on the source, 1 times on the target", "1 times on the source, 2 times on the target",
    }
    # Rows are never shown: the hash stands for them.
    assert all(set(key["key"]) == {"row hash"} for key in found["keys"])


def test_a_null_under_a_constraint_that_is_not_validated_is_seen(pair, run_module):
    source, target = alike(pair, (16, 18), "CREATE TABLE t (id int PRIMARY KEY, what text)")
    target.run("INSERT INTO t VALUES (1, NULL)")
    target.run("ALTER TABLE t ADD CONSTRAINT there NOT NULL what NOT VALID")
    source.run("INSERT INTO t VALUES (1, 'x')")
    asked = both(source, target, objects=[])
    assert keys_of(run_module("pg_compare", asked)) == {"public.t": {(("1",), "different")}}
    source.run("UPDATE t SET what = ''")
    assert run_module("pg_compare", asked)["failed"]
    source.run("UPDATE t SET what = NULL")
    assert run_module("pg_compare", asked)["equal"] is True


def test_p47_settings_of_a_login_make_no_difference(pair, run_module):
    source, target = alike(pair)
    for setting in ("DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kolkata'", "IntervalStyle = 'sql_standard'",
                    "extra_float_digits = -5", "bytea_output = 'escape'", "search_path = torture"):
        target.query(f"ALTER ROLE migration IN DATABASE {target.database} SET {setting}")
    result = run_module("pg_compare", both(source, target, objects=["columns", "indexes", "views", "constraints"]))
    assert result["equal"] is True, result


OBJECTS = {
    "schemas": ("CREATE SCHEMA more", ("more", "")),
    "types": ("ALTER TYPE torture.\"Mood\" ADD VALUE 'new'", ('torture."Mood"', "")),
    "tables": ("ALTER TABLE torture.tree SET (fillfactor = 50)", ("torture.tree", "")),
    "columns": ("ALTER TABLE torture.tree ALTER parent SET DEFAULT 1", ("torture.tree", "parent")),
    "indexes": ("DROP INDEX torture.types_brin", ("torture.types", "types_brin")),
    "constraints": ("ALTER TABLE torture.tree DROP CONSTRAINT tree_parent_fkey", ("torture.tree", "tree_parent_fkey")),
    "sequences": ("ALTER SEQUENCE torture.used CACHE 9", ("torture.used", "")),
    "functions": ("ALTER FUNCTION torture.double(integer) SECURITY DEFINER", ("torture.double(value integer)", "")),
    "triggers": ("ALTER TABLE torture.triggered ENABLE ALWAYS TRIGGER touch", ("torture.triggered", "touch")),
    "views": ("CREATE OR REPLACE VIEW torture.circle AS SELECT 3 AS id, 'x'::text AS name", ("torture.circle", "")),
    "rules": ("DROP RULE \"Also log\" ON torture.ruled", ("torture.ruled", "Also log")),
    "policies": ("DROP POLICY never ON torture.secrets", ("torture.secrets", "never")),
    "statistics": ("DROP STATISTICS torture.related", ("torture.generated", "related")),
    "operators": ("DROP OPERATOR torture.=%= (integer, integer)", ("torture.=%=(integer, integer)", "")),
    "grants": ("REVOKE SELECT ON torture.secrets FROM pg_monitor", ("table torture.secrets", "pg_monitor")),
    "comments": ("COMMENT ON INDEX torture.types_hash IS 'other'", ("torture.types_hash", "index")),
}


def test_objects_that_differ_are_named_with_both_definitions(pair, run_module):
    source, target = alike(pair)
    for statement, _named in OBJECTS.values():
        target.run(statement)
    target.query("ALTER TABLE torture.log OWNER TO boss")
    target.query(f"ALTER DATABASE {target.database} SET work_mem = '7MB'")
    target.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'torture.types_hash'::regclass")
    result = run_module("pg_compare", both(source, target, rows="none"))
    assert result["failed"]
    found = {(one["class"], one["object"], one["part"]): one for one in result["object_differences"]}
    expected = {(name, *thing) for name, (_statement, thing) in OBJECTS.items()} | {
        ("owners", "torture.log", ""), ("settings", "database", "work_mem"),
        # What is not valid is no index (P38).
        ("indexes", "torture.types", "types_hash"),
    }
    assert set(found) == expected
    assert found["indexes", "torture.types", "types_brin"]["target"] is None
    assert found["indexes", "torture.types", "types_hash"]["target"].endswith(" INVALID")
    assert found["columns", "torture.tree", "parent"]["target"] == "integer default 1"
    assert result["compared"]["tables"] == 0


def test_what_is_excluded_is_no_difference(pair, run_module):
    source, target = alike(pair)
    target.run("DROP INDEX torture.types_brin; DELETE FROM torture.log; CREATE TABLE torture.mine (); "
               "UPDATE torture.events SET amount = 1 WHERE id < 20")
    left = both(source, target, exclude=["torture.types.types_brin", "torture.lo*", "torture.mine"])
    result = run_module("pg_compare", {**left, "exclude": [*left["exclude"], "torture.events"]})
    assert result["equal"] is True, result
    result = run_module("pg_compare", left)
    assert {one["table"].partition(".")[2].strip('"')[:6].lower() for one in result["row_differences"]} == {"events"}
    chosen = run_module("pg_compare", both(source, target, tables=["torture.tree"], schemas=["public"]))
    assert chosen["equal"] is True and chosen["compared"]["tables"] == 1


def test_p5_partitions_of_another_layout_are_compared_as_one_table(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE e (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
    source.run("CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (50);"
               "CREATE TABLE e2 PARTITION OF e FOR VALUES FROM (50) TO (100)")
    target.run("CREATE TABLE ex PARTITION OF e FOR VALUES FROM (0) TO (100)")
    for side in (source, target):
        side.run("INSERT INTO e SELECT n, 'v' || n FROM generate_series(1, 99) n")
    result = run_module("pg_compare", both(source, target, objects=[]))
    assert result["equal"] is True and result["compared"]["tables"] == 1
    target.run("UPDATE e SET v = 'w' WHERE id = 51")
    assert keys_of(run_module("pg_compare", both(source, target, objects=[]))) == {
        "public.e": {(("51",), "different")}
    }


def test_p57_databases_of_different_encodings_are_compared_by_their_characters(server_of, side_of, run_module):
    server, other = server_of(16), server_of(18)
    for one, encoding in ((server, "LATIN1"), (other, "UTF8")):
        one.query("DROP DATABASE IF EXISTS encoded")
        one.query(f"CREATE DATABASE encoded OWNER owner ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    source, target = side_of(server, "encoded"), side_of(other, "encoded")
    try:
        for side in (source, target):
            side.run("CREATE TABLE t (id int PRIMARY KEY, what text); INSERT INTO t VALUES (1, 'größer'), (2, 'plain')")
        assert run_module("pg_compare", both(source, target, objects=[]))["equal"] is True
        target.run("UPDATE t SET what = 'grösser' WHERE id = 1")
        assert keys_of(run_module("pg_compare", both(source, target, objects=[]))) == {
            "public.t": {(("1",), "different")}
        }
    finally:
        for one in (server, other):
            one.query("DROP DATABASE encoded WITH (FORCE)")


def test_p53_a_big_table_is_read_in_ranges_which_add_up(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE big (id int, what text)")
    for side, order in ((source, "n"), (target, "-n")):
        side.run("ALTER TABLE big ALTER what SET STORAGE PLAIN")
        side.run(f"INSERT INTO big SELECT n, repeat('x', 5000) FROM generate_series(1, 9000) n ORDER BY {order}")
    result = run_module("pg_compare", both(source, target))
    assert result["equal"] is True, result
    assert result["compared"]["rows"] == 9000 and result["compared"]["bytes"] > 64 * 1024 ** 2
    target.run("UPDATE big SET what = 'y' WHERE id = 8999; CREATE UNIQUE INDEX ON big (id)")
    [found] = run_module("pg_compare", both(source, target, objects=[]))["row_differences"]
    assert found["key_count"] == 2 and found["complete"]


def test_differences_without_end_are_counted_up_to_some_hundred_keys(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE t (id int PRIMARY KEY)")
    source.run("INSERT INTO t SELECT generate_series(1, 5000)")
    result = run_module("pg_compare", both(source, target))
    [found] = result["row_differences"]
    assert len(found["keys"]) == 100 and found["key_count"] >= 100
    assert (found["source_rows"], found["target_rows"]) == (5000, 0)
    assert len(result["msg"]) < 1000


def test_a_table_or_a_column_that_is_missing_is_a_difference_of_the_rows_too(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE a (id int); CREATE TABLE b (id int, more int)")
    target.run("DROP TABLE a; ALTER TABLE b DROP more; CREATE TABLE c ()")
    result = run_module("pg_compare", both(source, target, objects=[]))
    assert {one["table"]: one["reason"] for one in result["row_differences"]} == {
        "public.a": "is missing on the target", "public.b": "lacks columns on the target: more",
        "public.c": "is only on the target",
    }


def test_p1_an_unlogged_table_that_is_empty_says_why(pair, run_module):
    source, target = alike(pair)
    target.run("TRUNCATE torture.scratch")
    result = run_module("pg_compare", both(source, target, objects=[]))
    assert result["failed"] and "unlogged" in result["msg"] and "P1" in result["msg"]


def test_p41_rows_that_a_policy_hides_fail_instead_of_being_alike(pair, run_module):
    source, target = alike(pair)
    for side in (source, target):
        side.run("GRANT USAGE ON SCHEMA torture TO plain; GRANT SELECT ON torture.secrets TO plain")
    given = {"source": source.address("plain"), "target": target.address("plain"), "objects": []}
    result = run_module("pg_compare", {**given, "tables": ["torture.secrets"], "fail_on_difference": False})
    assert result["failed"] and "row-level security" in result["msg"]


WRONG = [
    ({"tables": ["torture.nothing"]}, "no table torture.nothing"),
    ({"live": True}, "Cure: give migration, or slot"),
    ({"max_jobs": 0}, "max_jobs"),
    ({"database": "nowhere"}, "nowhere"),
    ({"objects": ["table"]}, "value of objects must be one or more of"),
    ({"live": True, "slot": "no_such_slot", "objects": []}, "no slot no_such_slot"),
]


def test_p48_what_cannot_be_compared_fails_whatever_is_asked(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE t (id int)")
    target.run("INSERT INTO t VALUES (1)")
    for change, said in WRONG:
        result = run_module("pg_compare", both(source, target, fail_on_difference=False, **change))
        assert result.get("failed") and said in result["msg"], (change, result)


def test_p48_a_table_that_may_not_be_read_fails(pair, run_module):
    source, target = alike(pair, statements="CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    given = {"source": source.address("plain"), "target": target.address(), "fail_on_difference": False}
    result = run_module("pg_compare", given)
    assert result["failed"] and result["code"] == "42501"


def test_a_target_that_is_not_there_yet_is_nothing_to_compare_with_in_check_mode_only(pair, run_module):
    source, _target = alike(pair, statements="CREATE TABLE t (id int)")
    given = {"source": source.address(), "target": {"host": None}}
    assert run_module("pg_compare", given, check=True)["equal"] is None
    assert run_module("pg_compare", given)["failed"]
