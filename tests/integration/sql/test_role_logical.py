# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path `logical` by its playbooks: two databases at once through all six doors, each twice and in check mode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from ..replica.runs import Playbooks, Run
from .sql_stand import drop_database

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
SCHEMA = """
    CREATE SCHEMA sales;
    CREATE TABLE sales.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    CREATE TABLE sales.orders (
        id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES sales.customers, total numeric(12, 2) NOT NULL
    );
    CREATE INDEX ON sales.orders (customer);
    CREATE TABLE sales.codes (code text NOT NULL UNIQUE, meaning text);
    INSERT INTO sales.customers (name) SELECT 'customer ' || n FROM generate_series(1, 500) AS n;
    INSERT INTO sales.orders (customer, total) SELECT 1 + n % 500, n FROM generate_series(1, 5000) AS n;
    INSERT INTO sales.codes VALUES ('a', 'the first');
"""


@dataclass
class Estate:
    """Two databases on a server, to be moved to another of a newer major; the inventory that says so."""

    play: Playbooks
    sides: list[tuple[Any, Any]]
    inventory: Path

    def run(self, verbs: Any, **options: Any) -> Run:
        return self.play(verbs, self.inventory, **options)

    def counts(self, place: int) -> list[tuple[int, int]]:
        question = "SELECT (SELECT count(*) FROM sales.customers), (SELECT count(*) FROM sales.orders)"
        return [pair[place].query(question)[0] for pair in self.sides]

    def writable(self) -> list[tuple[bool, bool]]:
        """Whether the owner may connect and write, on either side of each database; what he writes stays."""
        found = []
        for pair in self.sides:
            answers = []
            for side in pair:
                try:
                    side.run(WRITE)
                    answers.append(True)
                except (psycopg2.OperationalError, psycopg2.errors.ReadOnlySqlTransaction):
                    answers.append(False)
            found.append((answers[0], answers[1]))
        return found

    def carried(self) -> list[list[str]]:
        """The login that each subscription's connection has, on the source and on the target of each database."""
        question = """
            SELECT substring(subconninfo FROM 'user=([a-z0-9_]+)')
            FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()
        """
        return [[side.query(question)[0][0] for side in pair] for pair in self.sides]

    def made(self) -> list[tuple[Any, ...]]:
        """What there is of the migration on both sides."""
        question = """
            SELECT 'login', rolname FROM pg_roles WHERE rolname ~ ('^cloudpg_.*_' || current_database()) UNION ALL
            SELECT 'publication', pubname FROM pg_publication UNION ALL
            SELECT 'subscription', subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid
                WHERE datname = current_database() UNION ALL
            SELECT 'slot', slot_name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1, 2
        """
        return [row for pair in self.sides for side in pair for row in side.query(question)]


@pytest.fixture(scope="module")
def estate(server_of, side_of, tmp_path_factory):
    """Everything is there, nothing is built."""
    directory = tmp_path_factory.mktemp("logical")
    sides = []
    names = ["lshop", "lcrm"]
    for major in (16, 18):
        server_of(major).query("ALTER ROLE migration CREATEROLE")
    for name in names:
        both = []
        for major in (16, 18):
            server_of(major).query(f"CREATE DATABASE {name} OWNER owner")
            both.append(side_of(server_of(major), name))
        both[0].run(SCHEMA)
        sides.append((both[0], both[1]))
    inventory = directory / "hosts.yml"
    hook = directory / "hook.yml"
    hook.write_text(yaml.safe_dump([{
        "name": "Say what is asked",
        "ansible.builtin.debug": {"msg": "{{ traffic_step }} {{ traffic_host | default('') }}"},
    }]))
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.write_text(yaml.safe_dump({"migrations": {"vars": local, "hosts": {"moving": {
        "migration_path": "logical",
        "migration_source": {"postgres": sides[0][0].address()},
        "migration_target": {"postgres": sides[0][1].address()},
        "migration_databases": names,
        "migration_approved": ["moving"],
        "migration_build_timeout": 200,
        "migration_traffic": [{"kind": "hook", "tasks": str(hook)}],
        "logical_using_index": ["sales.codes"],
        "logical_bindir": sides[0][1].bindir,
    }}}}))
    home = directory / "home"
    home.mkdir()
    yield Estate(Playbooks({}, home), sides, inventory)
    for major in (16, 18):
        server_of(major).query("ALTER ROLE migration NOCREATEROLE")
        for name in names:
            # What is behind a fence is read-only for the superuser as well.
            server_of(major).query(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    for major in (18, 16):
        for name in names:
            drop_database(server_of(major), name)


WRITE = "INSERT INTO sales.orders (customer, total) VALUES (1, 1); UPDATE sales.codes SET meaning = meaning || '+'"


@pytest.fixture(scope="module")
def story(estate):
    """The runs one after the other; tests read from them."""
    told = {"fresh": estate.run(["preflight", "status"])}
    told["check"] = estate.run("migrate", check=True)
    told["made in check mode"] = estate.made()
    told["replicate"] = estate.run("replicate", by_name=True)
    told["writable when it follows"] = estate.writable()
    told["again"] = estate.run(["replicate", "status"])
    told["made"] = estate.made()
    told["carried when it follows"] = estate.carried()
    estate.sides[0][0].run("ALTER TABLE sales.codes ADD COLUMN since date")
    told["drifted"] = estate.run("cutover")
    estate.sides[0][0].run("ALTER TABLE sales.codes DROP COLUMN since")
    told["would cut over"] = estate.run("cutover", check=True)
    told["writable before"] = estate.writable()
    told["cutover"] = estate.run("cutover")
    told["writable when open"] = estate.writable()
    told["open"] = estate.run(["cutover", "replicate", "status"])
    told["would go back"] = estate.run("rollback", check=True)
    told["rollback"] = estate.run("rollback")
    told["writable when back"] = estate.writable()
    told["rollback again"] = estate.run(["rollback", "status"])
    told["second cutover"] = estate.run("cutover")
    told["codes"] = [[side.query("SELECT meaning FROM sales.codes") for side in pair] for pair in estate.sides]
    told["counts"] = (estate.counts(0), estate.counts(1))
    told["carried at the end"] = estate.carried()
    told["would finish"] = estate.run("finish", check=True)
    told["finish"] = estate.run("finish")
    told["left"] = estate.made()
    told["finished"] = estate.run(["finish", "migrate", "rollback"])
    return told


def test_preflight_finds_nothing_in_the_way_and_status_says_that_nothing_is_built(story):
    run = story["fresh"]
    assert run.rc == 0, run.failed
    assert run.changed == [] and run.custom["cloudpg_status"]["moving"]["phase"] == "absent"


def test_check_mode_plans_the_copy_and_makes_nothing(story):
    run = story["check"]
    assert run.rc == 0, run.failed
    planned = run.actions("moving")
    assert [action for action in planned if "publication cloudpg_moving" in action], planned
    assert [action for action in planned if "subscription cloudpg_moving_back" in action], planned
    assert [action for action in planned if "close lcrm, lshop to everybody" in action], planned
    assert story["made in check mode"] == []


def test_p3_p10_p11_p25_all_databases_are_copied_and_follow_and_the_way_back_is_ready(story):
    run = story["replicate"]
    assert run.rc == 0, run.failed
    there, back = "cloudpg_moving", "cloudpg_moving_back"
    assert story["made"] == [row for database in ("lshop", "lcrm") for row in (
        ("login", f"{there}_{database}"), ("publication", there), ("slot", f"{there}_{database}"),
        ("subscription", back),
        ("login", f"{back}_{database}"), ("publication", back), ("slot", f"{back}_{database}"),
        ("subscription", there),
    )]


def test_p23_p29_the_subscriptions_carry_logins_of_their_own_all_the_way(story):
    own = [[f"cloudpg_moving_back_{database}", f"cloudpg_moving_{database}"] for database in ("lshop", "lcrm")]
    assert story["carried when it follows"] == story["carried at the end"] == own


def test_p29_the_target_is_closed_until_the_cutover_and_the_other_side_afterwards(story):
    assert story["writable when it follows"] == story["writable before"] == [(True, False)] * 2
    assert story["writable when open"] == [(False, True)] * 2
    assert story["writable when back"] == [(True, False)] * 2


def test_a_second_run_changes_nothing_and_status_shows_every_database(story):
    run = story["again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    status = run.custom["cloudpg_status"]["moving"]
    assert (status["phase"], status["healthy"]) == ("replicating", True)
    assert status["lag"]["bytes"] is not None
    assert [one["name"] for one in status["details"]["databases"]] == ["lcrm", "lshop"]


def test_p25_status_moves_the_slots_that_wait(story):
    moved = [
        task.result["moved"] for task in story["again"].of("moving")
        if "Move on the slots" in task.name and not task.result.get("skipped")
    ]
    assert [(one["side"], one["slot"]) for one in moved[-1]] == [
        ("target", "cloudpg_moving_back_lcrm"), ("target", "cloudpg_moving_back_lshop"),
    ]
    moved = [
        task.result["moved"] for task in story["open"].of("moving")
        if "Move on the slots" in task.name and not task.result.get("skipped")
    ]
    assert [(one["side"], one["slot"]) for one in moved[-1]] == [
        ("source", "cloudpg_moving_lcrm"), ("source", "cloudpg_moving_lshop"),
    ]


def test_p50_a_cutover_stops_at_ddl_on_the_source_before_anything_is_changed(story):
    run = story["drifted"]
    said = run.error("moving")
    assert run.rc != 0 and run.changed == []
    assert "catalogue-changed [lshop: " in said and "sales.codes" in said and "Nothing was changed" in said


def test_check_mode_says_every_step_of_the_cutover_and_takes_none(story):
    run = story["would cut over"]
    assert run.rc == 0, run.failed
    assert [action for action in run.actions("moving") if "the point of no return" in action]


def test_p3_writes_are_on_both_sides_after_the_cutover_the_way_back_and_another_cutover(story):
    for verb in ("cutover", "rollback", "second cutover"):
        assert story[verb].rc == 0, (verb, story[verb].failed)
    [(source, target)] = {tuple(map(tuple, pair)) for pair in story["codes"]}
    assert target == (("the first++++",),)
    assert story["counts"][1] == [(500, 5004)] * 2


def test_hooks_are_asked_to_hold_and_to_lead(story, estate):
    (source, target), _more = estate.sides

    def steps(verb):
        return [task.msg.strip() for task in story[verb].of("moving") if "Say what is asked" in task.name]

    assert steps("cutover") == ["pause", f"switch {target.server.address}"]
    assert steps("rollback") == ["pause", f"switch {source.server.address}"]


def test_behind_the_cutover_a_second_run_changes_nothing_and_status_says_who_serves(story):
    run = story["open"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    status = run.custom["cloudpg_status"]["moving"]
    assert (status["phase"], status["healthy"]) == ("open", True)
    assert "the source follows it, so rollback loses no write" in status["sentence"]


def test_behind_the_way_back_a_second_rollback_changes_nothing(story):
    assert story["would go back"].rc == 0, story["would go back"].failed
    run = story["rollback again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    status = run.custom["cloudpg_status"]["moving"]
    assert (status["phase"], status["healthy"]) == ("replicating", True) and "serves again" in status["sentence"]


def test_finish_removes_what_was_made_and_remembers_that_it_was(story, estate):
    assert story["would finish"].rc == 0, story["would finish"].failed
    assert story["finish"].rc == 0, story["finish"].failed
    assert story["left"] == []
    assert estate.writable() == [(False, True)] * 2
    for source, target in estate.sides:
        for side in (source, target):
            assert side.query("SELECT relreplident FROM pg_class WHERE oid = 'sales.codes'::regclass") == [("d",)]
        assert source.query("SELECT FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == []
    run = story["finished"]
    assert run.changed == [] and "finished" in run.error("moving")
    assert estate.sides[0][1].query("SELECT id FROM cloudpg_migration.event") == [("migration.finished",)]
