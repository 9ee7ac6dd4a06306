# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_journal
short_description: Hold a migration between two PostgreSQL servers
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Takes, renews and gives back the lock of a migration that goes by SQL alone.
  - The lock is a row in schema C(cloudpg_migration) on both sides, in the database that each address names. It carries
    a lease of 60 seconds by the server's own clock.
  - A lease that has lapsed is taken over with the next generation. A run that was only asleep then finds that it has
    lost the lock.
  - A target without O(target.host) isn't there yet. The source holds the lock alone then. Once the target is there,
    V(held) with the O(journal) that is held takes the target's side for the same holder.
notes:
  - The login needs C(CREATE) on the database of either side, once, to make the schema.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
attributes:
  idempotent:
    details: Lock, lease and journal never count as a change; only the removal of the journal does.
options:
  state:
    description:
      - V(held) takes the lock, or renews it when O(journal) says that it is held already.
      - V(released) gives it back. The journal stays.
      - V(absent) removes the migration from the journal, and the schema with the last migration in it.
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
        description: Not used here; the lock of M(cloudpg.migration.aws_journal) has it.
        type: str
  remember:
    description:
      - Ids of entries that stay in the journal with O(state=absent). By them a later run knows what this migration has
        come to.
    type: list
    elements: str
    default: []
  remember_on:
    description:
      - In whose journal they stay. It is the source's where there is no target.
      - The source's is also for a target that nobody can log in to any more.
    type: list
    elements: str
    choices: [source, target]
    default: [target]
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
      - Journal entries to write, on both sides, with O(state=held).
      - Writing an O(events[].id) again keeps the first O(events[].was).
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
seealso:
  - module: cloudpg.migration.aws_journal
"""

EXAMPLES = r"""
- name: Hold the migration
  cloudpg.migration.pg_journal:
    source: {host: orders.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
    journal:
      migration: orders
  register: lock

- name: Write down what would be forgotten otherwise
  cloudpg.migration.pg_journal:
    source: {host: orders.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
    journal: "{{ lock.journal }}"
    events:
      - id: dns.ttl
        object: db.example.org
        was: 300
        now: 5

- name: Give it back
  cloudpg.migration.pg_journal:
    source: {host: orders.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
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
      description: The generation of the lock, the same on both sides.
      type: int
    holder:
      description: Who holds it.
      type: str
    group_id:
      description: Always null.
      type: str
taken_over:
  description: Whether the lock was taken from a run that had not given it back.
  type: bool
  returned: always
events:
  description: The journal of both sides by id, each with C(object), C(was), C(now), C(at) and C(by).
  type: dict
  returned: always
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from contextlib import ExitStack

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import JOURNAL, check_name
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import lease_work
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect


def body(params, check_mode):
    check_name(params["journal"]["migration"])
    sides = ["source", "target"] if params["target"]["host"] else ["source"]
    missing = [not_there_yet(params[side], check_mode, side) for side in sides]
    if any(missing):
        return lease_work.result(params["journal"]["migration"])
    with ExitStack() as stack:
        source, *target = [stack.enter_context(connect(params[side])) for side in sides]
        return lease_work.go(source, target[0] if target else None, params, check_mode)


def main():
    run(
        body,
        {
            "source": address_spec(),
            "target": address_spec(),
            "state": {"type": "str", "choices": ["held", "released", "absent"], "default": "held"},
            "journal": JOURNAL,
            "remember": {"type": "list", "elements": "str", "default": []},
            "remember_on": {"type": "list", "elements": "str", "choices": ["source", "target"], "default": ["target"]},
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
        },
    )


if __name__ == "__main__":
    main()
