# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path `logical` while clients write into every database: all that was acknowledged is where they write, once."""

from __future__ import annotations

import secrets
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloudpg_sandbox.testing import wait_until

from ..replica.runs import Playbooks, Run
from .load_stand import WRONG, Load
from .sql_stand import Side, drop_database

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
# Beside the ledger's tables: one that takes its time, and one that has no key of its own.
SCHEMA = """
    CREATE SCHEMA sales;
    CREATE TABLE sales.orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric(12, 2) NOT NULL, doc jsonb NOT NULL
    );
    CREATE INDEX ON sales.orders (total);
    CREATE TABLE sales.codes (code text NOT NULL UNIQUE, meaning text);
    INSERT INTO sales.orders (total, doc)
    SELECT n, jsonb_build_object('n', n, 't', repeat('x', 100)) FROM generate_series(1, 40000) AS n;
    INSERT INTO sales.codes VALUES ('a', 'the first');
"""


@dataclass
class Moving:
    """Databases on one server, clients in each, an inventory of the migration to another server."""

    play: Playbooks
    name: str
    sides: list[tuple[Side, Side]]
    loads: list[Load]
    inventory: Path

    def run(self, *verbs: str) -> Run:
        return self.play(verbs, self.inventory)

    def in_step(self) -> None:
        """All that the source has written is on the target; the writers have ended."""
        slots = [f"cloudpg_{self.name}_{source.database}" for source, _target in self.sides]
        source = self.sides[0][0]
        source.query("SELECT pg_logical_emit_message(true, 'test', '')")
        [(position,)] = source.query("SELECT pg_current_wal_flush_lsn()::text")
        wait_until(lambda: source.query(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = ANY (%s)"
            " AND confirmed_flush_lsn >= %s::pg_lsn", [slots, position],
        ) == [(len(slots),)], 90)

    def move(self, verb: str, place: int) -> Run:
        """Move the writes while clients write; they go on at the side that is open then."""
        run = self.run(verb)
        assert run.rc == 0, (verb, run.failed)
        for pair, load in zip(self.sides, self.loads):
            load.lead(pair[place])
        for load in self.loads:
            load.await_commits()
        return run


@pytest.fixture
def moving(server_of, side_of, tmp_path):
    """moving(majors, databases, variables): clients write into the databases, and nothing of the migration is there."""
    with ExitStack() as stack:

        def make(majors: tuple[int, int], count: int, **variables: Any) -> Moving:
            name = f"m{secrets.token_hex(3)}"
            names = [f"{name}_{place}" for place in ("shop", "crm")[:count]]
            sides, loads = [], []
            for database in names:
                both = []
                for major in majors:
                    server_of(major).query(f"CREATE DATABASE {database} OWNER owner")
                    stack.callback(drop_database, server_of(major), database)
                    # What is behind a fence is read-only for the superuser as well.
                    stack.callback(
                        server_of(major).query, f"ALTER DATABASE {database} RESET default_transaction_read_only"
                    )
                    server_of(major).query(f"GRANT CREATE ON DATABASE {database} TO migration")
                    both.append(side_of(server_of(major), database))
                source, target = both
                load = Load(source, tmp_path / database)
                stack.callback(load.stop)
                load.init()
                source.run(SCHEMA)
                load.start()
                sides.append((source, target))
                loads.append(load)
            for load in loads:
                load.await_commits()
            inventory = tmp_path / "hosts.yml"
            local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
            inventory.write_text(yaml.safe_dump({"migrations": {"vars": local, "hosts": {name: {
                "migration_path": "logical", "migration_approved": [name], "migration_databases": names,
                "migration_source": {"postgres": sides[0][0].address()},
                "migration_target": {"postgres": sides[0][1].address()},
                "migration_build_timeout": 200, "logical_using_index": ["sales.codes"],
                "logical_bindir": sides[0][1].bindir, **variables,
            }}}}), encoding="utf-8")
            home = tmp_path / "home"
            home.mkdir()
            return Moving(Playbooks({}, home), name, sides, loads, inventory)

        yield make


def judge(run_module, moved: Moving) -> None:
    """Writers stop; sequences are brought over; both sides are the same, and the ledger has all that it was told."""
    for load in moved.loads:
        load.await_commits()
        load.stop()
    moved.in_step()
    for (source, target), load in zip(moved.sides, moved.loads):
        both = {"source": source.address(), "target": target.address()}
        synced = run_module("pg_sequence_sync", both)
        assert synced["counts"]["set"] > 0 and synced["counts"]["ahead"] == 0, synced
        assert run_module("pg_sequence_sync", both)["changed"] is False
        compared = run_module("pg_compare", both)
        assert compared.get("equal"), compared.get("msg") or compared
        told = load.verify(target, source)
        assert {name: told[name] for name in WRONG} == dict.fromkeys(WRONG, 0), told["findings"]
        assert told["acked"] > 100


def kill_a_copy(run_module, begin_module, moved: Moving) -> None:
    """The first database's copy is begun as the role would, and killed while it is at its longest table."""
    source, target = moved.sides[0]
    both = {"source": source.address(), "target": target.address()}
    run_module("pg_publication", {
        "server": source.address(), "migration": moved.name, "acknowledged": ["table-without-identity"],
    })
    run_module("pg_schema", {**both, "sections": ["pre-data"], "bindir": target.bindir})
    # Slow enough to be met.
    target.run("CREATE FUNCTION slow() RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0005); RETURN true; "
               "END'; ALTER TABLE sales.orders ADD CONSTRAINT slow CHECK (slow())")
    slot = f"cloudpg_{moved.name}_{source.database}"
    copy = begin_module("pg_copy", {**both, "migration": moved.name, "slot": slot, "max_jobs": 2})
    wait_until(lambda: target.query("SELECT to_regclass('cloudpg_migration.copy_table') IS NOT NULL")[0][0] and target
               .query("SELECT count(*) > 3 FROM cloudpg_migration.copy_table WHERE state = 'copied'")[0][0], 60)
    copy.send(signal.SIGKILL)
    copy.text()
    target.run("ALTER TABLE sales.orders DROP CONSTRAINT slow; DROP FUNCTION slow")


def judge_served(moved: Moving) -> None:
    """Writers stop; the target, which serves, has all that it was told, and the source took nothing after its fence."""
    for load in moved.loads:
        load.stop()
    for (source, target), load in zip(moved.sides, moved.loads):
        told = load.verify(target, source, "boss")
        assert {name: told[name] for name in WRONG} == dict.fromkeys(WRONG, 0), told["findings"]
        assert told["acked"] > 100


def test_nothing_is_lost_from_15_to_16_over_tls_and_without_a_way_back_none_is_gone(moving):
    # Only this source's own programs speak TLS: those that the role finds by itself. The target's workers can't. Before
    # 16 this login may make no subscription, which is what a way back would need.
    moved = moving((15, 16), 1, logical_bindir="", logical_connection={"sslmode": "prefer"}, logical_way_back=False)
    assert moved.sides[0][0].address()["sslmode"] == "verify-full"
    run = moved.run("preflight", "replicate")
    assert run.rc == 0, run.failed
    again = moved.run("replicate", "status")
    assert (again.rc, again.changed) == (0, []), (again.failed, again.changed)
    assert again.custom["cloudpg_status"][moved.name]["healthy"] is True
    moved.move("cutover", 1)
    refused = moved.run("rollback")
    assert "Going back would lose them. Nothing was changed" in refused.error(moved.name)
    assert refused.changed == []
    judge_served(moved)
    moved.sides[0][0].server.stop()
    try:
        dead = moved.play("finish", moved.inventory, extra={"migration_source_lost": True})
    finally:
        moved.sides[0][0].server.start()
    assert dead.rc == 0, dead.failed
    assert moved.sides[0][1].query("SELECT id FROM cloudpg_migration.event") == [("migration.finished",)]
    assert moved.sides[0][1].query("SELECT FROM pg_subscription WHERE subname ~ %s", [moved.name]) == []


def test_p25_p55_p56_nothing_is_lost_of_two_databases_there_and_back_and_there_again(
    moving, run_module, begin_module,
):
    moved = moving((16, 18), 2)
    kill_a_copy(run_module, begin_module, moved)
    run = moved.run("replicate", "status")
    assert run.rc == 0, run.failed
    assert [task.name for task in run.of(moved.name) if "left | Add their foreign keys" in task.name]
    assert run.custom["cloudpg_status"][moved.name]["healthy"] is True
    moved.move("cutover", 1)
    moved.move("rollback", 0)
    moved.move("cutover", 1)
    judge_served(moved)
    done = moved.run("finish", "status")
    assert done.rc == 0, done.failed
    assert done.custom["cloudpg_status"][moved.name]["phase"] == "finished"


def test_the_way_back_from_18_to_16_by_the_modules(moving, run_module):
    moved = moving((18, 16), 1)
    [(source, target)] = moved.sides
    both = {"source": source.address(), "target": target.address()}
    named = {"migration": moved.name}
    slot = f"cloudpg_{moved.name}_{source.database}"
    assert run_module("pg_replica_identity", {
        "server": source.address(), **named, "using_index": ["sales.codes"]})["changed"]
    run_module("pg_publication", {"server": source.address(), **named})
    schema = {**both, "bindir": source.bindir}
    told = run_module("pg_schema", {**schema, "sections": ["pre-data"]})
    assert not told.get("failed"), told
    assert run_module("pg_copy", {**both, **named, "slot": slot})["done"]
    following = {**both, **named, "slot_name": slot, "create_slot": False, "copy_data": False}
    assert run_module("pg_subscription", following)["changed"]
    told = run_module("pg_schema", {**schema, "sections": ["primary-keys", "post-data"]})
    assert not told.get("failed"), told
    judge(run_module, moved)
    assert run_module("pg_copy", {**both, **named, "slot": slot})["changed"] is False
    assert run_module("pg_subscription", {**both, **named, "slot_name": slot, "state": "absent"})["changed"]
