# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_slot
short_description: Make or drop the logical slots of a migration, those of all databases at once
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes a logical replication slot in each of the databases, in one process. What is written from then on is kept for
    whoever will follow it.
  - It is for slots whose follower is made later with C(copy_data=false), because the data are the same on both sides
    already. That is so on a server which was just promoted.
  - A slot that is older than its publication loses changes, so the publication has to be there.
  - Dropping needs no follower. Its walsender is ended first, and again when it comes back.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address
options:
  migration:
    description:
      - The name of the migration. The slots are named C(cloudpg_), the migration's name with C(_) for C(-), and the
        database; the publication as M(cloudpg.migration.pg_publication) names it.
    type: str
    required: true
  state:
    description: Whether the slots are to be there.
    type: str
    choices: [present, absent]
    default: present
  databases:
    description: The databases. Empty means the one that O(server.dbname) names.
    type: list
    elements: str
    default: []
  wait_timeout:
    description:
      - Seconds that each slot may take. Making one waits for every transaction that writes, and for ever for a prepared
        one; dropping one waits for its walsender to end.
    type: int
    default: 30
notes:
  - The login needs C(REPLICATION), on RDS and Aurora C(rds_replication), and to drop a slot in use C(pg_signal_backend)
    or membership in the role of who uses it.
  - The server needs C(wal_level=logical).
seealso:
  - module: community.postgresql.postgresql_slot
    description: Makes one slot of any kind. It asks for no publication, waits without an end, and drops none in use.
  - module: cloudpg.migration.pg_publication
  - module: cloudpg.migration.pg_subscription
"""

EXAMPLES = r"""
- name: Keep what is written from now on
  cloudpg.migration.pg_slot:
    server: {host: orders-aurora.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders-back
    databases: [orders, billing]

- name: Keep nothing any more
  cloudpg.migration.pg_slot:
    server: {host: orders-aurora.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders-back
    databases: [orders, billing]
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: success
slots:
  description: The slots of the migration with C(database) and C(name), whether they are there or not.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import check_name
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import slots
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import (
    address_spec, database_of, not_there_yet,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out


def converge(params, check_mode):
    check_name(params["migration"])
    wanted = slots.wanted(params["migration"], params["databases"] or [database_of(params["server"])])
    plan = slots.plan_present if params["state"] == "present" else slots.plan_absent
    shown = {"slots": [slot.as_dict() for slot in wanted]}
    if not_there_yet(params["server"], check_mode):
        return {**plan(wanted, {}).result(), **shown}
    with connect(params["server"]) as home:
        decided = plan(wanted, slots.read(home, wanted))
        work = slots.Work(connect, params["server"], params["migration"], home, params["wait_timeout"])
        if not check_mode:
            carry_out(decided, work.operations())
    return {**decided.result(), **shown}


def main():
    run(
        converge,
        {
            "server": address_spec(),
            "migration": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "databases": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 30},
        },
    )


if __name__ == "__main__":
    main()
