# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_copy through kills, lost connections and restarts: what is finished stays, what is left comes in (P55, P56)."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psycopg2
import psycopg2.extras
import pytest
from cloudpg_sandbox.testing import wait_until

from .copy_stand import MADE, content, ended, given, in_step, keys, prepare, subscribe

TABLES = "".join(f"CREATE TABLE t{number} (id int NOT NULL, t0 int, pad text);" for number in range(8))
ROWS = "".join(
    f"INSERT INTO t{number} SELECT i, 1, repeat('x', 400) FROM generate_series(1, {4000 + 3000 * number}) i;"
    for number in range(8)
)
KEYS = "".join(
    f"ALTER TABLE t{number} ADD PRIMARY KEY (id);" + (
        f"ALTER TABLE t{number} ADD FOREIGN KEY (t0) REFERENCES t7;" if number == 0 else ""
    ) for number in reversed(range(8))
)
COPIED = "SELECT count(*) FROM cloudpg_migration.copy_table WHERE state = 'copied'"
# Every COPY into this table is slow enough to be met.
SLOW = """
    CREATE FUNCTION slow() RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0005); RETURN true; END';
    ALTER TABLE t7 ADD CONSTRAINT slow CHECK (slow());
"""


def copied(target) -> int:
    """How many tables the ledger has; none as long as there is no ledger."""
    with suppress(psycopg2.Error):
        return target.query(COPIED)[0][0]
    return 0


def at_work(target) -> bool:
    """Whether some tables are in and the slow one isn't."""
    return copied(target) >= 3 and bool(target.query(
        "SELECT 1 FROM pg_stat_activity WHERE query ~ '^COPY public.t7 ' AND state = 'active'"
    ))


@pytest.fixture
def halfway(pair):
    """A copy that will be met halfway."""
    source, target = pair(15, 18)
    prepare(source, target, TABLES, ROWS, KEYS)
    target.run(SLOW)
    return source, target


def write_a_little(source):
    """Changes in every table, which must not be lost, whichever way a table comes."""
    for number in range(8):
        source.run(f"INSERT INTO t{number} SELECT max(id) + 1, 1, 'later' FROM t{number}")
        source.run(f"UPDATE t{number} SET pad = 'changed' WHERE id % 1000 = 7; DELETE FROM t{number} WHERE id = 13")


def re_enter(source, target, left, wait=True):
    """P56: the finished tables follow, the others come in through the same subscription."""
    finished = [name for name in content(source) if name not in left]
    source.query(f"CREATE PUBLICATION finished FOR TABLE {', '.join(finished)}")
    subscribe(source, target, "finished")
    target.query(f"ALTER SUBSCRIPTION {MADE} DISABLE")
    target.query(f"ALTER SUBSCRIPTION {MADE} SET PUBLICATION {MADE} WITH (refresh = false)")
    target.query(f"ALTER SUBSCRIPTION {MADE} ENABLE")
    target.query(f"ALTER SUBSCRIPTION {MADE} REFRESH PUBLICATION WITH (copy_data = true)")
    if wait:
        wait_until(lambda: target.query("SELECT DISTINCT srsubstate::text FROM pg_subscription_rel") == [("r",)], 90)


def finish(run_module, source, target):
    """Whatever the run has left is brought in, and both sides are the same."""
    write_a_little(source)
    told = ended(run_module, source, target)
    if told["left"]:
        assert not told["done"]
        assert target.query("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [(0,)]
        re_enter(source, target, told["left"])
        assert ended(run_module, source, target)["done"]
    else:
        subscribe(source, target)
    write_a_little(source)
    assert in_step(source)
    assert content(target) == content(source)
    assert [key[:3] for key in keys(target)[1]] == [key[:3] for key in keys(source)[1]]
    assert ended(run_module, source, target)["changed"] is False
    return told


def test_p55_p56_a_killed_run_keeps_what_is_finished(halfway, run_module, begin_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    kept = copied(target)
    os.kill(run.pid, signal.SIGKILL)
    run.text()
    # No worker outlives it, and its COPY with it.
    wait_until(lambda: not target.query("SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^cloudpg_copy'"))
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    told = finish(run_module, source, target)
    assert kept <= 8 - len(told["left"]) and "public.t7" in told["left"]


def test_p55_p56_a_copy_that_takes_too_long_is_given_up_and_keeps_what_is_finished(halfway, run_module):
    source, target = halfway
    # What this one waits for doesn't end by itself.
    holder = target.connect("boss")
    holder.cursor().execute("BEGIN; LOCK TABLE t7 IN SHARE MODE")
    told = run_module("pg_copy", given(source, target, wait_timeout=20))
    assert told["failed"] and told["code"] == "wait_timeout" and "wait_timeout (20 s) is over" in told["msg"]
    assert "/8 tables" in told["msg"] and copied(target) < 8
    for side in halfway:
        # Its lock is still held: what waits for that was ended, and didn't end by itself.
        wait_until(lambda side=side: not side.query(
            "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^cloudpg_copy'"))
    holder.close()
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    assert "public.t7" in finish(run_module, source, target)["left"]


@pytest.mark.long
def test_p54_a_server_that_stays_away_is_waited_for_no_longer_than_the_copy_may_take(halfway, begin_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target, wait_timeout=20, reconnect_timeout=3600))
    wait_until(lambda: at_work(target), 60)
    target.server.stop()
    try:
        told = run.result()
    finally:
        target.server.start()
    assert told["failed"] and target.address()["host"] in told["msg"]


@pytest.mark.long
def test_while_others_keep_the_source_busy_fewer_tables_are_read_at_once(halfway, begin_module):
    source, target = halfway
    others = [psycopg2.connect(**source.address(), async_=True) for _session in range(2)]
    for connection in others:
        psycopg2.extras.wait_select(connection)
        connection.cursor().execute("SELECT count(*) FROM generate_series(1, 1000000000000) i")
    run = begin_module("pg_copy", given(source, target, max_jobs=4, throttle={"busy_sessions": 1}))
    wait_until(lambda: copied(target), 60)
    wait_until(lambda: target.query(
        "SELECT 1 FROM cloudpg_migration.copy_run WHERE (progress->>'readers_allowed')::int < 4"
        " AND progress->>'throttled' = '2 sessions keep the source''s processors busy'"
    ), 60)
    source.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '1000000000000' AND"
                 " pid <> pg_backend_pid()")
    assert run.result()["done"]
    assert content(target) == content(source)


def test_p54_a_restart_of_the_target_loses_no_table_and_no_moment(halfway, begin_module, run_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    target.server.restart()
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    told = run.result()
    assert told["done"] and told["left"] == [] and told["progress"]["reconnected"] > 0
    subscribe(source, target)
    write_a_little(source)
    assert in_step(source)
    assert content(target) == content(source)


def test_p56_a_restart_of_the_source_leaves_what_was_not_finished(halfway, begin_module, run_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    source.server.restart()
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    told = run.result()
    assert not told.get("failed"), told
    assert not told["done"] and "public.t7" in told["left"]
    finish(run_module, source, target)


def test_p54_a_lost_connection_costs_one_table_one_try(halfway, begin_module, run_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    target.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^COPY public.t7 '")
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    told = run.result()
    assert told["done"] and told["progress"]["reconnected"] == 0
    assert content(target) == content(source)


def test_p14_a_lost_slot_is_said_and_nothing_is_done(halfway, begin_module, run_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    os.kill(run.pid, signal.SIGKILL)
    run.text()
    source.query("SELECT pg_drop_replication_slot(%s)", [MADE])
    told = run_module("pg_copy", given(source, target))
    assert told["failed"] and told["code"] == "slot_lost" and "P14" in told["msg"]


def test_p14_a_slot_that_is_lost_while_the_copy_runs_is_said(halfway, begin_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    source.query("SELECT pg_drop_replication_slot(%s)", [MADE])
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    told = run.result()
    assert told["failed"] and told["code"] == "slot_lost" and "P14" in told["msg"]


def test_p55_a_server_that_restarts_while_it_is_looked_at_is_waited_for(halfway, begin_module):
    source, target = halfway
    # Looking waits for this lock, and nothing is begun.
    holder = source.connect("boss")
    holder.cursor().execute("BEGIN; LOCK TABLE pg_catalog.pg_publication IN ACCESS EXCLUSIVE MODE")
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: source.server.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^cloudpg_copy' AND wait_event_type = 'Lock'"))
    source.server.restart()
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    told = run.result()
    assert told["done"], told
    assert content(target) == content(source)


@pytest.mark.long
def test_p56_what_is_coming_in_is_not_to_be_taken_out_of_the_publication_again(halfway, run_module, begin_module):
    source, target = halfway
    run = begin_module("pg_copy", given(source, target))
    wait_until(lambda: at_work(target), 60)
    os.kill(run.pid, signal.SIGKILL)
    run.text()
    left = ended(run_module, source, target)
    assert left["left"] and left["entering"] == []
    # t7 takes its time still: whoever runs again meanwhile is told that it is on its way.
    re_enter(source, target, left["left"], wait=False)
    again = ended(run_module, source, target)
    assert "public.t7" in again["left"] and "public.t7" in again["entering"]
    target.run("ALTER TABLE t7 DROP CONSTRAINT slow")
    wait_until(lambda: target.query("SELECT DISTINCT srsubstate::text FROM pg_subscription_rel") == [("r",)], 90)
    assert ended(run_module, source, target)["done"]
