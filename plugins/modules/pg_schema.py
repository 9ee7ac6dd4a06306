# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_schema
short_description: Bring a database's schema to another server, by section, statement by statement
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Reads the schema of the source's database with C(pg_dump) and makes on the target what isn't there yet.
  - What is there is told by the target's catalogue, object by object, so a second run makes nothing and an interrupted
    one goes on with what is left. What is there and looks different is a failure before anything is done, unless
    O(on_difference=report).
  - Each statement is a transaction of its own and is reported. The first error ends the run, unless it is among
    RV(tolerance), the whole list of tolerated errors.
  - Foreign keys are added C(NOT VALID) and then validated, if they are valid on the source. On a partitioned
    referencing table that isn't possible before PostgreSQL 18; there they are added plainly.
  - Publications, subscriptions, security labels, large objects, the schema C(cloudpg_migration) and extensions that
    belong to a managed service never travel, and neither does what needs them; RV(left_out) names them with the reason.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  database:
    description: The database on both sides; left out, the one each address names. It must exist on the target.
    type: str
  sections:
    description:
      - What to make. V(pre-data) is schemas, types, functions, sequences, tables, views and the rights on them;
        V(primary-keys) the primary keys and indexes that are replica identities; V(post-data) all other indexes and
        constraints, triggers, rules, policies, default privileges, and the contents of materialized views.
      - Load the data between V(pre-data) and the others, or before V(post-data) if it comes by subscription.
    type: list
    elements: str
    choices: [pre-data, primary-keys, post-data]
    default: [pre-data, primary-keys, post-data]
  schemas:
    description: Take only these schemas, by their plain names, and what they need. Empty means all.
    type: list
    elements: str
    default: []
  tables:
    description:
      - Take only these tables, as C(schema.table), quoted where SQL would want it, with their partitions, the sequences
        of their columns, and the types and functions they need. Empty means all.
      - A foreign key to a table that isn't listed is left out.
    type: list
    elements: str
    default: []
  exclude:
    description: Leave out tables, as O(tables) names them, with their partitions. V(*) stands for anything.
    type: list
    elements: str
    default: []
  extensions:
    description:
      - Take only these extensions, even if they usually don't travel.
      - Left out, all but those of managed services and those that write on their own
        (C(apg_*), C(aurora_*), C(aws_*), C(log_fdw), C(pg_cron), C(pg_repack), C(pglogical*), C(rds_*), C(rdsutils),
        C(pscale_*)).
    type: list
    elements: str
  owners:
    description:
      - Whether objects keep their owners. With V(false) they belong to the target's login.
      - The roles must be on the target, see M(cloudpg.migration.pg_roles), and the login a member of each.
    type: bool
    default: true
  privileges:
    description: Whether rights and default privileges travel.
    type: bool
    default: true
  tolerate:
    description: Errors that shall not end the run, besides those the module tolerates anyway.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: The kind of object as C(pg_dump) calls it (V(EVENT TRIGGER), V(EXTENSION)), or V(*) for any.
        type: str
        required: true
      sqlstate:
        description: The SQLSTATE of the error.
        type: str
        required: true
      reason:
        description: Why it may be tolerated, for the report.
        type: str
        default: asked for
  on_difference:
    description: What to do about objects that both sides have and that look different.
    type: str
    choices: [fail, report]
    default: fail
  bindir:
    description:
      - Where C(pg_dump) and C(pg_restore) are, on the machine the module runs on. Left out, C(PATH) and the places of
        Debian's and PostgreSQL's own packages are looked through.
      - Of what is found the oldest is used whose major is at least the source's.
    type: path
  lock_timeout:
    description: Seconds to wait for a lock, on either side.
    type: float
    default: 10
notes:
  - On the source the login must be able to read every table (a member of their owners, or C(pg_read_all_data)).
  - On the target it needs CREATE on the database, and membership in the owners. No superuser is needed, except for what
    PostgreSQL gives to no one else (event triggers, C-language functions, untrusted extensions).
  - The password reaches C(pg_dump) by its environment only, never by its arguments or a file.
  - Settings of the database and of roles, and what is on tablespaces, don't belong to a schema; see
    M(cloudpg.migration.pg_roles) for roles.
seealso:
  - module: cloudpg.migration.pg_roles
"""

EXAMPLES = r"""
- name: What would be made
  cloudpg.migration.pg_schema:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
  check_mode: true

- name: Tables and primary keys, before the data comes by a subscription
  cloudpg.migration.pg_schema:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    sections: [pre-data, primary-keys]
    exclude: [audit.*]

- name: Indexes, foreign keys and triggers, when it is in
  cloudpg.migration.pg_schema:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    sections: [post-data]
    exclude: [audit.*]
    tolerate:
      - {type: EVENT TRIGGER, sqlstate: "42501", reason: the service gives no superuser}
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
statements:
  description:
    - What came of each statement, at most 100 of them, those that didn't go smoothly first.
    - Each has C(type), C(action), C(section), C(status) (C(done), C(tolerated) or C(failed)), C(seconds), C(query),
      C(sqlstate) and C(error).
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
left_out:
  description: What doesn't travel, with C(type), C(name) and C(reason); the first 100.
  type: list
  elements: dict
  returned: success
left_out_count:
  description: How many there are.
  type: int
  returned: success
different:
  description: What both sides have and looks different, with C(object), C(source) and C(target); the first 100.
  type: list
  elements: dict
  returned: success
large_objects:
  description: How many large objects the source has. They are data and move neither here nor by replication.
  type: int
  returned: success
queries:
  description: The statements that were run, the first 100, without those that may hold a secret.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import restore, work
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.choice import Wish
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.parts import SECTIONS


def wish(params):
    return Wish(
        tuple(params["schemas"]), tuple(params["tables"]), tuple(params["exclude"]),
        None if params["extensions"] is None else tuple(params["extensions"]), params["privileges"],
    )


def converge(params, check_mode, report):
    rules = [*restore.TOLERATED, *(restore.Tolerated(**one) for one in params["tolerate"])]
    report |= restore.Restorer(None, ()).report()
    report["tolerance"] = [vars(one) for one in rules]
    source_absent = not_there_yet(params["source"], check_mode, "source")
    target_absent = not_there_yet(params["target"], check_mode, "target")
    with keeping(connect, params, check_mode) as watch:
        target = work.Target() if target_absent else work.look(watch.connect, params["target"], params["database"])
        schema = work.Schema() if source_absent else work.read(
            watch.connect, params["source"], wish(params), database=params["database"],
            target_version=target.catalogue.version or work.NEWEST, bindir=params["bindir"],
            lock_timeout=params["lock_timeout"], owners=params["owners"],
        )
        result = work.bring(
            watch.connect, params["target"], schema, target, sections=params["sections"], rules=rules,
            check_mode=check_mode, fail_on_difference=params["on_difference"] == "fail", database=params["database"],
            lock_timeout=params["lock_timeout"], report=report, before_each=watch.check,
        )
    return {**result, **report}


def main():
    rule = {
        "type": {"type": "str", "required": True},
        "sqlstate": {"type": "str", "required": True},
        "reason": {"type": "str", "default": "asked for"},
    }
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "database": {"type": "str"},
            "sections": {"type": "list", "elements": "str", "choices": list(SECTIONS), "default": list(SECTIONS)},
            "schemas": names,
            "tables": names,
            "exclude": names,
            "extensions": {"type": "list", "elements": "str"},
            "owners": {"type": "bool", "default": True},
            "privileges": {"type": "bool", "default": True},
            "tolerate": {"type": "list", "elements": "dict", "default": [], "options": rule},
            "on_difference": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
            "bindir": {"type": "path"},
            "journal": OPTION,
            "lock_timeout": {"type": "float", "default": 10},
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
