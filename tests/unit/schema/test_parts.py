# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the entries of a dump become: statements by section and table, and which of them are needed."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import choice, parts, restore, work
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.catalogue import Catalogue, Right, Thing
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.toc import Entry

FK = "ALTER TABLE ONLY s.t\n    ADD CONSTRAINT \"F k\" FOREIGN KEY (a) REFERENCES s.u(a);"


class Builder:
    """A source in miniature: entries and the catalogue that belongs to them."""

    def __init__(self):
        self.entries, self.things, self.links, self.comments, self.grants = [], {}, {}, {}, {}

    def add(self, kind, name, text="x;", *, thing=None, depends=(), schema="s"):
        number = len(self.entries) + 1
        if thing:
            self.things[1, number] = thing
        self.entries.append(Entry(number, 1 if thing else 0, number if thing else 0, tuple(depends), name, kind,
                                  schema, "owner", text))
        return number

    def schema(self):
        return self.add("SCHEMA", "s", thing=Thing("schema", "s"), schema=None)

    def table(self, name, depends=(), words="r", text="x;"):
        thing = Thing("table", f"s.{name}", f"s.{name}", frozenset(words.split()), "a integer")
        return self.add("TABLE", name, text, thing=thing, depends=depends)

    def constraint(self, name, table, words, depends=(), text="x;", kind="CONSTRAINT"):
        thing = Thing("table constraint", f"{name} on s.{table}", f"s.{table}", frozenset(words.split()), "look")
        return self.add(kind, f"{table} {name}", text, thing=thing, depends=depends)

    def index(self, name, table, words="i", depends=()):
        thing = Thing("index", f"s.{name}", f"s.{table}", frozenset(words.split()), "look")
        return self.add("INDEX", name, thing=thing, depends=depends)

    @property
    def source(self):
        return Catalogue(160000, self.things, self.links, self.comments, self.grants)

    def statements(self, version=160000, **wish):
        chosen = choice.choose(self.entries, self.source, choice.Wish(**wish))
        return parts.statements(chosen.entries, self.source, version), chosen


@pytest.fixture
def shop():
    made = Builder()
    schema = made.schema()
    parent, child = made.table("p", [schema], "p"), made.table("c", [schema])
    made.table("u", [schema])
    made.links["TABLE ATTACH", "s", "c"] = ("s.p", "")
    made.add("TABLE ATTACH", "c", "ALTER TABLE ONLY s.p ATTACH PARTITION s.c DEFAULT;", depends=[child, parent])
    made.constraint("p_pkey", "p", "p valid", [parent])
    made.things[2, 1] = Thing("index", "s.c_pkey", "s.c", frozenset({"i", "primary"}))
    made.links["INDEX ATTACH", "s", "c_pkey"] = ("s.p_pkey", "")
    made.constraint("c_pkey", "c", "p valid", [child])
    made.index("c_a", "c", depends=[child])
    made.index("c_identity", "c", "i identity", [child])
    made.add("INDEX ATTACH", "c_pkey", "ALTER INDEX s.p_pkey ATTACH PARTITION s.c_pkey;", depends=[child])
    made.add("TRIGGER", "c t", thing=Thing("trigger", "t on s.c", "s.c"), depends=[child])
    return made


def test_p38_sections_come_in_the_order_in_which_they_must_run(shop):
    todo, _chosen = shop.statements()
    by_section = {section: [one for one in todo if one.section == section] for section in parts.SECTIONS}
    assert todo == [one for section in parts.SECTIONS for one in by_section[section]]
    assert [one.key[-1] for one in by_section[parts.PRE_DATA]] == ["s", "s.p", "s.c", "s.u", "c"]
    assert [(one.table, one.key[-1]) for one in by_section[parts.PRIMARY_KEYS]] == [
        ("s.p", "p_pkey on s.p"), ("s.c", "c_pkey on s.c"), ("s.c", "s.c_identity"), ("s.c", "c_pkey"),
    ]
    assert [(one.table, one.key[1]) for one in by_section[parts.POST_DATA]] == [("s.c", "s.c_a"), ("s.c", "t on s.c")]


@pytest.mark.parametrize("words, version, texts", [
    ("f valid", 160000, [f"{FK[:-1]} NOT VALID;", 'ALTER TABLE s.t VALIDATE CONSTRAINT "F k";']),
    ("f", 160000, [FK]),
    ("f valid partitioned", 170000, [FK]),
    ("f valid to-partitioned", 170000, [FK]),
    ("f valid partitioned", 180000, [f"{FK[:-1]} NOT VALID;", 'ALTER TABLE s.t VALIDATE CONSTRAINT "F k";']),
])
def test_p38_foreign_keys_come_in_two_steps_where_that_can_be(words, version, texts):
    made = Builder()
    made.constraint('"F k"', "t", words, text=FK, kind="FK CONSTRAINT")
    todo, _chosen = made.statements(version)
    assert [one.text for one in todo] == texts


@pytest.mark.parametrize("version, text", [
    (180000, "CREATE TABLE s.t (\n    b integer,\n    NOT NULL \"a b\"\n)\nINHERITS (s.p);"),
    (170000, "CREATE TABLE s.t (\n    b integer\n)\nINHERITS (s.p);\n"
             "ALTER TABLE ONLY s.t ALTER COLUMN \"a b\" SET NOT NULL;"),
])
def test_p37_what_18_writes_is_written_so_that_17_can_read_it(version, text):
    made = Builder()
    made.table("t", text="CREATE TABLE s.t (\n    b integer,\n    NOT NULL \"a b\"\n)\nINHERITS (s.p);")
    todo, _chosen = made.statements(version)
    assert todo[0].text == text


def test_p50_an_object_that_vanished_meanwhile_is_an_error():
    made = Builder()
    made.table("t")
    made.things.clear()
    with pytest.raises(PgError, match="being changed meanwhile"):
        made.statements()


RIGHTS = frozenset({Right("app", "SELECT")})
PUBLIC = frozenset({Right("PUBLIC", "EXECUTE")})


@pytest.mark.parametrize("wanted, have, there", [
    (RIGHTS, RIGHTS, True),
    (RIGHTS, frozenset(), False),
    (RIGHTS, RIGHTS | {Right("other", "SELECT")}, True),
    (frozenset(), PUBLIC, False),
    (RIGHTS, frozenset({Right("app", "SELECT", grantable=True)}), False),
    (frozenset(), frozenset(), True),
])
def test_p39_rights_are_there_when_nobody_lacks_one_and_not_everybody_has_more(wanted, have, there):
    key = ("function", "s.f()")
    one = parts.Statement("ACL", "grant", "x", parts.PRE_DATA, None, "grants", key, wanted)
    target = Catalogue(things={(1, 1): Thing(*key)}, grants={key: have})
    assert parts.is_there(one, target, target.by_key()) is there
    assert not parts.is_there(one, Catalogue(), {})


def test_p38_an_index_that_is_invalid_looks_different():
    one = parts.Statement("INDEX", "create", "x", parts.POST_DATA, "s.t", "thing", ("index", "s.i"), "CREATE INDEX i")
    target = Catalogue(things={(1, 1): Thing("index", "s.i", "s.t", looks="CREATE INDEX i (invalid)")})
    assert parts.differences([one], target) == [(one, "CREATE INDEX i", "CREATE INDEX i (invalid)")]
    with pytest.raises(PgError, match="Nothing was changed"):
        work.judge_differences([one], target, parts.SECTIONS, True)
    assert len(work.judge_differences([one], target, parts.SECTIONS, False)) == 1
    assert work.judge_differences([one], target, [parts.PRE_DATA], True) == []


@pytest.mark.parametrize("name, given, taken", [
    ("aws_s3", None, False), ("rds_tools", None, False), ("pg_cron", None, False), ("pg_repack", None, False),
    ("apg_plan_mgmt", None, False), ("citext", None, True), ("postgis", None, True), ("pg_cron", ("pg_cron",), True),
    ("citext", (), False),
])
def test_p49_p44_extensions_of_a_service_do_not_travel_unless_named(name, given, taken):
    made = Builder()
    extension = made.add("EXTENSION", name, thing=Thing("extension", name, words=frozenset({name})), schema=None)
    made.add("COMMENT", f"EXTENSION {name}", depends=[extension], schema=None)
    made.table("t", [extension])
    todo, chosen = made.statements(extensions=given)
    assert [one.type for one in todo] == (["EXTENSION", "TABLE"] if taken else [])
    reasons = {one.name: one.reason for one in chosen.left_out}
    assert reasons.get("s.t") == (None if taken else f"it needs EXTENSION {name}, which is left out")


@pytest.mark.parametrize("name, pattern, match", [
    ("s.t", "s.t", True), ("s.t", "s.*", True), ("s.tt", "s.t", False), ("s.[a]", "s.[a]", True),
    ("s.a", "s.[a]", False), ("s.t", "*", True), ("s.a\nb", "s.*", True), ("s.x", "s.?", False),
    ('"S"."T"', '"S".*', True),
])
def test_only_the_star_is_special_in_a_pattern(name, pattern, match):
    assert choice.matches(name, pattern) is match


def test_what_the_target_lacks_is_named_with_its_cure():
    extension = parts.Statement("EXTENSION", "", "", parts.PRE_DATA, words=frozenset({"citext"}))
    grant = parts.Statement("ACL", "", "", parts.PRE_DATA, check="grants", value=RIGHTS | PUBLIC)
    schema = work.Schema((extension, grant), owners=frozenset({"boss", "ghost"}))
    target = work.Target(roles={"boss": False}, extensions=frozenset({"plpgsql"}))
    found = work.obstacles(schema, [extension, grant], target)
    assert ["citext" in found[0], "app, ghost" in found[1], "boss" in found[2]] == [True] * 3 and len(found) == 3
    assert work.obstacles(schema, [], work.Target(roles={}, extensions=frozenset())) == []
    assert work.obstacles(schema, [extension, grant], work.Target()) == []


@pytest.mark.parametrize("kind, sqlstate, reason", [
    ("COMMENT", "42501", "only an object's owner may comment on it"), ("COMMENT", "42P01", None),
    ("TABLE", "42501", None), ("TABLE", "42P07", None), ("INDEX", None, None), ("ACL SCHEMA", "0LP01", "mine"),
    ("FUNCTION", "42883", "any"),
])
def test_every_error_is_judged_by_the_list(kind, sqlstate, reason):
    rules = [*restore.TOLERATED, restore.Tolerated("ACL", "0LP01", "mine"), restore.Tolerated("*", "42883", "any")]
    assert restore.tolerated(parts.Statement(kind, "", "", parts.PRE_DATA), sqlstate, rules) == reason
