# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EC2's security groups, as moto keeps them, made to count on the real servers."""

from __future__ import annotations

from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response

from .access import networks_for
from .rds_model import Instance, Region
from .refusal import Refusal
from .rules import ApiError
from .world import World


def _backend(region: Region) -> Any:
    return ec2_backends[region.account][region.name]


def default_group(region: Region) -> str:
    """The default security group of the default VPC; it has no ingress rule."""
    return str(_backend(region).get_default_security_group().id)


def default_vpc(region: Region) -> str:
    """The id of the default VPC."""
    return str(_backend(region).get_default_vpc().id)


def check_groups(region: Region, group_ids: list[str]) -> None:
    """Raise InvalidParameterValue for a group that doesn't exist."""
    for group_id in group_ids:
        if _backend(region).get_security_group_from_id(group_id) is None:
            raise ApiError(
                "InvalidParameterValue", f"Invalid security group , groupId= {group_id}, groupName=.", 400
            )


def networks(instance: Instance) -> list[str]:
    """Client networks that an instance's security groups let in to its port."""
    rules = []
    for group_id in instance.group_ids():
        group = _backend(instance.region).get_security_group_from_id(group_id)
        for rule in group.ingress_rules if group else ():
            rules.append({
                "protocol": rule.ip_protocol, "from_port": rule.from_port, "to_port": rule.to_port,
                "cidrs": [rule.ip_range["CidrIp"]] if (rule.ip_range or {}).get("CidrIp") else [],
            })
    return networks_for(rules, instance.port)


def refresh(instance: Instance) -> None:
    """Bring one server's access rules in step with its groups."""
    server = instance.server
    if server is not None:
        server.allow(networks(instance))


def attached_to(world: World, group_id: str) -> list[str]:
    """Instances and clusters that a group is attached to."""
    found = []
    for region in world.regions():
        for resource in [*region.instances.values(), *region.clusters.values()]:
            if any(one["VpcSecurityGroupId"] == group_id for one in resource.facts.get("VpcSecurityGroups", [])):
                found.append(resource.identifier)
    return found


class SandboxEC2(EC2Response):
    """moto's EC2; a change of security groups reaches the servers before the call is answered."""

    world: ClassVar[World]

    def _then_refresh(self, operation: str) -> Any:
        answer = getattr(super(), operation)()
        for instance in self.world.instances():
            refresh(instance)
        return answer

    def authorize_security_group_ingress(self) -> Any:
        return self._then_refresh("authorize_security_group_ingress")

    def revoke_security_group_ingress(self) -> Any:
        return self._then_refresh("revoke_security_group_ingress")

    def modify_security_group_rules(self) -> Any:
        return self._then_refresh("modify_security_group_rules")

    def delete_security_group(self) -> ActionResult:
        """As on AWS refused while the group is attached to something."""
        name = self._get_param("GroupId") or self._get_param("GroupName")
        backend = ec2_backends[self.current_account][self.region]
        group = backend.get_security_group_by_name_or_id(name)
        if group is not None and attached_to(self.world, group.id):
            raise Refusal("DependencyViolation", f"resource {group.id} has a dependent object")
        return super().delete_security_group()
