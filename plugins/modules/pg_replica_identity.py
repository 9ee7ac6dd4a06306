# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_replica_identity
short_description: See to it that UPDATE and DELETE survive being published
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - As soon as a table without a usable replica identity is in a publication that carries updates and deletes, these
    statements fail on the source. This module says which tables lack one, and what each could have.
  - It sets an identity only where it is allowed to, by O(indexes), O(using_index) or O(full). The old one is written to
    the journal (schema C(cloudpg_migration) of that database) in the same transaction, and O(state=restored) puts it
    back.
  - By default a table's identity is its primary key. A UNIQUE constraint alone doesn't count. An index can serve if
    it is unique, valid, neither partial nor deferrable, and over columns that are NOT NULL.
  - Of a partitioned table each partition has an identity of its own.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address
  - cloudpg.migration.journal.sql
options:
  state:
    description:
      - V(present) sets what is allowed where it is needed.
      - V(restored) puts back every identity that the journal of O(migration) has, unless somebody has changed it since,
        or it would make statements fail because the table is still published.
    type: str
    choices: [present, restored]
    default: present
  migration:
    description: The name of the migration.
    type: str
    required: true
  database:
    description: The database. Left out, the address's own C(dbname).
    type: str
  tables:
    description: The tables to look at, as C(schema.table), quoted where SQL needs it. Empty means all.
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
  indexes:
    description:
      - The index that is to be the identity, by table. It is set even where the table has a usable identity.
    type: dict
    default: {}
  using_index:
    description:
      - Tables without a usable identity that may get one of their unique indexes, if one can serve. V(*) stands for
        anything. Of several the one with the fewest columns is taken.
    type: list
    elements: str
    default: []
  full:
    description:
      - Tables without a usable identity that may get the full row as identity, if no index was allowed or can serve.
        V(*) stands for anything.
      - It costs WAL on the source, and on the target a search through the table for each row that changes. A table with
        a column whose type has no equality (C(json), C(xml), C(point)) is left alone and is a blocker among the
        RV(findings), for its changes could not be applied.
    type: list
    elements: str
    default: []
  wait_timeout:
    description:
      - For how many seconds a table that is in use is tried again. Even a reader is in the way. Each attempt lasts two
        seconds at most, for whoever comes later waits behind it.
    type: int
    default: 60
notes:
  - The login needs membership in the role that owns the tables that are to be changed, and CREATE on the database the
    first time the journal is written. Looking needs no privilege. No superuser is needed.
"""

EXAMPLES = r"""
- name: See which tables lack an identity
  cloudpg.migration.pg_replica_identity:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
  register: identities

- name: Use unique indexes wherever one can serve, the full row for one small table
  cloudpg.migration.pg_replica_identity:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    using_index: ["*"]
    full: [public.settings]

- name: Put back what was
  cloudpg.migration.pg_replica_identity:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    state: restored
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences, the first 100.
  type: list
  elements: str
  returned: success
counts:
  description: How many tables were looked at, and by what a row of theirs is identified before anything is changed.
  type: dict
  returned: success
  sample: {tables: 12, primary_key: 9, index: 1, full: 0, without: 2}
tables:
  description:
    - The first 100 tables that had no usable identity, each with C(table), C(identity) (as C(pg_class.relreplident)),
      C(index), the C(candidates) that could be one, and the columns that are C(not_comparable) and so forbid FULL.
  type: list
  elements: dict
  returned: success
findings:
  description: What stays to be seen to after the run, the first 100.
  type: list
  elements: dict
  returned: always
queries:
  description: The statements that were run, the first 100.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._findings import in_the_way
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import identity, tables
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.identity_work import Operations
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.results import (
    as_dicts, bounded, refuse_blockers,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import SHOWN, Selection, first
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import journal
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, carry_out


def planned(params, session, there, meant):
    """The plan, the findings, and the events of the journal that need nothing any more."""
    if params["state"] == "restored":
        left_alone = {table.name for table in there} - {table.name for table in meant}
        events = journal.read(session, params["migration"], identity.PREFIX)
        return identity.plan_restore(meant, {
            name: event for name, event in events.items() if event.object not in left_alone
        })
    wish = identity.Wish(params["indexes"], params["using_index"], params["full"])
    return *identity.plan_set(meant, wish), []


def converge(params, check_mode):
    if not_there_yet(params["server"], check_mode):
        return {**bounded(Plan()), "counts": identity.counts([]), "tables": [], "findings": [], "queries": []}
    wanted = Selection(params["tables"], params["exclude"], params["schemas"])
    with keeping(connect, params, check_mode) as watch, watch.connect(params["server"], params["database"]) as session:
        there = tables.read(session)
        meant = wanted.of(there, "tables", session.where)
        Selection(params["indexes"]).of(meant, "indexes", session.where)
        plan, findings, settled = planned(params, session, there, meant)
        refuse_blockers(in_the_way([one for one in findings if one.id in identity.IMPOSSIBLE], check_mode))
        operations = Operations(session, params["migration"], params["wait_timeout"])
        if not check_mode:
            journal.forget(session, params["migration"], settled)
            carry_out(plan, operations.table(), watch.check)
    return {
        **bounded(plan),
        "counts": identity.counts(meant),
        "tables": first([table for table in meant if not table.usable], identity.describe),
        "findings": as_dicts(findings),
        "queries": operations.queries[:SHOWN],
    }


def main():
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "server": address_spec(),
            "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
            "migration": {"type": "str", "required": True},
            "database": {"type": "str"},
            "tables": names,
            "schemas": names,
            "exclude": names,
            "indexes": {"type": "dict", "default": {}},
            "using_index": names,
            "full": names,
            "journal": OPTION,
            "wait_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**converge(module.params, module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code, findings=getattr(error, "findings", []))


if __name__ == "__main__":
    main()
