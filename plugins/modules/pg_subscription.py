# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_subscription
short_description: Let one database follow another, and tell how that fares
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes, changes and drops a subscription on the target. Its connection is compared as libpq reads it, so quotes,
    blanks and the order of words make no difference, and a password that differs does.
  - Looks at both sides and returns the states of the tables, the worker, the errors counted, the slot, and as findings
    what is wrong. A slot that is lost, a worker that ends again and again, a subscription that an error has switched
    off and tables that are published without being subscribed to all leave the error counts or the lag looking well.
  - In check mode it is a status that touches nothing.
  - Absent needs no publisher. The subscription parts from its slot first; the slot is dropped on the source where that
    can be reached, by a later run if need be.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  name:
    description: The subscription. Left out, C(cloudpg_) and the name of O(migration), with C(_) for C(-).
    type: str
  migration:
    description: The migration that the subscription is made for. It gives O(name) its default.
    type: str
  state:
    description: Whether the subscription is to be there.
    type: str
    choices: [present, absent]
    default: present
  database:
    description: The database on both sides. Left out, each address's own C(dbname).
    type: str
  publications:
    description: The publications on the source. Left out, the one of the subscription's name.
    type: list
    elements: str
  connection:
    description:
      - How the target reaches the source, where that differs from O(source), which is how this module reaches it.
      - Host, port, user, password and sslmode are those of O(source) when left out, the password also out of its
        passfile or secret. Files are those of the target's machine.
    type: dict
    default: {}
    suboptions:
      host:
        description: The host as the target sees it.
        type: str
      port:
        description: The port as the target sees it.
        type: int
      user:
        description: The login, which needs REPLICATION and SELECT on the published tables.
        type: str
      password:
        description: The password of the login.
        type: str
      sslmode:
        description: How far TLS is insisted on.
        type: str
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
      sslrootcert:
        description: The file with the authorities to trust, on the target's machine, or V(system).
        type: str
      connect_timeout:
        description: Seconds a connection may take, 10 when left out.
        type: int
  dedicated_login:
    description:
      - Whether a subscription that is made gets a login of its own on the source, named like O(slot_name), with a
        random password that nobody is told. It may replicate and connect, and read the published tables where the
        subscription copies them. It is dropped with O(state=absent).
      - A user or password in O(connection) goes before it. Where it can't be made, the finding
        C(replication-login-shared) says why, and the connection is the one it would be without.
      - A subscription that is there goes on with the login that it has.
    type: bool
    default: false
  slot_name:
    description: The slot on the source. Left out, it is named like the subscription.
    type: str
  create_slot:
    description:
      - Whether the slot is made with the subscription. It waits for every write transaction that is open on the source.
      - With V(false) the slot has to be there, with the data loaded from its snapshot, and O(copy_data) V(false) as
        well.
    type: bool
    default: true
  copy_data:
    description: Whether the data are copied when the subscription is made.
    type: bool
    default: true
  enabled:
    description: Whether it runs. One that an error has switched off is enabled again only when that is O(acknowledged).
    type: bool
    default: true
  refresh:
    description:
      - What to do where the tables published and those subscribed to differ. They are compared, so that a second run
        changes nothing.
      - V(with_data) copies tables that are new, V(without_data) doesn't. It needs the subscription enabled.
    type: str
    choices: [never, with_data, without_data]
    default: never
  binary:
    description: Whether data travel in binary form. It needs PostgreSQL 14 and the same types on both sides.
    type: bool
  streaming:
    description: How transactions in progress travel. It needs PostgreSQL 14, V(parallel) 16.
    type: str
    choices: ["off", "on", parallel]
  synchronous_commit:
    description: The setting for the apply worker.
    type: str
    choices: ["off", local, remote_write, remote_apply, "on"]
  two_phase:
    description:
      - Whether prepared transactions travel as such. It needs PostgreSQL 15. Only from 18 on it can be changed.
    type: bool
  disable_on_error:
    description: Whether an error disables the subscription, instead of being tried again for ever. PostgreSQL 15.
    type: bool
  password_required:
    description: Whether a password must be used. It needs PostgreSQL 16, and a superuser for V(false).
    type: bool
  run_as_owner:
    description: Whether changes are applied as the subscription's owner, not the table's. It needs PostgreSQL 16.
    type: bool
  origin:
    description:
      - V(none) takes only what was written on the source itself. It needs PostgreSQL 16 on both sides, for an older
        source ignores it silently.
    type: str
    choices: [any, none]
  failover:
    description: Whether the slot is kept on the source's standbys. It needs PostgreSQL 17 on both sides.
    type: bool
  drop_slot:
    description: Whether the slot on the source goes too, with O(state=absent). An orphaned one fills the source's disk.
    type: bool
    default: true
  acknowledged:
    description: Ids of findings to go on in spite of, or C(id:object) for one object.
    type: list
    elements: str
    default: []
  patience:
    description: For how many seconds a worker that is missing, or has had errors, is watched before it is judged.
    type: int
    default: 6
  wait_timeout:
    description: For how many seconds the slot, or a new connection, may take.
    type: int
    default: 300
notes:
  - The login of the target needs CREATE on the database and membership in C(pg_create_subscription), before PostgreSQL
    16 superuser (or rds_superuser). That of O(connection) needs REPLICATION and SELECT on the tables.
  - The login of O(source) needs only CONNECT to look, and REPLICATION to drop the slot. For O(dedicated_login) it needs
    CREATEROLE and REPLICATION (before PostgreSQL 16 superuser), on RDS CREATEROLE and C(rds_replication) with ADMIN
    OPTION, CREATE on the database, and membership in the owners of the database and of the tables that are copied.
  - Where the catalogue hides connections from the login, a salted hash in the journal of the target's database (schema
    C(cloudpg_migration)) tells whether the connection is the one that was set last.
  - With C(log_statement) the statement, and with it the password, is in the target's log. What the source's log may
    hold of a O(dedicated_login) is what it stores of the password.
"""

EXAMPLES = r"""
- name: Copy and follow
  cloudpg.migration.pg_subscription:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders

- name: Copy and follow by a login of its own
  cloudpg.migration.pg_subscription:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    dedicated_login: true

- name: Follow from a slot whose snapshot was loaded already
  cloudpg.migration.pg_subscription:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    connection: {host: 10.1.2.3, sslmode: verify-full, sslrootcert: system}
    create_slot: false
    copy_data: false

- name: Remove it, whether the source is alive or not
  cloudpg.migration.pg_subscription:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences.
  type: list
  elements: str
  returned: success
subscription:
  description:
    - The subscription after the run, null when there is none. Beside its options it has C(tables) (C(count), C(ready)
      and C(states), as in C(pg_subscription_rel)), the first 100 that are C(not_ready), the C(worker) (null when none
      runs), C(sync_workers), C(errors) (null before PostgreSQL 15), the C(slot) and the C(relations) of both sides
      (null when the source can't be read).
  type: dict
  returned: success
connection:
  description: The connection without its password, as it is to be.
  type: dict
  returned: success
findings:
  description: What is wrong (C(blocker)) or worth knowing (C(warning)), the first 100.
  type: list
  elements: dict
  returned: always
queries:
  description: The statements that were run, without the connection.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.follow import Follow
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import SSLMODES, address_spec
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping

CONNECTION = {
    "host": {"type": "str"}, "port": {"type": "int"}, "user": {"type": "str"},
    "password": {"type": "str", "no_log": True}, "sslmode": {"type": "str", "choices": SSLMODES},
    "sslrootcert": {"type": "str"}, "connect_timeout": {"type": "int"},
}


def main():
    flag = {"type": "bool"}
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "name": {"type": "str"},
            "migration": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "database": {"type": "str"},
            "publications": {"type": "list", "elements": "str"},
            "connection": {"type": "dict", "options": CONNECTION, "default": {}},
            "dedicated_login": {"type": "bool", "default": False},
            "slot_name": {"type": "str"},
            "create_slot": {"type": "bool", "default": True},
            "copy_data": {"type": "bool", "default": True},
            "enabled": {"type": "bool", "default": True},
            "refresh": {"type": "str", "choices": ["never", "with_data", "without_data"], "default": "never"},
            "binary": flag,
            "streaming": {"type": "str", "choices": ["off", "on", "parallel"]},
            "synchronous_commit": {"type": "str", "choices": ["off", "local", "remote_write", "remote_apply", "on"]},
            "two_phase": flag,
            "disable_on_error": flag,
            "password_required": {"type": "bool", "no_log": False},
            "run_as_owner": flag,
            "origin": {"type": "str", "choices": ["any", "none"]},
            "failover": flag,
            "drop_slot": {"type": "bool", "default": True},
            "acknowledged": {"type": "list", "elements": "str", "default": []},
            "journal": OPTION,
            "patience": {"type": "int", "default": 6},
            "wait_timeout": {"type": "int", "default": 300},
        },
        required_one_of=[("name", "migration")],
        supports_check_mode=True,
    )
    try:
        with keeping(connect, module.params, module.check_mode) as watch:
            result = Follow(module.params, module.check_mode, watch).converge()
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code, findings=getattr(error, "findings", []))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
