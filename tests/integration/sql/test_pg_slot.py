# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_slot on real servers."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from psycopg2.extras import LogicalReplicationConnection


@pytest.fixture(params=[15, 18])
def side(request, pair):
    there, _other = pair(request.param, 16)
    there.run("CREATE TABLE kept (id int PRIMARY KEY)")
    return there


def published(side):
    side.run("CREATE PUBLICATION cloudpg_orders_back FOR TABLE kept")
    return side


def given(side, **more):
    return {"server": side.address(), "migration": "orders-back", **more}


def name(side):
    return f"cloudpg_orders_back_{side.database}"


def slots(side):
    return side.query(
        "SELECT slot_name, plugin FROM pg_replication_slots WHERE slot_name LIKE 'cloudpg%%' AND database = %s",
        [side.database],
    )


def test_it_is_made_and_dropped_once(side, run_module):
    published(side)
    for state, after in (("present", [(name(side), "pgoutput")]), ("absent", [])):
        would = run_module("pg_slot", given(side, state=state), check=True)
        assert slots(side) != after
        did = run_module("pg_slot", given(side, state=state))
        assert did["changed"] and would["actions"] == did["actions"] and would["diff"] == did["diff"]
        assert slots(side) == after
        again = run_module("pg_slot", given(side, state=state))
        assert (again["changed"], again["actions"]) == (False, [])
        assert again["slots"] == [{"database": side.database, "name": name(side)}]


def test_p10_without_its_publication_it_is_refused(side, run_module):
    told = run_module("pg_slot", given(side))
    assert told["failed"] and "there is no publication cloudpg_orders_back yet" in told["msg"], told
    assert slots(side) == []


def test_p9_it_waits_for_who_writes_and_no_longer_than_it_may(side, run_module):
    published(side)
    with closing(psycopg2.connect(**side.address("owner"))) as writer:
        writer.cursor().execute("INSERT INTO kept VALUES (1)")
        told = run_module("pg_slot", given(side, wait_timeout=1))
        assert told["failed"] and told["code"] == "slot_not_made" and "wasn't made within 1 s" in told["msg"], told
    assert slots(side) == []
    assert run_module("pg_slot", given(side))["changed"]


def test_a_slot_of_another_kind_is_left_alone(side, run_module):
    published(side)
    side.query("SELECT pg_create_physical_replication_slot(%s)", [name(side)])
    try:
        told = run_module("pg_slot", given(side))
        assert told["failed"] and "is no logical slot with pgoutput" in told["msg"], told
    finally:
        side.query("SELECT pg_drop_replication_slot(%s)", [name(side)])


def test_p13_one_in_use_is_dropped_all_the_same(side, run_module):
    published(side)
    run_module("pg_slot", given(side))
    with closing(psycopg2.connect(**side.address(), connection_factory=LogicalReplicationConnection)) as follower:
        follower.cursor().start_replication(
            slot_name=name(side), options={"proto_version": "1", "publication_names": "cloudpg_orders_back"}
        )
        active = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
        assert side.query(active, [name(side)]) == [(True,)]
        done = run_module("pg_slot", given(side, state="absent"))
    assert done["changed"], done
    assert slots(side) == []
