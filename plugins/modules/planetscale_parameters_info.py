# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: planetscale_parameters_info
short_description: Look at parameters, extensions and changes of a PlanetScale for Postgres branch
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Says what the server's parameters are, which extensions can be had, and which change requests are under way.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.planetscale
  - cloudpg.migration.planetscale.branch
options:
  names:
    description: The parameters to return. Empty means all.
    type: list
    elements: str
    default: []
  extensions:
    description: Whether to list the extensions, too.
    type: bool
    default: false
seealso:
  - module: cloudpg.migration.planetscale_parameters
"""

EXAMPLES = r"""
- name: How many workers has it?
  cloudpg.migration.planetscale_parameters_info:
    organization: acme
    database: orders
    names: [max_worker_processes, wal_level]
"""

RETURN = r"""
pgconf:
  description: The values by name. In check mode empty for a database that isn't there yet.
  type: dict
  returned: always
parameters:
  description: The same parameters by name, each with C(default), C(type), C(restart), C(immutable), C(min) and C(max).
  type: dict
  returned: always
extensions:
  description: >-
    The extensions, each with C(name), C(available), C(unavailable_reason) and C(loader). Empty unless asked for.
  type: list
  elements: dict
  returned: always
changes_under_way:
  description: The change requests that aren't completed, each with C(id), C(state) and C(created_at).
  type: list
  elements: dict
  returned: always
minimum_storage_bytes:
  description: The least storage, null while the API doesn't tell, which is until the first change.
  type: int
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import parameters, state, work
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale_module import run

NOTHING = {
    "changed": False, "pgconf": {}, "parameters": {}, "extensions": [], "changes_under_way": [],
    "minimum_storage_bytes": None,
}


def described(facts):
    return {
        "default": facts["default_value"], "type": facts["parameter_type"], "restart": facts["restart"],
        "immutable": facts["immutable"], "min": facts["min"], "max": facts["max"],
    }


def body(module, api):
    params = module.params
    branch = work.find_branch(api, params["database"], params["branch"], module.check_mode)
    if branch is None:
        return NOTHING
    known, changes = parameters.Known(branch.parameters()), branch.changes()
    values = known.values(params["names"])
    shown = ("name", "available", "unavailable_reason", "loader")
    return {
        "changed": False,
        "pgconf": values,
        "parameters": {name: described(known.facts(name)) for name in values},
        "extensions": [
            {key: one[key] for key in shown} for one in (branch.extensions() if params["extensions"] else [])
        ],
        "changes_under_way": [
            {key: one[key] for key in ("id", "state", "created_at")}
            for one in changes if one["state"] in state.OPEN_CHANGES
        ],
        "minimum_storage_bytes": state.in_force(changes).get("minimum_storage_bytes"),
    }


def main():
    run(body, {
        "database": {"type": "str", "required": True},
        "branch": {"type": "str"},
        "names": {"type": "list", "elements": "str", "default": []},
        "extensions": {"type": "bool", "default": False},
    })


if __name__ == "__main__":
    main()
