# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_copy
short_description: Copy the rows of a database to another server, then build its indexes and keys
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Copies all tables from one consistent moment of the source, in parallel and the longest first; as soon as a table is
    in, its indexes and keys are built beside the copying of the others; foreign keys and statistics come last.
  - An index that is a table's replica identity on the source becomes that on the target, too. Changes couldn't be
    applied without it. Where M(cloudpg.migration.pg_replica_identity) set it for O(migration), it is in the target's
    journal as well, and is put back there by the same module.
  - The moment is that of a logical slot, so that a subscription made on it afterwards with C(copy_data=false) and
    C(create_slot=false) goes on from exactly there. With O(follow=false) there is no slot, and nothing follows.
  - The target has the tables already, empty and without indexes, foreign keys and triggers, which is the pre-data
    section of a dump. What is there of them is taken as it is, but for foreign keys and triggers, which would fire.
  - A ledger in the schema C(cloudpg_migration) of the target is written in the same transaction as the rows. A run that
    is repeated keeps the tables that are finished.
  - When a connection is lost or the target restarts, it goes on from the same moment. When the run is killed, or the
    source restarts, that moment is gone (P56); see RV(left) for the way of the tables that were not finished.
notes:
  - On the source the login needs the REPLICATION attribute (C(rds_replication) on RDS) with O(follow), and SELECT on
    the tables without row security in the way. With pg_monitor it can name the sessions it waits for.
  - On the target it needs membership in the role that owns the tables, and CREATE on the database the first time.
  - No superuser is needed on either side.
  - Unlogged tables and large objects aren't copied; RV(findings) names them.
  - Table sizes are those of the source, with TOAST and without indexes.
  - While it copies, the source can't remove rows that became dead since the moment (P46), nor WAL since the slot.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  state:
    description:
      - V(copied) copies what isn't copied yet.
      - V(absent) drops the slot and forgets that anything was copied. The rows stay. It refuses a slot that is in use;
        in check mode, where what would be dropped before it is there still, the action names who uses it.
    type: str
    choices: [copied, absent]
    default: copied
  migration:
    description: The name of the migration.
    type: str
    required: true
  database:
    description: The database on both sides; left out, the one that each address names.
    type: str
  tables:
    description:
      - The tables to copy, each as C(schema.table), quoted where SQL needs it. Empty means all.
      - Those of extensions and of the system are never meant. A partitioned table stands for its partitions.
    type: list
    elements: str
    default: []
  schemas:
    description: Schemas of which all tables are copied.
    type: list
    elements: str
    default: []
  exclude:
    description: Tables to leave out, in the same form; V(*) stands for anything.
    type: list
    elements: str
    default: []
  follow:
    description: Whether a subscription will follow from where the copy was taken.
    type: bool
    default: true
  slot:
    description: The logical slot to make, C(cloudpg_) and the migration's name when left out.
    type: str
  publication:
    description:
      - The publication the subscription will use. It must be there before the slot (P10), with exactly the tables that
        are copied (P11). C(cloudpg_) and the migration's name when left out.
    type: str
  failover:
    description: Whether the slot survives a failover of the source, from PostgreSQL 17 on (P24).
    type: bool
    default: false
  slot_timeout:
    description:
      - Seconds to wait until every transaction that writes has ended, without which no slot begins (P9).
      - After them the module fails and names these transactions.
    type: int
    default: 300
  max_jobs:
    description:
      - How many tables, or ranges of a table, are copied at once, and beside them how many indexes are built at once.
    type: int
    default: 4
  split_above:
    description:
      - Tables of more bytes than this are copied by several readers and writers at once, in ranges of pages.
      - It needs PostgreSQL 14 or later on the source, and pays where processors are left over, or where one connection
        doesn't fill the line. V(0) never splits.
    type: int
    default: 8589934592
  indexes:
    description: Whether indexes, keys and foreign keys are built.
    type: bool
    default: true
  analyze:
    description: Whether the tables are analyzed, without which the target plans badly (P43).
    type: bool
    default: true
  maintenance_work_mem:
    description:
      - The memory each index is built in, as PostgreSQL writes it.
      - Left out, C(shared_buffers) of the target divided by O(max_jobs), at most 1 GB and at least the server's own;
        of that a btree takes a 128th of its size and at least 32 MB a process, for shorter runs are sorted faster.
    type: str
  throttle:
    description:
      - When the source suffers, half as many tables are read at once, down to one. They come back one by one.
      - V(0) switches a limit off. The limits on sessions and on replicas need C(pg_monitor) on the source, and without
        it the former are refused.
    type: dict
    default: {}
    suboptions:
      busy_sessions:
        description: More sessions than this keep the source's processors busy, those of the copy not counted.
        type: int
        default: 0
      storage_sessions:
        description: More sessions than this wait for the source's storage, those of the copy not counted.
        type: int
        default: 0
      replica_lag:
        description: A streaming replica of the source is more than so many seconds behind.
        type: int
        default: 60
      retained_by_others:
        description: Another slot of the source holds back more than so many bytes of WAL.
        type: int
        default: 17179869184
  reconnect_timeout:
    description: Seconds to go on trying when a server is gone, counted from the last time that anything went on.
    type: int
    default: 300
  wait_timeout:
    description:
      - Seconds after which the copy is given up; V(0) never gives it up. The module fails, and nothing of it works on.
      - Looking at both sides, with which a copy begins and ends, isn't broken off.
      - The tables that are in by then stay in. Those that aren't are like those of a run that was killed, see RV(left).
    type: int
    default: 0
seealso:
  - module: cloudpg.migration.pg_schema
  - module: cloudpg.migration.pg_publication
  - module: cloudpg.migration.pg_subscription
"""

EXAMPLES = r"""
- name: Copy all tables, and leave a slot from which to follow
  cloudpg.migration.pg_copy:
    source: {host: old.example.com, dbname: shop, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: new.example.com, dbname: shop, user: migration, passfile: /etc/cloudpg/pgpass}
    migration: orders
    max_jobs: 8
  register: copied

- name: Copy one schema once, without following
  cloudpg.migration.pg_copy:
    source: {host: old.example.com, dbname: shop, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: reports.example.com, dbname: shop, user: migration, passfile: /etc/cloudpg/pgpass}
    migration: reports
    schemas: [billing]
    exclude: ["billing.audit_*"]
    follow: false
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences.
  type: list
  elements: str
  returned: success
slot:
  description: The slot to follow from, null with O(follow=false).
  type: str
  returned: success
lsn:
  description: The position the rows are from, null when there is none yet.
  type: str
  returned: success
done:
  description: Whether every table is in, with its indexes and keys.
  type: bool
  returned: success
table_count:
  description: How many tables are meant.
  type: int
  returned: success
bytes:
  description: Their size on the source.
  type: int
  returned: success
rows:
  description: How many rows the ledger has as copied.
  type: int
  returned: success
left:
  description:
    - The tables that an interruption has left, empty but with indexes. They come in by the subscription (P56).
    - Take them out of the publication, make the subscription with C(copy_data=false), put them back into the
      publication and refresh the subscription with C(copy_data=true). When they are in step, run this module again; it
      adds the foreign keys, and RV(done) becomes true.
  type: list
  elements: str
  returned: success
entering:
  description:
    - Those of RV(left) that the subscription has already, but isn't in step with. Wait for them. To take them out of
      the publication now would lose what is written meanwhile.
  type: list
  elements: str
  returned: success
findings:
  description: What stands against the copy, or should be known, each with C(id), C(object), C(reason) and C(cure).
  type: list
  elements: dict
  returned: always
progress:
  description: The last figures of the run; while it works they are in C(cloudpg_migration.copy_run) on the target.
  type: dict
  returned: when something was done
queries:
  description: The statements that built indexes and keys, the first 100.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._copy import converge
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION


def main():
    throttle = {
        "busy_sessions": {"type": "int", "default": 0},
        "storage_sessions": {"type": "int", "default": 0},
        "replica_lag": {"type": "int", "default": 60},
        "retained_by_others": {"type": "int", "default": 17179869184},
    }
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "state": {"type": "str", "choices": ["copied", "absent"], "default": "copied"},
            "migration": {"type": "str", "required": True},
            "database": {"type": "str"},
            "tables": {"type": "list", "elements": "str", "default": []},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "follow": {"type": "bool", "default": True},
            "slot": {"type": "str"},
            "publication": {"type": "str"},
            "failover": {"type": "bool", "default": False},
            "slot_timeout": {"type": "int", "default": 300},
            "max_jobs": {"type": "int", "default": 4},
            "split_above": {"type": "int", "default": 8589934592},
            "indexes": {"type": "bool", "default": True},
            "analyze": {"type": "bool", "default": True},
            "maintenance_work_mem": {"type": "str"},
            "throttle": {"type": "dict", "default": {}, "options": throttle, "apply_defaults": True},
            "journal": OPTION,
            "reconnect_timeout": {"type": "int", "default": 300},
            "wait_timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        absent = [not_there_yet(given[side], module.check_mode, side) for side in ("source", "target")]
        module.exit_json(**converge.converge(given, module.check_mode, any(absent)))
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code, findings=getattr(error, "findings", []))


if __name__ == "__main__":
    main()
