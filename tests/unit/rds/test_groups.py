"""Rules of security groups as values, and who uses a group."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import groups as security_groups
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.groups import Rule

from .builders import cluster, groups, instance

V4, V6 = ("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")


def permission(**origins):
    return {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, **origins}


@pytest.mark.parametrize("permissions, rules", [
    ([], set()),
    ([permission(IpRanges=[{"CidrIp": "10.0.0.0/8"}])], {Rule("tcp", 5432, 5432, V4, "10.0.0.0/8")}),
    (
        [permission(IpRanges=[{"CidrIp": "10.0.0.0/8"}], Ipv6Ranges=[{"CidrIpv6": "fd00::/8"}])],
        {Rule("tcp", 5432, 5432, V4, "10.0.0.0/8"), Rule("tcp", 5432, 5432, V6, "fd00::/8")},
    ),
    ([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}], {Rule("-1", -1, -1, V4, "0.0.0.0/0")}),
    (
        [permission(UserIdGroupPairs=[{"GroupId": "sg-9", "UserId": "1"}])],
        {Rule("tcp", 5432, 5432, ("UserIdGroupPairs", "GroupId"), "sg-9")},
    ),
])
def test_rules_are_taken_apart_by_origin(permissions, rules):
    assert security_groups.rules_of({"IpPermissions": permissions}) == rules


def test_networks_become_rules_for_one_port():
    assert security_groups.wanted_rules(["10.1.2.3/32", "fd00::/8"], 5433) == {
        Rule("tcp", 5433, 5433, V4, "10.1.2.3/32"), Rule("tcp", 5433, 5433, V6, "fd00::/8"),
    }


@pytest.mark.parametrize("text", ["10.1.2.3/8", "anywhere", ""])
def test_what_is_no_network_is_refused_by_name(text):
    with pytest.raises(RdsError, match=f"controller_cidrs: {text} is no network"):
        security_groups.wanted_rules([text], 5432)


def test_users_of_a_group_are_instances_and_clusters():
    found = security_groups.users(
        [instance("a", VpcSecurityGroups=groups("sg-1", "sg-2"))],
        [cluster("b", VpcSecurityGroups=groups("sg-1"))],
    )
    assert found == {"sg-1": ["instance a", "cluster b"], "sg-2": ["instance a"]}


PAIR = ("UserIdGroupPairs", "GroupId")
CONTROLLER = Rule("tcp", 5432, 5432, V4, "10.0.0.9/32")
OWN, FOREIGN = Rule("tcp", 5432, 5432, PAIR, "sg-1"), Rule("tcp", 5432, 5432, PAIR, "sg-app")


@pytest.mark.parametrize("present, cidrs, members, wanted", [
    (set(), None, None, set()),
    ({CONTROLLER, FOREIGN}, None, None, {CONTROLLER, FOREIGN}),
    (set(), ["10.0.0.9/32"], None, {CONTROLLER}),
    # Every run converges the controllers, and mustn't cut the way back.
    ({OWN, FOREIGN}, ["10.0.0.9/32"], None, {CONTROLLER, OWN}),
    ({CONTROLLER}, None, ["sg-1"], {CONTROLLER, OWN}),
    ({CONTROLLER, OWN}, None, [], {CONTROLLER}),
    ({CONTROLLER, Rule("tcp", 5432, 5432, PAIR, "sg-2")}, None, ["sg-1"], {CONTROLLER, OWN}),
])
def test_controllers_and_members_of_the_family_are_let_in_apart_from_each_other(present, cidrs, members, wanted):
    assert security_groups.ingress(present, cidrs, 5432, ["sg-1", "sg-2"], members) == wanted
