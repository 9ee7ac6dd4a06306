# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dump taken apart: what is an entry, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import toc

START = """--
-- PostgreSQL database dump
--

\\restrict abc

-- Dumped from database version 18.4

SET statement_timeout = 0;
SET transaction_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

"""
END = """

-- Completed on 2026-01-01 00:00:00 UTC

--
-- PostgreSQL database dump complete
--

\\unrestrict abc

"""


def heading(number, name, kind="TABLE", schema="public", depends="", oid=None):
    needs = f"-- Dependencies: {depends}\n" if depends else ""
    return (f"--\n-- TOC entry {number} (class 1259 OID {oid or number})\n{needs}"
            f"-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: shop\n-- Data Pos: 0\n--\n\n")


def test_entries_come_in_order_with_what_they_are():
    text = START + heading(6, "shop", "SCHEMA", "-") + "CREATE SCHEMA shop;\n\n\n" \
        + heading(7, "t", depends="6 5") + "CREATE TABLE public.t (\n    a integer\n);\n\n\n" \
        "ALTER TABLE public.t OWNER TO shop;\n" + END
    schema, table = toc.parse(text)
    assert (schema.id, schema.type, schema.schema, schema.depends) == (6, "SCHEMA", None, ())
    assert (table.classid, table.oid, table.depends, table.name, table.schema) == (1259, 7, (6, 5), "t", "public")
    assert table.text.startswith("CREATE TABLE") and table.text.endswith("OWNER TO shop;")


@pytest.mark.parametrize("body", [
    "CREATE FUNCTION f() RETURNS text AS $x$\n{}\n$x$ LANGUAGE sql;",
    "COMMENT ON TABLE t IS 'a\n{}\n''b';",
    "COMMENT ON TABLE t IS E'it\\'s\n{}\n';",
    'CREATE TABLE "a\n{}\n" ();',
    "/* {} */ SELECT 1;",
    "/* /* nested */ {} */ SELECT 1;",
])
def test_a_heading_inside_what_is_quoted_is_none(body):
    trap = heading(99, "trap")
    entries = toc.parse(START + heading(6, "f", "FUNCTION") + body.replace("{}", trap) + "\n" + END)
    assert [entry.id for entry in entries] == [6] and trap.strip() in entries[0].text


@given(st.text(alphabet="'\"$-/*\\\n ;aeE$", max_size=60))
def test_any_comment_leaves_the_next_entry_alone(words):
    quoted = "'" + words.replace("'", "''") + "'"
    text = START + heading(6, "c", "COMMENT") + f"COMMENT ON TABLE t IS {quoted};\n" \
        + heading(7, "t") + "CREATE TABLE t ();\n" + END
    entries = toc.parse(text)
    assert [entry.id for entry in entries] == [6, 7] and quoted in entries[0].text


@pytest.mark.parametrize("name", ["a; Type: TABLE; Schema: b", "x -- y", "it's; Owner: z", "Größe"])
def test_a_name_may_look_like_part_of_the_heading(name):
    [entry] = toc.parse(START + heading(6, name) + "CREATE TABLE t ();" + END)
    assert (entry.name, entry.type, entry.schema, entry.owner) == (name, "TABLE", "public", "shop")


def test_another_access_method_goes_with_the_tables_that_follow():
    text = START + "SET default_tablespace = '';\n\nSET default_table_access_method = columnar;\n\n" \
        + heading(6, "a") + "CREATE TABLE a ();\n\n\nSET default_table_access_method = heap;\n\n" \
        + heading(7, "b") + "CREATE TABLE b ();\n" + END
    first, second = toc.parse(text)
    assert first.text == "SET default_table_access_method = columnar;\nCREATE TABLE a ();"
    assert second.text == "CREATE TABLE b ();"


def test_nothing_of_the_end_belongs_to_the_last_entry():
    [entry] = toc.parse(START + heading(6, "a") + "CREATE TABLE a ();" + END)
    assert entry.text == "CREATE TABLE a ();"
    assert toc.parse(START + END) == []


@pytest.mark.parametrize("text, said", [
    (START + heading(6, "a") + "CREATE TABLE a ();", "cut short"),
    ("", "cut short"),
    (START + "--\n-- TOC entry six\n--\n" + END, "unknown form"),
    (START + heading(6, "a") + "/* never closed" + END, "cut short"),
])
def test_p37_a_dump_that_is_cut_short_is_an_error(text, said):
    with pytest.raises(PgError, match=said):
        toc.parse(text)


@pytest.mark.parametrize("text, names", [
    ("ALTER TABLE ONLY s.whole ATTACH PARTITION s.part FOR VALUES IN (1);", ("s", "part")),
    ('ALTER INDEX "S x"."a.b" ATTACH PARTITION "S x"."c""d; e";', ("S x", 'c"d; e')),
    ("ALTER SEQUENCE s.q OWNED BY s.t.c;", ("s", "q")),
])
def test_attachments_are_about_the_part(text, names):
    kind = "SEQUENCE OWNED BY" if "OWNED" in text else "TABLE ATTACH"
    assert toc.subject(toc.Entry(1, 0, 0, (), "x", kind, "s", "o", text)) == names


def test_statements_end_only_at_bare_semicolons():
    assert toc.statements("SELECT ';'; -- a;b\nSELECT $$;$$, \"x;y\"; SELECT E'\\';' ;") == [
        "SELECT ';';", "-- a;b\nSELECT $$;$$, \"x;y\";", "SELECT E'\\';' ;",
    ]
