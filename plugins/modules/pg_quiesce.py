# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_quiesce
short_description: Close databases to their applications by SQL, prove it, and open them again
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Takes CONNECT from everybody but the logins of the migration, makes sessions read-only by default, ends the sessions
    that are there and waits until they are gone.
  - Then it proves that nobody is left who could write. What can't be seen counts as not proven.
  - The walsenders and apply workers of the migration are spared, so that what was written still reaches the other side.
  - What was there before is written down in schema C(cloudpg_migration), in the same transaction as the change, and
    put back to the letter by O(state=open).
  - A target that nobody may write to before the cutover is closed by this module as well, and opened by
    M(cloudpg.migration.pg_cutover).
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
      - It is renewed in each transaction that changes something, which fails with the code V(lease_lost) when another
        run has taken the migration over.
      - In check mode there is no lock, and it isn't looked at.
  state:
    description: V(quiesced) closes the databases, V(open) gives them back to who could connect before.
    type: str
    choices: [quiesced, open]
    default: quiesced
  databases:
    description: The databases of the server, all of them at once. Empty means the one that O(server.dbname) names.
    type: list
    elements: str
    default: []
  keep:
    description:
      - Logins that may go on connecting, beside O(server.user) and those by which the migration's changes are fetched.
      - Their sessions end all the same.
      - One that the server doesn't have is left out.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that the sessions get to end.
    type: float
    default: 10
notes:
  - The login must be a member of the owners of the databases, for REVOKE, and have C(pg_monitor), for the proof. To end
    sessions of others it must be a member of their roles or of C(pg_signal_backend). No superuser is needed.
  - The database that O(server.dbname) names holds the journal. There the login needs C(CREATE), once.
  - Superusers aren't kept out by privileges, they are only read-only by default. The proof finds those who are there.
seealso:
  - module: cloudpg.migration.pg_cutover
  - module: cloudpg.migration.rds_quiesce
"""

EXAMPLES = r"""
- name: Close two databases
  cloudpg.migration.pg_quiesce:
    server: {host: orders.example.org, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    databases: [orders, invoices]
    migration: orders

- name: Open them again
  cloudpg.migration.pg_quiesce:
    server: {host: orders.example.org, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    databases: [orders, invoices]
    migration: orders
    state: open
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: success
proof:
  description:
    - What was seen last. With O(state=quiesced), C(proven) is true outside check mode.
    - C(blocking) lists the first 100 backends that may write, C(reasons) says what stands against the proof.
  type: dict
  returned: success
"""

import time

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.fence_work import Fence, lock_of
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import (
    address_spec, database_of, not_there_yet, place,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.sessions import nobody_to_ask
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, Step, carry_out


def converge(params, check_mode):
    lock = lock_of(params, check_mode)
    databases = params["databases"] or [database_of(params["server"])]
    if not_there_yet(params["server"], check_mode):
        sentence = f"{'close' if params['state'] == 'quiesced' else 'open'} {', '.join(databases)}"
        return {**Plan((Step(params["state"], sentence),)).result(), "proof": nobody_to_ask()}
    with connect(params["server"]) as home:
        work = Fence(home, place(params["server"]), lock, databases, params["keep"])
        seen, ending = work.look(work.spared())
        if params["state"] == "open":
            plan = work.plan_open()
        else:
            work.preflight()
            plan = work.plan_close(len(ending))
        if not check_mode:
            deadline = time.monotonic() + params["timeout"]
            carry_out(plan, {"close": work.close, "end": lambda: work.empty(deadline), "open": work.open})
            if params["state"] == "quiesced":
                seen = work.empty(deadline)
    return {**plan.result(), "proof": seen}


def main():
    run(
        converge,
        {
            "server": address_spec(),
            "migration": {"type": "str", "required": True},
            "journal": OPTION,
            "state": {"type": "str", "choices": ["quiesced", "open"], "default": "quiesced"},
            "databases": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 10},
        },
    )


if __name__ == "__main__":
    main()
