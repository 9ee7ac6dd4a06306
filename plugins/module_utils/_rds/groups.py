# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls to EC2 for security groups, and their rules as comparable values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from . import state
from .api import call, collect
from .errors import RdsError

DUPLICATE = "InvalidGroup.Duplicate"
DUPLICATE_RULE = "InvalidPermission.Duplicate"
IN_USE = "DependencyViolation"
MISSING = {"InvalidGroup.NotFound", "InvalidGroupId.NotFound", "InvalidSecurityGroupID.NotFound", "InvalidID"}


@dataclass(frozen=True, order=True)
class Rule:
    """One ingress rule with one origin. ``origin`` is EC2's list and key for it, ``value`` a CIDR or an id."""

    protocol: str
    first: int
    last: int
    origin: tuple[str, str]
    value: str


CIDR = ("IpRanges", "CidrIp")
CIDR6 = ("Ipv6Ranges", "CidrIpv6")
GROUP = ("UserIdGroupPairs", "GroupId")
_ORIGINS = (CIDR, CIDR6, ("PrefixListIds", "PrefixListId"), GROUP)


def rules_of(group: Mapping[str, Any]) -> set[Rule]:
    """The ingress rules of a group."""
    return {
        Rule(permission["IpProtocol"], permission.get("FromPort", -1), permission.get("ToPort", -1), origin,
             entry[origin[1]])
        for permission in group.get("IpPermissions", [])
        for origin in _ORIGINS
        for entry in permission.get(origin[0], [])
    }


def wanted_rules(cidrs: Iterable[str], port: int, option: str = "controller_cidrs") -> set[Rule]:
    """Rules that let these networks reach one TCP port. Raises RdsError for what is no network."""
    rules = set()
    for cidr in cidrs:
        try:
            network = ip_network(cidr)
        except ValueError as error:
            raise RdsError(
                f"{option}: {cidr} is no network: {error}. Cure: write it like 10.1.2.0/24."
            ) from error
        rules.add(Rule("tcp", port, port, CIDR if network.version == 4 else CIDR6, str(network)))
    return rules


def ingress(
    present: Iterable[Rule], cidrs: Iterable[str] | None, port: int, family: Iterable[str],
    members: Iterable[str] | None = None,
) -> set[Rule]:
    """What a group of a family lets in: these networks, and what is in these ``members`` of the family.

    None leaves that part of the rules as it is. Pure; raises RdsError for what is no network.
    """
    own = {rule for rule in present if rule.origin == GROUP and rule.value in set(family)}
    others = set(present) - own if cidrs is None else wanted_rules(cidrs, port)
    if members is None:
        return others | own
    return others | {Rule("tcp", port, port, GROUP, group_id) for group_id in members}


def _permission(rule: Rule) -> dict[str, Any]:
    ports = {} if rule.protocol == "-1" else {"FromPort": rule.first, "ToPort": rule.last}
    return {"IpProtocol": rule.protocol, **ports, rule.origin[0]: [{rule.origin[1]: rule.value}]}


def find(ec2: Any, name: str) -> list[dict[str, Any]]:
    """Groups by name; ``*`` stands for anything."""
    return collect(
        ec2, "describe_security_groups", "SecurityGroups", f"security groups {name}",
        Filters=[{"Name": "group-name", "Values": [name]}],
    )


def by_id(ec2: Any, group_ids: Sequence[str]) -> list[dict[str, Any]]:
    if not group_ids:
        return []
    return collect(
        ec2, "describe_security_groups", "SecurityGroups", f"security groups {', '.join(group_ids)}",
        Filters=[{"Name": "group-id", "Values": list(group_ids)}],
    )


def missing(ec2: Any, group_ids: Sequence[str]) -> list[str]:
    """Those of the ids which no security group has (any more)."""
    return sorted(set(group_ids) - {group["GroupId"] for group in by_id(ec2, group_ids)})


def letting_in(ec2: Any, group_ids: Sequence[str]) -> list[str]:
    """Those which let anybody in, whoever and wherever; one that cannot be seen may do so."""
    closed = {group["GroupId"] for group in by_id(ec2, group_ids) if not rules_of(group)}
    return sorted(set(group_ids) - closed)


def create(ec2: Any, name: str, vpc_id: str, description: str, tags: Mapping[str, str]) -> str:
    """CreateSecurityGroup with its tags in one call; a name that is taken fails with code DUPLICATE (R33)."""
    answer = call(
        ec2, "create_security_group", f"security group {name}", GroupName=name, VpcId=vpc_id, Description=description,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": state.aws_tags(tags)}],
    )
    return answer["GroupId"]


def delete(ec2: Any, group_id: str) -> None:
    """DeleteSecurityGroup. One that is gone is no error; one in use fails with code IN_USE."""
    try:
        call(ec2, "delete_security_group", f"security group {group_id}", GroupId=group_id)
    except RdsError as error:
        if error.code not in MISSING:
            raise


def tag(ec2: Any, group_id: str, tags: Mapping[str, str]) -> None:
    call(ec2, "create_tags", f"security group {group_id}", Resources=[group_id], Tags=state.aws_tags(tags))


def untag(ec2: Any, group_id: str, keys: Iterable[str]) -> None:
    call(ec2, "delete_tags", f"security group {group_id}", Resources=[group_id], Tags=[{"Key": key} for key in keys])


def converge(ec2: Any, group_id: str, present: set[Rule], wanted: set[Rule]) -> None:
    """Make the ingress of a group exactly what is wanted; what is there already costs no call."""
    for operation, rules in (
        ("authorize_security_group_ingress", wanted - present),
        ("revoke_security_group_ingress", present - wanted),
    ):
        if rules:
            call(ec2, operation, f"security group {group_id}", GroupId=group_id,
                 IpPermissions=[_permission(rule) for rule in sorted(rules)])


def users(instances: Iterable[Mapping[str, Any]], clusters: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Who is attached to which group: ids of groups to sentences like ``instance orders``. Pure."""
    named = [(f"instance {instance['DBInstanceIdentifier']}", instance) for instance in instances]
    named += [(f"cluster {cluster['DBClusterIdentifier']}", cluster) for cluster in clusters]
    found: dict[str, list[str]] = {}
    for name, document in named:
        for group in document.get("VpcSecurityGroups", []):
            found.setdefault(group["VpcSecurityGroupId"], []).append(name)
    return found
