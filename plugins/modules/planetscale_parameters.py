# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: planetscale_parameters
short_description: Set parameters and storage of a PlanetScale for Postgres branch, or put parameters back
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Asks for a change request, and waits until it is completed.
  - What the values were is returned under RV(was). Write it down before the change with
    M(cloudpg.migration.pg_journal), from what M(cloudpg.migration.planetscale_parameters_info) returns, so that a run
    that is killed in between loses nothing.
notes:
  - Some parameters, and M(cloudpg.migration.planetscale_parameters_info) says which, restart the servers.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.planetscale
  - cloudpg.migration.planetscale.branch
  - cloudpg.migration.planetscale.wait
options:
  state:
    description:
      - V(present) sets the values of O(pgconf), and the storage.
      - V(restored) puts back the values of O(was), but for those that are no longer as O(pgconf) says they were set.
        Those were changed by somebody else meanwhile, and are returned under RV(left).
    type: str
    choices: [present, restored]
    default: present
  pgconf:
    description:
      - The server's parameters by name, with the values that the migration wants or, to put them back, has set.
    type: dict
    default: {}
  was:
    description: With O(state=restored), the parameters by name with the values they had.
    type: dict
    default: {}
  raise_only:
    description: Whether a number that is higher already stays as it is.
    type: bool
    default: false
  minimum_storage_bytes:
    description:
      - The least storage, in bytes. It only ever grows.
      - The API tells the storage of a branch only after its first change. Before that it is looked at after the change
        of a parameter; when there is nothing to change, it is left alone, and a warning says so.
    type: int
seealso:
  - module: cloudpg.migration.planetscale_parameters_info
"""

EXAMPLES = r"""
- name: Look
  cloudpg.migration.planetscale_parameters_info:
    organization: acme
    database: orders
    names: [max_worker_processes]
  register: before

- name: Give the import its workers
  cloudpg.migration.planetscale_parameters:
    organization: acme
    database: orders
    pgconf: {max_worker_processes: 10}
    raise_only: true

- name: Put them back
  cloudpg.migration.planetscale_parameters:
    organization: acme
    state: restored
    database: orders
    pgconf: {max_worker_processes: 10}
    was: "{{ before.pgconf }}"
"""

RETURN = r"""
was:
  description: The values before the change, of the parameters that were asked about.
  type: dict
  returned: always
now:
  description: The values after the change, of the same parameters. In check mode as they would be.
  type: dict
  returned: always
left:
  description: With O(state=restored), the parameters that somebody else has changed meanwhile.
  type: list
  elements: str
  returned: always
minimum_storage_bytes:
  description: The least storage, null while the API doesn't tell.
  type: int
  returned: always
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._patience import Patience
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import parameters, state, waiters, work
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale_module import WAIT, run


def storage_of(branch):
    return state.in_force(branch.changes()).get("minimum_storage_bytes")


def apply(branch, plan, patience):
    """Carry the plan out; `patience` is None when nobody waits."""
    def ask(wish):
        change = branch.ask(wish)
        if change and patience:
            waiters.change_done(branch, change["id"], patience)

    def grow(least):
        if (storage_of(branch) or least) < least:
            ask({"storage": {"minimum_storage_bytes": least}})

    if patience:
        # A change of somebody else's that is under way would be waited for by PlanetScale, too.
        waiters.changes_done(branch, patience)
    carry_out(plan, {"ask": ask, "grow": grow})


def body(module, api):
    params, restored = module.params, module.params["state"] == "restored"
    pgconf = {name: str(value) for name, value in params["pgconf"].items()}
    was = {name: str(value) for name, value in params["was"].items()}
    wanted = was if restored else pgconf
    branch = work.find_branch(api, params["database"], params["branch"], module.check_mode)
    if branch is None:
        # It will be made by a step that check mode left out.
        return {**Plan().result(), "was": {}, "now": wanted, "left": [], "minimum_storage_bytes": None}
    known, left, storage = parameters.Known(branch.parameters()), [], storage_of(branch)
    least = params["minimum_storage_bytes"]
    if restored:
        plan, left = parameters.plan_restored(known, pgconf, was)
    else:
        plan = parameters.plan_present(known, pgconf, storage, least, params["raise_only"])
        if least and storage is None and not plan.changed:
            module.warn(f"PlanetScale doesn't tell the storage of {branch.about} before its first change: left alone")
    before = known.values(list(wanted)) if wanted else {}
    now = {**before, **{name: plan.after[name] for name in before if name in plan.after}}
    if not module.check_mode:
        apply(branch, plan, Patience(params["wait_timeout"]) if params["wait"] else None)
        storage = storage_of(branch)
    return {**plan.result(), "was": before, "now": now, "left": left, "minimum_storage_bytes": storage}


def main():
    run(body, {
        "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
        "database": {"type": "str", "required": True},
        "branch": {"type": "str"},
        "pgconf": {"type": "dict", "default": {}},
        "was": {"type": "dict", "default": {}},
        "raise_only": {"type": "bool", "default": False},
        "minimum_storage_bytes": {"type": "int"},
        **WAIT,
    })


if __name__ == "__main__":
    main()
