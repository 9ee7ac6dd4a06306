# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof of a fence."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg import sessions


def backend(backend_type="client backend", *, user="app", database="shop", state="idle", own=False, pid=7):
    return {
        "pid": pid, "user": user, "database": database, "application_name": "a", "client_addr": "127.0.0.1",
        "backend_type": backend_type, "state": state, "since": "2026-01-04T22:00:00.000+00:00", "own": own,
    }


def process(backend_type):
    return backend(backend_type, user=None, database=None, state=None)


@pytest.mark.parametrize("row", [
    *(process(name) for name in sorted(sessions.HARMLESS)),
    backend(own=True, state="active"),
    backend("walsender", user="rdsrepladmin", database=None, state="active"),
    backend(user="rdsadmin", database="rdsadmin"),
], ids=lambda row: f"{row['backend_type']} {row['user']}")
def test_p52_the_servers_own_processes_are_harmless(row):
    assert sessions.judge([row], [])["proven"]


@pytest.mark.parametrize("row", [
    backend(), backend(state="idle in transaction"), backend(state="active"), backend(user="postgres"),
    backend("pg_cron launcher", database="postgres", state=None), backend("pg_cron", state="active"),
    process("logical replication worker"), process("logical replication apply worker"), process("parallel worker"),
    process("a process nobody knows"), backend("walsender", database="shop", state="active"),
], ids=lambda row: f"{row['backend_type']} {row['state']}")
def test_p52_everybody_else_counts(row):
    judged = sessions.judge([row], [])
    assert (judged["proven"], judged["readable"], judged["blocking_count"]) == (False, True, 1)


@pytest.mark.parametrize("row", [
    backend(None, state=None), backend(None, user=None, database=None, state=None), backend(state=None),
    backend(user=None),
])
def test_p52_null_is_a_failure(row):
    judged = sessions.judge([row], [])
    assert (judged["proven"], judged["readable"]) == (False, False)
    assert "pg_monitor" in judged["reasons"][0]


def test_p52_a_prepared_transaction_may_still_commit():
    judged = sessions.judge([], ["two-phase"])
    assert not judged["proven"] and "two-phase" in judged["reasons"][0]
    assert (judged["prepared_transaction_count"], judged["prepared_transactions"]) == (1, ["two-phase"])


def test_a_backend_type_can_be_named_harmless():
    row = process("pg_stat_monitor")
    assert not sessions.judge([row], [])["proven"]
    assert sessions.judge([row], [], ["pg_stat_monitor"])["proven"]


def test_the_list_is_bounded_and_the_count_is_not():
    judged = sessions.judge([backend(pid=number) for number in range(250)], [str(number) for number in range(150)])
    assert (judged["blocking_count"], len(judged["blocking"])) == (250, 100)
    assert (judged["prepared_transaction_count"], len(judged["prepared_transactions"])) == (150, 100)
    assert "own" not in judged["blocking"][0]


def test_a_server_that_is_not_there_proves_nothing():
    assert not sessions.nobody_to_ask()["proven"]
