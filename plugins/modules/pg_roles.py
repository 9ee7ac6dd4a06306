# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_roles
short_description: Bring a server's roles to another server, without their passwords
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes the source's roles on the target, with attributes, memberships, comments, and the settings of roles and
    databases (C(ALTER ROLE … SET), C(ALTER DATABASE … SET)).
  - Managed services show nobody the passwords. New ones can be given with O(passwords); RV(without_password) names the
    logins that wait for one.
  - Roles that belong to the server or a service (C(pg_*), C(rds*), C(aws*), C(cloudsql*), C(pscale_*)) are never made,
    but memberships in them travel where the target has them.
  - Nothing is taken away from a role that is on the target already, for a source that is fenced has shut its logins.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
options:
  roles:
    description: Take only these roles. Empty means all, but for the logins of O(source) and O(target) themselves.
    type: list
    elements: str
    default: []
  exclude:
    description: Leave out these roles. V(*) stands for anything.
    type: list
    elements: str
    default: []
  memberships:
    description: Whether memberships travel.
    type: bool
    default: true
  settings:
    description: Whether settings of roles and databases travel. With O(roles), only settings of those roles do.
    type: bool
    default: true
  databases:
    description: The databases whose settings travel. Empty means all that the target has.
    type: list
    elements: str
    default: []
  adopt:
    description:
      - Whether the target's login becomes a member of each role that travels, so that it can make the role an owner, as
        M(cloudpg.migration.pg_schema) does.
      - The memberships stay. Revoke them when the migration is over.
    type: bool
    default: false
  passwords:
    description:
      - Passwords for roles that are made by this run. A role that exists keeps the one it has.
      - Only what the server would store of a password is sent to it.
    type: list
    elements: dict
    default: []
    suboptions:
      role:
        description: The role's name.
        type: str
        required: true
      password:
        description: Its new password.
        type: str
        required: true
  tolerate:
    description: Errors that shall not end the run, besides those the module tolerates anyway.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: What is done, or V(*) for anything.
        type: str
        choices: [ROLE, ATTRIBUTES, MEMBERSHIP, SETTING, COMMENT, "*"]
        required: true
      sqlstate:
        description: The SQLSTATE of the error.
        type: str
        required: true
      reason:
        description: Why it may be tolerated, for the report.
        type: str
        default: asked for
notes:
  - The source's login needs no privilege at all.
  - The target's login needs CREATEROLE, from PostgreSQL 16 on ADMIN OPTION of roles it has not made itself, and the
    right to set what is set. SUPERUSER never travels; REPLICATION and BYPASSRLS do if the login may give them.
seealso:
  - module: cloudpg.migration.pg_schema
"""

EXAMPLES = r"""
- name: Bring the roles, and new passwords for two of them
  cloudpg.migration.pg_roles:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    exclude: [dba_*]
    adopt: true
    passwords:
      - {role: orders_app, password: "{{ orders_app_password }}"}
      - {role: orders_report, password: "{{ orders_report_password }}"}
  register: roles

- name: No login may be left without a password
  ansible.builtin.assert:
    that: roles.without_password == []
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences; the first 100.
  type: list
  elements: str
  returned: success
action_count:
  description: How many there are.
  type: int
  returned: success
without_password:
  description: Logins that are made by this run and have no password yet.
  type: list
  elements: str
  returned: success
left_out:
  description: What doesn't travel, with C(object) and C(reason); the first 100.
  type: list
  elements: dict
  returned: success
left_out_count:
  description: How many there are.
  type: int
  returned: success
statements:
  description:
    - What came of each statement, at most 100 of them, those that didn't go smoothly first.
    - Each has C(type), C(action), C(status) (C(done), C(tolerated) or C(failed)), C(seconds), C(query), C(sqlstate) and
      C(error).
  type: list
  elements: dict
  returned: always
statement_count:
  description: How many statements were run.
  type: int
  returned: always
tolerated:
  description: The statements whose errors were tolerated, at most 100.
  type: list
  elements: dict
  returned: always
tolerance:
  description: The errors that are tolerated, with C(type), C(sqlstate) and C(reason).
  type: list
  elements: dict
  returned: always
queries:
  description: The statements that were run, the first 100, without those that hold a secret.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import restore, role_work
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.roles import Wish


def converge(params, check_mode, report):
    rules = [*restore.TOLERATED, *(restore.Tolerated(**one) for one in params["tolerate"])]
    report |= restore.Restorer(None, ()).report()
    report["tolerance"] = [vars(one) for one in rules]
    source_absent = not_there_yet(params["source"], check_mode, "source")
    target_absent = not_there_yet(params["target"], check_mode, "target")
    wish = Wish(
        tuple(params["roles"]), tuple(params["exclude"]), tuple(params["databases"]), params["memberships"],
        params["settings"], params["adopt"],
    )
    result = role_work.bring(
        connect, None if source_absent else params["source"], None if target_absent else params["target"], wish,
        {one["role"]: one["password"] for one in params["passwords"]}, rules, check_mode, report,
    )
    return {**result, **report}


def main():
    rule = {
        "type": {
            "type": "str", "required": True,
            "choices": ["ROLE", "ATTRIBUTES", "MEMBERSHIP", "SETTING", "COMMENT", "*"],
        },
        "sqlstate": {"type": "str", "required": True},
        "reason": {"type": "str", "default": "asked for"},
    }
    password = {
        "role": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    }
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "roles": names,
            "exclude": names,
            "memberships": {"type": "bool", "default": True},
            "settings": {"type": "bool", "default": True},
            "databases": names,
            "adopt": {"type": "bool", "default": False},
            "passwords": {"type": "list", "elements": "dict", "default": [], "no_log": False, "options": password},
            "tolerate": {"type": "list", "elements": "dict", "default": [], "options": rule},
        },
        supports_check_mode=True,
    )
    report = {}
    try:
        module.exit_json(**converge(module.params, module.check_mode, report))
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code, **report)


if __name__ == "__main__":
    main()
