# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts about PostgreSQL that no module's own tests meet: each on real servers, with what the modules make of it."""

from __future__ import annotations

import pytest
from cloudpg_sandbox.testing import wait_until

from .copy_stand import MADE, MIGRATION, ended, given, in_step, prepare, subscribe

ORDERS = """
    CREATE TABLE customers (id int PRIMARY KEY);
    CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers);
"""


@pytest.fixture
def sides(pair):
    return pair(16, 18)


def preflight(run_module, source, target, **more):
    """The findings by id, each with its objects."""
    told = run_module("logical_preflight_info", {
        "source": source.address(), "target": target.address(), "migration": MIGRATION,
        "databases": [source.database], **more,
    })
    assert not told.get("failed"), told.get("msg")
    found = {}
    for one in told["findings"]:
        found.setdefault(one["id"], []).append(one)
    return found


def errors_of(target):
    return target.query("SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subname = %s", [MADE])[0][0]


def test_p6_p7_a_truncate_fails_where_a_foreign_key_leaves_the_subscription(sides, run_module):
    source, target = sides
    prepare(source, target, ORDERS, "INSERT INTO customers VALUES (1); INSERT INTO orders VALUES (1, 1)", publish=False)
    target.run("INSERT INTO customers VALUES (1); INSERT INTO orders VALUES (1, 1)")
    found = preflight(run_module, source, target, tables=["public.customers"])
    [finding] = found["foreign-key-leaves-selection"]
    assert "public.orders" in finding["object"] and "TRUNCATE" in finding["reason"]
    assert "foreign-key-leaves-selection" not in preflight(run_module, source, target)
    source.query(f"CREATE PUBLICATION {MADE} FOR TABLE customers")
    source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [MADE])
    subscribe(source, target)
    source.run("TRUNCATE customers CASCADE")
    wait_until(lambda: errors_of(target) > 0, 30)
    assert target.query("SELECT count(*) FROM customers") == [(1,)]


def test_p8_triggers_that_fire_always_fire_on_apply_and_are_named_before(sides, run_module):
    source, target = sides
    schema = """
        CREATE TABLE items (id int PRIMARY KEY);
        CREATE TABLE seen (trigger_name text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO public.seen VALUES (TG_NAME); RETURN NULL; END';
        CREATE TRIGGER ordinary AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION see();
        CREATE TRIGGER always AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION see();
        ALTER TABLE items ENABLE ALWAYS TRIGGER always;
    """
    prepare(source, target, schema, publish=False)
    found = preflight(run_module, source, target)
    name = f"{source.database}/public.items.always"
    assert [[one["object"] for one in found[id]] for id in (
        "trigger-fires-on-apply", "target-trigger-fires-on-apply"
    )] == [[name], [name]]
    source.query(f"CREATE PUBLICATION {MADE} FOR TABLE items")
    source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [MADE])
    subscribe(source, target)
    source.run("INSERT INTO items VALUES (1)")
    assert in_step(source)
    assert target.query("SELECT trigger_name FROM seen") == [("always",)]


def test_p20_an_empty_message_moves_positions_and_no_row(sides, run_module):
    source, target = sides
    prepare(source, target, "CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items VALUES (1)")
    ended(run_module, source, target)
    subscribe(source, target)
    assert in_step(source)
    reached = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"
    [(before,)] = source.query(reached, [MADE])
    [(position,)] = source.query("SELECT pg_logical_emit_message(true, 'cloudpg_migration', '')::text")
    moved = "SELECT confirmed_flush_lsn > %s::pg_lsn AND confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots" \
            " WHERE slot_name = %s"
    wait_until(lambda: source.query(moved, [before, position, MADE]) == [(True,)], 30)
    assert target.query("SELECT id FROM items") == [(1,)]


def test_p24_a_slot_that_survives_a_failover_is_made_where_there_is_one(pair, run_module):
    new, old = pair(18, 16)
    prepare(new, old, "CREATE TABLE items (id int PRIMARY KEY)")
    ended(run_module, new, old, failover=True)
    assert new.query("SELECT failover FROM pg_replication_slots WHERE slot_name = %s", [MADE]) == [(True,)]
    prepare(old, new, "SELECT 1", publish=False)
    told = run_module("pg_copy", given(old, new, failover=True, migration="back"))
    assert told["failed"] and "it needs PostgreSQL 17, and the source is a 16 (P24)" in told["msg"]
    assert "slot-lost-on-failover" in preflight(run_module, old, new)
    assert "slot-lost-on-failover" not in preflight(run_module, new, old)


def test_p31_a_right_that_only_others_can_give_is_no_success(sides, run_module):
    source, target = sides
    source.run("CREATE TABLE items (id int PRIMARY KEY); GRANT SELECT ON items TO plain")
    target.run("CREATE TABLE items (id int PRIMARY KEY)")
    target.query(f'GRANT CREATE ON DATABASE "{target.database}" TO migration')
    # It may give nothing on what isn't its own: PostgreSQL says so by a warning, or by an error.
    target.query("ALTER TABLE items OWNER TO boss; GRANT SELECT ON items TO migration")
    told = run_module("pg_schema", {
        "source": source.address(), "target": target.address(), "sections": ["pre-data"], "bindir": target.bindir,
        "owners": False,
    })
    assert told["failed"] and "items" in told["msg"]
    assert target.query("SELECT has_table_privilege('plain', 'items', 'SELECT')") == [(False,)]


def test_p46_the_age_of_the_snapshot_is_told(sides, run_module):
    source, target = sides
    prepare(source, target, "CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items VALUES (1)")
    assert ended(run_module, source, target)["progress"]["snapshot_seconds"] >= 0
    [(told,)] = target.query("SELECT progress -> 'snapshot_seconds' FROM cloudpg_migration.copy_run")
    assert told >= 0


def test_p51_p58_what_locks_a_table_or_is_lost_going_back_is_recommended_and_never_done(sides, run_module):
    source, target = sides
    source.run("CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); CREATE TABLE heap (n numeric NOT NULL)")
    source.query("SELECT lo_create(0)")
    found = preflight(run_module, source, target)
    assert "ACCESS EXCLUSIVE" in found["unlogged-table"][0]["cure"] and "P51" in found["unlogged-table"][0]["cure"]
    assert "P58" in found["large-objects"][0]["cure"]
    run_module("pg_replica_identity", {
        "server": source.address(), "migration": MIGRATION, "using_index": ["*"], "full": ["*"],
    })
    assert source.query(
        "SELECT relname::text, relpersistence::text, relreplident::text FROM pg_class WHERE relname IN ('fast', 'heap')"
        " ORDER BY 1"
    ) == [("fast", "u", "d"), ("heap", "p", "f")]
    assert source.query("SELECT FROM pg_constraint WHERE conrelid = 'heap'::regclass AND contype = 'p'") == []
