# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path `logical` by its playbooks: two databases at once, twice, in check mode, with DDL in between, and undone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..replica.runs import Playbooks, Run

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
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

    def made(self) -> list[tuple[Any, ...]]:
        """What there is of the migration on both sides."""
        question = """
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
    for name in names:
        both = []
        for major in (16, 18):
            server_of(major).query(f"CREATE DATABASE {name} OWNER owner")
            both.append(side_of(server_of(major), name))
        both[0].run(SCHEMA)
        sides.append((both[0], both[1]))
    inventory = directory / "hosts.yml"
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.write_text(yaml.safe_dump({"migrations": {"vars": local, "hosts": {"moving": {
        "migration_path": "logical",
        "migration_source": {"postgres": sides[0][0].address()},
        "migration_target": {"postgres": sides[0][1].address()},
        "migration_databases": names,
        "migration_approved": ["moving"],
        "migration_build_timeout": 200,
        "logical_using_index": ["sales.codes"],
        "logical_bindir": sides[0][1].bindir,
    }}}}))
    home = directory / "home"
    home.mkdir()
    yield Estate(Playbooks({}, home), sides, inventory)
    for name in names:
        for major in (18, 16):
            server_of(major).query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def story(estate):
    """The runs one after the other; tests read from them."""
    told = {"fresh": estate.run(["preflight", "status"])}
    told["check"] = estate.run("replicate", check=True)
    told["made in check mode"] = estate.made()
    told["replicate"] = estate.run("replicate", by_name=True)
    for source, _target in estate.sides:
        source.run("INSERT INTO sales.orders (customer, total) VALUES (1, 1)")
        source.run("UPDATE sales.codes SET meaning = 'another'")
    told["again"] = estate.run(["replicate", "status"])
    told["counts"] = (estate.counts(0), estate.counts(1))
    told["codes"] = [target.query("SELECT meaning FROM sales.codes") for _source, target in estate.sides]
    told["made"] = estate.made()
    estate.sides[0][0].run("ALTER TABLE sales.codes ADD COLUMN since date")
    told["drifted"] = estate.run("status")
    told["cutover"] = estate.run("cutover")
    estate.sides[0][0].run("ALTER TABLE sales.codes DROP COLUMN since")
    told["rollback"] = estate.run("rollback")
    told["left"] = estate.made()
    told["rollback again"] = estate.run("rollback")
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
    assert story["made in check mode"] == []


def test_p3_p10_p11_all_databases_are_copied_and_follow(story):
    run = story["replicate"]
    assert run.rc == 0, run.failed
    source, target = story["counts"]
    assert source == [(500, 5001)] * 2
    assert target == source
    assert story["made"] == [
        (kind, f"cloudpg_moving{slot}") for database in ("lshop", "lcrm")
        for kind, slot in (("publication", ""), ("slot", f"_{database}"), ("subscription", ""))
    ]


def test_p3_changes_of_a_table_that_is_known_by_a_unique_index_are_applied(story):
    assert story["codes"] == [[("another",)]] * 2


def test_a_second_run_changes_nothing_and_status_shows_every_database(story):
    run = story["again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    status = run.custom["cloudpg_status"]["moving"]
    assert (status["phase"], status["healthy"]) == ("replicating", True)
    assert status["lag"]["bytes"] is not None
    assert [one["name"] for one in status["details"]["databases"]] == ["lcrm", "lshop"]


def test_p50_ddl_on_the_source_is_found_by_status(story):
    run = story["drifted"]
    assert run.rc != 0
    assert "catalogue-changed [lshop: " in run.error("moving") and "sales.codes" in run.error("moving")


def test_a_cutover_says_that_this_path_has_none_yet(story):
    run = story["cutover"]
    said = run.error("moving")
    assert run.rc != 0 and "doesn't cut over yet" in said and "Nothing was changed" in said


def test_rollback_removes_what_was_made_and_puts_identities_back(story, estate):
    assert story["rollback"].rc == 0, story["rollback"].failed
    assert story["left"] == []
    for source, target in estate.sides:
        assert source.query("SELECT relreplident FROM pg_class WHERE oid = 'sales.codes'::regclass") == [("d",)]
        for side in (source, target):
            assert side.query("SELECT FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == []
    assert story["rollback again"].changed == []
