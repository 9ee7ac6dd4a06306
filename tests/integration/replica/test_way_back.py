# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From Aurora back to RDS without losing a write; and what is left when RDS is gone before that is needed.

``back`` goes there and back again, ``gone`` loses its old instance after the cutover. They go in the same runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cloudpg_sandbox.testing import Sandbox, wait_until
from scenario import OWNER

from .estates import Estate, documented, picture
from .mishaps import Scene, groups_of
from .runs import Playbooks, Run
from .test_traffic_hook import Hooks

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

WRITE = "INSERT INTO crm.customers (email, name, registered_at) VALUES ('{0}@example.com', '{0}', now()) RETURNING id"
WRITTEN = "SELECT count(*) FROM crm.customers WHERE name = '{}'"
SLOTS = "SELECT slot_name, database FROM pg_replication_slots WHERE slot_type = 'logical'"
PUBLICATIONS = "SELECT pubname FROM pg_publication"
SUBSCRIPTIONS = "SELECT subname, subenabled FROM pg_subscription"
DDL = "SET transaction_read_only = off; ALTER TABLE crm.customers ADD COLUMN IF NOT EXISTS nick text"
DELETE = {"replica_old_source": "delete"}
CARRIED = "SELECT substring(subconninfo FROM 'user=([a-z0-9_]+)') FROM pg_subscription"
LOGINS = "SELECT rolname FROM pg_roles WHERE rolname ~ '^cloudpg_'"
SCHEMA = "SELECT nspname FROM pg_namespace WHERE nspname = 'cloudpg_migration'"


@dataclass
class Story:
    """What was run and what there was after it."""

    back: Scene
    gone: Scene
    hooks: Hooks
    runs: dict[str, Run] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=dict)

    def run(self, words: str, scenes: tuple[Scene, ...], note: str, **options: Any) -> Run:
        names = [one.estate.name for one in scenes]
        extra = {"migration_approved": names, "migration_serial": 2, **options.pop("extra", {})}
        self.hooks.forget(*options.pop("failing", ()))
        run = self.back.play(
            words.split(", "), *(one.estate.inventory for one in scenes), extra=extra, **options
        )
        self.runs[note], self.asked[note] = run, self.hooks.steps
        return run

    def ask(self, scene: Scene, side: str, statement: str) -> list[tuple[Any, ...]]:
        """Rows by a session past every fence."""
        name = scene.estate.instance if side == "source" else f"{scene.estate.cluster}-1"
        with scene.inside(name) as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def write(self, who: str) -> int:
        """As a client of the pooler; the row's id."""
        pooler = self.back.estate.pooler
        estate = self.back.estate
        return estate.sql(pooler.address, WRITE.format(who), user=OWNER, port=pooler.port)[0][0]

    def arrives(self, scene: Scene, side: str, who: str) -> None:
        wait_until(lambda: self.ask(scene, side, WRITTEN.format(who)) == [(1,)], 30)


def build(sandbox: Sandbox, directory: Path, **variables: Any) -> Estate:
    estate = Estate(sandbox, directory, name=directory.name)
    estate.build(replica_way_back=True, **variables)
    estate.vary(**estate.with_login())
    grants = documented("sql", "The way back of the path replica").replace("orders_owner", OWNER)
    estate.sql(estate.source.host, grants)
    return estate


@pytest.fixture(scope="module")
def story(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Story]:
    back, gone = (Scene(sandbox, play, build(sandbox, place / name)) for name in ("back", "gone"))
    hooks = Hooks(place / "back-hooks")
    back.estate.vary(migration_traffic=[
        *back.estate.through_pooler()["migration_traffic"], hooks.entry("balancer"),
    ])
    try:
        yield tell(Story(back, gone, hooks))
    finally:
        back.estate.close()
        gone.estate.close()


def tell(told: Story) -> Story:
    both, back, gone = (told.back, told.gone), (told.back,), (told.gone,)

    def now(note: str) -> None:
        told.seen[note] = picture(told.back.sandbox, told.back.estate)

    assert told.run("preflight, replicate", both, "replicate").rc == 0, told.runs["replicate"].failed
    assert told.run("cutover", both, "cutover").rc == 0, told.runs["cutover"].failed
    told.seen["slots"] = told.ask(told.back, "target", SLOTS)
    told.seen["carried"] = told.ask(told.back, "source", CARRIED)
    told.seen["logins"] = [told.ask(told.back, side, LOGINS) for side in ("source", "target")]
    told.seen["publications"] = [told.ask(told.back, side, PUBLICATIONS) for side in ("source", "target")]
    told.run("status", both, "open")
    told.seen["ids"] = [told.write("there")]
    told.arrives(told.back, "source", "there")
    now("open")
    told.run("rollback, finish", back, "checked while open", check=True)
    told.run("cutover, status", back, "cutover again")
    now("still open")

    told.ask(told.back, "target", DDL)
    told.run("rollback", back, "altered")
    now("altered")
    told.ask(told.back, "source", DDL)
    told.run("rollback", back, "stayed", failing=["pause-balancer"])
    now("stayed")
    told.seen["ids"].append(told.write("stayed"))
    told.arrives(told.back, "source", "stayed")
    told.run("rollback", back, "half", failing=["switch-balancer"])
    told.run("status", back, "status of half")
    told.run("cutover", back, "cutover of half")
    assert told.run("rollback", back, "rollback").rc == 0, told.runs["rollback"].failed
    told.seen["ids"].append(told.write("home"))
    now("returned")
    told.run("rollback, status", back, "rollback again")
    told.run("finish, cutover", back, "checked at home", check=True)
    now("still returned")
    told.run("cutover", back, "cutover at home")
    told.run("finish", back, "finish")
    told.run("finish, status", back, "finish again")
    now("finished")

    told.gone.sandbox.control("POST", f"servers/{told.gone.estate.instance}", {"action": "stop"})
    told.run("rollback", gone, "rollback without a source")
    told.run("finish", gone, "finish without a source")
    told.run("finish, status", gone, "finish without a source again")
    return told


def order(run: Run, *parts: str) -> None:
    names = [task.name for task in run.tasks if not task.result.get("skipped")]
    places = [next(place for place, name in enumerate(names) if part in name) for part in parts]
    assert places == sorted(places), list(zip(parts, places, strict=True))


# There

def test_r19_published_before_the_fence_and_kept_between_promotion_and_open(story):
    order(
        story.runs["cutover"], "way_back | publish | Publish the tables", "close | Close the source", "promote | Wait",
        "way_back | keep | Make the slots", "open | Give the target its security groups",
        "way_back | follow | Let the source follow",
    )


def test_r17_what_is_kept_is_the_targets_own_from_after_the_promotion(story):
    assert story.seen["slots"] == [(f"cloudpg_back_back_{OWNER}", OWNER)]
    assert story.seen["publications"] == [[("cloudpg_back_back",)]] * 2, "it travelled with the copy"


def test_p23_r29_the_source_follows_by_a_login_made_for_it_on_the_target(story):
    own = [(f"cloudpg_back_back_{OWNER}",)]
    assert story.seen["carried"] == own and story.seen["logins"] == [[], own]


def test_p25_what_is_written_on_the_target_is_on_the_closed_source(story):
    assert story.seen["open"]["doors"] == {"back-rds": [], "back-aurora-1": ["application", "controller"]}
    status = story.runs["open"].custom["cloudpg_status"]["back"]
    assert (status["phase"], status["blockers"], status["details"]["way_back"]) == ("open", [], [OWNER])
    assert "the way back to back-rds runs" in status["sentence"] and status["lag"]["bytes"] is not None


@pytest.mark.parametrize("words, before, after", [
    ("checked while open", "open", "still open"),
    ("cutover again", "open", "still open"),
    ("rollback again", "returned", "still returned"),
    ("checked at home", "returned", "still returned"),
])
def test_check_mode_and_second_runs_change_nothing(story, words, before, after):
    run = story.runs[words]
    assert run.rc == 0, run.failed
    assert "check" in words or run.changed == []
    # The lock is a group of its own each time it is taken; whom the groups let in is among the doors.
    was, now = ({key: value for key, value in story.seen[at].items() if key != "groups"} for at in (before, after))
    assert was == now


# Back

def test_p50_ddl_since_the_cutover_keeps_from_going_back(story):
    run = story.runs["altered"]
    assert "columns crm.customers nick" in run.error("back") and run.changed == []
    assert story.seen["altered"]["doors"] == story.seen["open"]["doors"]
    assert story.asked["altered"] == [], "nobody was held"


def test_a_hook_that_cannot_hold_leaves_the_target_serving_and_followed(story):
    said = story.runs["stayed"].error("back")
    assert "back-aurora serves as before" in said and "the balancer balancer said no" in said, said
    assert story.asked["stayed"] == ["pause", "back"]
    assert story.seen["stayed"]["doors"] == story.seen["open"]["doors"]


def test_a_run_that_stopped_behind_the_open_only_goes_on(story):
    assert "the balancer balancer said no" in story.runs["half"].error("back")
    status = story.runs["status of half"].custom["cloudpg_status"]["back"]
    assert (status["phase"], status["blockers"]) == ("open", ["returning"])
    assert story.runs["cutover of half"].rc and "Nothing was changed" in story.runs["cutover of half"].error("back")
    assert story.asked["rollback"] == ["pause", "switch"]


def test_p25_every_write_is_on_the_source_that_serves_again(story):
    for who in ("there", "stayed", "home"):
        assert story.ask(story.back, "source", WRITTEN.format(who)) == [(1,)]
    assert story.seen["ids"] == sorted(set(story.seen["ids"])), "P34: the sequence only goes up"
    assert story.ask(story.back, "target", WRITTEN.format("home")) == [(0,)]
    doors = story.seen["returned"]["doors"]
    assert doors == {"back-rds": ["application", "controller"], "back-aurora-1": []}
    assert groups_of(story.back.source) == {story.back.estate.source.security_group}


def test_nothing_of_the_way_back_is_left_on_either_side(story):
    for side in ("source", "target"):
        assert story.ask(story.back, side, SLOTS) == story.ask(story.back, side, SUBSCRIPTIONS) == []
        assert story.ask(story.back, side, PUBLICATIONS) == story.ask(story.back, side, SCHEMA) == []
        assert story.ask(story.back, side, LOGINS) == []


def test_what_was_led_back_goes_no_further(story):
    said = story.runs["cutover at home"].error("back")
    assert "back-rds serves again" in said and "Nothing was changed" in said


@pytest.mark.parametrize("words, phase", [
    ("rollback again", "returned"), ("finish again", "finished"), ("finish without a source again", "finished"),
])
def test_status_says_where_it_stands(story, words, phase):
    run = story.runs[words]
    [status] = run.custom["cloudpg_status"].values()
    assert (run.rc, run.changed, status["phase"], status["blockers"]) == (0, [], phase, [])


def test_finish_deletes_the_cluster_that_was_left_after_a_last_snapshot(story):
    assert [one["DBClusterIdentifier"] for one in story.seen["finished"]["clusters"]] == ["back-aurora"]
    run = story.run("finish", (story.back,), "delete", extra=DELETE)
    assert run.rc == 0, run.failed
    now = picture(story.back.sandbox, story.back.estate)
    assert (now["clusters"], now["groups"]) == ([], [])
    snapshots = story.back.sandbox.client("rds").describe_db_cluster_snapshots()["DBClusterSnapshots"]
    assert "back-source-final" in [one["DBClusterSnapshotIdentifier"] for one in snapshots]
    again = story.run("finish", (story.back,), "delete again", extra=DELETE)
    assert again.changed == [] and "there is nothing to finish" in again.error("back"), "nothing tells that it ever was"
    assert story.write("later"), "the source serves"


# With the source dead

def test_without_the_source_nobody_goes_back_and_nothing_is_changed(story):
    run = story.runs["rollback without a source"]
    said = run.error("gone")
    assert "way-back-unreadable" in said and "Nothing was changed" in said and run.changed == []


def test_p13_finish_keeps_nothing_for_a_source_that_is_dead(story):
    run = story.runs["finish without a source"]
    assert run.rc == 0, run.failed
    assert any("stays there" in task.msg for task in run.of("gone"))
    assert story.ask(story.gone, "target", SLOTS) == story.ask(story.gone, "target", PUBLICATIONS) == []
    assert story.ask(story.gone, "target", LOGINS) == []
    assert groups_of(story.gone.cluster) == {story.gone.estate.source.security_group}
