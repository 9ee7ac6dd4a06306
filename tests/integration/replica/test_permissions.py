# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/permissions.md, held against the calls of two whole migrations: nothing is missing, nothing is in vain."""

from __future__ import annotations

import json
import re

import pytest
from scenario import OWNER

from .estates import LOGIN, PERMISSIONS, documented
from .journey import STORY
from .runs import READS
from .test_denied import DENIED

pytestmark = [pytest.mark.long, pytest.mark.timeout(STORY)]
STAGES = ("fresh", "replicating", "rolled back", "open", "finished", "deleted")
# What no way through the verbs comes to by itself; test_denied has it denied, and so knows what it is for.
SELDOM = {
    "ec2:DeleteTags", "ec2:RevokeSecurityGroupIngress", "rds:AddTagsToResource", "rds:DescribeDBProxyTargets",
    "rds:ModifyDBParameterGroup", "rds:ResetDBClusterParameterGroup", "rds:ResetDBParameterGroup",
}
ELSEWHERE = {"kms", "secretsmanager", "rds-db"}


def statements(heading):
    return json.loads(documented("json", heading))["Statement"]


def actions(heading, *sids):
    return [action for one in statements(heading) if not sids or one["Sid"] in sids for action in one["Action"]]


POLICY = actions("At AWS")


def called(journey, *stages):
    return {
        f"{call['service']}:{call['operation']}"
        for stage in stages for calls in journey.at(stage).calls.values() for call in calls
    }


def test_the_policy_suffices_for_all_verbs_and_has_nothing_to_spare(journey):
    calls = called(journey, *STAGES)
    assert calls - set(POLICY) == set(), "missing in docs/permissions.md"
    assert set(POLICY) - calls == SELDOM, "in docs/permissions.md and never called, or called by now"


def test_every_action_of_the_policy_is_missed_when_it_is_denied():
    assert set(DENIED) == set(POLICY)


def test_looking_needs_the_first_statement_only(journey):
    looking = {action for action in POLICY if action.split(":")[1].startswith(READS)}
    assert set(actions("At AWS", "Look")) == looking
    at = journey.at("open")
    checked = {f"{call['service']}:{call['operation']}" for call in at.calls["check migrate"]}
    assert checked <= looking


def test_each_action_stands_once_in_the_policy_and_once_in_the_table():
    assert sorted(set(POLICY)) == sorted(POLICY)
    section = PERMISSIONS.read_text(encoding="utf-8").split("## At AWS\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.+) \|$", section, re.MULTILINE)
    explained = [action for names, _why in rows for action in re.findall(r"`([\w:-]+)`", names)]
    assert sorted(explained) == sorted(POLICY)


def test_what_depends_on_the_estate_is_nothing_that_a_run_calls_itself(journey):
    extra = set(actions("What depends on your estate"))
    assert extra & set(POLICY) == set()
    assert {action.split(":")[0] for action in extra} - {"rds"} == ELSEWHERE
    assert extra & called(journey, *STAGES) == set()


GRANTS = [
    ("pg_monitor", "pg_session_info", {}, "reasons", "grant pg_monitor to the login"),
    ("USAGE ON SCHEMA sales", "pg_server_info", {"count_tables": [{"database": OWNER, "table": "sales.orders"}]},
     "msg", "permission denied for schema sales"),
    ("SELECT ON sales.orders", "pg_server_info", {"count_tables": [{"database": OWNER, "table": "sales.orders"}]},
     "msg", "permission denied for table orders"),
]


def test_the_grants_of_the_document_are_the_ones_that_are_tried():
    written = documented("sql", "The login") + documented("sql", "Counted tables")
    assert re.findall(r"^GRANT (.+) TO migrator;$", written, re.MULTILINE) == [grant for grant, *_rest in GRANTS]


@pytest.mark.parametrize("grant, module, options, where, words", GRANTS)
def test_every_grant_is_needed_and_together_they_suffice(journey, run_module, grant, module, options, where, words):
    [cluster] = journey.at("deleted").after["ledger"]["clusters"]
    host = cluster["Endpoint"]
    server = {**journey.sql.postgres(user=LOGIN), "host": host}
    journey.sql.sql(host, f"REVOKE {grant} FROM {LOGIN}")
    try:
        refused = run_module(module, {"server": server, **options})
    finally:
        journey.sql.sql(host, f"GRANT {grant} TO {LOGIN}")
    assert words in str(refused[where])
    granted = run_module(module, {"server": server, **options})
    assert not granted.get("failed") and words not in str(granted.get(where))
