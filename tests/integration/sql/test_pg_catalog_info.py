# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_catalog_info on real servers: what changed since a fingerprint was taken."""

from __future__ import annotations

from pathlib import Path

TORTURE = (Path(__file__).parent / "torture.sql").read_text()
# Not DDL, or what a migration does itself: no change.
HARMLESS = """
    SELECT nextval('torture.used');
    INSERT INTO torture.tree VALUES (4711, NULL);
    CREATE TEMPORARY TABLE mine (id int);
    ANALYZE torture.types;
    CREATE SCHEMA cloudpg_migration;
    CREATE TABLE cloudpg_migration.event (id int)
"""
DDL = {
    ("columns", "torture.tree", "changed"): "ALTER TABLE torture.tree ADD more text",
    ("tables", "torture.fresh", "added"): "CREATE TABLE torture.fresh ()",
    ("views", "torture.happier", "removed"): "DROP VIEW torture.happier",
    ("indexes", "torture.types", "changed"): "DROP INDEX torture.types_brin",
    ("functions", "torture.double(value integer)", "changed"):
        "CREATE OR REPLACE FUNCTION torture.double(value integer) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
    ("identities", "torture.log", "changed"): "ALTER TABLE torture.log REPLICA IDENTITY FULL",
    ("sequences", "torture.cached", "changed"): "ALTER SEQUENCE torture.cached INCREMENT 7",
    ("owners", "torture.fresh", "added"): "SELECT",
    ("owners", "torture.happier", "removed"): "SELECT",
    ("identities", "torture.fresh", "added"): "SELECT",
    ("grants", "table torture.fresh", "added"): "SELECT",
}


def test_p50_ddl_since_a_fingerprint_is_found_object_by_object(pair, run_module):
    server, _other = pair(15, 18)
    server.run(TORTURE)
    given = {"server": server.address()}
    before = run_module("pg_catalog_info", given, check=True)
    assert before["change_count"] is None and before["changes"] == [] and not before["changed"]
    assert set(before["fingerprint"]["classes"]) >= {"tables", "columns", "grants", "settings"}

    server.query(HARMLESS)
    same = run_module("pg_catalog_info", {**given, "since": before["fingerprint"]})
    assert (same["change_count"], same["fingerprint"]) == (0, before["fingerprint"]), same["changes"]

    server.run("; ".join(DDL.values()))
    found = run_module("pg_catalog_info", {**given, "since": before["fingerprint"]})
    assert {(one["class"], one["object"], one["change"]) for one in found["changes"]} == set(DDL)
    assert found["change_count"] == len(DDL) and found["fingerprint"]["hash"] != before["fingerprint"]["hash"]

    some = run_module("pg_catalog_info", {**given, "since": before["fingerprint"], "objects": ["sequences"]})
    assert [one["object"] for one in some["changes"]] == ["torture.cached"]


def test_p48_what_is_no_fingerprint_is_no_pass(pair, run_module):
    server, _other = pair(16, 18)
    for wrong in ({}, {"format": 99, "objects": ""}, {"format": 1, "objects": "bm90IHppcHBlZA=="}):
        told = run_module("pg_catalog_info", {"server": server.address("plain"), "since": wrong})
        assert told["failed"] and "fingerprint" in told["msg"]


def test_a_server_that_is_not_there_yet_has_no_fingerprint_in_check_mode_only(run_module):
    given = {"server": {"host": None}}
    assert run_module("pg_catalog_info", given, check=True)["fingerprint"] is None
    assert run_module("pg_catalog_info", given)["failed"]
