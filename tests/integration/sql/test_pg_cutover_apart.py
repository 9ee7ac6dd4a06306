# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes moved to a server that doesn't follow: the source closed by one process, the target opened by another."""

from __future__ import annotations

import signal
from contextlib import closing

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .cutover_stand import MIGRATION, TABLES, Clients, Estate, at_step, send
from .sql_stand import SECRET

GRANTS = "ALTER TABLE items OWNER TO owner; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO owner"


@pytest.fixture
def estate(server_of, side_of, run_module):
    """Tables on the old side, nothing on the new one, which is closed."""
    made = Estate((server_of(16), server_of(18)), side_of, 1, run_module)
    assert made.quiesce(made.new[0])["proof"]["proven"]
    made.old[0].run(TABLES, "migration")
    made.old[0].run(GRANTS, "migration")
    yield made
    made.gone()


def given(estate, state="cut_over", **more):
    return estate.given(follow=False, state=state, **more)


def carry(estate):
    """What stands between the halves, by the simplest means there is."""
    [old], [new] = estate.old, estate.new
    new.run(TABLES, "migration")
    new.run(GRANTS, "migration")
    for writer, number in old.query("SELECT writer, number FROM items ORDER BY id"):
        new.run(f"INSERT INTO items (writer, number) VALUES ('{writer}', {number})", "migration")


def writable(estate):
    return estate.writable(estate.old), estate.writable(estate.new)


def test_s18_p29_rows_are_carried_between_the_halves_and_none_is_lost(estate, run_module):
    pooler = estate.front()
    clients = Clients(2, host=pooler.address, port=pooler.port, user="owner", password=SECRET, dbname=estate.names[0])
    with clients.writing():
        would = run_module("pg_cutover", given(estate, "fenced"), check=True)
        fenced = run_module("pg_cutover", given(estate, "fenced"))
        assert (fenced.get("outcome"), fenced["actions"]) == ("fenced", would["actions"]), fenced
        assert [step["name"] for step in fenced["steps"]] == ["pause", "fence", "prove"]
        assert estate.writable(estate.old) == [False]
        carry(estate)
        opened = run_module("pg_cutover", given(estate))
        assert opened.get("outcome") == "opened", opened
        assert [step["name"] for step in opened["steps"]] == [
            "prove", "sequences", "check", "open", "repoint", "resume",
        ]
        count = len(clients.acked)
        wait_until(lambda: len(clients.acked) > count + 20)
    assert writable(estate) == ([False], [True])
    assert clients.failed == [] and clients.lost(estate.new[0]) == set()
    for state in ("fenced", "cut_over"):
        again = run_module("pg_cutover", given(estate, state))
        assert (again["changed"], again["outcome"]) == (False, "opened"), again


def test_p33_p34_sequences_stand_where_the_source_left_them(estate, run_module):
    [old], [new] = estate.old, estate.new
    old.run("SELECT nextval('items_id_seq') FROM generate_series(1, 41)")
    old.run("SELECT nextval('\"Odd one\"') FROM generate_series(1, 3)")
    run_module("pg_cutover", given(estate, "fenced"))
    carry(estate)
    assert run_module("pg_cutover", given(estate))["outcome"] == "opened"
    for name in ("items_id_seq", '"Odd one"'):
        where = f"SELECT last_value, is_called FROM {name}"
        assert new.query(where) == old.query(where)


def test_the_second_half_without_the_first_opens_nothing(estate, run_module):
    told = run_module("pg_cutover", given(estate))
    assert told["failed"] and told["code"] == "not_fenced" and "begin with state=fenced" in told["msg"], told
    assert writable(estate) == ([True], [False])
    told = run_module("pg_cutover", estate.given(state="fenced"))
    assert told["failed"] and "give follow: false" in told["msg"]


def held(run_module, estate, state="held", journal=None, **more):
    sides = {"source": estate.old[0].address(), "target": estate.new[0].address()}
    return run_module("pg_journal", {**sides, "state": state, "journal": journal or {"migration": MIGRATION}, **more})


def test_r33_what_another_run_has_fenced_is_put_back_not_opened(estate, run_module):
    first = held(run_module, estate)["journal"]
    assert run_module("pg_cutover", given(estate, "fenced", journal=first))["outcome"] == "fenced"
    second = held(run_module, estate, take_over=True)["journal"]
    late = run_module("pg_cutover", given(estate, journal=first))
    assert late["failed"] and late["code"] == "lease_lost", late
    told = run_module("pg_cutover", given(estate, journal=second))
    assert told["failed"] and "What another run has begun was put back" in told["msg"], told
    assert writable(estate) == ([True], [False])


@pytest.mark.parametrize(("state", "outcome"), [("settled", "put_back"), ("fenced", "fenced")])
def test_a_source_that_was_left_closed_is_put_back_before_it_is_closed_anew(estate, run_module, state, outcome):
    assert run_module("pg_cutover", given(estate, "fenced"))["outcome"] == "fenced"
    would = run_module("pg_cutover", given(estate, state), check=True)
    assert would["actions"][0].startswith("put back a cutover that was left half-way"), would
    assert run_module("pg_cutover", given(estate, state))["outcome"] == outcome
    assert writable(estate) == ([outcome == "put_back"], [False])
    assert estate.row(estate.new[0])["generation"] == (2 if outcome == "put_back" else 3)


@pytest.mark.parametrize("who", ["source", "target"])
def test_p29_a_side_that_was_opened_meanwhile_is_not_cut_over(estate, run_module, who):
    assert run_module("pg_cutover", given(estate, "fenced"))["outcome"] == "fenced"
    carry(estate)
    side = (estate.old if who == "source" else estate.new)[0]
    opened = run_module("pg_quiesce", {
        "server": side.address(), "databases": estate.names, "migration": MIGRATION, "state": "open",
    })
    assert opened["changed"]
    told = run_module("pg_cutover", given(estate))
    assert told["failed"] and told["outcome"] == "put_back" and "closed" in told["msg"], told
    assert estate.writable(estate.old) == [True]


@pytest.mark.parametrize(("step", "outcome"), [("fence", "put_back"), ("open", "put_back"), ("repoint", "opened")])
def test_killed_in_either_half_the_journal_decides(estate, begin_module, run_module, monkeypatch, step, outcome):
    estate.front()
    if step != "fence":
        assert run_module("pg_cutover", given(estate, "fenced"))["outcome"] == "fenced"
        carry(estate)
    with monkeypatch.context() as patch:
        at_step(patch, step, send(signal.SIGKILL))
        assert begin_module("pg_cutover", given(estate, "fenced" if step == "fence" else "cut_over")).text() == ""
    settled = run_module("pg_cutover", given(estate, "settled"))
    assert settled["outcome"] == outcome, settled
    assert writable(estate) == ([outcome == "put_back"], [outcome == "opened"])


def test_a_failure_behind_the_fence_puts_everything_back(estate, run_module):
    pooler = estate.front()
    assert run_module("pg_cutover", given(estate, "fenced"))["outcome"] == "fenced"
    # The target has no sequences: nothing was carried.
    told = run_module("pg_cutover", given(estate))
    assert told["failed"] and told["outcome"] == "put_back" and "It stopped at step sequences" in told["msg"], told
    with closing(psycopg2.connect(
        host=pooler.address, port=pooler.port, user="owner", password=SECRET, dbname=estate.names[0],
    )) as client, client.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM items")
        assert cursor.fetchone() == (0,)
    assert writable(estate) == ([True], [False])
