# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_session_info
short_description: Whether anybody is left who could write to a PostgreSQL server
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Counts every backend but a named list of harmless ones (the server's own processes, the senders of physical copies,
    RDS's own login and the module's own session), and every prepared transaction.
  - The login needs C(pg_monitor). Without it the server hides what other sessions do, and nothing is proven.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.address
options:
  harmless_backend_types:
    description: More values of C(pg_stat_activity.backend_type) that are known to write nothing.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Prove that nobody is left on the closed source
  cloudpg.migration.pg_session_info:
    server: {host: orders.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
  register: sessions
  until: sessions is success and sessions.proven
  retries: 5
  delay: 1
"""

RETURN = r"""
proven:
  description: Whether everything could be read, nobody is left who may write, and no prepared transaction waits.
  type: bool
  returned: success
readable:
  description: Whether everything could be read. What is hidden is never taken for harmless.
  type: bool
  returned: success
reasons:
  description: Why it isn't proven, with the cure.
  type: list
  elements: str
  returned: success
blocking:
  description:
    - The 100 oldest backends which may write, with C(pid), C(user), C(database), C(application_name), C(client_addr),
      C(backend_type), C(state) and C(since).
  type: list
  elements: dict
  returned: success
blocking_count:
  description: How many there are.
  type: int
  returned: success
prepared_transactions:
  description: The names of the 100 oldest prepared transactions.
  type: list
  elements: str
  returned: success
prepared_transaction_count:
  description: How many there are.
  type: int
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import sessions
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect


def look(params, check_mode):
    if not_there_yet(params["server"], check_mode):
        return sessions.nobody_to_ask()
    with connect(params["server"]) as session:
        return sessions.look(session, params["harmless_backend_types"])


def main():
    run(
        look,
        {
            "server": address_spec(),
            "harmless_backend_types": {"type": "list", "elements": "str", "default": []},
        },
    )


if __name__ == "__main__":
    main()
