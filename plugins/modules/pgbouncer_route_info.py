# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_route_info
short_description: Where a PgBouncer leads its clients, and whether it can hold them
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Reads the routes of a PgBouncer from its admin console.
  - Says what would keep it from holding its clients during an outage.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.pooler
options:
  databases:
    description: The databases asked for. Empty means all.
    type: list
    elements: str
    default: []
  user:
    description:
      - The login as which its clients will be led to a side that calls it otherwise. Then it is looked whether those
        that are connected can be led as well.
    type: str
  max_outage:
    description: Seconds clients may have to be held.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Can it hold its clients for a minute
  cloudpg.migration.pgbouncer_route_info:
    admin: {host: 127.0.0.1, port: 6432, user: admin, passfile: /etc/cloudpg/pgpass}
    max_outage: 60
"""

RETURN = r"""
name:
  description: The pooler's host and port.
  type: str
  returned: always
routes:
  description: By database, the host and port it leads to, its pool mode and whether its clients are held.
  type: dict
  returned: always
findings:
  description: What keeps it from holding its clients.
  type: list
  elements: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic import pgbouncer
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.console import Console
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.switch import Switch


def main():
    module = AnsibleModule(
        argument_spec={
            "admin": address_spec(),
            "databases": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str"},
            "max_outage": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        switch = Switch(Console(params["admin"]))
        now = switch.look(params["databases"])
        name = switch.console.name
        found = pgbouncer.findings(now, switch.config, name, params["max_outage"])
        if params["user"]:
            found += pgbouncer.login_findings(now, switch.console.rows("SHOW POOLS"), name)
        module.exit_json(
            changed=False, name=name, routes={route.name: route.as_dict() for route in now},
            findings=[finding.as_dict() for finding in found],
        )
    except MigrationError as error:
        module.fail_json(msg=error.message)


if __name__ == "__main__":
    main()
