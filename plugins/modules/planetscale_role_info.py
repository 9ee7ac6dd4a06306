# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: planetscale_role_info
short_description: Look at the logins of a PlanetScale for Postgres database
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Lists the roles of a branch that were made by the API or the dashboard. Those made by C(CREATE ROLE) are not among
    them.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.planetscale
  - cloudpg.migration.planetscale.branch
options:
  name:
    description: The name of the one role to look at. Left out, all are listed.
    type: str
seealso:
  - module: cloudpg.migration.planetscale_role
"""

EXAMPLES = r"""
- name: Who can log in?
  cloudpg.migration.planetscale_role_info:
    organization: acme
    database: orders
"""

RETURN = r"""
roles:
  description: The roles, each as M(cloudpg.migration.planetscale_role) returns it; never with a password.
  type: list
  elements: dict
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import roles, work
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale_module import run


def body(module, api):
    branch = work.find_branch(api, module.params["database"], module.params["branch"], module.check_mode)
    found = [role for role in (branch.roles() if branch else []) if module.params["name"] in (None, role["name"])]
    return {"changed": False, "roles": [roles.document(role) for role in found]}


def main():
    run(body, {
        "database": {"type": "str", "required": True},
        "branch": {"type": "str"},
        "name": {"type": "str"},
    })


if __name__ == "__main__":
    main()
