# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every verb with --check --diff at every stage: it says what it would do with what is there, and touches nothing."""

from __future__ import annotations

import re

import pytest

from .journey import FORWARD, OTHER, STORY
from .runs import changes

pytestmark = [pytest.mark.long, pytest.mark.timeout(STORY)]
STAGES = ("fresh", "replicating", "open", "finished")
PLAYS = {FORWARD: ["Preflight", "Replicate", "Cutover"], OTHER: ["Rollback", "Finish", "Status"]}


@pytest.mark.parametrize("stage", STAGES)
def test_check_mode_touches_nothing_anywhere(journey, stage):
    at = journey.at(stage)
    assert at.calls[FORWARD], "there has to be something that was looked at"
    assert changes(at.calls[FORWARD]) == []
    for estate, before in at.before.items():
        for what, was in before.items():
            assert at.after[estate][what] == was, f"{what} of {estate}"


@pytest.mark.parametrize("words", PLAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_check_mode_of_every_verb_ends_well(journey, stage, words):
    run = journey.at(stage).runs[words]
    assert run.rc == 0, run.failed
    assert list(dict.fromkeys(task.play for task in run.tasks)) == PLAYS[words]
    assert all((host["failures"], host["unreachable"], host["rescued"]) == (0, 0, 0) for host in run.stats.values())


WHOLE_PLAN = [
    ("Replicate", [
        "turn automatic minor version upgrades of {name}-rds off",
        "create cluster parameter group {name}-cluster (aurora-postgresql16)",
        "set .*rds.logical_replication=1.* in cluster parameter group {name}-cluster",
        "create parameter group {name}-instance (aurora-postgresql16)",
        "create cluster {name}-aurora (aurora-postgresql 16.*) as a replica of {name}-rds",
        "create instance {name}-aurora-1 (db.r6g.large) in {name}-aurora",
    ]),
    ("Cutover", [
        "put instance {name}-rds behind the quarantine group (it had sg-.*)",
        "reboot instance {name}-rds, which ends the sessions it has",
        "promote cluster {name}-aurora to a cluster of its own",
        "give cluster {name}-aurora the security groups sg-.*",
    ]),
]


def in_order(patterns, lines):
    """Those of the patterns which no line has, after the line of the one before."""
    rest, missing = iter(lines), []
    for pattern in patterns:
        if not any(re.fullmatch(pattern.replace("(", r"\(").replace(")", r"\)"), line) for line in rest):
            missing.append(pattern)
    return missing


@pytest.mark.parametrize("door, patterns", WHOLE_PLAN)
def test_the_whole_way_is_shown_before_anything_is_there(journey, door, patterns):
    run = journey.at("fresh").runs[FORWARD]
    planned = run.actions("ledger", door)
    assert in_order([pattern.format(name="ledger") for pattern in patterns], planned) == [], planned
    assert len(planned) == len(set(planned)), "each step is planned once"


def test_the_pooler_is_part_of_the_plan(journey):
    planned = journey.at("fresh").runs[FORWARD].actions("ledger", "Cutover")
    assert in_order(["hold the clients of shop", "lead shop to .*:5432"], planned) == [], planned


@pytest.mark.parametrize("wait", [
    "to be at most 300 s behind ledger-rds", "to have replayed what the source writes last",
    "for the promotion of ledger-aurora",
])
@pytest.mark.parametrize("stage", ["fresh", "replicating"])
def test_what_cannot_be_measured_yet_is_waited_for_in_words(journey, stage, wait):
    said = [task.msg for task in journey.at(stage).runs[FORWARD].of("ledger", "Cutover")]
    assert [msg for msg in said if msg.startswith("would wait for ") and msg.endswith(wait)], said


DIFFERENCES = [
    ("fresh", "Replicate", "Make the replica cluster, closed", ("cluster", None)),
    ("replicating", "Cutover", "Make the replica a cluster of its own, still closed", ("replication_source", "arn:")),
]


@pytest.mark.parametrize("stage, door, task, was", DIFFERENCES)
def test_diff_shows_what_is_and_what_would_be(journey, stage, door, task, was):
    [found] = [one for one in journey.at(stage).runs[FORWARD].of("ledger", door) if one.name.endswith(task)]
    before, after = found.result["diff"]["before"], found.result["diff"]["after"]
    key, value = was
    old = before if key == "cluster" else before["cluster"]
    new = after if key == "cluster" else after["cluster"]
    assert (old[key] or "").startswith(value) if value else old[key] is None
    assert new[key] != old[key]


REST = [
    ("replicating", "Rollback", [
        "delete instance ledger-aurora-1 of cluster ledger-aurora.*", "delete cluster ledger-aurora without a snapshot",
        "turn automatic minor version upgrades of ledger-rds on",
    ]),
    ("finished", "Finish", []),
    ("finished", "Rollback", []),
    ("open", "Rollback", []),
    ("fresh", "Finish", []),
]


@pytest.mark.parametrize("stage, door, patterns", REST)
def test_the_rest_plans_what_it_would_do_and_nothing_where_it_would_refuse(journey, stage, door, patterns):
    planned = journey.at(stage).runs[OTHER].actions("ledger", door)
    assert in_order(patterns, planned) == [], planned
    assert bool(planned) == bool(patterns)


@pytest.mark.parametrize("stage, planned", [("replicating", []), ("open", [True]), ("finished", [True])])
def test_a_module_of_amazon_aws_plans_as_ours_do(journey, stage, planned):
    deletions = [
        task.changed for task in journey.at(stage).runs[OTHER].of("ledger", "Finish")
        if task.name.endswith("finish | Delete the old instance") and not task.result.get("skipped")
    ]
    assert deletions == planned


@pytest.mark.parametrize("stage, door, words", [
    ("fresh", "Finish", "there is nothing to finish"),
    ("replicating", "Finish", "there is nothing to finish"),
    ("open", "Rollback", "holds writes the source ledger-rds doesn't have"),
    ("finished", "Rollback", "the migration is finished"),
])
def test_a_verb_that_would_refuse_says_why(journey, stage, door, words):
    refused = [task.msg for task in journey.at(stage).runs[OTHER].of("ledger", door) if task.failed]
    assert len(refused) == 1 and words in refused[0]


@pytest.mark.parametrize("stage", ["open", "finished"])
def test_the_way_forward_has_nothing_left_to_plan_after_the_open(journey, stage):
    run = journey.at(stage).runs[FORWARD]
    assert run.changed == [] and run.actions("ledger") == []
