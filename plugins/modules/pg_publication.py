# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_publication
short_description: Publish tables without breaking the writes of their source
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Publishing updates and deletes of a table that has no usable replica identity makes these statements fail on the
    source. This module looks at that first, at each partition too, and refuses.
  - It converges from any set of tables, schemas, row filters, columns and options to any other. PostgreSQL itself
    can't change a publication from all tables to a list, or back; that needs O(recreate).
  - Ten thousand tables are one pass. They are added in portions that leave the server's lock table to others.
  - Create the publication before the slot. Afterwards a change of the tables counts for a subscription only once that
    is refreshed; see M(cloudpg.migration.pg_subscription).
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address
  - cloudpg.migration.journal.sql
options:
  name:
    description: The publication. Left out, C(cloudpg_) and the name of O(migration), with C(_) for C(-).
    type: str
  migration:
    description: The migration that the publication is made for. It gives O(name) its default.
    type: str
  state:
    description: Whether the publication is to be there.
    type: str
    choices: [present, absent]
    default: present
  database:
    description: The database. Left out, the address's own C(dbname).
    type: str
  scope:
    description:
      - V(tables) is a list of what is there now, chosen by O(tables), O(schemas) and O(exclude). A partitioned table
        stands for its partitions, those to come included.
      - V(schemas) is C(TABLES IN SCHEMA) for O(schemas), beside the O(tables) named. It follows tables that are made
        later, needs PostgreSQL 15, and a superuser.
      - V(all) is C(FOR ALL TABLES). It needs a superuser, or rds_superuser, and publishes the journal as well.
    type: str
    choices: [tables, schemas, all]
    default: tables
  tables:
    description:
      - Tables to publish, as C(schema.table), quoted where SQL needs it. Empty means all, with O(scope=tables).
      - Unlogged tables, those of extensions and those of the schema C(cloudpg_migration) are never in a list.
    type: list
    elements: str
    default: []
  schemas:
    description: Only tables in these schemas, beside those of O(tables).
    type: list
    elements: str
    default: []
  exclude:
    description: Tables to leave out, in which V(*) stands for anything.
    type: list
    elements: str
    default: []
  row_filters:
    description:
      - An SQL condition by table; only rows that meet it are published. It needs PostgreSQL 15. With updates or deletes
        it may look only at columns of the replica identity.
      - It becomes part of a statement as it is. Never take it from somebody you don't trust.
    type: dict
    default: {}
  columns:
    description:
      - The columns to publish by table, in a list, as they are named and without quotes. It needs PostgreSQL 15. With
        updates or deletes the columns of the replica identity must be among them.
    type: dict
    default: {}
  publish:
    description: What is published.
    type: list
    elements: str
    choices: [insert, update, delete, truncate]
    default: [insert, update, delete, truncate]
  publish_via_partition_root:
    description: Whether changes of partitions appear as those of their root. It must suit the target's layout.
    type: bool
    default: false
  publish_generated_columns:
    description: Whether stored generated columns are published. It needs PostgreSQL 18. Left out, it stays as it is.
    type: str
    choices: [none, stored]
  without_identity:
    description:
      - What becomes of tables without a usable replica identity.
      - V(refuse) fails, unless updates and deletes aren't published or the finding is in O(acknowledged).
      - V(skip) leaves them out, V(only) takes only them. The two make a pair of publications, the second of which
        publishes inserts and truncates. They need O(scope=tables).
    type: str
    choices: [refuse, skip, only]
    default: refuse
  acknowledged:
    description:
      - Ids of findings to go on in spite of, or C(id:object) for one object. With V(table-without-identity) statements
        of the source B(will) fail.
    type: list
    elements: str
    default: []
  recreate:
    description: Whether to drop the publication and make it anew, in one transaction, where it can't be changed.
    type: bool
    default: false
notes:
  - The login needs CREATE on the database and membership in the role that owns the tables; for O(row_filters) also
    SELECT on the tables and TEMP on the database, where a table that is rolled back tells how the server writes them.
  - O(scope=schemas) and O(scope=all) need a superuser.
"""

EXAMPLES = r"""
- name: All tables that can be followed wholly
  cloudpg.migration.pg_publication:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    without_identity: skip

- name: Of the others only what is inserted
  cloudpg.migration.pg_publication:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    name: cloudpg_orders_inserts
    without_identity: only
    publish: [insert, truncate]

- name: A part of one schema
  cloudpg.migration.pg_publication:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    name: europe
    schemas: [sales]
    exclude: [sales.tmp_*]
    row_filters: {sales.customers: "region = 'EU'"}
    columns: {sales.customers: [id, region, name]}

- name: Remove it
  cloudpg.migration.pg_publication:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences.
  type: list
  elements: str
  returned: success
publication:
  description: The publication as it is to be, with C(table_count) and the first 100 C(tables). Null when absent.
  type: dict
  returned: success
left_out:
  description: The first 100 tables that O(without_identity) left out.
  type: list
  elements: str
  returned: success
left_out_count:
  description: How many these are.
  type: int
  returned: success
findings:
  description: What stands in the way (C(blocker)) or is worth knowing (C(warning)), the first 100.
  type: list
  elements: dict
  returned: always
queries:
  description: The statements that were run, each cut after 1000 characters.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import publication, publication_work, tables
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.publication_wish import Wanted, wish_of
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.results import (
    as_dicts, bounded, refuse_blockers,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import SHOWN, object_name
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, carry_out

QUERY_SHOWN = 1000


def present(params, name, session, now, version_num):
    """What is wished for and the plan to get there; raises MigrationError for what can't or mustn't be."""
    made = wish_of(Wanted.of(params), name, tables.read(session), session, version_num)
    plan, impossible = publication.plan(now, made.wish, params["recreate"])
    findings = made.findings + impossible
    refuse_blockers(findings, params["acknowledged"])
    return plan, made.wish.as_dict(), made.left_out, findings


def converge(params, check_mode):
    if not params["name"] and not params["migration"]:
        raise MigrationError("name and migration are empty. Cure: give one of them.")
    name = params["name"] or object_name(params["migration"])
    if not_there_yet(params["server"], check_mode):
        return {**bounded(Plan()), "publication": None, "left_out": [], "left_out_count": 0, "findings": [],
                "queries": []}
    with keeping(connect, params, check_mode) as watch, watch.connect(params["server"], params["database"]) as session:
        version_num = session.value("SELECT current_setting('server_version_num')::int")
        now = publication_work.read(session, name, version_num)
        if params["state"] == "absent":
            plan, shown, left_out, findings = publication.plan_absent(now, name), None, [], []
        else:
            plan, shown, left_out, findings = present(params, name, session, now, version_num)
        operations = publication_work.Operations(session)
        if not check_mode:
            carry_out(plan, operations.table(), watch.check)
    return {
        **bounded(plan),
        "publication": shown,
        "left_out": left_out[:SHOWN],
        "left_out_count": len(left_out),
        "findings": as_dicts(findings),
        "queries": [text[:QUERY_SHOWN] for text in operations.queries],
    }


def main():
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "server": address_spec(),
            "name": {"type": "str"},
            "migration": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "database": {"type": "str"},
            "scope": {"type": "str", "choices": ["tables", "schemas", "all"], "default": "tables"},
            "tables": names,
            "schemas": names,
            "exclude": names,
            "row_filters": {"type": "dict", "default": {}},
            "columns": {"type": "dict", "default": {}},
            "publish": {
                "type": "list", "elements": "str", "choices": list(publication.OPERATIONS),
                "default": list(publication.OPERATIONS),
            },
            "publish_via_partition_root": {"type": "bool", "default": False},
            "publish_generated_columns": {"type": "str", "choices": ["none", "stored"]},
            "without_identity": {"type": "str", "choices": ["refuse", "skip", "only"], "default": "refuse"},
            "acknowledged": names,
            "journal": OPTION,
            "recreate": {"type": "bool", "default": False},
        },
        required_one_of=[("name", "migration")],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**converge(module.params, module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code, findings=getattr(error, "findings", []))


if __name__ == "__main__":
    main()
