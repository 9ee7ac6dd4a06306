# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database that waits for a copy: found empty, filled by a try that failed, and emptied again (S18)."""

from __future__ import annotations

import pytest

from .cutover_stand import Estate

EVERYTHING = """
    CREATE SCHEMA "Odd %s";
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN "Odd %s".small AS int CHECK (VALUE < 10);
    CREATE FUNCTION low(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
    CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION always() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE AGGREGATE longest(text) (SFUNC = textcat, STYPE = text);
    CREATE FUNCTION plus(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1 + 1';
    CREATE AGGREGATE counted(*) (SFUNC = plus, STYPE = bigint, INITCOND = '0');
    CREATE TABLE "Orders of %s" (id bigserial PRIMARY KEY, feels mood, n int GENERATED ALWAYS AS IDENTITY);
    CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE parts_one PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE lines (of bigint REFERENCES "Orders of %s", small "Odd %s".small);
    CREATE INDEX ON lines (of);
    CREATE STATISTICS both_of (ndistinct) ON of, small FROM lines;
    CREATE TRIGGER fires BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION always();
    CREATE VIEW seen AS SELECT * FROM lines;
    CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen;
    CREATE SEQUENCE "Odd %s".numbers;
    CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);
    CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
    CREATE COLLATION plain FROM "C";
"""


@pytest.fixture
def estate(server_of, side_of, run_module):
    made = Estate((server_of(16), server_of(18)), side_of, 1, run_module)
    yield made
    made.gone()


def given(side, **more):
    return {"server": side.address(), "migration": "orders", **more}


def relations(side):
    return side.query(
        "SELECT count(*) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname IN ('public', 'Odd %s')"
    )


@pytest.mark.parametrize("which", ["old", "new"])
def test_s18_what_a_try_has_left_is_dropped_and_a_second_run_changes_nothing(estate, run_module, which):
    [side] = getattr(estate, which)
    before = side.query("SELECT nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'public'")
    estate.quiesce(side)
    assert run_module("pg_empty", given(side), check=True)["changed"]
    assert run_module("pg_empty", given(side))["changed"] and not run_module("pg_empty", given(side))["changed"]
    side.run(EVERYTHING, "migration")
    [(count,)] = relations(side)
    would = run_module("pg_empty", given(side), check=True)
    assert would["changed"] and relations(side) == [(count,)] and count > 10
    told = run_module("pg_empty", given(side))
    assert told.get("actions") == would["actions"] and "objects of" in told["actions"][0], told
    assert relations(side) == [(0,)]
    left = "SELECT count(*) FROM {} WHERE {}namespace = 'public'::regnamespace"
    for catalogue, prefix in (("pg_proc", "pro"), ("pg_type", "typ"), ("pg_operator", "opr"), ("pg_collation", "coll")):
        assert side.query(left.format(catalogue, prefix)) == [(0,)]
    assert side.query("SELECT nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'public'") == before
    assert not run_module("pg_empty", given(side))["changed"]


def test_a_database_that_serves_is_never_emptied(estate, run_module):
    [side] = estate.new
    estate.quiesce(side)
    assert run_module("pg_empty", given(side))["changed"]
    assert estate.quiesce(side, state="open")["changed"]
    side.run("CREATE TABLE items (id int)")
    told = run_module("pg_empty", given(side))
    assert told["failed"] and "doesn't hold it closed" in told["msg"] and relations(side) == [(1,)], told


def test_p55_a_database_with_somebodys_tables_is_refused_by_their_names(estate, run_module):
    [side] = estate.new
    side.run("CREATE TABLE treasure (id int); CREATE EXTENSION IF NOT EXISTS plpgsql")
    estate.quiesce(side)
    for check in (True, False):
        told = run_module("pg_empty", given(side), check=check)
        assert told["failed"] and "table public.treasure" in told["msg"] and "extension" not in told["msg"], told
    assert relations(side) == [(1,)]
