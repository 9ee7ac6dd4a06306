# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_journal
short_description: Hold a migration on AWS, and keep its journal
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Takes, renews and gives back the lock of a migration, and writes its journal.
  - Lock and journal are security groups C(cloudpg-<migration>-<generation>). Making a group is atomic, which makes it a
    lock; its tags carry a lease of 60 seconds, and the journal of what was changed for the migration's sake. The same
    group is the quarantine group that M(cloudpg.migration.rds_quiesce) uses.
  - A lease that has lapsed is taken over by making the next generation. A run that was only asleep then finds that it
    has lost the lock, and changes nothing more.
  - The controllers' clocks are compared with each other through the lease, so they have to be synchronised (NTP).
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.aws
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  idempotent:
    details: Lock, lease and journal never count as a change; only the removal of groups does.
options:
  state:
    description:
      - V(held) takes the lock, or renews it when O(journal) says that it is held already.
      - V(released) gives it back. The journal stays.
      - V(absent) deletes the migration's groups that nothing uses, and gives the lock back. Groups that an instance, a
        cluster or a network interface still uses are kept; the journal entries of deleted groups are moved to the
        youngest of those.
    type: str
    choices: [held, released, absent]
    default: held
  journal:
    description:
      - Which migration this is and, once it is held, what this module returned under RV(journal).
    type: dict
    required: true
    suboptions:
      migration:
        description: The name of the migration; lower-case letters, digits and single hyphens.
        type: str
        required: true
      generation:
        description: The generation of the lock.
        type: int
      holder:
        description: Who holds it.
        type: str
      group_id:
        description: The security group.
        type: str
  instance:
    description:
      - The RDS instance in whose VPC the group is made, usually the source.
      - One of O(instance), O(cluster) and O(vpc_id) is needed to take the lock.
    type: str
  cluster:
    description: An Aurora cluster whose VPC is taken when O(instance) isn't given or is no longer there.
    type: str
  vpc_id:
    description: The VPC, instead of an instance in it.
    type: str
  take_over:
    description: Take the lock from another run at once, without waiting for its lease to lapse.
    type: bool
    default: false
  job:
    description: The number of the job in a runner such as AWX; shown to whoever is told who holds the migration.
    type: str
    default: ""
  wait_timeout:
    description:
      - How long to wait for another run's lease to lapse or to be given back, in seconds.
      - When that run renews its lease meanwhile it is alive, and the module fails at once.
    type: int
    default: 75
  events:
    description:
      - Journal entries to write. Writing an O(events[].id) again keeps the first O(events[].was).
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: What this is about, unique in the migration.
        type: str
        required: true
      object:
        description: The thing that was changed.
        type: str
        required: true
      was:
        description: How it was before.
        type: raw
      now:
        description: How it is now.
        type: raw
  controller_cidrs:
    description:
      - Networks that may reach O(port) through the migration's groups; every other ingress rule of them is removed,
        except those that O(members) is about.
      - Left out, the rules stay as they are. An empty list closes the groups to everybody.
    type: list
    elements: str
  members:
    description:
      - Whether what is in one of the migration's groups may reach O(port) of what is in one of them. A way back needs
        it, where the closed source fetches from the target.
      - Left out, that stays as it is.
    type: bool
  port:
    description: The TCP port of the database.
    type: int
    default: 5432
seealso:
  - module: cloudpg.migration.aws_journal_info
  - module: cloudpg.migration.rds_quiesce
"""

EXAMPLES = r"""
- name: Hold the migration
  cloudpg.migration.aws_journal:
    state: held
    journal:
      migration: orders
    instance: orders-rds
    controller_cidrs: [10.20.0.5/32]
  register: lock

- name: Write down a change before it is made
  cloudpg.migration.aws_journal:
    state: held
    journal: "{{ lock.journal }}"
    events:
      - id: dns.ttl
        object: db.example.org
        was: 300
        now: 5

- name: Give it back
  cloudpg.migration.aws_journal:
    state: released
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
journal:
  description: The lock, as the other modules take it. In check mode only C(migration) is set.
  type: dict
  returned: always
  contains:
    migration:
      description: The name of the migration.
      type: str
    generation:
      description: The generation of the lock.
      type: int
    holder:
      description: Who holds it.
      type: str
    group_id:
      description: The security group.
      type: str
taken_over:
  description: Whether the lock was taken from a run that had not given it back.
  type: bool
  returned: always
events:
  description: The journal of all generations by id, each with C(object), C(was), C(now), C(at) and C(by).
  type: dict
  returned: always
groups:
  description: The ids of all groups of the migration, oldest first.
  type: list
  elements: str
  returned: always
kept:
  description: Groups which O(state=absent) kept, each with C(group_id), C(group_name) and C(used_by).
  type: list
  elements: dict
  returned: always
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import JOURNAL, run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Queue, check_name
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import groups, journal, journal_work


def body(module):
    params = module.params
    ec2, rds = module.client("ec2"), module.client("rds")
    held = {**params["journal"]}
    check_name(held["migration"])
    # What is no network is refused before a lock is made.
    groups.wanted_rules(params["controller_cidrs"] or [], params["port"])
    if params["state"] == "absent":
        return journal_work.remove(ec2, rds, held, params, module.check_mode)
    if module.check_mode:
        family = journal_work.look(ec2, rds, held, params)
        return journal_work.result(family, journal_work.unheld(held["migration"]))
    if params["state"] == "released":
        return journal_work.release(ec2, held)
    if held["generation"]:
        family, taken_over = journal.Lock(ec2, held).guard(), False
    else:
        queue = Queue(params["take_over"], params["wait_timeout"])
        family, taken_over = journal_work.take(ec2, rds, held["migration"], params, queue)
        held = journal_work.document(family)
    for event in params["events"]:
        journal.Lock(ec2, held).record(**event)
    if params["events"]:
        family = journal.read(ec2, held["migration"], group_id=held["group_id"])
    journal_work.let_in(ec2, rds, family, params["controller_cidrs"], params["port"], params["members"])
    return journal_work.result(family, held, taken_over=taken_over)


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["held", "released", "absent"], "default": "held"},
            "journal": JOURNAL,
            "instance": {"type": "str"},
            "cluster": {"type": "str"},
            "vpc_id": {"type": "str"},
            "take_over": {"type": "bool", "default": False},
            "job": {"type": "str", "default": ""},
            "wait_timeout": {"type": "int", "default": 75},
            "events": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "id": {"type": "str", "required": True},
                    "object": {"type": "str", "required": True},
                    "was": {"type": "raw"},
                    "now": {"type": "raw"},
                },
            },
            "controller_cidrs": {"type": "list", "elements": "str"},
            "members": {"type": "bool"},
            "port": {"type": "int", "default": 5432},
        },
    )


if __name__ == "__main__":
    main()
