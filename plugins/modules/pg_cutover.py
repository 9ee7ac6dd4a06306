# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_cutover
short_description: Move the writes from one PostgreSQL server to another that follows it
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Does all that makes up the outage in one process. Connections are made and sequences brought near before it begins.
  - Then it holds the clients of the poolers, closes the databases of the source, proves that nobody is left to write,
    waits until the target has everything, brings the sequences over, turns replication off, makes sure that nothing was
    written after all, and opens the target. After that it leads the poolers there, lets the clients go and turns
    replication back to the source on, where that was prepared.
  - The target is opened by one transaction, whose commit is the only point of no return. Whatever fails before it, and
    an outage that would become longer than O(max_outage), puts everything back and leaves the source writable.
  - A run that was killed is settled by the next one, which reads in the target's journal how far it came. What was
    opened only goes forward; everything else is put back first.
  - A target that doesn't follow is cut over to in two halves, with O(follow=false). O(state=fenced) holds the clients
    and closes the source, other tasks carry the rows, and O(state=cut_over) of the same run opens the target.
  - It is the same in both directions. To go back without losing what was written since, exchange O(source) and
    O(target).
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  migration:
    description: The name of the migration.
    type: str
    required: true
  journal:
    description:
      - The lock to work under, as M(cloudpg.migration.pg_journal) returned it under C(journal). Left out, only
        the advisory locks of the sessions keep two runs apart.
      - It is renewed in each transaction that changes something, which fails with the code V(lease_lost) when another
        run has taken the migration over.
      - In check mode there is no lock, and it isn't looked at.
  state:
    description:
      - V(cut_over) settles what an earlier run has left, and cuts over unless that was done.
      - V(settled) settles what an earlier run has left, and begins nothing.
      - V(fenced) settles likewise, then holds the clients, closes the source, proves it, and leaves it so for
        V(cut_over), or V(settled), which puts it back. It needs O(follow=false).
    type: str
    choices: [cut_over, settled, fenced]
    default: cut_over
  follow:
    description:
      - Whether the target follows the source by subscriptions.
      - With V(false) the rows have to be carried between V(fenced) and V(cut_over) of O(state), and compared there.
        V(cut_over) refuses, and puts back, what another run has begun, or a source that was opened meanwhile.
    type: bool
    default: true
  databases:
    description: The databases that move, all at once. Empty means the one that O(target.dbname) names.
    type: list
    elements: str
    default: []
  keep:
    description:
      - Logins that may go on connecting to a side that is closed, as far as it has them. What the target was closed
        with belongs here; see M(cloudpg.migration.pg_quiesce).
    type: list
    elements: str
    default: []
  exclude_sequences:
    description: Sequences to leave as they are, as C(schema.name), in which V(*) stands for anything.
    type: list
    elements: str
    default: []
  poolers:
    description: Every PgBouncer in front of the databases.
    type: list
    elements: dict
    default: []
    suboptions:
      admin:
        description: The address of its admin console, by libpq's own names.
        type: dict
        required: true
        suboptions:
          host:
            description: The host to connect to.
            type: str
          port:
            description: The port to connect to.
            type: int
            default: 5432
          user:
            description: The login.
            type: str
          password:
            description: The password.
            type: str
          passfile:
            description: A file of passwords as libpq reads it, on the machine the module runs on.
            type: path
          dbname:
            description: Not used; the console has a database of its own.
            type: str
          sslmode:
            description: How far TLS is insisted on.
            type: str
            choices: [disable, allow, prefer, require, verify-ca, verify-full]
          sslrootcert:
            description: The file with the certificates of the authorities to trust.
            type: path
          sslcert:
            description: The file with the client's certificate.
            type: path
          sslkey:
            description: The file with the client's key.
            type: path
          connect_timeout:
            description: Seconds a connection may take.
            type: int
            default: 10
          options:
            description: Command-line options for the server, as libpq sends them.
            type: str
          secret_arn:
            description: A secret of AWS Secrets Manager, as RDS writes it, which holds user and password.
            type: str
          iam:
            description: Whether to log in by an IAM token of AWS.
            type: bool
            default: false
          region:
            description: The Region for C(secret_arn) and C(iam).
            type: str
          profile:
            description: The AWS profile for C(secret_arn) and C(iam).
            type: str
      config:
        description: The path of its C(pgbouncer.ini) on the machine the module runs on.
        type: path
        required: true
      databases:
        description: The entries of C([databases]) that are led. Empty means all.
        type: list
        elements: str
        default: []
      host:
        description: The host that it is to lead to, where it reaches the target by another name than this machine.
        type: str
      port:
        description: The port that goes with it.
        type: int
      user:
        description:
          - The login by which it is to connect to the target, where that has another name for it than the source.
          - Its password stands in PgBouncer's C(auth_file), since the entry has none.
        type: str
      pause_timeout:
        description: Seconds running transactions get to end.
        type: int
        default: 10
  max_outage:
    description:
      - Seconds from the first client that is held to the open, at most. Putting everything back counts into it, so it
        is given up two seconds earlier, or after half of it where that is less.
      - A run that is killed can't keep it. Fence and pause stay until the next run.
      - With O(follow=false) it is for each half by itself. What the rows take between them isn't in it.
    type: float
    default: 30
  max_lag_bytes:
    description: How many bytes a slot may be behind for the cutover to begin.
    type: int
    default: 16777216
  wait_timeout:
    description: Seconds to wait for another run's end.
    type: int
    default: 75
  take_over:
    description: End the sessions of another run at once, without waiting for it.
    type: bool
    default: false
notes:
  - The task must not have a C(timeout) nor C(async). With those a play goes on while the module still runs.
  - The target must have been closed by M(cloudpg.migration.pg_quiesce) before the first row came.
  - SIGTERM, SIGINT and SIGHUP put everything back before the point of no return, and wait for the end after it.
  - Each login needs what M(cloudpg.migration.pg_quiesce) and M(cloudpg.migration.pg_sequence_sync) need, must own the
    subscriptions of its side, and have C(REPLICATION) where there is a way back. No superuser is needed.
  - The source stays closed afterwards.
seealso:
  - module: cloudpg.migration.pg_quiesce
  - module: cloudpg.migration.pg_sequence_sync
  - module: cloudpg.migration.pgbouncer_route
"""

EXAMPLES = r"""
- name: Cut over
  cloudpg.migration.pg_cutover:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    poolers:
      - admin: {host: 127.0.0.1, port: 6432, user: admin, passfile: /etc/cloudpg/pgpass}
        config: /etc/pgbouncer/pgbouncer.ini
    max_outage: 10

- name: Close the source of a target that doesn't follow; rows are copied and compared after this
  cloudpg.migration.pg_cutover:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    follow: false
    state: fenced

- name: Open the target
  cloudpg.migration.pg_cutover:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    follow: false

- name: Go back
  cloudpg.migration.pg_cutover:
    source: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    migration: orders
    poolers:
      - admin: {host: 127.0.0.1, port: 6432, user: admin, passfile: /etc/cloudpg/pgpass}
        config: /etc/pgbouncer/pgbouncer.ini
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
outcome:
  description:
    - V(opened) when the target takes the writes, V(put_back) when the source does again, V(fenced) when neither does.
    - Null when nothing was begun, and when it can't be known because the target can't be read.
  type: str
  returned: always
steps:
  description: What was done and how many milliseconds it took, in order, also of a cutover that failed.
  type: list
  elements: dict
  returned: always
  sample:
    - {name: pause, ms: 4.1}
    - {name: fence, ms: 9.8}
outage_ms:
  description: Milliseconds from the first client that was held to the last that was let go. Null without an outage.
  type: float
  returned: always
lsn:
  description: The position of the source that the target has everything up to.
  type: str
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.apart import Apart
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.cutover import (
    CUT_OVER, FENCED, SETTLED, Cutover, CutoverError,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.fence_work import lock_of
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.line import Line, signals_raised
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, Step
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic import config_file


def converge(module, arm):
    params = {**module.params, "journal": lock_of(module.params, module.check_mode)}
    if params["max_outage"] <= 0:
        raise MigrationError("max_outage: there must be some time for it. Cure: give a number of seconds above 0.")
    if params["state"] == FENCED and params["follow"]:
        raise MigrationError("state=fenced is for a target that doesn't follow. Cure: give follow: false as well.")
    absent = [not_there_yet(params[side], module.check_mode, side) for side in ("source", "target")]
    if any(absent):
        plan = Plan((Step("cutover", "cut over; what that takes can't be told before both servers are there"),))
        return {**plan.result(), "outcome": None, "steps": [], "outage_ms": None, "lsn": None}

    def write(path, text):
        config_file.write(path, text, Path(module.tmpdir) / "pgbouncer.ini", module.atomic_move)

    with Line().bounding() as line:
        halves = not params["follow"] and params["state"] != SETTLED
        work = (Apart if halves else Cutover)(params, line, arm, write)
        return work.check() if module.check_mode else work.run()


def main():
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "migration": {"type": "str", "required": True},
            "journal": OPTION,
            "state": {"type": "str", "choices": [CUT_OVER, SETTLED, FENCED], "default": CUT_OVER},
            "follow": {"type": "bool", "default": True},
            "databases": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "list", "elements": "str", "default": []},
            "exclude_sequences": {"type": "list", "elements": "str", "default": []},
            "poolers": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "admin": address_spec(),
                    "config": {"type": "path", "required": True},
                    "databases": {"type": "list", "elements": "str", "default": []},
                    "host": {"type": "str"},
                    "port": {"type": "int"},
                    "user": {"type": "str"},
                    "pause_timeout": {"type": "int", "default": 10},
                },
            },
            "max_outage": {"type": "float", "default": 30},
            "max_lag_bytes": {"type": "int", "default": 16777216},
            "wait_timeout": {"type": "int", "default": 75},
            "take_over": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        with signals_raised() as arm:
            result = converge(module, arm)
    except CutoverError as error:
        module.fail_json(msg=error.message, code=error.code, **error.result)
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
