# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of an instance's or a cluster's security groups."""

from __future__ import annotations

from . import ec2
from .rds_model import Cluster, Instance, TransitionRefused


def group_facts(group_ids: list[str], status: str) -> list[dict[str, str]]:
    """VpcSecurityGroups as AWS lists them."""
    return [{"VpcSecurityGroupId": group_id, "Status": status} for group_id in group_ids]


def begin_group_change(resource: Instance | Cluster, group_ids: list[str]) -> bool:
    """Mark what comes and what goes; False when the groups are those it has, or is getting, already."""
    current = [one["VpcSecurityGroupId"] for one in resource.facts["VpcSecurityGroups"]]
    kept = [one["VpcSecurityGroupId"] for one in resource.facts["VpcSecurityGroups"] if one["Status"] == "active"]
    if sorted(resource.groups_wanted or kept) == sorted(group_ids):
        return False
    resource.groups_wanted = list(group_ids)
    resource.facts["VpcSecurityGroups"] = [
        *group_facts([one for one in group_ids if one in kept], "active"),
        *group_facts([one for one in group_ids if one not in kept], "adding"),
        *group_facts([one for one in current if one not in group_ids], "removing"),
    ]
    return True


def change_groups(resource: Instance | Cluster, group_ids: list[str]) -> None:
    """adding/removing -> active, once the servers act on it; new sessions only, open ones stay (R18, P30)."""
    world = resource.region.world
    try:
        world.pause(resource.identifier, "security-groups")
    except TransitionRefused:
        resource.groups_wanted = None
        raise
    for instance in resource.members if isinstance(resource, Cluster) else [resource]:
        ec2.refresh(instance)
    with world.lock:
        if resource.groups_wanted == group_ids:
            resource.facts["VpcSecurityGroups"] = group_facts(group_ids, "active")
            resource.groups_wanted = None
        world.changed.notify_all()
