# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_route
short_description: Hold the clients of a PgBouncer, lead them elsewhere, let them go on
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Holds clients by C(PAUSE), leads them to another server by rewriting the entries of C([databases]) and C(RELOAD), and lets
    them go on by C(RESUME).
  - In transaction mode clients see a pause and no error, as long as it is shorter than C(query_wait_timeout).
  - Only the named entries of the configuration file are rewritten; comments and order stay to the letter.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.admin
options:
  state:
    description:
      - C(paused) holds the clients, C(resumed) lets them go on where they were, C(routed) leads them to O(host) and lets them go on.
    type: str
    choices: [paused, routed, resumed]
    required: true
  databases:
    description: The entries of C([databases]) that are led. Empty means all.
    type: list
    elements: str
    default: []
  config:
    description: The path of C(pgbouncer.ini) on the machine the module runs on. Required to lead clients.
    type: path
  host:
    description: The server the clients are led to.
    type: str
  port:
    description: Its port.
    type: int
    default: 5432
  pause_timeout:
    description: Seconds running transactions get to end; after them the pause is taken back and the module fails.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Hold the clients
  cloudpg.migration.pgbouncer_route:
    state: paused
    admin: {host: 127.0.0.1, port: 6432, user: admin, passfile: /etc/cloudpg/pgpass}
    databases: [orders]

- name: Lead them to the new cluster
  cloudpg.migration.pgbouncer_route:
    state: routed
    admin: {host: 127.0.0.1, port: 6432, user: admin, passfile: /etc/cloudpg/pgpass}
    config: /etc/pgbouncer/pgbouncer.ini
    databases: [orders]
    host: orders-aurora.cluster-abc.eu-west-1.rds.amazonaws.com
"""

RETURN = r"""
actions:
  description: What was done, or would be, a sentence a step.
  type: list
  elements: str
  returned: always
routes:
  description: Where each database led before, and whether its clients were held.
  type: dict
  returned: always
"""

import contextlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic import pgbouncer
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.console import Console


def pause(console, name, timeout):
    """Hold the clients of ``name``, or hold none: a PAUSE that isn't done in time is taken back (R32)."""
    try:
        console.rows(f"PAUSE {pgbouncer.quote(name)}", timeout)
    except pgbouncer.PoolerError as error:
        with contextlib.suppress(pgbouncer.PoolerError):
            console.rows(f"RESUME {pgbouncer.quote(name)}")
        raise pgbouncer.PoolerError(
            f"PgBouncer {console.name} could not hold the clients of {name} within {timeout} s (pause_timeout): "
            f"a transaction is still running. The pause was taken back. {error}"
        ) from error


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise pgbouncer.PoolerError(f"config: {path} can't be read: {error.strerror}. Nothing was changed.") from error


def make_plan(params, now):
    if params["state"] == "paused":
        return pgbouncer.plan_pause(now)
    if params["state"] == "resumed":
        return pgbouncer.plan_resume(now)
    if params["host"] is None:
        return pgbouncer.plan_route(now, read(params["config"]), "(not known yet)", params["port"])
    return pgbouncer.plan_route(now, read(params["config"]), params["host"], params["port"])


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["paused", "routed", "resumed"], "required": True},
            "admin": address_spec(),
            "databases": {"type": "list", "elements": "str", "default": []},
            "config": {"type": "path"},
            "host": {"type": "str"},
            "port": {"type": "int", "default": 5432},
            "pause_timeout": {"type": "int", "default": 10},
        },
        required_if=[("state", "routed", ["config"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["state"] == "routed" and not params["host"] and not module.check_mode:
            raise pgbouncer.PoolerError("host is empty: name the server the clients are to be led to. Nothing was changed.")
        console = Console(params["admin"])
        now = pgbouncer.routes(console.rows("SHOW DATABASES"), console.rows("SHOW CONFIG"), params["databases"])
        plan = make_plan(params, now)
        if not module.check_mode:
            carry_out(plan, {
                "pause": lambda name: pause(console, name, params["pause_timeout"]),
                "resume": lambda name: console.rows(f"RESUME {pgbouncer.quote(name)}"),
                "write": lambda text: write(module, params["config"], text),
                "reload": lambda: console.rows("RELOAD"),
            })
        module.exit_json(**plan.result(), routes=dict(plan.before))
    except MigrationError as error:
        module.fail_json(msg=error.message)


def write(module, path, text):
    """Replace the file in one step, keeping its owner and mode; no reader ever sees half of it."""
    draft = Path(module.tmpdir) / "pgbouncer.ini"
    draft.write_text(text, encoding="utf-8")
    module.atomic_move(str(draft), path)


if __name__ == "__main__":
    main()
