# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The six verbs from start to end, with a login and without any: what they do, say and leave, each of them twice."""

from __future__ import annotations

import pytest
from scenario import OWNER

from .journey import STORY
from .runs import changes

pytestmark = [pytest.mark.long, pytest.mark.timeout(STORY)]
# Taking the lock (with its door for the controller), renewing its lease and giving it back change no migration.
LOCK = {
    "ec2:CreateSecurityGroup", "ec2:CreateTags", "ec2:DeleteSecurityGroup", "ec2:AuthorizeSecurityGroupIngress",
}


def status_of(run, estate):
    """What a scheduled job is handed, which is also what the run printed."""
    status = run.custom["cloudpg_status"][estate.name]
    assert any(line.startswith(f"[{estate.name}] {status['phase']} · ") for line in run.said), run.said
    return status


def let_in(there):
    """The networks which the migration's groups let in."""
    rules = [rule for group in there["groups"] for rule in group["IpPermissions"]]
    return {entry["CidrIp"] for rule in rules for entry in rule["IpRanges"]}


SECOND_RUNS = [
    ("replicating", "replicate, status again"),
    ("rolled back", "rollback, status again"),
    ("open", "cutover, replicate, preflight, status again"),
    ("finished", "finish, cutover, status again"),
    ("deleted", "finish, status again"),
]


@pytest.mark.parametrize("stage, words", SECOND_RUNS)
def test_a_second_run_changes_nothing(journey, stage, words):
    at = journey.at(stage)
    run = at.runs[words]
    assert (run.rc, run.changed, run.failed) == (0, [], []), run.said
    assert all(host["changed"] == 0 for host in run.stats.values())
    assert set(changes(at.calls[words])) <= LOCK


# Preflight and status

def test_preflight_without_a_login_says_what_nobody_looked_for(journey):
    run = journey.at("fresh").runs["preflight, status"]
    assert (run.rc, run.changed) == (0, [])
    assert changes(journey.at("fresh").calls["preflight, status"]) == []
    assert "[plain] known   server-not-read [plain-rds]" in run.said
    assert any(line.startswith("[plain] WARNING tags [plain-rds]: tags stay behind: team -> ") for line in run.said)


@pytest.mark.parametrize("stage, words, name, phase", [
    ("fresh", "preflight, status", "aws", "absent"),
    ("replicating", "replicate, status again", "sql", "replicating"),
    ("rolled back", "rollback, status again", "sql", "absent"),
    ("open", "cutover, replicate, preflight, status again", "sql", "open"),
    ("finished", "finish, cutover, status again", "sql", "finished"),
    ("deleted", "finish, status again", "sql", "finished"),
])
def test_status_says_where_a_migration_stands(journey, stage, words, name, phase):
    status = status_of(journey.at(stage).runs[words], getattr(journey, name))
    assert (status["phase"], status["healthy"], status["blockers"]) == (phase, True, [])
    following = phase == "replicating"
    assert (status["lag"]["seconds"] is not None) == following, "lag is null where there is none, never zero"


# Replicate

def test_r19_replicate_builds_a_closed_copy_in_step(journey):
    at = journey.at("replicating")
    run = at.runs["replicate"]
    assert (run.rc, run.failed) == (0, [])
    for estate in journey.estates:
        there = at.before[estate.name]
        [cluster] = there["clusters"]
        family = {group["GroupId"] for group in there["groups"]}
        assert {one["VpcSecurityGroupId"] for one in cluster["VpcSecurityGroups"]} <= family
        assert cluster["ReplicationSourceIdentifier"].endswith(f":db:{estate.instance}")
        assert any(line.startswith(f"[{estate.name}] in step: lag ") for line in run.said), run.said
    assert let_in(at.before["ledger"]) == {journey.sql.bastion_cidr}
    assert let_in(at.before["plain"]) == set(), "without controllers nobody is let in"


# Approval

@pytest.mark.parametrize("stage, words", [("replicating", "cutover")])
def test_an_unapproved_cutover_stops_says_how_to_go_on_and_has_not_failed(journey, stage, words):
    at = journey.at(stage)
    run = at.runs[words]
    assert (run.rc, run.changed, run.failed, changes(at.calls[words])) == (0, [], [], [])
    [said] = [task.msg for task in run.tasks if "waits for approval" in task.msg]
    assert said == (
        "ledger waits for approval of cutover. To go on, add -e '{\"migration_approved\": [\"ledger\"]}'. "
        "Nothing was changed."
    )


# Rollback before the open

def test_a_rollback_before_the_open_leaves_everything_as_it_was(journey):
    before, after = (journey.at(stage).after["ledger"] for stage in ("fresh", "rolled back"))
    assert journey.at("rolled back").runs["rollback"].rc == 0
    for what in ("clusters", "groups", "parameters", "cluster parameters", "pooler"):
        assert after[what] == before[what], what
    [was], [now] = before["instances"], after["instances"]
    assert now == was
    assert after["servers"] == before["servers"], "not even a slot is left"


# Cutover

@pytest.mark.parametrize("name", ["sql", "aws"])
def test_after_a_cutover_the_target_serves_with_the_sources_groups_and_the_source_is_closed(journey, name):
    at, estate = journey.at("open"), getattr(journey, name)
    assert (at.runs["cutover"].rc, at.runs["cutover"].failed) == (0, [])
    was = journey.at("fresh").after[estate.name]["instances"][0]["VpcSecurityGroups"]
    [cluster] = at.before[estate.name]["clusters"]
    assert not cluster.get("ReplicationSourceIdentifier")
    assert [one["VpcSecurityGroupId"] for one in cluster["VpcSecurityGroups"]] == [was[0]["VpcSecurityGroupId"]]
    source = next(one for one in at.before[estate.name]["instances"] if one["DBInstanceIdentifier"] == estate.instance)
    family = {group["GroupId"] for group in at.before[estate.name]["groups"]}
    assert {one["VpcSecurityGroupId"] for one in source["VpcSecurityGroups"]} <= family
    assert any(f"{estate.cluster} serves." in task.msg for task in at.runs["cutover"].of(estate.name))


@pytest.mark.parametrize("name, gate", [
    ("sql", "Wait until the replica has replayed it"), ("aws", "Wait until CloudWatch proves the catch-up"),
])
def test_r15_the_gate_is_an_lsn_with_a_login_and_cloudwatch_without(journey, name, gate):
    estate = getattr(journey, name)
    waits = [
        task for task in journey.at("open").runs["cutover"].of(estate.name)
        if "cutover | drain | Wait" in task.name and not task.result.get("skipped")
    ]
    assert [task.name.rsplit(" | ", 1)[1] for task in waits] == [gate]
    said = {"sql": "has replayed", "aws": "drained: replica and slot have caught up"}[name]
    assert said in waits[0].msg


def test_r32_the_pooler_leads_to_the_target(journey):
    there = journey.at("open").before["ledger"]
    [cluster] = there["clusters"]
    assert f"{OWNER} = host={cluster['Endpoint']} port=5432" in there["pooler"]
    held = [task for task in journey.at("open").runs["cutover"].of("ledger") if task.name.endswith("Hold the clients")]
    assert any("hold the clients of shop" in task.actions for task in held)


# Rollback and finish afterwards

@pytest.mark.parametrize("stage, words", [
    ("open", ["ledger-aurora has been open since", "writes the source ledger-rds doesn't have", "nothing was changed"]),
    ("finished", ["the migration is finished", "what a way back would need is gone", "Nothing was changed"]),
])
def test_a_rollback_after_the_open_refuses_and_explains(journey, stage, words):
    at = journey.at(stage)
    run = at.runs["rollback"]
    assert run.rc == 2 and run.changed == []
    assert [word for word in words if word not in run.error("ledger")] == []
    assert set(changes(at.calls["rollback"])) <= LOCK


def test_finish_keeps_the_old_side_closed_and_says_how_to_delete_it(journey):
    at = journey.at("finished")
    assert at.runs["finish"].rc == 0
    [told] = [task.msg for task in at.runs["finish"].tasks if "is kept, closed behind" in task.msg]
    assert "finish.yml -e replica_old_source=delete takes a last snapshot and deletes it" in told
    [group] = at.before["ledger"]["groups"]
    assert group["GroupName"] in told
    source = next(one for one in at.before["ledger"]["instances"] if one["DBInstanceIdentifier"] == "ledger-rds")
    assert [one["VpcSecurityGroupId"] for one in source["VpcSecurityGroups"]] == [group["GroupId"]]


def test_finish_deletes_the_old_side_when_told_to_after_a_last_snapshot(journey):
    assert journey.at("deleted").runs["finish"].rc == 0
    rds = journey.sandbox.client("rds")
    [snapshot] = rds.describe_db_snapshots(DBSnapshotIdentifier="ledger-source-final")["DBSnapshots"]
    assert (snapshot["DBInstanceIdentifier"], snapshot["Status"]) == ("ledger-rds", "available")
    left = journey.at("deleted").after["ledger"]
    assert ([one["DBInstanceIdentifier"] for one in left["instances"]], left["groups"]) == (["ledger-aurora-1"], [])
    assert [cluster["Status"] for cluster in left["clusters"]] == ["available"]


@pytest.mark.parametrize("stage, doors", [
    ("fresh", {"ledger-rds": ["application", "controller"]}),
    ("replicating", {"ledger-rds": ["application", "controller"], "ledger-aurora-1": ["controller"]}),
    ("rolled back", {"ledger-rds": ["application", "controller"]}),
    ("open", {"ledger-rds": ["controller"], "ledger-aurora-1": ["application", "controller"]}),
    ("finished", {"ledger-rds": ["controller"], "ledger-aurora-1": ["application", "controller"]}),
    ("deleted", {"ledger-aurora-1": ["application", "controller"]}),
])
def test_r18_r19_one_side_serves_and_the_other_lets_in_the_controller_only(journey, stage, doors):
    assert journey.at(stage).after["ledger"]["doors"] == doors


def test_r18_without_controllers_the_old_side_is_closed_to_everybody(journey):
    assert journey.at("open").after["plain"]["doors"] == {
        "plain-rds": [], "plain-aurora-1": ["application", "controller"],
    }
