# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes moved from a server to one of a newer major and back, by logins that are no superusers, under load."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.cutover import Cutover
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import Session

from .cutover_stand import MIGRATION, Clients, Estate, at_step, send
from .sql_stand import SECRET

STEPS = ["pause", "fence", "prove", "mark", "drain", "sequences", "advance", "disable", "check", "open", "repoint",
         "resume", "enable"]


@pytest.fixture
def empty(server_of, side_of, run_module, request):
    made = Estate((server_of(16), server_of(18)), side_of, getattr(request, "param", 1), run_module)
    yield made
    made.gone()


@pytest.fixture
def estate(empty: Estate) -> Estate:
    empty.build()
    return empty


def same(one, other):
    question = "SELECT writer, number FROM items ORDER BY 1, 2"
    return one.query(question) == other.query(question)


def put_back(told, estate, step):
    """A cutover that failed at a step, and after which everything is as before."""
    assert told.get("failed") and told.get("outcome") == "put_back", told
    assert f"It stopped at step {step}" in told["msg"] and "takes writes again" in told["msg"]
    assert estate.row(estate.new[0])["state"] == "put_back"
    assert (estate.writable(estate.old), estate.writable(estate.new)) == ([True], [False])
    wait_until(lambda: same(estate.old[0], estate.new[0]))
    return True


@pytest.mark.parametrize("empty", [2], indirect=True)
def test_p16_p17_p25_nothing_is_lost_there_and_back_under_load(estate, run_module):
    pooler = estate.front()
    clients = Clients(3, host=pooler.address, port=pooler.port, user="owner", password=SECRET, dbname=estate.names[0])
    with clients.writing():
        would = run_module("pg_cutover", estate.given(), check=True)
        assert would["changed"] and would["steps"] == [], would
        there = run_module("pg_cutover", estate.given())
        assert there.get("outcome") == "opened" and there["actions"] == would["actions"], there
        assert [step["name"] for step in there["steps"]] == STEPS
        assert sum(step["ms"] for step in there["steps"][:-1]) <= there["outage_ms"] + 1
        count = len(clients.acked)
        wait_until(lambda: len(clients.acked) > count + 20)
        assert estate.writable(estate.old) == [False, False]
        again = run_module("pg_cutover", estate.given())
        assert (again["changed"], again["outage_ms"], again["outcome"]) == (False, None, "opened"), again
        assert not run_module("pg_cutover", estate.given(), check=True)["changed"]
        back = run_module("pg_cutover", estate.given(back=True))
        assert back.get("outcome") == "opened", back
        count = len(clients.acked)
        wait_until(lambda: len(clients.acked) > count + 20)
        assert estate.writable(estate.new) == [False, False]
        once_more = run_module("pg_cutover", estate.given())
        assert once_more.get("outcome") == "opened", once_more
    assert clients.failed == []
    assert clients.lost(estate.new[0]) == set()
    wait_until(lambda: same(estate.old[0], estate.new[0]))


def test_p32_p33_p34_sequences_are_exact_behind_the_cutover_and_behind_the_way_back(estate, run_module):
    [old], [new] = estate.old, estate.new
    odd = 'SELECT last_value, is_called FROM "Odd one"'
    old.run("SELECT nextval('\"Odd one\"') FROM generate_series(1, 1000)")
    run_module("pg_cutover", estate.given())
    assert new.query(odd) == old.query(odd) == [(-2998, True)]
    new.run("SELECT nextval('\"Odd one\"')")
    run_module("pg_cutover", estate.given(back=True))
    assert old.run("SELECT nextval('\"Odd one\"')") == [(-3004,)]


@pytest.mark.parametrize("step", ["fence", "open", "repoint"])
def test_killed_half_way_and_run_again_it_decides_by_the_journal(estate, begin_module, run_module, monkeypatch, step):
    estate.front()
    with monkeypatch.context() as patch:
        at_step(patch, step, send(signal.SIGKILL))
        assert begin_module("pg_cutover", estate.given()).text() == ""
    assert estate.row(estate.new[0])["state"] == ("opened" if step == "repoint" else "begun")
    would = run_module("pg_cutover", estate.given(state="settled"), check=True)
    settled = run_module("pg_cutover", estate.given(state="settled"))
    assert settled["changed"] and settled["actions"] == would["actions"]
    assert settled["outcome"] == ("opened" if step == "repoint" else "put_back"), settled
    assert estate.writable(estate.old) == [step != "repoint"]
    assert estate.writable(estate.new) == [step == "repoint"]
    done = run_module("pg_cutover", estate.given())
    assert done["outcome"] == "opened" and done["changed"] is (step != "repoint")
    assert (estate.writable(estate.old), estate.writable(estate.new)) == ([False], [True])
    assert not run_module("pg_cutover", estate.given(state="settled"))["changed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_open_puts_back_and_after_it_waits_for_the_end(
    estate, begin_module, run_module, monkeypatch, number
):
    estate.front()
    with monkeypatch.context() as patch:
        at_step(patch, "drain", send(number))
        told = begin_module("pg_cutover", estate.given()).result()
        assert put_back(told, estate, "drain") and number.name in told["msg"]
    with monkeypatch.context() as patch:
        at_step(patch, "repoint", send(number))
        assert begin_module("pg_cutover", estate.given()).result()["outcome"] == "opened"


def test_max_outage_is_kept_and_the_step_that_took_the_time_is_named(estate, run_module):
    [new] = estate.new
    with closing(new.connect("migration")) as session, session.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        estate.old[0].run("INSERT INTO items (writer, number) VALUES ('late', 1)")
        told = run_module("pg_cutover", estate.given(max_outage=5))
        assert told["outage_ms"] < 5000
        assert "step drain took the longest" in told["msg"] and "not yet to" in told["msg"]
    assert put_back(told, estate, "drain")


def lost_answer(monkeypatch, arrives):
    """The connection breaks in the COMMIT of the opening transaction; it arrives at the server or doesn't."""
    whole, run = Cutover.open, Session.run

    def broken(session, statement, parameters=None):
        if statement == "COMMIT":
            if arrives:
                run(session, statement)
            session._connection.close()
        return run(session, statement, parameters)

    def opening(cutover, stand):
        with monkeypatch.context() as patch:
            patch.setattr(Session, "run", broken)
            whole(cutover, stand)

    monkeypatch.setattr(Cutover, "open", opening)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_connection_lost_in_the_commit_of_the_open_is_decided_by_the_journal(
    estate, run_module, monkeypatch, arrives
):
    estate.front()
    with monkeypatch.context() as patch:
        lost_answer(patch, arrives)
        told = run_module("pg_cutover", estate.given())
    if arrives:
        assert told["outcome"] == "opened" and [step["name"] for step in told["steps"]][-3:] == STEPS[-3:], told
        assert (estate.writable(estate.old), estate.writable(estate.new)) == ([False], [True])
    else:
        assert put_back(told, estate, "open")


def test_p52_a_commit_behind_the_fence_is_found_before_the_open(estate, run_module, monkeypatch):
    [old], [new] = estate.old, estate.new

    def intrude():
        old.run("BEGIN READ WRITE; INSERT INTO items (writer, number) VALUES ('sly', 1); COMMIT", "boss")
        wait_until(lambda: old.server.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'boss'") == [(0,)])

    with monkeypatch.context() as patch:
        at_step(patch, "check", intrude)
        told = run_module("pg_cutover", estate.given())
    assert told.get("code") == "late_commits", told
    assert "1 changes in database" in told["msg"]
    assert put_back(told, estate, "check")
    # What others do on the server, autovacuum say, doesn't stop it.
    with monkeypatch.context() as patch:
        at_step(patch, "check", lambda: old.server.query("CREATE TABLE elsewhere ()"))
        assert run_module("pg_cutover", estate.given())["outcome"] == "opened"
    old.server.query("DROP TABLE elsewhere")
    assert new.query("SELECT count(*) FROM items WHERE writer = 'sly'") == [(1,)]


def test_r33_who_slept_through_a_takeover_changes_nothing_more(estate, begin_module, run_module, monkeypatch):
    estate.front()
    with monkeypatch.context() as patch:
        at_step(patch, "drain", send(signal.SIGSTOP))
        asleep = begin_module("pg_cutover", estate.given())
    wait_until(lambda: "T" in open(f"/proc/{asleep.pid}/stat").read().split()[2])
    told = run_module("pg_cutover", estate.given(wait_timeout=0))
    assert told["code"] == "held" and "another cutover of orders is running: pid" in told["msg"]
    done = run_module("pg_cutover", estate.given(take_over=True))
    assert done["outcome"] == "opened", done
    asleep.send(signal.SIGCONT)
    woken = asleep.result()
    assert woken["failed"] and "another run has taken the cutover over" in woken["msg"], woken
    assert (estate.writable(estate.old), estate.writable(estate.new)) == ([False], [True])


def test_a_lease_that_was_lost_stops_it_before_anything_is_changed(estate, run_module):
    sides = {"source": estate.old[0].address(), "target": estate.new[0].address()}
    first = run_module("pg_journal", {**sides, "journal": {"migration": MIGRATION}})["journal"]
    second = run_module("pg_journal", {**sides, "journal": {"migration": MIGRATION}, "take_over": True})["journal"]
    told = run_module("pg_cutover", estate.given(journal=first))
    assert told["code"] == "lease_lost" and estate.writable(estate.old) == [True]
    assert run_module("pg_cutover", estate.given(journal=second))["outcome"] == "opened"


def end(server):
    """Shut a server down from a process that isn't its parent."""
    file = Path(server.data_dir) / "postmaster.pid"
    os.kill(int(file.read_text().split()[0]), signal.SIGINT)
    wait_until(lambda: not file.exists())


def test_a_target_that_dies_leaves_the_source_closed_until_it_is_back(
    estate, run_module, monkeypatch
):
    [new] = estate.new
    with monkeypatch.context() as patch:
        at_step(patch, "open", lambda: end(new.server))
        told = run_module("pg_cutover", estate.given(wait_timeout=1))
    try:
        assert told["outcome"] is None and "source stays closed" in told["msg"], told
        assert estate.writable(estate.old) == [False]
        unreadable = run_module("pg_cutover", estate.given(state="settled"))
        assert unreadable["failed"] and estate.writable(estate.old) == [False]
    finally:
        new.server.stop()
        new.server.start()
    assert run_module("pg_cutover", estate.given(state="settled"))["outcome"] == "put_back"
    assert estate.writable(estate.old) == [True]


def test_what_stands_in_the_way_is_said_while_nobody_is_held_up(estate, run_module):
    [old], [new] = estate.old, estate.new
    new.run("ALTER SUBSCRIPTION cloudpg_orders DISABLE", "migration")
    told = run_module("pg_cutover", estate.given())
    assert "subscription cloudpg_orders of database" in told["msg"] and told["outage_ms"] is None
    assert estate.writable(estate.old) == [True]
    new.run("ALTER SUBSCRIPTION cloudpg_orders ENABLE", "migration")
    wait_until(lambda: old.query("SELECT count(*) FROM pg_replication_slots WHERE active AND database = %s",
                                 [old.database]) == [(1,)])
    with closing(old.connect("boss")):
        told = run_module("pg_cutover", estate.given())
        assert "may not end 1 sessions" in told["msg"] and told["outage_ms"] is None
    new.run('ALTER SEQUENCE "Odd one" MINVALUE -10', "migration")
    old.run("SELECT nextval('\"Odd one\"') FROM generate_series(1, 10)")
    told = run_module("pg_cutover", estate.given())
    assert "sequence-bounds" in told["msg"] and told["outage_ms"] is None
    assert "above 0" in run_module("pg_cutover", estate.given(max_outage=0))["msg"]
    estate.quiesce(new, state="open")
    told = run_module("pg_cutover", estate.given())
    assert "not every database is closed" in told["msg"] and estate.writable(estate.old) == [True]
