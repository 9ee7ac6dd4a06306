# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_sequence_sync between real servers of different majors."""

from __future__ import annotations

import time

import pytest

KINDS = """
    CREATE SCHEMA "Odd ""schema";
    CREATE SEQUENCE plain;
    CREATE SEQUENCE never_used;
    CREATE SEQUENCE restarted;
    CREATE SEQUENCE set_not_called;
    CREATE SEQUENCE down INCREMENT -1;
    CREATE SEQUENCE small AS smallint INCREMENT 10 MAXVALUE 1000;
    CREATE SEQUENCE round MAXVALUE 100 CYCLE;
    CREATE SEQUENCE cached CACHE 50;
    CREATE SEQUENCE "Odd ""schema"."Name with ; and $do$";
    CREATE TABLE always (id bigint GENERATED ALWAYS AS IDENTITY);
    CREATE TABLE serially (id serial);
"""
USED = """
    SELECT nextval('plain') FROM generate_series(1, 7);
    ALTER SEQUENCE restarted RESTART WITH 5000;
    SELECT setval('set_not_called', 7000, false);
    SELECT nextval('down') FROM generate_series(1, 5);
    SELECT nextval('small') FROM generate_series(1, 3);
    SELECT nextval('round') FROM generate_series(1, 4);
    SELECT nextval('cached');
    SELECT nextval('"Odd ""schema"."Name with ; and $do$"');
    INSERT INTO always DEFAULT VALUES;
    INSERT INTO serially DEFAULT VALUES;
"""
NAMES = (
    "plain", "never_used", "restarted", "set_not_called", "down", "small", "round", "cached", "always_id_seq",
    "serially_id_seq", '"Odd ""schema"."Name with ; and $do$"',
)


def standing(side):
    return {name: side.query(f"SELECT last_value, is_called FROM {name}")[0] for name in NAMES}


def both(source, target, **more):
    return {"source": source.address(), "target": target.address(), **more}


@pytest.fixture(params=[(15, 16), (15, 18), (16, 18), (18, 16)], ids="{0[0]}to{0[1]}".format)
def sides(request, pair):
    source, target = pair(*request.param)
    source.run(KINDS + USED)
    target.run(KINDS)
    return source, target


def test_p32_p33_every_kind_arrives_as_it_stands(sides, run_module):
    source, target = sides
    before = standing(target)
    would = run_module("pg_sequence_sync", both(*sides), check=True)
    assert would["changed"] and standing(target) == before

    did = run_module("pg_sequence_sync", both(*sides))
    assert did["changed"] and did["actions"] == would["actions"] and did["diff"] == would["diff"]
    assert standing(target) == standing(source)
    assert did["counts"] == {"set": 10, "equal": 1, "ahead": 0} and did["findings"] == []
    told = {one["sequence"]: one["now"] for one in did["sequences"]}
    assert told["public.restarted"] == {"last_value": 5000, "is_called": False}
    assert target.query("SELECT nextval('down')") == [(-6,)]

    again = run_module("pg_sequence_sync", both(*sides))
    assert not again["changed"] and again["actions"] == [] and again["ahead"] == ["public.down"]


def test_p34_the_way_back_takes_the_addresses_the_other_way_round(pair, run_module):
    old, new = pair(16, 18)
    for side in (old, new):
        side.run(KINDS)
    new.run(USED)
    old.run("SELECT setval('plain', 99)")
    told = run_module("pg_sequence_sync", both(new, old))
    assert told["counts"] == {"set": 9, "equal": 1, "ahead": 1} and told["ahead"] == ["public.plain"]
    assert standing(old) == {**standing(new), "plain": (99, True)}


def test_p35_a_margin_is_kept_by_the_second_run_and_checked_before_anything_is_set(pair, run_module):
    source, target = pair(16, 18)
    for side in (source, target):
        side.run(KINDS)
    source.run(USED)
    given = both(source, target, margin=1000)
    refused = run_module("pg_sequence_sync", given)
    assert refused["failed"] and refused["code"] == "refused" and "public.small" in refused["msg"]
    assert {one["id"] for one in refused["findings"]} == {"sequence-headroom", "sequence-margin-left-out"}
    assert standing(target)["plain"] == (1, False)

    given["exclude"] = ["public.small"]
    assert run_module("pg_sequence_sync", given)["changed"]
    after = standing(target)
    assert (after["plain"], after["down"], after["round"]) == ((1007, True), (-1005, True), (4, True))
    assert not run_module("pg_sequence_sync", given)["changed"]
    source.run("SELECT nextval('plain')")
    assert run_module("pg_sequence_sync", given)["counts"]["set"] == 1


def test_p33_ten_thousand_in_one_statement_a_side(pair, run_module):
    source, target = pair(16, 18)
    for side in (source, target):
        side.run("""
            DO $$ BEGIN FOR n IN 1..10000 LOOP
                EXECUTE format('CREATE SEQUENCE s%s', n); IF n % 1000 = 0 THEN COMMIT; END IF;
            END LOOP; END $$
        """)
    source.run("DO $$ BEGIN FOR n IN 1..10000 LOOP PERFORM setval('s' || n, n + 5);"
               " IF n % 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$")
    began = time.monotonic()
    did = run_module("pg_sequence_sync", both(source, target))
    assert did["counts"] == {"set": 10000, "equal": 0, "ahead": 0} and time.monotonic() - began < 15
    assert len(did["sequences"]) == 100 and len(did["actions"]) == 1 and len(str(did)) < 100_000
    assert target.query("SELECT last_value, is_called FROM s9999") == [(10004, True)]
    assert not run_module("pg_sequence_sync", both(source, target))["changed"]


def test_drift_missing_sequences_and_missing_rights_are_named(pair, run_module):
    source, target = pair(16, 18)
    source.run("CREATE SEQUENCE a; CREATE SEQUENCE b; SELECT nextval('a'), nextval('b')")
    target.run("CREATE SEQUENCE a; CREATE SEQUENCE mine")
    told = run_module("pg_sequence_sync", both(source, target))
    assert told["failed"] and "public.b" in told["msg"] and "Cure" in told["msg"]
    assert target.query("SELECT is_called FROM a") == [(False,)]

    target.run("CREATE SEQUENCE b; GRANT SELECT ON a, b TO plain")
    plain = both(source, target) | {"target": target.address("plain")}
    told = run_module("pg_sequence_sync", plain)
    assert told["failed"] and {one["id"] for one in told["findings"]} == {"sequence-not-writable"}
    told = run_module("pg_sequence_sync", both(source, target) | {"source": source.address("plain")})
    assert told["failed"] and {one["id"] for one in told["findings"]} == {"sequence-not-readable"}

    assert run_module("pg_sequence_sync", both(source, target))["counts"]["set"] == 2
    target.run("DROP SEQUENCE a; CREATE SEQUENCE a")
    assert run_module("pg_sequence_sync", both(source, target))["actions"] == ["set 1 sequences: public.a to 1"]


def test_bad_input_is_told(pair, run_module):
    source, target = pair(16, 18)
    for more, told in [
        ({"sequences": ["public.gone"]}, "public.gone"), ({"schemas": ["gone"]}, "gone"), ({"margin": -1}, "negative"),
        ({"target": {"host": None}}, "target.host is empty"),
        ({"target": {"host": "127.0.0.1", "port": 1}}, "127.0.0.1:1"),
    ]:
        answer = run_module("pg_sequence_sync", both(source, target) | more)
        assert answer["failed"] and told in answer["msg"] and "Cure" in answer["msg"], answer


def test_a_target_that_is_not_there_yet_is_planned_for(pair, run_module):
    source, _rest = pair(16, 18)
    source.run("CREATE SEQUENCE a; CREATE SEQUENCE b; SELECT nextval('a')")
    would = run_module("pg_sequence_sync", {"source": source.address(), "target": {"host": None}}, check=True)
    assert would["counts"] == {"set": 1, "equal": 1, "ahead": 0}
