# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long steps work under the lock: its lease is renewed meanwhile, and a takeover ends them (R33)."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import LeaseLost
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import Hold, keeping

from .copy_stand import MIGRATION, ended, given, prepare

TABLES = "CREATE TABLE quick (id int NOT NULL); CREATE TABLE slow (id int NOT NULL);"
ROWS = "INSERT INTO quick SELECT generate_series(1, 100); INSERT INTO slow SELECT generate_series(1, 100000);"
# A COPY into this table takes minutes, unless it is let go.
SLOW = """
    CREATE FUNCTION slowly() RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN true; END';
    ALTER TABLE slow ADD CONSTRAINT slowly CHECK (slowly());
"""
AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND query ~ '^COPY public.slow ' AND state = 'active'"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name ~ '^cloudpg_copy'"
LAPSE = "UPDATE cloudpg_migration.lease SET until = clock_timestamp() - interval '1 second'"
RENEWED = "SELECT until > clock_timestamp() FROM cloudpg_migration.lease"
COPIED = "SELECT name FROM cloudpg_migration.copy_table WHERE state = 'copied' ORDER BY 1"


def seen(side, question):
    return bool(side.query(question, [side.database]))


@pytest.fixture
def sides(pair):
    source, target = pair(16, 18)
    for side in (source, target):
        side.query(f'GRANT CREATE ON DATABASE "{side.database}" TO migration')
    return source, target


@pytest.fixture
def take(sides, run_module):
    """The lock of the migration, at once."""
    source, target = sides

    def go(**options):
        told = run_module("pg_journal", {
            "source": source.address(), "target": target.address(), "journal": {"migration": MIGRATION},
            "wait_timeout": 0, **options,
        })
        assert not told.get("failed"), told
        return told["journal"]

    return go


@pytest.fixture
def copying(sides, take, begin_module):
    """A copy that works under the lock, met in the middle of its slow table; with the lock's journal."""
    source, target = sides
    prepare(source, target, TABLES, ROWS)
    target.run(SLOW)
    held = take()
    run = begin_module("pg_copy", given(source, target, journal=held))
    wait_until(lambda: seen(target, AT_WORK) and target.query(COPIED) == [("public.quick",)], 60)
    return run


def taken_over(told, holder):
    assert told.get("failed") and told["code"] == "lease_lost", told
    assert f"held by {holder['holder']}" in told["msg"] and "Nothing more was changed" in told["msg"]


def let_go(target):
    """The slow COPY is ended and finds a quick table when it is tried again."""
    target.query("CREATE OR REPLACE FUNCTION slowly() RETURNS bool LANGUAGE sql AS 'SELECT true'")
    target.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^COPY public.slow '")


def test_r33_the_lease_is_renewed_on_both_sides_while_a_copy_runs(sides, copying):
    for side in sides:
        side.query(LAPSE)
    for side in sides:
        wait_until(lambda: side.query(RENEWED) == [(True,)], 15)
    let_go(sides[1])
    told = copying.result()
    assert not told.get("failed") and told["done"], told


def test_r33_a_takeover_ends_a_running_copy_and_the_new_holder_goes_on(sides, copying, take, run_module):
    source, target = sides
    mine = take(take_over=True)
    taken_over(copying.result(), mine)
    wait_until(lambda: target.query(SESSIONS, [target.database]) == [(0,)], 15)
    assert target.query(COPIED) == [("public.quick",)], "what was finished stays, nothing came after it"
    assert target.query("SELECT count(*) FROM slow") == [(0,)]
    let_go(target)
    assert ended(run_module, source, target, journal=mine)["left"] == ["public.slow"]


@pytest.mark.long
def test_r33_a_copy_that_sleeps_through_a_takeover_wakes_up_to_nothing(sides, copying, take, run_module):
    source, target = sides
    family = [copying.pid, *map(int, Path(f"/proc/{copying.pid}/task/{copying.pid}/children").read_text().split())]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    mine = take(take_over=True)
    let_go(target)
    try:
        told = ended(run_module, source, target, journal=mine)
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
    taken_over(copying.result(), mine)
    assert told["left"] == ["public.slow"]
    assert target.query("SELECT count(*) FROM slow") == [(0,)]


def test_r33_who_lost_the_lock_before_changes_nothing(sides, take, run_module):
    source, target = sides
    prepare(source, target, TABLES, ROWS)
    lost, mine = take(), take(take_over=True)
    both = {"source": source.address(), "target": target.address(), "journal": lost}
    one = {"server": source.address(), "journal": lost, "migration": MIGRATION}
    for name, args in (
        ("pg_copy", given(source, target, journal=lost)),
        ("pg_copy", given(source, target, journal=lost, state="absent")),
        ("pg_schema", {**both, "bindir": target.bindir}), ("pg_compare", both), ("pg_sequence_sync", both),
        ("pg_subscription", {**both, "migration": MIGRATION}), ("pg_publication", one), ("pg_replica_identity", one),
    ):
        taken_over(run_module(name, args), mine)
    assert target.query("SELECT FROM pg_class WHERE relname = 'copy_run'") == []


@pytest.mark.parametrize("module, more", [
    ("pg_schema", {"sections": ["post-data"], "lock_timeout": 60}), ("pg_compare", {"rows": "hash", "objects": []}),
], ids=["pg_schema", "pg_compare"])
def test_r33_a_takeover_calls_off_what_a_module_waits_for(sides, take, begin_module, module, more):
    source, target = sides
    prepare(source, target, TABLES, ROWS, "CREATE INDEX late ON quick (id);", publish=False)
    more = {**more, "bindir": target.bindir} if module == "pg_schema" else more
    with closing(target.connect()) as blocking, blocking.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE quick IN ACCESS EXCLUSIVE MODE")
        run = begin_module(module, {
            "source": source.address(), "target": target.address(), "journal": take(), **more,
        })
        wait_until(lambda: seen(target, WAITING), 30)
        mine = take(take_over=True)
        taken_over(run.result(), mine)
    assert target.query("SELECT FROM pg_class WHERE relname = 'late'") == []


def test_a_journal_that_is_not_held_beside_the_data_is_refused(sides, run_module):
    source, target = sides
    for journal, words in (
        ({"migration": MIGRATION}, "is not held"),
        ({"migration": MIGRATION, "generation": 1, "holder": "me", "group_id": "sg-1"}, "security group sg-1 on AWS"),
    ):
        told = run_module("pg_copy", given(source, target, journal=journal))
        assert told["failed"] and words in told["msg"] and "Cure:" in told["msg"]
        assert not run_module("pg_compare", {
            "source": source.address(), "target": target.address(), "journal": journal,
        }, check=True).get("failed"), "in check mode there is no lock"


def test_r33_a_lease_outlives_its_connections_but_not_its_servers(sides, take):
    source, target = sides
    held = take()
    now = [0.0]
    hold = Hold(connect, [source.address(), target.address()], held, lambda: now[0])
    hold.guard()
    source.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'cloudpg.migration'"
    )
    source.query(LAPSE)
    now[0] = 10.0
    hold.keep()
    assert source.query(RENEWED) == [(True,)]
    away = Hold(connect, [{**source.address(), "port": 1}], held, lambda: now[0])
    now[0] += 30
    away.keep()
    now[0] += 30
    with pytest.raises(PgError, match="Cure"):
        away.keep()
    hold.close()


@pytest.mark.long
def test_r33_what_is_done_when_the_lock_is_lost_does_not_count_as_done(sides, take):
    source, target = sides
    params = {"source": source.address(), "target": target.address(), "journal": take()}
    with pytest.raises(LeaseLost), keeping(connect, params, check_mode=False) as watch:
        take(take_over=True)
        wait_until(lambda: watch.lost is not None, 15)
