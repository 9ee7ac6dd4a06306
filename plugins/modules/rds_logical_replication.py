# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rds_logical_replication
short_description: Turn logical replication on at an RDS instance or an Aurora cluster, and put it back
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes an RDS for PostgreSQL instance or an Aurora PostgreSQL cluster a source or a target of PostgreSQL's own
    logical replication. The switch for it, C(rds.logical_replication), comes into force by a reboot only.
  - The parameter group in use is never changed, for it may be a default one or that of other instances, too. A group of
    the migration's own is made that says the same and what is lacking, and takes its place. Which group it had is in
    the journal before.
  - It is on when AWS says that the group is in force and, where O(server) is given, the server itself says
    C(wal_level=logical). Anything else is a failure.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.aws
  - cloudpg.migration.journal
  - cloudpg.migration.address.optional
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  state:
    description:
      - V(enabled) turns it on, and raises the settings in O(minimum) that are too small.
      - V(restored) gives the group back that the journal knows, and deletes the migration's own. A server that has a
        logical slot doesn't start without logical replication, so they are looked for first, which takes O(server).
    type: str
    choices: [enabled, restored]
    default: enabled
  instance:
    description: The RDS instance. Exactly one of O(instance) and O(cluster) is needed.
    type: str
  cluster:
    description: The Aurora cluster. All of its instances are brought into step.
    type: str
  parameter_group:
    description: >-
      The name of the migration's own group. The default is C(cloudpg-), the name of the migration, a hyphen and
      O(instance) or O(cluster).
    type: str
  minimum:
    description: What these settings are to be at least. They are raised, never lowered. V(0) leaves one alone.
    type: dict
    default: {}
    suboptions:
      max_replication_slots:
        description: One a database on a source, and one a table that is being copied.
        type: int
        default: 20
      max_wal_senders:
        description: As many as slots, and one a physical standby.
        type: int
        default: 20
      max_logical_replication_workers:
        description: On a target, one a database, and one a table that is being copied.
        type: int
        default: 8
      max_worker_processes:
        description: More than the workers of logical replication, since others take theirs from it, too.
        type: int
        default: 16
  reboot:
    description:
      - Whether the instances may be rebooted where that is needed, which ends every session. Those which are read from
        come first, the writer last.
      - Without it O(state=enabled) fails with the code V(reboot_pending) after all else is done. Reboot yourself when
        it suits, then run again.
      - Without it O(state=restored) leaves the old group to come into force with whichever reboot is next.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait, in seconds, for everything together.
      - There is no way not to wait, since what isn't known to be in force can't be built upon.
    type: int
    default: 1800
seealso:
  - module: cloudpg.migration.aws_journal
  - module: cloudpg.migration.rds_allow_list
"""

EXAMPLES = r"""
- name: Say what would be done and what stands in the way, and change nothing
  cloudpg.migration.rds_logical_replication:
    cluster: orders-aurora
    journal: {migration: orders}
  check_mode: true
  register: look

- name: Turn logical replication on, with a reboot
  cloudpg.migration.rds_logical_replication:
    cluster: orders-aurora
    server: {host: orders.example.com, user: migrator, passfile: /etc/cloudpg/pgpass}
    reboot: true
    journal: "{{ lock.journal }}"

- name: Put it back in the end
  cloudpg.migration.rds_logical_replication:
    state: restored
    cluster: orders-aurora
    server: {host: orders.example.com, user: migrator, passfile: /etc/cloudpg/pgpass}
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
replication:
  description: How it stands.
  type: dict
  returned: always
  contains:
    in_force:
      description: Whether logical replication is on, and known to be.
      type: bool
    proven_by:
      description: By whose word, V(server) or V(aws). Null when it isn't in force.
      type: str
    parameter_group:
      description: The group in use.
      type: str
    original_group:
      description: The group it had before, when the journal knows one.
      type: str
    members:
      description: The instances, each with C(identifier), C(writer) and C(status), AWS's word for how far the group is.
      type: list
      elements: dict
    settings:
      description: What the server itself says, C(wal_level) and those in O(minimum). Null without a login.
      type: dict
    predicted:
      description: Whether the instance or cluster isn't there yet, which only check mode accepts.
      type: bool
findings:
  description:
    - What there is to say, each with C(id), C(severity), C(object), C(reason), C(cure) and C(fact). In check mode it is
      what stands in the way; afterwards it is what is left.
  type: list
  elements: dict
  returned: always
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
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, Step, carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import logical_replication as logical
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import logical_work
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Lock, read
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.logical_findings import findings
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.quiesce import door_of, entry
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.waiters import Patience


def order_of(params):
    door, migration = door_of(params, "parameter_group"), params["journal"]["migration"]
    name = logical.own_name(migration, door.identifier, params["parameter_group"])
    return logical.Order(door, migration, name, params["minimum"], params["reboot"])


def document(seen, known):
    on = logical.in_force(seen, known)
    return {
        "in_force": on,
        "proven_by": ("aws" if seen.running is None else "server") if on else None,
        "parameter_group": seen.group.name,
        "original_group": known.was if known else None,
        "members": [vars(member) for member in seen.members],
        "settings": seen.running,
        "predicted": False,
    }


def not_there(order, state):
    """Check mode, and an earlier task would have made it."""
    step = Step("enable", f"turn logical replication on at {order.door}, once it is there")
    return {
        **Plan((step,) if state == "enabled" else ()).result(), "findings": [],
        "replication": {
            "in_force": False, "proven_by": None, "parameter_group": None, "original_group": None, "members": [],
            "settings": None, "predicted": True,
        },
    }


def make_plan(state, work, seen, known):
    if state == "enabled":
        return logical.plan_enabled(seen, work.order, known)
    was = work.original(known)
    plan = logical.plan_restored(seen, work.order, known, was, work.others(work.order.own))
    left = logical_work.slots_left(work.order, work.server) if logical.turns_off(seen, plan, was) else []
    if left:
        insist = Step("insist", f"see that the logical slots {', '.join(left)} are gone", {"slots": left})
        plan = replace(plan, steps=(insist, *plan.steps))
    return plan


def apply(params, work, plan, journalled):
    carry_out(plan, work.operations(), work.lock.guard)
    if any(step.op == "reboot" for step in plan.steps):
        work.note_reboot()
    if params["state"] == "restored":
        return work.seen(work.describe(), journalled())
    seen = work.seen(work.describe(), journalled())
    if not params["reboot"] and logical.missing_on_server(seen, journalled()):
        names = ", ".join(member.identifier for member in seen.members)
        raise RdsError(
            f"{work.door}: logical replication is written in its parameter group {seen.group.name}, and comes into "
            f"force by a reboot, which is pending. Cure: give reboot: true where {names} may be rebooted, which ends "
            "every session; or reboot it yourself (aws rds reboot-db-instance) when it suits; then run again.",
            code="reboot_pending",
        )
    return work.prove(journalled)


def body(module):
    params, rds = module.params, module.client("rds")
    order, ec2 = order_of(params), module.client("ec2")
    lock = None if module.check_mode else Lock(ec2, params["journal"])
    patience = Patience(params["wait_timeout"], lock.keep_alive if lock else lambda: None, since=time.monotonic())
    server = params["server"]
    if server and not_there_yet(server, module.check_mode):
        server = None
    work = logical_work.Work(lock.cover(rds) if lock else rds, order, lock, patience, utc_now, server)
    there = work.describe()
    if there is None and module.check_mode:
        return not_there(order, params["state"])
    if there is None:
        raise RdsError(f"{order.door} doesn't exist in this Region. Cure: name one that does.")

    def journalled():
        held = params["journal"]
        return entry(read(ec2, held["migration"], group_id=held["group_id"]).events, order.door.event, order.door)

    known = journalled()
    seen = work.seen(there, known)
    plan = make_plan(params["state"], work, seen, known)
    if lock:
        seen = apply(params, work, plan, journalled)
        known = journalled() if plan.changed else known
    told = findings(seen, order, known) if params["state"] == "enabled" else []
    return {
        **plan.result(), "replication": document(seen, known), "findings": [finding.as_dict() for finding in told],
    }


def main():
    least = {
        "max_replication_slots": 20, "max_wal_senders": 20, "max_logical_replication_workers": 8,
        "max_worker_processes": 16,
    }
    run(
        body,
        {
            "state": {"type": "str", "choices": ["enabled", "restored"], "default": "enabled"},
            "instance": {"type": "str"},
            "cluster": {"type": "str"},
            "parameter_group": {"type": "str"},
            "minimum": {
                "type": "dict",
                "default": {},
                "options": {name: {"type": "int", "default": value} for name, value in least.items()},
            },
            "reboot": {"type": "bool", "default": False},
            "server": {**address_spec(), "required": False},
            "journal": JOURNAL,
            "wait_timeout": {"type": "int", "default": 1800},
        },
        mutually_exclusive=[("instance", "cluster")],
        required_one_of=[("instance", "cluster")],
    )


if __name__ == "__main__":
    main()
