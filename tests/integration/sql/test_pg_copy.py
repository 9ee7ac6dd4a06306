# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_copy between real servers of different majors."""

from __future__ import annotations

import threading

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .copy_stand import KEYS, MADE, MIGRATION, ROWS, TABLES, content, ended, given, in_step, keys, prepare, subscribe

SIMPLE = "CREATE TABLE item (id int NOT NULL, name text); CREATE TABLE other (id int NOT NULL)"
SOME = """
    INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
    INSERT INTO other SELECT generate_series(1, 10)
"""


@pytest.fixture
def simple(pair):
    """Two tables with rows on a source of 16, and without any on a target of 18."""
    source, target = pair(16, 18)
    prepare(source, target, SIMPLE, SOME)
    return source, target


@pytest.mark.parametrize("majors", [(15, 18), (18, 16)], ids=str)
def test_p21_p22_p27_p38_everything_arrives_as_it_was_with_its_keys(pair, run_module, majors):
    source, target = pair(*majors)
    prepare(source, target, TABLES, ROWS, KEYS)
    told = ended(run_module, source, target)
    assert told["done"] and told["left"] == [] and told["rows"] == sum(rows[0][0] for rows in content(source).values())
    assert content(target) == content(source)
    here, there = keys(source), keys(target)
    # A half-attached index of a partitioned table is as half there.
    assert there[0] == here[0]
    assert there[1] == here[1]
    again = run_module("pg_copy", given(source, target))
    assert (again["changed"], again["actions"], again["done"]) == (False, [], True)


def test_p11_what_is_written_meanwhile_and_after_arrives_once(pair, run_module):
    source, target = pair(15, 16)
    prepare(source, target, TABLES, ROWS, KEYS)
    stop = threading.Event()
    # Connected before anything is forked: it would inherit the locks of who connects.
    connection = source.connect()

    def write():
        with connection.cursor() as cursor:
            number = 0
            while not stop.is_set():
                number += 1
                cursor.execute("INSERT INTO customer (name, credit) VALUES (%s, 5)", [f"new {number}"])
                cursor.execute("UPDATE customer SET credit = credit + 1 WHERE id = %s", [number % 2000 + 1])
                cursor.execute("DELETE FROM part WHERE id = %s", [number])
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ended(run_module, source, target)
        subscribe(source, target)
    finally:
        stop.set()
        writer.join()
    assert in_step(source)
    assert content(target) == content(source)
    assert content(source)["public.customer"][0][0] > 2000


def test_check_mode_says_what_it_would_do_and_does_nothing(simple, run_module):
    source, target = simple
    would = run_module("pg_copy", given(source, target), check=True)
    assert would["changed"] and not would["done"]
    assert would["actions"][:2] == [f"make slot {MADE} and keep its snapshot", "copy 2 tables (0.1 MiB)"]
    assert source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE]) == []
    assert target.query("SELECT 1 FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == []
    assert ended(run_module, source, target)["actions"] == would["actions"]


def test_a_host_that_is_not_there_yet_is_planned_for(simple, run_module):
    source, target = simple
    arguments = given(source, target) | {"target": {"host": None}}
    assert run_module("pg_copy", arguments, check=True)["changed"]
    assert "target.host is empty" in run_module("pg_copy", arguments)["msg"]


def test_p55_each_table_is_in_the_ledger_with_its_rows(simple, run_module):
    source, target = simple
    ended(run_module, source, target)
    assert target.query("SELECT name, state, rows FROM cloudpg_migration.copy_table ORDER BY 1") == [
        ("public.item", "copied", 1000), ("public.other", "copied", 10),
    ]
    [(state, lsn, progress)] = target.query("SELECT state, lsn, progress FROM cloudpg_migration.copy_run")
    assert (state, progress["tables_done"], progress["bytes_done"]) == ("done", 2, progress["bytes"])
    assert lsn is not None


def test_p43_every_table_has_statistics(simple, run_module):
    source, target = simple
    ended(run_module, source, target)
    found = target.query("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
    assert {row[0] for row in found} == {"item", "other"}


def test_p53_a_table_that_is_copied_whole_is_frozen(simple, run_module):
    source, target = simple
    ended(run_module, source, target)
    target.query("VACUUM item")
    assert target.query("SELECT relallvisible = relpages FROM pg_class WHERE relname = 'item'") == [(True,)]


def test_p53_a_big_table_goes_in_ranges_of_pages_and_grows_meanwhile(pair, run_module):
    source, target = pair(15, 16)
    prepare(source, target, "CREATE TABLE big (id int NOT NULL, pad text)", """
        INSERT INTO big SELECT i, repeat('x', 700) FROM generate_series(1, 60000) i;
        ALTER TABLE big ADD PRIMARY KEY (id)
    """)
    told = ended(run_module, source, target, split_above=1_000_000)
    ranges = target.query("SELECT count(*), sum(rows) FROM cloudpg_migration.copy_range")
    assert ranges[0][0] == 4 and ranges[0][1] == 60000 == told["rows"]
    assert content(target) == content(source)


def test_p9_transactions_that_hold_up_the_slot_are_named(simple, run_module):
    source, target = simple
    with psycopg2.connect(**source.address("owner", application_name="the nightly job")) as writer:
        writer.cursor().execute("INSERT INTO other VALUES (99)")
        told = run_module("pg_copy", given(source, target, slot_timeout=2))
        assert told["failed"] and told["code"] == "slot_timeout"
        assert "the nightly job" in told["msg"] and "P9" in told["msg"] and "INSERT INTO other" in told["msg"]
    assert source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE]) == []
    assert ended(run_module, source, target)["done"]
    assert content(target) == content(source)


def test_p9_a_prepared_transaction_is_named_as_one_that_never_ends(simple, run_module):
    source, target = simple
    source.run("BEGIN; INSERT INTO other VALUES (99); PREPARE TRANSACTION 'stuck'")
    told = run_module("pg_copy", given(source, target, slot_timeout=2))
    assert "prepared transaction stuck" in told["msg"] and "ROLLBACK PREPARED" in told["msg"]


def test_p10_without_the_publication_nothing_begins(simple, run_module):
    source, target = simple
    source.query(f"DROP PUBLICATION {MADE}")
    told = run_module("pg_copy", given(source, target))
    assert told["failed"] and told["findings"][0]["id"] == "publication-missing"
    assert ended(run_module, source, target, follow=False)["slot"] is None


def test_p11_what_is_published_and_what_is_copied_are_compared(simple, run_module):
    source, target = simple
    source.query(f"DROP PUBLICATION {MADE}")
    source.query(f"CREATE PUBLICATION {MADE} FOR TABLE item")
    told = run_module("pg_copy", given(source, target))
    assert told["failed"] and [(one["id"], one["object"]) for one in told["findings"]] == [
        ("table-not-published", "public.other")
    ]
    warned = ended(run_module, source, target, exclude=["public.o*"])
    assert warned["done"] and warned["table_count"] == 1
    assert content(target)["public.other"][0][0] == 0


def test_p26_a_publication_of_some_rows_and_columns_is_copied_as_it_is_followed(simple, run_module):
    source, target = simple
    source.query(f"DROP PUBLICATION {MADE}")
    source.query(f"CREATE PUBLICATION {MADE} FOR TABLE item (id) WHERE (id % 10 = 0), other")
    ended(run_module, source, target)
    assert target.query("SELECT count(*), count(name), min(id) FROM item") == [(100, 0, 10)]


def test_p41_rows_behind_a_policy_are_never_silently_left(simple, run_module):
    source, target = simple
    source.run("ALTER TABLE item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    told = run_module("pg_copy", given(source, target))
    assert told["failed"] and told["findings"][0]["id"] == "source-row-security"
    assert source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE]) == []


def test_p1_what_is_not_copied_is_said(simple, run_module):
    source, target = simple
    source.run("CREATE UNLOGGED TABLE cache (id int); SELECT lo_create(0)")
    found = ended(run_module, source, target)["findings"]
    assert {one["id"]: one["object"] for one in found} == {
        "unlogged-table": "public.cache", "large-objects": "pg_largeobject",
    }


@pytest.mark.parametrize(("statement", "finding"), [
    ("INSERT INTO item VALUES (1, 'theirs')", "target-not-empty"),
    ("DROP TABLE other", "target-table-missing"),
    ("ALTER TABLE item DROP COLUMN name", "target-column-missing"),
    ("ALTER TABLE item ADD PRIMARY KEY (id); ALTER TABLE other ADD FOREIGN KEY (id) REFERENCES item",
     "target-foreign-keys"),
    ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
     "CREATE TRIGGER t BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION f()", "target-triggers"),
], ids=lambda value: value if "-" in str(value)[:8] else "")
def test_a_target_that_would_lose_something_is_refused_before_anything(simple, run_module, statement, finding):
    source, target = simple
    target.run(statement)
    before = content(target)
    told = run_module("pg_copy", given(source, target))
    assert told["failed"] and told["findings"][0]["id"] == finding and "Cure" in told["msg"]
    assert content(target) == before
    assert source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE]) == []


def test_a_login_without_rights_is_told_which(simple, run_module):
    source, target = simple
    arguments = given(source, target)
    told = run_module("pg_copy", arguments | {"target": target.address("plain")})
    assert told["findings"][0]["id"] == "target-not-owned"
    told = run_module("pg_copy", arguments | {"source": source.address("plain")})
    assert told["findings"][0]["id"] == "source-not-readable"
    told = run_module("pg_copy", arguments | {"source": source.address("owner")})
    assert told["failed"] and "replication" in told["msg"].lower()
    limited = given(source, target, follow=False, throttle={"busy_sessions": 4})
    told = run_module("pg_copy", limited | {"source": source.address("owner")})
    assert told["failed"] and "throttle.busy_sessions" in told["msg"] and "GRANT pg_monitor" in told["msg"]


@pytest.mark.parametrize(("options", "said"), [
    ({"max_jobs": 0}, "max_jobs"),
    ({"split_above": -1}, "split_above"),
    ({"wait_timeout": -1}, "wait_timeout"),
    ({"throttle": {"replica_lag": -1}}, "throttle.replica_lag"),
    ({"follow": False, "failover": True}, "failover"),
    ({"tables": ["public.itme"]}, "public.itme"),
    ({"schemas": ["nowhere"]}, "nowhere"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_input_that_cannot_be_is_refused(simple, run_module, options, said):
    told = run_module("pg_copy", given(*simple, **options))
    assert told["failed"] and said in told["msg"]


def test_a_partition_root_stands_for_its_partitions(pair, run_module):
    source, target = pair(16, 18)
    prepare(source, target, TABLES, ROWS, KEYS)
    told = ended(run_module, source, target, tables=["public.part"], follow=False)
    assert told["table_count"] == 3 and told["rows"] == 3000
    assert content(target)["public.part_high"] == content(source)["public.part_high"]


def test_p3_an_identity_that_came_with_the_copy_is_put_back_unless_it_was_the_sources_own(pair, run_module):
    source, target = pair(16, 18)
    tables = 'CREATE TABLE "Lent" (code text NOT NULL); CREATE TABLE own (code text NOT NULL)'
    prepare(
        source, target, tables, "INSERT INTO \"Lent\" VALUES ('a')",
        'CREATE UNIQUE INDEX "By code" ON "Lent" (code); CREATE UNIQUE INDEX of_own ON own (code);'
        "ALTER TABLE own REPLICA IDENTITY USING INDEX of_own", publish=False,
    )
    source.query(f'GRANT CREATE ON DATABASE "{source.database}" TO migration')
    lent = {"server": source.address(), "migration": MIGRATION, "using_index": ["*"]}
    assert run_module("pg_replica_identity", lent)["changed"]
    ended(run_module, source, target, follow=False)
    identities = "SELECT relname::text, relreplident::text FROM pg_class WHERE relname IN ('Lent', 'own') ORDER BY 1"
    for side in (source, target):
        assert side.query(identities) == [("Lent", "i"), ("own", "i")]
        back = {"server": side.address(), "migration": MIGRATION, "state": "restored"}
        assert run_module("pg_replica_identity", back)["changed"]
        assert side.query(identities) == [("Lent", "d"), ("own", "i")]
        assert not run_module("pg_replica_identity", back)["changed"]


def test_a_slot_nobody_knows_is_not_taken(simple, run_module):
    source, target = simple
    source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [MADE])
    told = run_module("pg_copy", given(source, target))
    assert told["failed"] and told["code"] == "slot_exists"


def test_absent_takes_the_slot_away_and_forgets(simple, run_module):
    source, target = simple
    ended(run_module, source, target)
    would = run_module("pg_copy", given(source, target, state="absent"), check=True)
    assert would["changed"] and source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE])
    did = ended(run_module, source, target, state="absent")
    assert did["actions"] == would["actions"] and len(did["actions"]) == 2
    assert source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE]) == []
    assert target.query("SELECT count(*) FROM cloudpg_migration.copy_run") == [(0,)]
    assert content(target) == content(source)
    assert not ended(run_module, source, target, state="absent")["changed"]


def test_two_runs_at_once_are_one(simple, run_module, begin_module):
    source, target = simple
    with psycopg2.connect(**source.address("owner")) as writer:
        writer.cursor().execute("INSERT INTO other VALUES (99)")
        first = begin_module("pg_copy", given(source, target))
        # It has begun, and waits for the writer (P9).
        wait_until(lambda: source.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [MADE]))
        told = run_module("pg_copy", given(source, target))
        assert told["failed"] and told["code"] == "copy_held" and MIGRATION in told["msg"]
    assert first.result()["done"]


def test_p13_absent_refuses_a_slot_in_use_and_check_mode_names_who_uses_it(simple, run_module):
    source, target = simple
    ended(run_module, source, target)
    subscribe(source, target)
    assert in_step(source)
    would = run_module("pg_copy", given(source, target, state="absent"), check=True)
    assert would["changed"] and "which pid" in would["actions"][0], would
    told = run_module("pg_copy", given(source, target, state="absent"))
    assert told["code"] == "slot_in_use" and "Nothing was changed" in told["msg"]
    assert target.query("SELECT count(*) FROM cloudpg_migration.copy_run") == [(1,)]
