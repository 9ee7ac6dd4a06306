# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_compare
short_description: Compare one database on two servers, objects and rows
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Compares what is in the catalogue, and every row, between servers of the same or different major versions.
  - Rows are compared by hashes over a canonical text form, computed by both servers at the same time; only what differs
    is looked at more closely, down to its keys. Tables without a key are compared as multisets.
  - While replication runs, give O(live=true). What differs is then looked at again after the lag has passed.
  - A difference fails the module unless O(fail_on_difference=false). What couldn't be compared always fails it.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  database:
    description: The database on both sides. Left out, each address's own C(dbname).
    type: str
  objects:
    description:
      - Which classes of objects to compare. Empty means none.
      - Not among the default ones are C(extension_versions), which servers of different majors seldom have alike,
        C(identities), which a migration changes for a while, and C(publications).
      - Among the grants is all but CONNECT on the database, which M(cloudpg.migration.pg_quiesce) takes away from
        the side that is closed.
      - Views and rules are compared without the names before columns when one side is before 16 and one isn't.
    type: list
    elements: str
    choices:
      - schemas
      - extensions
      - extension_versions
      - types
      - tables
      - columns
      - indexes
      - constraints
      - sequences
      - functions
      - triggers
      - views
      - rules
      - policies
      - statistics
      - operators
      - grants
      - owners
      - comments
      - settings
      - identities
      - publications
    default:
      - schemas
      - extensions
      - types
      - tables
      - columns
      - indexes
      - constraints
      - sequences
      - functions
      - triggers
      - views
      - rules
      - policies
      - statistics
      - operators
      - grants
      - owners
      - comments
      - settings
  rows:
    description:
      - V(hash) compares every row, V(count) only how many there are, V(none) doesn't look at them.
      - Unlogged tables are compared as well. Replication doesn't carry their rows; exclude those that may be empty.
    type: str
    choices: [none, count, hash]
    default: hash
  tables:
    description:
      - Only these tables, as C(schema.table), quoted where SQL needs it. Empty means all, but for those of extensions
        and of the schema C(cloudpg_migration).
      - A partitioned table stands for its partitions, too.
    type: list
    elements: str
    default: []
  schemas:
    description: Only what is in these schemas, beside O(tables).
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Tables and other objects to leave out, in which V(*) stands for anything.
      - What belongs to a table is named with it (C(public.orders.orders_total_idx)).
    type: list
    elements: str
    default: []
  live:
    description:
      - Whether replication runs. Rows that differ are looked at again once the target has applied what the source had
        committed, until each has agreed, or has been found different twice, or has changed 30 times meanwhile.
      - A row that never stood still counts as a difference and is told apart as C(unsettled).
    type: bool
    default: false
  migration:
    description: The name of the migration, which tells the O(slot).
    type: str
  slot:
    description: The slot on the source by which the target follows; left out, that of the O(migration).
    type: str
  wait_timeout:
    description: Seconds the target is given to come up to the source when O(live=true).
    type: int
    default: 600
  max_jobs:
    description: Connections to each side which read at the same time.
    type: int
    default: 4
  fail_on_difference:
    description: Whether a difference fails the module. Otherwise look at RV(equal).
    type: bool
    default: true
notes:
  - Both logins need SELECT on the tables and USAGE on their schemas, which membership in the owner's role brings, and
    BYPASSRLS or ownership where row level security is on. Rows that a policy hides fail the module. No superuser is
    needed.
  - With O(live=true) an empty message is written into the WAL of both sides to move the positions on, outside check
    mode. Nothing else is ever written.
  - Nothing of a row is returned but its key. Where there is none, the hash stands for the row.
  - A table is read in ranges of pages of 64 MiB from PostgreSQL 14 on, before that by the server's own parallel scan.
"""

EXAMPLES = r"""
- name: Is everything over there?
  cloudpg.migration.pg_compare:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}

- name: While replication runs, only the rows
  cloudpg.migration.pg_compare:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    database: orders
    migration: orders
    live: true
    objects: []
    exclude: [public.cache_*]

- name: A quick look that never fails on a difference
  cloudpg.migration.pg_compare:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    rows: count
    fail_on_difference: false
  register: looked
"""

RETURN = r"""
equal:
  description: Whether no difference was found; null in check mode when a server isn't there yet.
  type: bool
  returned: always
object_differences:
  description: The first 100 objects that differ.
  type: list
  elements: dict
  returned: always
  contains:
    class:
      description: The class of O(objects).
      type: str
    object:
      description: The object, or the relation it belongs to.
      type: str
    part:
      description: What of it, such as a column, an index or a grantee; empty when it is the object itself.
      type: str
    source:
      description: Its definition on the source, the first 500 characters; null when it isn't there.
      type: str
    target:
      description: Its definition on the target, likewise.
      type: str
object_difference_count:
  description: How many there are.
  type: int
  returned: always
row_differences:
  description: The first 100 tables whose rows differ.
  type: list
  elements: dict
  returned: always
  contains:
    table:
      description: The table.
      type: str
    reason:
      description: What is the matter.
      type: str
    source_rows:
      description: How many rows the source has; null when they weren't counted.
      type: int
    target_rows:
      description: How many rows the target has, likewise.
      type: int
    keys:
      description: The first 100 keys that differ, each with C(key) and C(difference).
      type: list
      elements: dict
    key_count:
      description: How many were found.
      type: int
    unsettled:
      description: How many keys kept changing while they were looked at.
      type: int
    complete:
      description: Whether all keys that differ were looked for. It ends after some hundred.
      type: bool
row_difference_count:
  description: How many tables differ.
  type: int
  returned: always
not_compared:
  description: The first 100 tables that have no rows of their own, with C(table) and C(reason).
  type: list
  elements: dict
  returned: always
compared:
  description: How much was compared, with C(objects), C(tables), C(rows), C(bytes) and C(seconds).
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._compare import fingerprint, work
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import Selection, object_name
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping

APART = ("extension_versions", "identities", "publications")
NOTHING = {
    "equal": None, "object_differences": [], "object_difference_count": 0, "row_differences": [],
    "row_difference_count": 0, "not_compared": [],
    "compared": {"objects": 0, "tables": 0, "rows": 0, "bytes": 0, "seconds": 0.0},
}


def look(params, check_mode):
    absent = [not_there_yet(params[side], check_mode, side) for side in ("source", "target")]
    if any(absent):
        return NOTHING
    slot = params["slot"] or (object_name(params["migration"]) if params["migration"] else None)
    if params["live"] and not slot:
        raise MigrationError("live needs to know how far the target is. Cure: give migration, or slot.")
    if params["max_jobs"] < 1:
        raise MigrationError(f"max_jobs is {params['max_jobs']}. Cure: give 1 or more.")
    wish = work.Wish(
        Selection(params["tables"], params["exclude"], params["schemas"]), params["objects"], params["rows"],
        slot if params["live"] else None, params["wait_timeout"], params["max_jobs"], nudge=not check_mode,
    )
    with keeping(connect, params, check_mode) as watch:
        return work.compare(watch.connect, params["source"], params["target"], params["database"], wish)


def main():
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "database": {"type": "str"},
            "objects": {
                **names, "choices": list(fingerprint.CLASSES),
                "default": [name for name in fingerprint.CLASSES if name not in APART],
            },
            "rows": {"type": "str", "choices": ["none", "count", "hash"], "default": "hash"},
            "tables": names,
            "schemas": names,
            "exclude": names,
            "live": {"type": "bool", "default": False},
            "migration": {"type": "str"},
            "slot": {"type": "str"},
            "wait_timeout": {"type": "int", "default": 600},
            "max_jobs": {"type": "int", "default": 4},
            "journal": OPTION,
            "fail_on_difference": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        result = look(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code)
    if result["equal"] is False and module.params["fail_on_difference"]:
        module.fail_json(msg=work.summary(result), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
