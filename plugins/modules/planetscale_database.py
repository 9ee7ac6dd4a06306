# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: planetscale_database
short_description: Make, change or delete a PlanetScale for Postgres database
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes a PostgreSQL database at PlanetScale and waits until it is ready, changes its size, replicas and storage, or
    deletes it.
  - What the API doesn't tell can't be compared, and is left as it is. That is the major version, and, until the first
    change, the storage and the number of replicas. They are null in the result then, and a warning says so.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.planetscale
  - cloudpg.migration.planetscale.wait
options:
  state:
    description:
      - V(present) makes the database, or changes what of it can be changed.
      - V(absent) deletes it, with all that is in it. It needs O(id), and is refused while the database is protected
        from deletion, has another branch, or has a role that is neither the default one nor in O(expected_roles).
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The name of the database.
    type: str
    required: true
  region:
    description:
      - The region of a new database, V(eu-west) for example. The default is the organization's.
      - A database can't be moved; another region than this is an error.
    type: str
  major_version:
    description:
      - The PostgreSQL major of a new database. The default is PlanetScale's newest. There is no upgrade in place, so
        choose the right one.
    type: int
    choices: [17, 18]
  cluster_size:
    description:
      - The size, as M(cloudpg.migration.planetscale_database_info) lists them. Needed to make a database.
      - Changing it restarts the servers.
    type: str
  replicas:
    description: The number of replicas, V(0) or at least V(2). The default of a new database is PlanetScale's.
    type: int
  minimum_storage_bytes:
    description:
      - The least storage, in bytes. An import wants 150 % of the source's size before it begins, because disks can't be
        enlarged fast enough while it runs.
      - Storage only ever grows by this module.
    type: int
  maximum_storage_bytes:
    description: How far the storage may grow by itself, in bytes.
    type: int
  id:
    description:
      - With O(state=absent), the id that the creation returned under RV(database.id). A database of the same name with
        another id isn't the one that was made, and isn't touched.
    type: str
  expected_roles:
    description: With O(state=absent), the names of the roles that may be in the database. Any other is somebody else's.
    type: list
    elements: str
    default: []
seealso:
  - module: cloudpg.migration.planetscale_database_info
  - module: cloudpg.migration.planetscale_role
  - module: cloudpg.migration.planetscale_parameters
"""

EXAMPLES = r"""
- name: Make a database for 200 GB of data
  cloudpg.migration.planetscale_database:
    organization: acme
    name: orders
    region: eu-west
    major_version: 18
    cluster_size: PS_80_AWS_ARM
    replicas: 2
    minimum_storage_bytes: "{{ (200 * 1.5) | int * 1024 ** 3 }}"
  register: made

- name: Remove it, nothing having been moved
  cloudpg.migration.planetscale_database:
    organization: acme
    state: absent
    name: orders
    id: "{{ made.database.id }}"
    expected_roles: [cloudpg-orders]
"""

RETURN = r"""
database:
  description: The database, or null when there is none. In check mode as it would be.
  type: dict
  returned: always
  contains:
    id:
      description: The id. It names this database for ever, a name doesn't.
      type: str
    name:
      description: The name.
      type: str
    kind:
      description: The kind of database.
      type: str
    state:
      description: The state, C(ready) once it can be used.
      type: str
    ready:
      description: Whether database and default branch are ready.
      type: bool
    region:
      description: The region.
      type: str
    import_addresses:
      description: Where imports into the region come from; the source has to let them in.
      type: list
      elements: str
    default_branch:
      description: The name of the default branch.
      type: str
    branch_id:
      description: The id of the default branch, which is part of every user name.
      type: str
    branches_count:
      description: How many branches there are.
      type: int
    deletion_protected:
      description: Whether it is protected from deletion.
      type: bool
    cluster_size:
      description: The size.
      type: str
    replicas:
      description: How many replicas there are, null when the API doesn't tell.
      type: int
    has_replicas:
      description: Whether there are any.
      type: bool
    minimum_storage_bytes:
      description: The least storage, null when the API doesn't tell.
      type: int
    maximum_storage_bytes:
      description: How far it may grow, null when the API doesn't tell.
      type: int
    changes_under_way:
      description: How many change requests aren't completed yet.
      type: int
    created_at:
      description: When it was made.
      type: str
    predicted:
      description: Whether this is what would be, and not what is.
      type: bool
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._patience import Patience
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import state, work
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale_module import WAIT, run

OPTIONS = {
    "region": {"type": "str"},
    "major_version": {"type": "int", "choices": [17, 18]},
    "cluster_size": {"type": "str"},
    "replicas": {"type": "int"},
    "minimum_storage_bytes": {"type": "int"},
    "maximum_storage_bytes": {"type": "int"},
}


def body(module, api):
    params, absent = module.params, module.params["state"] == "absent"
    wish = state.Wish(params["name"], **{name: params[name] for name in OPTIONS})
    seen = work.observe(api, wish.name, with_roles=absent)
    if absent:
        plan = state.plan_absent(seen, wish.name, params["id"], params["expected_roles"])
    else:
        plan = state.plan_present(seen, wish)
        for name in state.unknown(seen, wish):
            module.warn(f"PlanetScale doesn't tell {name} of database {wish.name} before its first change: left alone")
    if module.check_mode:
        return {**plan.result(), "database": None if absent else state.predicted(seen, wish, plan)}
    doing = work.DatabaseWork(api, wish.name, Patience(params["wait_timeout"]))
    carry_out(plan, doing.operations())
    if params["wait"] and not absent:
        doing.await_present()
    elif params["wait"] and plan.changed:
        doing.await_absent()
    return {**plan.result(), "database": None if absent else state.document(work.observe(api, wish.name))}


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str", "required": True},
            **OPTIONS,
            "id": {"type": "str"},
            "expected_roles": {"type": "list", "elements": "str", "default": []},
            **WAIT,
        },
        required_if=[("state", "absent", ["id"])],
    )


if __name__ == "__main__":
    main()
