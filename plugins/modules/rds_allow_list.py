# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rds_allow_list
short_description: Let the addresses of a service reach an RDS instance or an Aurora cluster
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Gives an instance or a cluster a security group of the migration's own beside those it has, which lets the networks
    in O(cidrs), and nobody else, reach its port. The groups it has are not changed.
  - It is for what comes from outside for the sake of a migration, such as PlanetScale's imports.
  - M(cloudpg.migration.rds_quiesce) closes this way in like any other. A database that is closed gets its allow list
    when it is opened, and one that was taken away meanwhile doesn't come back.
  - A security group decides on new connections only. One that is open stays open after O(state=absent).
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.aws
  - cloudpg.migration.journal
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  state:
    description:
      - V(present) lets exactly these networks in.
      - V(absent) takes the group off and deletes it.
    type: str
    choices: [present, absent]
    default: present
  instance:
    description: The instance to reach. Exactly one of O(instance) and O(cluster) is needed.
    type: str
  cluster:
    description: The cluster to reach.
    type: str
  cidrs:
    description: Networks or single addresses, of either version of IP. Required with O(state=present).
    type: list
    elements: str
  port:
    description: The port to reach. The default is that of the instance or cluster.
    type: int
  wait_timeout:
    description:
      - How long to wait, in seconds, until AWS has done it.
      - There is no way not to wait, since whoever is let in comes next.
    type: int
    default: 600
seealso:
  - module: cloudpg.migration.aws_journal
  - module: cloudpg.migration.planetscale_database_info
  - module: cloudpg.migration.rds_quiesce
"""

EXAMPLES = r"""
- name: Let PlanetScale's imports in
  cloudpg.migration.rds_allow_list:
    cluster: orders-aurora
    cidrs: [198.51.100.17, 198.51.100.18]
    journal: "{{ lock.journal }}"

- name: Take that back in the end
  cloudpg.migration.rds_allow_list:
    state: absent
    cluster: orders-aurora
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
allow_list:
  description: What is there afterwards.
  type: dict
  returned: always
  contains:
    group_id:
      description: The security group, null where there is none.
      type: str
    group_name:
      description: Its name.
      type: str
    attached:
      description: Whether the instance or cluster has it. One that is closed gets it when it is opened.
      type: bool
    cidrs:
      description: Who is let in.
      type: list
      elements: str
    port:
      description: Where to; null when that isn't known yet.
      type: int
    predicted:
      description: Whether this is what would be, and not what is.
      type: bool
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

import time

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import JOURNAL, run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import allow_list, api, groups, quiesce, state
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Lock, read
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal_work import place
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.waiters import Patience


def port_of(params, door, there):
    if params["port"] or there is None:
        return params["port"]
    found = there.get("Port") if door.kind == "cluster" else (there.get("Endpoint") or {}).get("Port")
    if not found:
        raise RdsError(f"{door} has no port yet. Cure: give port, or wait until it is available.")
    return found


def other_users(rds, door, group_id):
    """Who else has the group; a cluster's instances have what it has."""
    instances = [
        instance for instance in api.describe_instances(rds)
        if door.kind == "instance" or instance.get("DBClusterIdentifier") != door.identifier
    ]
    named = groups.users(instances, api.describe_clusters(rds)).get(group_id, [])
    return [name for name in named if name != str(door)]


def check_door(door, there, check_mode):
    if there is None and not check_mode:
        raise RdsError(f"{door} doesn't exist in this Region. Cure: name one that does.")
    if door.kind == "instance" and there and there.get("DBClusterIdentifier"):
        raise RdsError(
            f"{door} belongs to the cluster {there['DBClusterIdentifier']}, whose security groups decide. "
            "Cure: name the cluster."
        )


def vpc_of(ec2, held):
    """The VPC of the lock, which is made where the migrated server is; None before there is one."""
    newest = read(ec2, held["migration"], None, held["group_id"]).newest
    return newest.vpc_id if newest else None


def make_plan(params, rds, seen, order, known):
    if params["state"] == "present":
        return allow_list.plan_present(seen, order, known)
    used_by = other_users(rds, order.door, seen.group_id) if seen.group_id else []
    return allow_list.plan_absent(seen, order, known, used_by)


def document(seen, order, port, predicted):
    rules = order.rules if predicted else seen.rules
    return {
        "group_id": seen.group_id, "group_name": order.name, "attached": seen.group_id in seen.attached,
        "cidrs": sorted(rule.value for rule in rules), "port": port, "predicted": predicted,
    }


def body(module):
    params, rds, ec2 = module.params, module.client("rds"), module.client("ec2")
    door, held = quiesce.door_of(params, quiesce.ALLOW_LIST), params["journal"]
    lock = None if module.check_mode else Lock(ec2, held)
    patience = Patience(params["wait_timeout"], lock.keep_alive if lock else lambda: None, since=time.monotonic())
    closing = quiesce.Work(lock.cover(rds) if lock else rds, door, lock, patience, utc_now)
    there = closing.describe()
    check_door(door, there, module.check_mode)
    port = port_of(params, door, there)
    order = allow_list.Order(
        door, held["migration"], frozenset(groups.wanted_rules(params["cidrs"] or [], port or 5432, "cidrs"))
    )
    vpc_id = place(rds, params) or vpc_of(ec2, held)

    def look():
        """The door's groups, the allow list, and the journal's entry."""
        family = read(ec2, held["migration"], vpc_id, held["group_id"])
        now = closing.describe()
        seen = allow_list.look(ec2, order, vpc_id, state.security_groups(now) if now else [], family.group_ids)
        return seen, quiesce.entry(family.events, door.event, door)

    seen, known = look()
    plan = make_plan(params, rds, seen, order, known)
    if lock:
        work = allow_list.Work(ec2, order, seen, vpc_id, closing)
        carry_out(plan, work.operations(), lock.guard)
        closing.await_groups()
        seen, known = look()
    return {**plan.result(), "allow_list": document(seen, order, port, bool(module.check_mode and plan.changed))}


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "instance": {"type": "str"},
            "cluster": {"type": "str"},
            "cidrs": {"type": "list", "elements": "str"},
            "port": {"type": "int"},
            "journal": JOURNAL,
            "wait_timeout": {"type": "int", "default": 600},
        },
        mutually_exclusive=[("instance", "cluster")],
        required_one_of=[("instance", "cluster")],
        required_if=[("state", "present", ["cidrs"])],
    )


if __name__ == "__main__":
    main()
