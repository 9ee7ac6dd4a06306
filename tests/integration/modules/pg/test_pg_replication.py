# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Positions, the mark and the wait, on a primary and its standby."""

from __future__ import annotations

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.gate import lsn_number


def commit(primary, database, synchronous):
    """One acknowledged commit; the LSN behind its record."""
    with primary.connect(database) as session, session.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', %s, false)", ["on" if synchronous else "off"])
        cursor.execute("INSERT INTO t VALUES (1)")
        cursor.execute("SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text")
        return (lsn_number(text) for text in cursor.fetchone())


@pytest.fixture
def table(primary, database):
    primary.query("CREATE TABLE t (a int)", dbname=database)
    return database


def test_p17_no_acknowledged_commit_lies_beyond_the_mark(run, at, primary, table):
    for _attempt in range(5):
        written, flushed = commit(primary, table, synchronous=False)
        assert flushed < written, "the commit was flushed at once: this test proves nothing"
        assert lsn_number(run("pg_replication_info", server=at(primary), mark=True)["lsn"]) >= written


def test_p17_a_fenced_server_can_be_marked(run, at, primary):
    server = at(primary, options="-c default_transaction_read_only=on")
    assert run("pg_replication_info", server=server, mark=True)["lsn"]


def test_check_mode_writes_no_mark(run, at, primary):
    # WAL grows without anybody's doing; the number of transactions that wrote something doesn't.
    written = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
    before = primary.query(written)
    told = run("pg_replication_info", check=True, server=at(primary), mark=True)
    assert told["lsn"] is None
    assert primary.query(written) == before
    assert run("pg_replication_info", server=at(primary), mark=True)["lsn"]
    assert primary.query(written) != before


def test_a_standby_can_not_be_marked(run, at, standby):
    told = run("pg_replication_info", server=at(standby), mark=True)
    assert told["failed"] and "mark the primary" in told["msg"]


def test_both_sides_tell_where_they_are(run, at, primary, standby, table):
    lsn = run("pg_replication_info", server=at(primary), mark=True)["lsn"]
    wait_until(lambda: lsn_number(run("pg_replication_info", server=at(standby))["replication"]["replay_lsn"])
               >= lsn_number(lsn))
    there = run("pg_replication_info", server=at(standby))["replication"]
    assert (there["in_recovery"], there["flush_lsn"], there["refused"]) == (True, None, None)
    assert there["wal_bytes"] == lsn_number(there["replay_lsn"])
    here = run("pg_replication_info", server=at(primary))["replication"]
    assert (here["in_recovery"], here["replay_lsn"]) == (False, None)
    assert [(row["name"], row["slot"], row["state"]) for row in here["standbys"]] == [
        ("standby", "standby_slot", "streaming")
    ]
    assert [(slot["name"], slot["active"]) for slot in here["slots"]] == [("standby_slot", True)]


@pytest.mark.parametrize("via", ["standby", "source"])
def test_r15_the_wait_ends_when_the_copy_has_replayed_the_mark(run, play, at, primary, standby, table, via):
    lsn = run("pg_replication_info", server=at(primary), mark=True)["lsn"]
    commit(primary, table, synchronous=True)
    where = standby if via == "standby" else primary
    told, printed = play("pg_replication_wait", server=at(where), via=via, lsn=lsn, wait_timeout=30)
    assert not told["failed"], told["msg"]
    assert told["changed"] is False
    assert f"[localhost] {'the replica' if via == 'standby' else 'standby_slot'} has replayed " in printed


def test_a_copy_that_stands_still_ends_in_a_timeout_with_the_last_state(run, play, at, primary, standby, table):
    standby.query("SELECT pg_wal_replay_pause()")
    try:
        commit(primary, table, synchronous=True)
        lsn = run("pg_replication_info", server=at(primary), mark=True)["lsn"]
        told, _printed = play("pg_replication_wait", server=at(standby), lsn=lsn, wait_timeout=1)
    finally:
        standby.query("SELECT pg_wal_replay_resume()")
    assert told["failed"] and "wait_timeout 1" in told["msg"] and "B behind" in told["msg"]
    assert told["state"]["replication"]["in_recovery"] is True


def test_r17_a_copy_that_was_promoted_ends_the_wait_at_once(play, at, primary):
    told, _printed = play("pg_replication_wait", server=at(primary), lsn="0/1", wait_timeout=60)
    assert told["failed"] and "R17" in told["msg"]
    assert told["elapsed"] < 30


def test_p52_a_login_that_sees_no_positions_is_told_so(play, at, primary):
    told, _printed = play("pg_replication_wait", server=at(primary, "plain"), via="source", lsn="0/1", wait_timeout=60)
    assert told["failed"] and "pg_monitor" in told["msg"]


def test_an_unknown_option_is_refused(play, at, primary):
    told, _printed = play("pg_replication_wait", server=at(primary), lsn="0/1", lns="0/1")
    assert told["failed"] and "lns" in told["msg"]


def test_check_mode_waits_for_nothing(play):
    told, _printed = play("pg_replication_wait", check=True, server={"host": None}, lsn=None, region="eu-west-1")
    assert not told["failed"] and told["msg"].startswith("would wait for the replica to have replayed")
