# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: planetscale_role
short_description: Make or delete a login of a PlanetScale for Postgres database
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes a role of a branch and waits until it can log in, or deletes one.
  - PlanetScale tells a password only when the role is made. The module writes it straight into a password file of
    libpq, which only the user of the task can read, and returns it nowhere. Give the same file as C(passfile) to the
    modules that connect.
  - A second run never gives a role a new password, unless O(lost_password=reset) allows it where the file has none. The
    default role is never touched.
notes:
  - Use a role of its own for a migration, not the default one. It needs C(pg_read_all_data), C(pg_write_all_data),
    C(pg_create_subscription), C(pg_monitor) and C(postgres).
  - The user name to connect with is RV(role.username). In a GRANT it is RV(role.base_username).
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.planetscale
  - cloudpg.migration.planetscale.branch
  - cloudpg.migration.planetscale.wait
options:
  state:
    description:
      - V(present) makes the role. The privileges of one that exists can't be changed; when they differ it is an error.
      - V(absent) deletes it, and its entry in O(passfile). PlanetScale refuses while the role owns something, unless
        O(successor) is given.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The name of the role, unique in the branch. PlanetScale makes a user name of its own for it.
    type: str
    required: true
  inherited_roles:
    description:
      - The roles that it is a member of. Left out, a new role has none, and one that exists is left as it is.
    type: list
    elements: str
  with_replication:
    description: Whether it may open replication connections. Left out, a new role may not.
    type: bool
  ttl:
    description: After how many seconds a new role ends by itself. Left out, it doesn't.
    type: int
  successor:
    description:
      - With O(state=absent), who gets what the role owns. It is the id or the user name of another role, V(postgres)
        for the default one.
    type: str
  passfile:
    description:
      - The password file, in a directory that is there already. It is made with mode 0600 when it is missing, and other
        entries in it stay.
      - The entry is for all ports and databases of the host.
      - Needed with O(state=present).
    type: path
  lost_password:
    description:
      - What to do about a role that exists while O(passfile) has no password for it.
      - V(reset) gives it a new one, which ends the use of the old one everywhere. It is right for a role that nothing
        but the migration uses, when the run before was killed or was on another machine.
    type: str
    choices: [fail, reset]
    default: fail
seealso:
  - module: cloudpg.migration.planetscale_role_info
  - module: cloudpg.migration.planetscale_database
"""

EXAMPLES = r"""
- name: Make the migration's login
  cloudpg.migration.planetscale_role:
    organization: acme
    database: orders
    name: cloudpg-orders
    inherited_roles: [pg_read_all_data, pg_write_all_data, pg_create_subscription, pg_monitor, postgres]
    with_replication: true
    passfile: /etc/cloudpg/pgpass
  register: login

- name: Connect with it
  cloudpg.migration.pg_server_info:
    server:
      host: "{{ login.role.host }}"
      user: "{{ login.role.username }}"
      dbname: "{{ login.role.dbname }}"
      passfile: /etc/cloudpg/pgpass
      sslmode: verify-full
      sslrootcert: system

- name: Delete it, the default role keeping what it owns
  cloudpg.migration.planetscale_role:
    organization: acme
    state: absent
    database: orders
    name: cloudpg-orders
    successor: postgres
    passfile: /etc/cloudpg/pgpass
"""

RETURN = r"""
role:
  description: The role, or null when there is none; never with its password. In check mode as it would be.
  type: dict
  returned: always
  contains:
    id:
      description: The id.
      type: str
    name:
      description: The name.
      type: str
    username:
      description: The user name to connect with, which ends in the branch's id.
      type: str
    base_username:
      description: The user name as the server knows it.
      type: str
    host:
      description: The host to connect to.
      type: str
    port:
      description: The port that leads to the server itself, and not to a pooler.
      type: int
    dbname:
      description: The database that is there from the beginning.
      type: str
    inherited_roles:
      description: The roles that it is a member of.
      type: list
      elements: str
    with_replication:
      description: Whether it may open replication connections.
      type: bool
    expires_at:
      description: When it ends, or null.
      type: str
    expired:
      description: Whether it has ended.
      type: bool
    ready:
      description: Whether it can log in.
      type: bool
    default:
      description: Whether it is the branch's default role.
      type: bool
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
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import passfile, roles, work
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale_module import WAIT, run


def make_plan(params, found):
    if params["state"] == "absent":
        return roles.plan_absent(found, params["name"], params["successor"])
    inherited = params["inherited_roles"]
    wish = roles.Wish(
        params["name"], None if inherited is None else tuple(inherited), params["with_replication"], params["ttl"]
    )
    # Read before anything is made: a password that couldn't be written would be lost.
    text = passfile.read(params["passfile"])
    known = found is not None and passfile.has_entry(text, found["access_host_url"], found["username"])
    return roles.plan_present(found, wish, known, params["lost_password"] == "reset")


def body(module, api):
    params, absent = module.params, module.params["state"] == "absent"
    branch = work.find_branch(api, params["database"], params["branch"], module.check_mode or absent)
    found = roles.find(branch.roles(), params["name"]) if branch else None
    plan = make_plan(params, found)
    if module.check_mode and not absent and found is None:
        wish = roles.Wish(params["name"], tuple(params["inherited_roles"] or ()), params["with_replication"])
        return {**plan.result(), "role": roles.predicted(wish)}
    if not module.check_mode and branch:
        doing = work.RoleWork(branch, params["name"], params["passfile"], Patience(params["wait_timeout"]))
        carry_out(plan, doing.operations())
        if not absent:
            found = doing.await_present() if params["wait"] else roles.find(branch.roles(), params["name"])
    return {**plan.result(), "role": None if absent else roles.document(found)}


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "database": {"type": "str", "required": True},
            "branch": {"type": "str"},
            "name": {"type": "str", "required": True},
            "inherited_roles": {"type": "list", "elements": "str"},
            "with_replication": {"type": "bool"},
            "ttl": {"type": "int"},
            "successor": {"type": "str"},
            "passfile": {"type": "path", "no_log": False},
            "lost_password": {"type": "str", "choices": ["fail", "reset"], "default": "fail", "no_log": False},
            **WAIT,
        },
        required_if=[("state", "present", ["passfile"])],
    )


if __name__ == "__main__":
    main()
