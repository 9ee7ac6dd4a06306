# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What matters where nothing is replicated, and what a copy behind the fence finds on its target."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.cloudpg.migration.plugins.filter.dump_findings import dump_findings
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.contents import _if_there, plan
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import matches
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.dump import ONLY_FOLLOWING

CHECKS = Path(__file__).parents[3] / "plugins" / "module_utils"
GIB = 1 << 30
SERVER = {"databases": [{"name": "shop", "size_bytes": 3 * GIB}, {"name": "other", "size_bytes": GIB}]}


def finding(id):
    return {"id": id, "severity": "blocker", "object": "x", "reason": "r", "cure": "c", "fact": None}


@pytest.mark.parametrize(("id", "kept"), [
    ("wal-level", False), ("source-slots", False), ("source-slots-unknown", False), ("way-back-slots", False),
    ("table-without-identity", False), ("slot-lost", False), ("generated-columns", False), ("long-transaction", False),
    ("target-not-empty", True), ("source-too-old", True), ("target-older", True), ("extension-missing", True),
    ("unlogged-table", True), ("large-objects", True), ("login-lacks-monitor", True), ("source-subscribes", True),
    ("prepared-transaction", True), ("table-not-readable", True), ("what-comes-next-year", True),
])
def test_s18_findings_about_replication_alone_are_left_out(id, kept):
    told = [one["id"] for one in dump_findings([finding(id)], "orders", SERVER, ["shop"])]
    assert told == [*([id] if kept else []), "downtime"]


def test_every_pattern_is_of_a_finding_there_is():
    text = "".join(path.read_text(encoding="utf-8") for folder in ("_logical_preflight", "_logical")
                   for path in sorted((CHECKS / folder).glob("*.py")))
    # Some ids are put together of the side and what it lacks.
    ids = set(re.findall(r'"([a-z]+(?:-[a-z]+)*)"', text)) | {
        f"{side}-{what}" for side in ("source", "target", "way-back") for what in ("slots", "walsenders")
    }
    assert [one for one in ONLY_FOLLOWING if not any(matches(id, [one]) for id in ids)] == []


@pytest.mark.parametrize(("databases", "max_outage", "said", "unsaid"), [
    (["shop"], 0, "3.0 GiB in 1 database,", "migration_max_outage"),
    (["shop", "other"], "3600", "4.0 GiB in 2 databases,", "migration_max_outage"),
    (["shop"], 10, "migration_max_outage is 00:10, and the rows alone take at least 00:15", "2 databases"),
])
def test_s18_the_downtime_says_how_much_is_copied_and_whether_it_fits(databases, max_outage, said, unsaid):
    [told] = dump_findings([], "orders", SERVER, databases, max_outage)
    assert (told["object"], told["fact"]) == ("orders", "S18")
    assert (told["severity"], told["acknowledgeable"]) == ("blocker", True)
    assert said in told["reason"] and unsaid not in told["reason"]


def taken_down(*there):
    return Event("empty.shop", "x", list(there), "taken down", "2026-01-01T00:00:00+00:00", "me")


BEFORE = ("schema public", "extension plpgsql")


def test_what_has_come_since_is_dropped_and_what_was_there_stays():
    there = [*BEFORE, "schema sales", "table public.orders"]
    [step] = plan("new:1", "shop", there, taken_down(*BEFORE), True).steps
    assert (step.op, step.args) == ("drop", {"objects": ["schema sales", "table public.orders"]})
    assert plan("new:1", "shop", BEFORE, taken_down(*BEFORE), True).steps == ()
    [step] = plan("new:1", "shop", [*BEFORE, "extension pg_trgm"], None, True).steps
    assert step.op == "take_down" and "extension pg_trgm" in step.args["there"]


@pytest.mark.parametrize(("event", "closed", "there", "code"), [
    (taken_down(*BEFORE), False, BEFORE, "not_closed"),
    (None, False, BEFORE, "not_closed"),
    (None, True, [*BEFORE, "table public.orders"], "not_empty"),
])
def test_p55_what_may_be_somebodys_is_never_dropped(event, closed, there, code):
    with pytest.raises(PgError) as refused:
        plan("new:1", "shop", there, event, closed)
    assert refused.value.code == code


@pytest.mark.parametrize(("thing", "said"), [
    ("table public.orders", "table IF EXISTS public.orders"),
    ('schema "Odd %s"', 'schema IF EXISTS "Odd %s"'),
    ("function public.f(integer)", "ROUTINE IF EXISTS public.f(integer)"),
    ("aggregate public.counted()", "ROUTINE IF EXISTS public.counted()"),
    ("operator public.===(text,text)", "operator IF EXISTS public.===(text,text)"),
    ("operator class public.mine USING btree", "operator class IF EXISTS public.mine USING btree"),
    ("statistics object public.both_of", "STATISTICS IF EXISTS public.both_of"),
])
def test_a_thing_is_named_as_drop_wants_it(thing, said):
    assert _if_there(thing) == said
