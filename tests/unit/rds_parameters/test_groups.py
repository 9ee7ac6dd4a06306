# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two groups: from what is there to what is wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import parameter_groups as groups
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.parameters import Defaults

FAMILY = "aurora-postgresql16"
OURS = {"cloudpg:migration": "orders"}
DEFAULTS = Defaults.of(
    [{"ParameterName": "work_mem", "ApplyType": "dynamic"}, {"ParameterName": "max_connections", "ApplyType": "static"},
     *({"ParameterName": f"p{number:02}", "ApplyType": "dynamic"} for number in range(50))], [],
)


def there(values=None, tags=None, family=FAMILY, level="cluster"):
    return groups.Group(level, "orders-cluster", "arn:1", family, values or {}, OURS if tags is None else tags)


def wish(values=None, **more):
    return groups.Wish("cluster", "orders-cluster", FAMILY, values or {}, **more)


def plan(group, wanted):
    return groups.plan_present([group], [wanted], "orders", DEFAULTS)


def done(group, wanted):
    """The group as it is after a plan was carried out."""
    made = plan(group, wanted)
    group = group or there(tags={})
    values, tags = dict(group.values), dict(group.tags)
    for step in made.steps:
        if step.op == "set":
            values |= {each["ParameterName"]: each["ParameterValue"] for each in step.args["parameters"]}
        if step.op == "reset":
            values = {name: values[name] for name in values
                      if name not in {each["ParameterName"] for each in step.args["parameters"]}}
        if step.op in ("tag", "create"):
            tags |= step.args["tags"]
        if step.op == "untag":
            tags = {key: value for key, value in tags.items() if key not in step.args["keys"]}
    return replace(group, values=values, tags=tags)


CASES = [
    (None, wish(), ["create"]),
    (None, wish({"work_mem": "1"}), ["create", "set"]),
    (there({"work_mem": "1"}), wish({"work_mem": "1"}), []),
    (there({"work_mem": "on"}), wish({"work_mem": "1"}), []),
    (there({"work_mem": "1"}), wish({"work_mem": "2"}), ["set"]),
    (there({"work_mem": "1"}), wish(), ["reset"]),
    (there({"work_mem": "1"}), wish({"max_connections": "9"}), ["set", "reset"]),
    (there(tags={**OURS, "team": "a"}), wish(), []),
    (there(tags={**OURS, "team": "a"}), wish(tags={"team": "b"}), ["tag"]),
    (there(tags={**OURS, "team": "a"}), wish(tags={}), ["untag"]),
    (there(tags={**OURS, "team": "a"}), wish(tags={}, purge_tags=False), []),
    (there(tags={**OURS, "aws:x": "a"}), wish(tags={}), []),
]


@pytest.mark.parametrize("group, wanted, ops", CASES)
def test_the_plan_says_what_is_missing(group, wanted, ops):
    assert [step.op for step in plan(group, wanted).steps] == ops


@pytest.mark.parametrize("group, wanted, ops", CASES)
def test_after_the_plan_there_is_nothing_left_to_do(group, wanted, ops):
    made, after = plan(group, wanted), done(group, wanted)
    assert plan(after, wanted).steps == ()
    assert made.after["orders-cluster"]["parameters"] == dict(wanted.values)
    assert made.after["orders-cluster"]["tags"] == after.tags


@pytest.mark.parametrize("count, calls", [(0, []), (20, [20]), (21, [20, 1]), (45, [20, 20, 5])])
@pytest.mark.parametrize("op", ["set", "reset"])
def test_r25_a_call_takes_at_most_20_parameters(count, calls, op):
    values = {f"p{number:02}": "1" for number in range(count)}
    made = plan(there(), wish(values)) if op == "set" else plan(there(values), wish())
    assert [len(step.args["parameters"]) for step in made.steps if step.op == op] == calls
    named = [each["ParameterName"] for step in made.steps for each in step.args["parameters"]]
    assert named == sorted(values)


@pytest.mark.parametrize("name, method", [("work_mem", "immediate"), ("max_connections", "pending-reboot")])
def test_r25_only_dynamic_parameters_are_immediate(name, method):
    for made in (plan(there(), wish({name: "9"})), plan(there({name: "9"}), wish())):
        assert [each["ApplyMethod"] for each in made.steps[0].args["parameters"]] == [method]


@pytest.mark.parametrize("name", ["default.aurora-postgresql16", "Default.x"])
def test_r25_default_groups_are_refused(name):
    with pytest.raises(RdsError, match="R25"):
        groups.check_name("cluster_group", name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "1a", "a.b", "a" * 256])
def test_what_aws_would_not_take_as_a_name_is_refused(name):
    with pytest.raises(RdsError, match="cannot be the name"):
        groups.check_name("instance_group", name)


@pytest.mark.parametrize("name", ["a", "orders-cluster", "A1-b2"])
def test_other_names_pass(name):
    assert groups.check_name("instance_group", name) is None


@pytest.mark.parametrize("group, said", [
    (there(tags={}), "was made by somebody else"),
    (there(tags={"cloudpg:migration": "billing"}), "belongs to the migration billing"),
    (there(family="aurora-postgresql15"), "of the family aurora-postgresql15, not aurora-postgresql16"),
])
def test_a_group_that_is_not_ours_to_change_is_left_alone(group, said):
    with pytest.raises(RdsError, match=said):
        plan(group, wish())


@pytest.mark.parametrize("source, engine_version, family, expected", [
    ("16.4", None, None, FAMILY), ("15.7", "16.6", None, FAMILY), ("16.4", None, FAMILY, FAMILY),
    ("15.7", "16.6", FAMILY, FAMILY), (None, None, FAMILY, FAMILY),
])
def test_the_family_follows_the_version(source, engine_version, family, expected):
    assert groups.family_of(source, engine_version, family) == expected


@pytest.mark.parametrize("given", [("16.4", "15.7", FAMILY), (None, None, None)])
def test_a_family_that_contradicts_or_is_unknown_is_refused(given):
    with pytest.raises(RdsError, match="Cure"):
        groups.family_of(*given)


def test_only_what_the_migration_made_is_deleted():
    mine, foreign = there(), replace(there(tags={}, level="instance"), name="hand-made")
    made, kept = groups.plan_absent([mine, foreign], "orders")
    assert [step.args for step in made.steps] == [{"level": "cluster", "name": "orders-cluster"}]
    assert kept == ["hand-made"]
    assert groups.plan_absent([None, None], "orders")[0].steps == ()


def cluster(status, group="orders-cluster"):
    return {"DBClusterParameterGroup": group, "DBClusterMembers": [
        {"DBInstanceIdentifier": "orders-1", "DBClusterParameterGroupStatus": status},
    ]}


def instance(status, group="orders-instance"):
    return {"DBInstanceIdentifier": "orders-1", "DBParameterGroups": [
        {"DBParameterGroupName": group, "ParameterApplyStatus": status},
    ]}


@pytest.mark.parametrize("clusters, instances, waiting", [
    ([], [], []),
    ([cluster("in-sync")], [instance("in-sync")], []),
    ([cluster("pending-reboot")], [instance("in-sync")], [("orders-cluster", "pending-reboot")]),
    ([cluster("in-sync")], [instance("applying")], [("orders-instance", "applying")]),
    ([cluster(None)], [], [("orders-cluster", None)]),
    ([cluster("pending-reboot", "other")], [instance("pending-reboot", "other")], []),
])
def test_r27_written_is_not_in_force(clusters, instances, waiting):
    found = groups.not_in_force("orders-cluster", "orders-instance", clusters, instances)
    assert [(row["group"], row["status"]) for row in found] == waiting
