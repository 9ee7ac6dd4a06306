# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path `planetscale` with downtime, by its playbooks: no logical replication on the source, clients that write."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import path_planetscale
import psycopg2
import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until
from pooler import ADMIN
from scenario import Scenario
from source import OWNER, create_instance

from ..replica.runs import Playbooks, Run, changes
from ..sql.load_stand import WRONG
from .conftest import DATABASES, Cloud

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
MADE = """
    SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_subscription)
         + (SELECT count(*) FROM pg_replication_slots)
"""
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('sales', 'crm', 'catalog', 'warehouse', 'public')"
COPYING = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^cloudpg_copy'"
# True on the source's server, and not on the target's: the rows are refused there.
SPOIL = """
    CREATE FUNCTION sales.old() RETURNS bool LANGUAGE sql AS
        $$ SELECT current_setting('server_version_num')::int < 170000 $$;
    ALTER TABLE sales.coupons ADD CONSTRAINT spoilt CHECK (sales.old())
"""
MEND = "ALTER TABLE sales.coupons DROP CONSTRAINT spoilt; DROP FUNCTION sales.old()"
# Each of the rows takes longer on the target than a whole outage may.
SLOW = """
    CREATE FUNCTION sales.old() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(300) WHERE current_setting('server_version_num')::int >= 170000;
        RETURN true;
    END $$;
    ALTER TABLE sales.coupons ADD CONSTRAINT spoilt CHECK (sales.old())
"""
OUTAGE = 90


class Shop:
    """The demo's shop on RDS with writers in front of it, and an inventory that moves it with downtime."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.cloud, self.sandbox, self.name = cloud, cloud.sandbox, cloud.name("dump")
        self.scenario = Scenario(cloud.sandbox, directory, name=self.name)
        self.source = self.scenario.build_source(major=16, make=create_instance, kind="rds")
        self.play = Playbooks(cloud.sandbox.env, directory)
        given = path_planetscale.variables(self.scenario)
        self.variables = self.scenario.variables(**{
            **given, "planetscale_method": "dump", "migration_max_outage": 800, "migration_acknowledged": ["downtime"],
            "migration_source": {
                "instance": self.source.identifier, "postgres": self.scenario.postgres(host=self.source.host),
            },
        })
        for name in ("planetscale_reboot_source", "logical_connection", "logical_back_connection"):
            del self.variables[name]
        self.write()

    def write(self, **more: Any) -> None:
        self.inventory = self.scenario.write_inventory({**self.variables, **more})

    def run(self, verbs: Any, **options: Any) -> Run:
        return self.play(verbs, self.inventory, **options)

    def status(self, run: Run) -> dict[str, Any]:
        return run.custom["cloudpg_status"][self.name]

    def inside(self, question: str) -> list[Any]:
        """The first value of both servers' answers, asked past all fences; None for a target that isn't there."""
        status = self.sandbox.control("GET", "status")
        servers = [
            next(one for one in status["servers"] if one["identifier"] == self.source.identifier),
            next((one for one in status["branches"] if one["database"] == self.name), None),
        ]
        answers: list[Any] = []
        for server, user in zip(servers, ("rdsadmin", "pscale_admin")):
            if server is None:
                answers.append(None)
                continue
            connection = psycopg2.connect(
                host=server["socket"], port=server.get("server_port", server["port"]), user=user, dbname=OWNER,
            )
            connection.autocommit = True
            with connection.cursor() as cursor:
                # What is behind a fence is read-only for everybody.
                cursor.execute("SET default_transaction_read_only = off; " + question)
                answers.append(cursor.fetchone()[0] if cursor.description else None)
            connection.close()
        return answers

    def as_owner(self, statements: str) -> None:
        address = {"host": self.source.host, "user": OWNER, "password": self.scenario.passwords[OWNER], "dbname": OWNER}
        connection = psycopg2.connect(**address)
        with connection, connection.cursor() as cursor:
            cursor.execute(statements)
        connection.close()

    def open(self) -> list[bool]:
        """Whether the application may connect to either side."""
        return self.inside(f"SELECT has_database_privilege('{OWNER}', current_database(), 'CONNECT')")

    def around(self) -> dict[str, Any]:
        """What a migration could change beside the data."""
        rds = self.sandbox.client("rds")
        [instance] = rds.describe_db_instances(DBInstanceIdentifier=self.source.identifier)["DBInstances"]
        answer = self.sandbox.planetscale("GET", f"{DATABASES}/{self.name}/branches/main/parameters")
        status, roles, _headers = self.sandbox.planetscale("GET", f"{DATABASES}/{self.name}/branches/main/roles")
        return {
            "group": [one["DBParameterGroupName"] for one in instance["DBParameterGroups"]],
            "lets in": [one["VpcSecurityGroupId"] for one in instance["VpcSecurityGroups"]],
            "parameters": {one["name"]: one["value"] for one in answer[1]} if answer[0] == 200 else {},
            "roles": sorted(one["name"] for one in roles["data"]) if status == 200 else [],
        }


@contextmanager
def built(cloud: Cloud) -> Iterator[Shop]:
    directory = Path(tempfile.mkdtemp(prefix="cloudpg-dump-"))
    directory.chmod(0o711)
    shop = Shop(cloud, directory)
    try:
        yield shop
    finally:
        shop.scenario.close()
        cloud.sandbox.planetscale("DELETE", f"{DATABASES}/{shop.name}")
        shutil.rmtree(directory, ignore_errors=True)


def patient(scenario: Scenario) -> None:
    """A pooler that holds its clients for as long as a copy may take (R32)."""
    config = scenario.pooler.config
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("query_wait_timeout = 120", "query_wait_timeout = 900"), encoding="utf-8")
    console = psycopg2.connect(
        host=scenario.pooler.address, port=scenario.pooler.port, user=ADMIN, password=scenario.passwords[ADMIN],
        dbname="pgbouncer",
    )
    console.autocommit = True
    with console.cursor() as cursor:
        cursor.execute("RELOAD")
    console.close()


def kill_in_the_middle(shop: Shop) -> None:
    """A cutover whose controller dies while rows are copied; what it has started goes on for a moment."""
    process = shop.play.start(shop.play.command("cutover", [shop.inventory]), subprocess.DEVNULL)
    try:
        # Tables that an earlier try has left go before the source is closed.
        wait_until(lambda: not shop.open()[0] and shop.inside(TABLES)[1] > 10, 600)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def story(sandbox: Sandbox, cloud: Cloud) -> Iterator[dict[str, Any]]:
    """The runs one after the other; tests read from them."""
    with built(cloud) as shop:
        scenario, told = shop.scenario, {"shop": shop, "before": shop.around()}
        scenario.start_pooler()
        patient(scenario)
        since = sandbox.mark()
        shop.write(migration_acknowledged=[], migration_max_outage=1)
        told["unacknowledged"] = shop.run("preflight")
        shop.write()
        told["fresh"] = shop.run(["preflight", "status"])
        told["would replicate"] = shop.run(["replicate", "cutover"], check=True)
        scenario.start_writers(60)
        told["replicate"] = shop.run("replicate", by_name=True)
        told["made"] = shop.inside(MADE)
        told["again"] = shop.run(["replicate", "status", "preflight"])
        told["other method"] = shop.run("replicate", extra={"planetscale_method": "logical"})
        told["changed at AWS"] = [one for one in changes(sandbox.log(since)) if one.startswith(("rds:", "ec2:"))]
        told["around"], told["waiting"] = shop.around(), shop.open()
        path_planetscale.before_cutover(scenario)
        told["would cut over"] = shop.run("cutover", check=True)
        told["after looking"] = (shop.open(), shop.inside(TABLES))
        shop.as_owner(SPOIL)
        told["spoilt"] = shop.run("cutover")
        told["put back"] = shop.open()
        told["left"] = shop.inside(TABLES)
        shop.as_owner(f"{MEND}; {SLOW}")
        told["too slow"] = shop.run("cutover", extra={"migration_max_outage": OUTAGE})
        told["in time"] = (shop.open(), shop.inside(COPYING))
        shop.as_owner(MEND)
        scenario.await_commits(50)
        kill_in_the_middle(shop)
        told["killed"] = (shop.open(), shop.run("status"))
        told["cutover"] = shop.run("cutover", extra={"migration_take_over": True})
        target = path_planetscale.target_host(scenario)
        scenario.lead_direct_clients(target)
        if told["cutover"].rc == 0:
            scenario.await_commits(100)
        told["moved"] = shop.open()
        told["cutover again"] = shop.run(["cutover", "replicate", "status"])
        told["rollback"] = shop.run("rollback")
        scenario.stop_writers()
        told["ledger"] = scenario.verify(target, shop.source.host)
        told["would finish"] = shop.run("finish", check=True)
        told["finish"] = shop.run("finish")
        told["after"] = shop.around()
        told["finish again"] = shop.run(["finish", "status"])
        yield told


def test_s18_the_downtime_has_to_be_acknowledged_and_says_what_it_takes(story: dict[str, Any]) -> None:
    run = story["unacknowledged"]
    assert run.rc != 0 and run.changed == []
    assert "downtime [" in run.error(story["shop"].name) and "writes stop for as long" in run.stdout


def test_preflight_finds_nothing_about_replication_where_there_is_none(story: dict[str, Any]) -> None:
    run, shop = story["fresh"], story["shop"]
    assert run.rc == 0, run.failed
    assert (run.changed, shop.status(run)["phase"]) == ([], "absent")
    assert not [word for word in ("wal_level", "replication slot", "replica identity") if word in " ".join(
        task.msg for task in run.tasks)]


def test_check_mode_of_replicate_says_what_would_be_made(story: dict[str, Any]) -> None:
    run, shop = story["would replicate"], story["shop"]
    assert run.rc == 0, run.failed
    said = " | ".join(run.actions(shop.name))
    assert shop.name in said and "subscription" not in said and "slot" not in said


def test_s18_replicate_makes_the_target_alone_and_leaves_the_source_and_aws(story: dict[str, Any]) -> None:
    assert story["replicate"].rc == 0, story["replicate"].failed
    assert story["made"] == [0, 0] and story["changed at AWS"] == []
    assert story["waiting"] == [True, False]
    assert f"cloudpg-{story['shop'].name}" in story["around"]["roles"]


def test_a_second_replicate_changes_nothing_and_status_says_what_comes(story: dict[str, Any]) -> None:
    run = story["again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    status = story["shop"].status(run)
    assert (status["phase"], status["healthy"]) == ("ready", True)
    assert "cutover closes the source, copies and opens the target; there is no way back" in status["sentence"]


def test_another_method_than_the_one_it_was_begun_with_is_refused(story: dict[str, Any]) -> None:
    run = story["other method"]
    assert "this migration was begun with dump" in run.error(story["shop"].name) and run.changed == []


def test_check_mode_of_the_cutover_says_it_all_and_changes_nothing(story: dict[str, Any]) -> None:
    run, shop = story["would cut over"], story["shop"]
    assert run.rc == 0, run.failed
    said = " | ".join(run.actions(shop.name))
    for word in ("hold the clients of", f"close {OWNER} on", "the point of no return"):
        assert word in said, said
    assert story["after looking"] == ([True, False], [story["left"][0], 0])


def test_s18_a_copy_that_fails_puts_everything_back_and_says_why(story: dict[str, Any]) -> None:
    run, shop = story["spoilt"], story["shop"]
    assert run.rc != 0 and "spoilt" in run.error(shop.name) and "Everything was put back" in run.error(shop.name)
    assert story["put back"] == [True, False]


def test_s18_a_copy_that_takes_longer_than_the_outage_may_is_given_up_and_put_back(story: dict[str, Any]) -> None:
    run, shop = story["too slow"], story["shop"]
    said = run.error(shop.name)
    assert run.rc != 0 and "is over before the copy is done" in said and "Everything was put back" in said
    assert f"migration_max_outage ({OUTAGE} s) is too short for the copy" in said
    assert story["in time"] == ([True, False], [0, 0])


def test_p17_a_killed_run_is_told_and_the_next_begins_anew(story: dict[str, Any]) -> None:
    opened, run = story["killed"]
    assert opened == [False, False] and story["shop"].status(run)["phase"] == "quiesced"
    assert story["cutover"].rc == 0, story["cutover"].failed
    said = " | ".join(story["cutover"].actions(story["shop"].name))
    assert "put back a cutover that was left half-way" in said and "drop " in said


def test_s18_p29_all_that_was_acknowledged_is_on_the_target_once(story: dict[str, Any]) -> None:
    told = story["ledger"]
    assert story["moved"] == [False, True]
    assert {name: told[name] for name in WRONG} == dict.fromkeys(WRONG, 0), told["findings"]
    assert told["acked"] > 300


def test_a_second_cutover_changes_nothing(story: dict[str, Any]) -> None:
    run = story["cutover again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    status = story["shop"].status(run)
    assert (status["phase"], status["healthy"]) == ("open", True) and "there is no way back" in status["sentence"]


def test_a_rollback_after_the_open_is_refused_for_it_would_lose_writes(story: dict[str, Any]) -> None:
    run = story["rollback"]
    assert "Going back would lose them. Nothing was changed" in run.error(story["shop"].name)
    assert [one for one in run.changed if "login" not in one] == []


def test_finish_removes_what_the_migration_made_and_again_nothing(story: dict[str, Any]) -> None:
    for verb in ("would finish", "finish"):
        assert story[verb].rc == 0, (verb, story[verb].failed)
    before, after = story["before"], story["after"]
    assert (after["group"], after["lets in"]) == (before["group"], before["lets in"])
    assert f"cloudpg-{story['shop'].name}" not in after["roles"]
    assert after["parameters"] == story["around"]["parameters"]
    run = story["finish again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    assert story["shop"].status(run)["phase"] == "finished"


def test_s18_a_rollback_before_the_cutover_takes_back_what_a_try_has_left(cloud: Cloud) -> None:
    with built(cloud) as shop:
        shop.variables["migration_traffic"] = []
        shop.write()
        assert shop.run("replicate").rc == 0
        kill_in_the_middle(shop)
        would = shop.run("rollback", check=True)
        run = shop.run("rollback", extra={"migration_take_over": True})
        assert run.rc == 0, run.failed
        assert would.rc == 0, would.failed
        assert shop.inside(TABLES)[1] == 0 and shop.open()[0] is True
        assert f"cloudpg-{shop.name}" not in shop.around()["roles"]
        again = shop.run(["rollback", "status"])
        assert (again.rc, again.changed) == (0, []), (again.failed, again.changed)
        assert shop.status(again)["phase"] == "absent"
