# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_server_info
short_description: What is on a PostgreSQL server and matters to a migration
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Reads version, settings, databases, extensions, slots, subscriptions and what else a migration has to know.
  - A database that can't be read fails the module; none is left out silently.
  - What the login may not see is null, never zero. Give it C(pg_monitor).
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.address
options:
  databases:
    description: The databases to look into. Empty means all that allow connections, but for RDS's own C(rdsadmin).
    type: list
    elements: str
    default: []
  count_tables:
    description: Tables whose rows are counted exactly. That reads the whole table.
    type: list
    elements: dict
    default: []
    suboptions:
      database:
        description: The database the table is in.
        type: str
        required: true
      table:
        description: The table as C(schema.table), quoted as in SQL where a name needs it.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Look at the source
  cloudpg.migration.pg_server_info:
    server: {host: orders.example.com, user: migration, passfile: /etc/cloudpg/pgpass, sslmode: verify-full}
    count_tables:
      - {database: shop, table: public.orders}
  register: source

- name: Say which tables would be lost by a physical copy
  ansible.builtin.debug:
    msg: "{{ source.server.databases | map(attribute='unlogged_tables') | flatten }}"
"""

RETURN = r"""
server:
  description: What was found; null in check mode when the server isn't there yet. Sizes are bytes, ages seconds.
  type: dict
  returned: success
  contains:
    version_num:
      description: The version as a number.
      type: int
      sample: 160014
    in_recovery:
      description: Whether it is a standby.
      type: bool
    system_identifier:
      description: What physical copies share; null when the login may not read it.
      type: str
    login:
      description:
        - The login and what it may do. Membership in RDS's roles counts as the attribute.
        - The flags are C(superuser), C(administrator), C(replication), C(monitor), C(bypassrls) and
          C(replication_logins), whether it may make logins that replicate.
        - C(member_of) has the roles whose rights it has, itself among them.
      type: dict
    settings:
      description: Settings that matter to a migration; null for one the server doesn't have or the login may not see.
      type: dict
    shared_preload_libraries:
      description: The libraries loaded at the start; null when the login may not see them.
      type: list
      elements: str
    slots:
      description:
        - The replication slots with C(name), C(type), C(plugin), C(database), C(active), C(temporary), C(restart_lsn),
          C(confirmed_flush_lsn), C(wal_status) and C(retained_bytes).
      type: list
      elements: dict
    prepared_transactions:
      description: The oldest 100 prepared transactions with C(gid), C(owner), C(database) and C(age_seconds).
      type: list
      elements: dict
    prepared_transaction_count:
      description: How many there are.
      type: int
    long_transactions:
      description: The oldest 100 transactions open for more than 60 s; null without C(pg_monitor).
      type: list
      elements: dict
    databases:
      description: The databases that were looked into.
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        size_bytes:
          description: The size.
          type: int
        owner:
          description: The role that owns it.
          type: str
        encoding:
          description: The encoding.
          type: str
        collate:
          description: The default collation.
          type: str
        ctype:
          description: The default character classification.
          type: str
        collation_version:
          description: The version of the default collation as the server's library has it; null when it has none.
          type: str
        collation_mismatches:
          description: The first 100 collations whose recorded version isn't the library's; indexes may be corrupt.
          type: list
          elements: str
        extensions:
          description: The extensions with C(name), C(version) and C(schema).
          type: list
          elements: dict
        unlogged_tables:
          description: The first 100 unlogged tables; a physical copy leaves them empty.
          type: list
          elements: str
        unlogged_table_count:
          description: How many there are.
          type: int
        large_objects:
          description: How many large objects there are.
          type: int
        event_triggers:
          description: The event triggers.
          type: list
          elements: str
        subscriptions:
          description: The subscriptions with C(name), C(enabled), C(slot) and C(owner).
          type: list
          elements: dict
        cron_jobs:
          description: How many jobs pg_cron has here; null without pg_cron, or when a policy hides some.
          type: int
        cron_jobs_active:
          description: How many of them are active.
          type: int
        cron_jobs_readable:
          description: False when a policy hides jobs of other users from the login.
          type: bool
    tables:
      description: The exact counts, with C(database), C(table) and C(rows).
      type: list
      elements: dict
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import server
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect


def look(params, check_mode):
    if not_there_yet(params["server"], check_mode):
        return {"server": None}
    return {"server": server.observe(connect, params["server"], params["databases"], params["count_tables"])}


def main():
    table = {"database": {"type": "str", "required": True}, "table": {"type": "str", "required": True}}
    run(
        look,
        {
            "server": address_spec(),
            "databases": {"type": "list", "elements": "str", "default": []},
            "count_tables": {"type": "list", "elements": "dict", "options": table, "default": []},
        },
    )


if __name__ == "__main__":
    main()
