# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_carried_jobs on a real server."""

from __future__ import annotations

import pytest
from cloudpg_sandbox.testing import wait_until

CRON = """
    CREATE SCHEMA cron;
    CREATE TABLE cron.job (jobid bigint PRIMARY KEY, username text DEFAULT 'app', active boolean NOT NULL);
    INSERT INTO cron.job VALUES (1, DEFAULT, true), (2, DEFAULT, false), (3, DEFAULT, true);
    GRANT USAGE ON SCHEMA cron TO migration;
    GRANT SELECT, UPDATE ON cron.job TO migration;
"""
NAME = 'From "ERP"'


@pytest.fixture
def carried(primary, database):
    """A database with an enabled subscription and jobs, as a promoted copy has them."""
    primary.query(CRON, dbname=database)
    primary.query(
        "CREATE SUBSCRIPTION \"From \"\"ERP\"\"\" CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p"
        " WITH (connect = false, slot_name = 'erp')", dbname=database,
    )
    primary.query('ALTER SUBSCRIPTION "From ""ERP""" ENABLE', dbname=database)
    return database


def state(primary, database):
    enabled = primary.query("SELECT subenabled FROM pg_subscription WHERE subname = %s", [NAME])[0][0]
    jobs = [row[0] for row in primary.query("SELECT jobid FROM cron.job WHERE active ORDER BY 1", dbname=database)]
    return enabled, jobs


def test_r19_p44_what_travelled_is_stopped_once(run, at, primary, carried):
    given = {"server": at(primary, "boss"), "databases": [carried]}
    would = run("pg_carried_jobs", check=True, **given)
    assert would["changed"] and would["queries"] == []
    assert state(primary, carried) == (True, [1, 3])

    did = run("pg_carried_jobs", **given)
    assert did["changed"] and did["actions"] == would["actions"] and did["diff"] == would["diff"]
    assert did["subscriptions"] == [{"database": carried, "name": NAME}]
    assert did["jobs"] == [{"database": carried, "ids": [1, 3]}]
    assert did["queries"][0] == 'ALTER SUBSCRIPTION "From ""ERP""" DISABLE'
    assert state(primary, carried) == (False, [])
    assert primary.query("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL") == [(0,)]

    again = run("pg_carried_jobs", **given)
    assert (again["changed"], again["actions"], again["queries"]) == (False, [], [])


def test_p44_exactly_the_jobs_that_ran_are_resumed(run, at, primary, carried):
    given = {"server": at(primary, "boss"), "databases": [carried]}
    jobs = run("pg_carried_jobs", **given)["jobs"]
    assert run("pg_carried_jobs", check=True, state="resumed", jobs=jobs, **given)["changed"]
    assert run("pg_carried_jobs", state="resumed", jobs=jobs, **given)["changed"]
    assert state(primary, carried) == (False, [1, 3])
    assert not run("pg_carried_jobs", state="resumed", jobs=jobs, **given)["changed"]


def test_a_login_that_may_not_disable_is_told_who_may(run, at, primary, carried):
    told = run("pg_carried_jobs", server=at(primary), databases=[carried])
    assert told["failed"] and told["code"] == "42501" and "owner" in told["msg"]
    assert state(primary, carried)[0] is True


def test_p41_jobs_that_are_hidden_fail_the_module(run, at, primary, carried):
    primary.query("ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY", dbname=carried)
    told = run("pg_carried_jobs", server=at(primary), databases=[carried])
    assert told["failed"] and "P41" in told["msg"]
    assert state(primary, carried) == (True, [1, 3])


def test_all_databases_are_looked_into_unless_named(run, at, primary, carried):
    found = run("pg_carried_jobs", check=True, server=at(primary, "boss"))
    assert found["subscriptions"] == [{"database": carried, "name": NAME}]


def test_a_standby_shows_what_would_be_stopped_and_refuses_to_stop_it(run, at, primary, standby, carried):
    primary.query("CHECKPOINT")
    wait_until(lambda: standby.query("SELECT subenabled FROM pg_subscription WHERE subname = %s", [NAME]) == [(True,)])
    given = {"server": at(standby, "boss"), "databases": [carried]}
    assert run("pg_carried_jobs", check=True, **given)["changed"]
    told = run("pg_carried_jobs", **given)
    assert told["failed"] and told["code"] == "25006"


def test_a_host_that_is_not_there_yet_has_nothing_to_stop(run):
    told = run("pg_carried_jobs", check=True, server={"host": None})
    assert (told["changed"], told["jobs"]) == (False, [])
