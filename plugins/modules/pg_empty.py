# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_empty
short_description: Keep a database that waits for a copy as empty as it was found
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - The first time it insists on an empty database, and writes into the journal which schemas and extensions there are.
  - From then on it drops whatever has come since, which is what a copy that didn't come to its end has left.
  - It refuses a database that the migration doesn't hold closed by M(cloudpg.migration.pg_quiesce), so nothing is ever
    dropped in one that serves.
  - The schema C(cloudpg_migration) stays. What stands in no schema, like an event trigger, goes with the function or
    type that it needs, or stays.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address
  - cloudpg.migration.journal.sql
options:
  migration:
    description: The name of the migration.
    type: str
    required: true
  journal:
    description:
      - The lock to work under, as M(cloudpg.migration.pg_journal) returned it under C(journal). Left out, none is
        needed.
      - It is renewed while the module works, which fails with the code V(lease_lost) when another run has taken the
        migration over.
      - In check mode there is no lock, and it isn't looked at.
  database:
    description: The database of the server. Left out, the one that O(server.dbname) names.
    type: str
notes:
  - The login must be a member of the owners of what is dropped. No superuser is needed.
seealso:
  - module: cloudpg.migration.pg_quiesce
  - module: cloudpg.migration.pg_copy
"""

EXAMPLES = r"""
- name: Drop what the last try has left
  cloudpg.migration.pg_empty:
    server: {host: orders-new.example.org, user: migration, passfile: /etc/cloudpg/pgpass}
    database: orders
    migration: orders
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.contents import Contents
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.fence_work import lock_of
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import (
    address_spec, database_of, not_there_yet, place,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.server import databases
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, Step, carry_out


def converge(params, check_mode):
    server, lock = params["server"], lock_of(params, check_mode)
    database = params["database"] or database_of(server)
    later = Plan((Step("take_down", f"take down that {database} is empty, once it is there"),)).result()
    if not_there_yet(server, check_mode):
        return later
    with keeping(connect, params, check_mode) as watch, watch.connect(server) as home:
        if check_mode and database not in {row["name"] for row in databases(home, ())}:
            return later
        with watch.connect(server, database) as session:
            contents = Contents(home, session, place(server), database, lock)
            plan = contents.plan(final=not check_mode)
            if not check_mode:
                carry_out(plan, {
                    "take_down": contents.take_down, "drop": lambda objects: contents.drop(objects, watch.check),
                })
    return plan.result()


def main():
    run(
        converge,
        {
            "server": address_spec(),
            "migration": {"type": "str", "required": True},
            "journal": OPTION,
            "database": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
