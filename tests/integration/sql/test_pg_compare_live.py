# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_compare while replication runs and clients write."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

TABLES = """
    CREATE TABLE orders (id int PRIMARY KEY, state int NOT NULL, what text);
    CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE bag (what text);
    ALTER TABLE bag REPLICA IDENTITY FULL;
"""
ROWS = """
    INSERT INTO orders SELECT n, 0, 'order ' || n FROM generate_series(1, 3000) n;
    INSERT INTO hot VALUES (1, 0);
    INSERT INTO bag SELECT 'thing ' || n % 50 FROM generate_series(1, 500) n;
"""
WRITES = """
    UPDATE orders SET state = state + 1 WHERE id = 1 + (random() * 2000)::int;
    UPDATE hot SET n = n + 1;
    DELETE FROM orders WHERE id = 5000 + (random() * 20)::int;
    INSERT INTO orders VALUES (5000 + (random() * 20)::int, 0, 'new') ON CONFLICT DO NOTHING;
    INSERT INTO bag VALUES ('more');
"""


@pytest.fixture
def following(pair):
    """A target that follows its source by a slot of the migration's name, all rows in."""
    source, target = pair(16, 18)
    for side in (source, target):
        side.run(TABLES)
    source.run(ROWS)
    source.query("CREATE PUBLICATION cloudpg_orders FOR ALL TABLES")
    address = source.address("boss")
    target.query(
        f"CREATE SUBSCRIPTION cloudpg_orders CONNECTION 'host={address['host']} port=5432 user=boss dbname="
        f"{source.database} password={address['password']}' PUBLICATION cloudpg_orders"
    )
    wait_until(lambda: target.query("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") == [(True,)])
    return source, target


@contextmanager
def writing(side):
    """Clients that write all the time; what they run into is raised at the end."""
    stop, errors = threading.Event(), []

    def write(connection):
        try:
            with connection.cursor() as cursor:
                while not stop.wait(0.002):
                    cursor.execute(WRITES)
        except psycopg2.Error as error:
            errors.append(error)

    # Connected before anything is forked: who is forked while another thread connects inherits the locks of that.
    with closing(side.connect()) as one, closing(side.connect()) as another:
        threads = [threading.Thread(target=write, args=(connection,)) for connection in (one, another)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert not errors


def given(sides, **more):
    return {
        "source": sides[0].address(), "target": sides[1].address(), "objects": [], "live": True, "migration": "orders",
        "wait_timeout": 60, **more,
    }


def test_p48_a_target_that_follows_is_alike_while_clients_write(following, run_module):
    with writing(following[0]):
        result = run_module("pg_compare", given(following))
    assert not result.get("failed"), result["msg"]
    assert result["equal"] is True and result["compared"]["tables"] == 3


def test_p48_what_is_really_different_is_found_among_rows_that_only_lag(following, run_module):
    source, target = following
    target.query("DELETE FROM orders WHERE id = 2500")
    target.query("INSERT INTO orders VALUES (4711, 0, 'stray')")
    target.query("UPDATE orders SET what = 'wrong' WHERE id = 2700")
    target.query("DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag WHERE what = 'thing 7')")
    with writing(source):
        result = run_module("pg_compare", given(following))
    assert result["failed"]
    found = {
        one["table"]: {(*key["key"].values(), key["difference"]) for key in one["keys"]}
        for one in result["row_differences"]
    }
    assert found.pop("public.orders") == {
        ("2500", "missing on the target"), ("4711", "only on the target"), ("2700", "different"),
    }
    [(_hash, difference)] = found.pop("public.bag")
    assert difference == "10 times on the source, 9 times on the target" and found == {}


def test_p16_p19_a_target_that_does_not_come_up_is_no_pass(following, run_module):
    source, target = following
    target.query("ALTER SUBSCRIPTION cloudpg_orders DISABLE")
    wait_until(lambda: source.query(
        "SELECT active FROM pg_replication_slots WHERE database = current_database()") == [(False,)])
    source.run("UPDATE orders SET state = 7 WHERE id = 7")
    result = run_module("pg_compare", given(following, wait_timeout=1))
    assert result["failed"] and result["code"] == "wait_timeout" and "nobody reads it" in result["msg"]


def test_check_mode_finds_the_same_without_the_messages_that_hurry_the_lag(following, run_module):
    source, target = following
    target.query("UPDATE orders SET what = 'wrong' WHERE id = 2700")
    with writing(source):
        result = run_module("pg_compare", given(following), check=True)
    assert result["failed"] and result["row_differences"][0]["key_count"] == 1
