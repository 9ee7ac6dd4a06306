# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_session_info on a real server: the proof of a fence."""

from __future__ import annotations

from contextlib import contextmanager

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until


@contextmanager
def client(at, primary, database):
    """An application in the middle of a write."""
    told = at(primary, "boss")
    session = psycopg2.connect(**told, dbname=database, application_name="shop")
    try:
        session.cursor().execute("CREATE TABLE t (a int)")
        yield session
    finally:
        session.close()


def test_p52_a_server_with_nobody_but_a_standby_is_proven_quiet(run, at, primary):
    told = wait_until(lambda: (told := run("pg_session_info", server=at(primary)))["proven"] and told)
    assert (told["reasons"], told["blocking"], told["readable"]) == ([], [], True)


def test_p52_a_client_is_named(run, at, primary, database):
    with client(at, primary, database) as session:
        told = run("pg_session_info", server=at(primary))
        seen = next(row for row in told["blocking"] if row["pid"] == session.info.backend_pid)
    assert told["proven"] is False and told["readable"] is True
    assert (seen["user"], seen["database"], seen["application_name"], seen["state"]) == (
        "boss", database, "shop", "idle in transaction"
    )
    assert any("may write" in reason for reason in told["reasons"])


def test_p52_without_pg_monitor_nothing_is_proven(run, at, primary, database):
    with client(at, primary, database):
        told = run("pg_session_info", server=at(primary, "plain"))
    assert (told["proven"], told["readable"]) == (False, False)
    assert "pg_monitor" in told["reasons"][0]


def test_p52_a_prepared_transaction_disproves(run, at, primary, database):
    with client(at, primary, database) as session:
        session.cursor().execute("PREPARE TRANSACTION 'half'")
    wait_until(lambda: run("pg_session_info", server=at(primary))["blocking_count"] == 0)
    told = run("pg_session_info", server=at(primary))
    assert (told["proven"], told["prepared_transactions"]) == (False, ["half"])


@pytest.mark.parametrize("check", [True, False])
def test_a_host_that_is_not_there_yet_proves_nothing(run, check):
    told = run("pg_session_info", check=check, server={"host": None})
    assert not told.get("proven") and bool(told.get("failed")) is not check
