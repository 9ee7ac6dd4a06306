# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logical_preflight_info
short_description: What stands in the way of a migration by logical replication
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Looks at both servers and at each database that is to be moved, and changes nothing.
  - A blocker stops the migration; a warning is something to know, or to see to. Both name the object, the reason and
    the cure.
  - What can't be read fails the module; nothing is left out silently.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.address.both
options:
  migration:
    description: The name of the migration. What it has made already is no hindrance.
    type: str
    required: true
  databases:
    description:
      - The databases to be moved. Empty means all that allow connections, but for V(postgres) and those of the service.
    type: list
    elements: str
    default: []
  tables:
    description:
      - The tables to be moved, as C(schema.table), quoted where SQL needs it. Empty means all. A partitioned table
        stands for its partitions.
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
  using_index:
    description:
      - Tables that M(cloudpg.migration.pg_replica_identity) may give a unique index as identity, in which V(*) stands
        for anything. They are no hindrance then.
    type: list
    elements: str
    default: []
  full:
    description: Tables that may get the full row as identity, likewise.
    type: list
    elements: str
    default: []
  create_databases:
    description: Whether databases that the target lacks will be created, for which the login needs CREATEDB.
    type: bool
    default: false
  target_later:
    description:
      - Whether the target may be missing because the migration itself will make it. With an empty O(target.host) only
        the source is looked at then, as in check mode.
    type: bool
    default: false
  way_back:
    description: Whether reverse replication is wanted, which the target needs slots and C(wal_level) for.
    type: bool
    default: true
  dedicated_login:
    description: Whether a login of the subscription's own is to be made on the source, and a warning if it can't be.
    type: bool
    default: false
  dedicated_back_login:
    description: Whether one is to be made on the target for the way back, likewise.
    type: bool
    default: false
notes:
  - The login of the source needs C(pg_monitor), REPLICATION, membership in the owners of the tables and CREATE on the
    databases; that of the target CREATE on the databases and, from 16 on, C(pg_create_subscription). What is missing is
    a finding. No superuser is needed from 16 on.
  - In check mode a target whose host is null is one that isn't there yet. Only the source is looked at then.
seealso:
  - module: cloudpg.migration.report_findings
"""

EXAMPLES = r"""
- name: See what stands in the way
  cloudpg.migration.logical_preflight_info:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    migration: orders
    databases: [orders, billing]
    using_index: ['*']
  register: checked

- name: Judge it
  cloudpg.migration.report_findings:
    findings: "{{ checked.findings }}"
"""

RETURN = r"""
findings:
  description: What was found, blockers first, in the form M(cloudpg.migration.report_findings) takes.
  type: list
  elements: dict
  returned: always
  contains:
    id:
      description: What kind of finding it is.
      type: str
    severity:
      description: V(blocker) or V(warning).
      type: str
    object:
      description: What it is about. Beyond 20 objects of a kind in a database the others are counted.
      type: str
    reason:
      description: What is the matter.
      type: str
    cure:
      description: What to do.
      type: str
    fact:
      description: The number of the fact behind it.
      type: str
    acknowledgeable:
      description: Whether it can be acknowledged.
      type: bool
databases:
  description:
    - The databases to be moved, each with C(name), C(size_bytes), C(encoding), C(tables) (how many, partitions counted
      one by one) and C(on_target).
  type: list
  elements: dict
  returned: always
source:
  description: The source, with C(version_num) and C(login).
  type: dict
  returned: always
target:
  description: The target likewise, or null when it isn't there yet.
  type: dict
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._logical import identity
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import Selection
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.tables import PARTITIONED
from ansible_collections.cloudpg.migration.plugins.module_utils._logical_preflight import checks, work
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect


def look(params, check_mode):
    if not_there_yet(params["source"], check_mode, "source"):
        return {"findings": [], "databases": [], "source": None, "target": None}
    absent = not_there_yet(params["target"], check_mode or params["target_later"], "target")
    wish = work.Wish(
        params["migration"], Selection(params["tables"], params["exclude"], params["schemas"]), params["databases"],
        identity.Wish({}, params["using_index"], params["full"]), params["create_databases"], params["way_back"],
        params["dedicated_login"], params["dedicated_back_login"],
    )
    facts = work.gather(connect, params["source"], None if absent else params["target"], wish)
    return {
        "findings": [finding.as_dict() for finding in checks.findings(facts)],
        "databases": [
            {
                "name": one.name, "size_bytes": one.source["size_bytes"], "encoding": one.source["encoding"],
                "tables": sum(1 for table in one.tables if table.kind != PARTITIONED),
                "on_target": one.target is not None,
            }
            for one in facts.databases
        ],
        **{
            side: None if server is None else {"version_num": server["version_num"], "login": server["login"]}
            for side, server in (("source", facts.source), ("target", facts.target))
        },
    }


def main():
    names = {"type": "list", "elements": "str", "default": []}
    run(
        look,
        {
            "source": address_spec(),
            "target": address_spec(),
            "migration": {"type": "str", "required": True},
            "databases": names,
            "tables": names,
            "schemas": names,
            "exclude": names,
            "using_index": names,
            "full": names,
            "create_databases": {"type": "bool", "default": False},
            "target_later": {"type": "bool", "default": False},
            "way_back": {"type": "bool", "default": True},
            "dedicated_login": {"type": "bool", "default": False},
            "dedicated_back_login": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
