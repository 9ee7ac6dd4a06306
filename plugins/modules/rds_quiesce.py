# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rds_quiesce
short_description: Close an RDS instance or an Aurora cluster to its clients, and open it again
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Closes a database by putting it behind the security group of the migration, and opens it by giving it its real
    groups. No login to the database is needed.
  - A security group stops new connections only. An instance is therefore rebooted after its groups are in force, which
    ends the sessions that it has. What runs inside the server, such as pg_cron, is not stopped by this.
  - The original groups are in the journal before anything is changed, so another controller can put them back.
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
      - V(quiesced) closes it. It is closed when every one of its groups belongs to the migration, and an instance was
        rebooted since.
      - V(open) gives it its groups, without a reboot.
    type: str
    choices: [quiesced, open]
    required: true
  instance:
    description: The instance to close or open. Exactly one of O(instance) and O(cluster) is needed.
    type: str
  cluster:
    description: The cluster to close or open.
    type: str
  security_group_ids:
    description:
      - The groups to open it with. The default are those which the journal says it had.
      - Not used by O(state=quiesced), which takes the group of O(journal).
    type: list
    elements: str
  reboot:
    description:
      - Whether to reboot an instance after its groups are in force. Without it, sessions that are open stay open, and
        RV(fenced_at) stays null.
    type: bool
    default: true
  event:
    description:
      - The id of the journal entry with the original groups. The default is V(source.security_groups) for an instance
        and V(target.security_groups) for a cluster.
    type: str
  wait_timeout:
    description:
      - How long to wait, in seconds, for the groups and the reboot together.
      - There is no way not to wait, since a fence that isn't known to be in force is none.
    type: int
    default: 600
seealso:
  - module: cloudpg.migration.aws_journal
"""

EXAMPLES = r"""
- name: Close the source and end its sessions
  cloudpg.migration.rds_quiesce:
    state: quiesced
    instance: orders-rds
    journal: "{{ lock.journal }}"
  register: closed

- name: Open it again as it was
  cloudpg.migration.rds_quiesce:
    state: open
    instance: orders-rds
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
fenced_at:
  description:
    - Since when an instance is closed and without old sessions (ISO 8601), by AWS's clock or the controller's,
      whichever is later. Null when that is not the case.
  type: str
  returned: always
instance:
  description: >-
    The instance with C(identifier), C(status), C(security_groups) (each with C(id) and C(status)) and C(predicted),
    which is true when it isn't there yet.
  type: dict
  returned: when O(instance) was given
cluster:
  description: The cluster, in the same way.
  type: dict
  returned: when O(cluster) was given
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

import time
from dataclasses import replace

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import JOURNAL, run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import groups, quiesce, state
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Lock, read
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.waiters import Patience

EVENTS = {"instance": "source.security_groups", "cluster": "target.security_groups"}


def door_of(params):
    door = quiesce.door_of(params, "security_groups")
    return replace(door, event=params["event"] or EVENTS[door.kind])


def known_family(ec2, held):
    """Without a group in the journal, as in check mode on a fresh migration, there is nothing to read."""
    if held["group_id"]:
        return read(ec2, held["migration"], group_id=held["group_id"])
    return read(ec2, held["migration"])


def make_plan(params, ec2, door, seen, family):
    current = state.security_groups(seen) if seen else None
    if params["state"] == "quiesced":
        return quiesce.plan_quiesced(
            door, current, family.events, family.group_ids, params["journal"]["group_id"], params["reboot"]
        )
    wanted = quiesce.wanted_groups(door, params["security_group_ids"], family.events)
    if seen and not wanted:
        raise RdsError(
            f"{door}: the journal has no entry {door.event} that says which security groups it had. "
            "Cure: give security_group_ids."
        )
    lost = groups.missing(ec2, wanted)
    if lost:
        raise RdsError(
            f"{door}: security group {', '.join(lost)} doesn't exist any more. Nothing was changed. "
            "Cure: give security_group_ids with groups that do."
        )
    return quiesce.plan_open(door, current, wanted)


def apply(params, work, plan, family):
    if params["state"] == "open":
        work.clear_fence(family.events)
    carry_out(plan, work.operations(), work.lock.guard)
    work.await_groups()


def document(door, seen):
    if seen is None:
        return {"identifier": door.identifier, "status": None, "security_groups": [], "predicted": True}
    return state.instance_document(seen) if door.kind == "instance" else state.cluster_document(seen)


def body(module):
    params, door = module.params, door_of(module.params)
    rds, ec2 = module.client("rds"), module.client("ec2")
    lock = None if module.check_mode else Lock(ec2, params["journal"])
    work = quiesce.Work(
        lock.cover(rds) if lock else rds, door, lock,
        Patience(params["wait_timeout"], lock.keep_alive if lock else lambda: None, since=time.monotonic()), utc_now,
    )
    seen, family = work.describe(), known_family(ec2, params["journal"])
    if seen is None and not module.check_mode:
        raise RdsError(f"{door} doesn't exist in this Region. Cure: name one that does.")
    plan = make_plan(params, ec2, door, seen, family)
    if lock:
        apply(params, work, plan, family)
        seen = work.describe()
        family = known_family(ec2, params["journal"]) if plan.changed else family
    current = state.security_groups(seen) if seen else []
    fenced = quiesce.fenced_at(family.events, door, current, family.group_ids)
    return {**plan.result(), door.kind: document(door, seen), "fenced_at": fenced}


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["quiesced", "open"], "required": True},
            "instance": {"type": "str"},
            "cluster": {"type": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "reboot": {"type": "bool", "default": True},
            "event": {"type": "str"},
            "journal": JOURNAL,
            "wait_timeout": {"type": "int", "default": 600},
        },
        mutually_exclusive=[("instance", "cluster")],
        required_one_of=[("instance", "cluster")],
    )


if __name__ == "__main__":
    main()
