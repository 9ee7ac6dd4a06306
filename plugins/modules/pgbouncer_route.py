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
  - Holds clients by C(PAUSE), leads them to another server by rewriting the entries of C([databases]) and C(RELOAD),
    and lets them go on by C(RESUME).
  - In transaction mode clients see a pause and no error, as long as it is shorter than C(query_wait_timeout).
  - Only the named entries of the configuration file are rewritten; comments and order stay to the letter.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.pooler
options:
  state:
    description:
      - C(paused) holds the clients, C(resumed) lets them go on where they were.
      - C(routed) leads them to O(host) and lets them go on.
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
    description: Seconds running transactions get to end; after them every pause is taken back and the module fails.
    type: int
    default: 10
  not_after:
    description:
      - A moment, in seconds since 1970, after which nothing is changed any more. By then another run may rightly hold
        the migration, and would not know of clients that are held by this one.
    type: float
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

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic import config_file, pgbouncer
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.console import Console
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.switch import Switch


def make_plan(params, now, config):
    if params["state"] == "paused":
        return pgbouncer.plan_pause(now)
    if params["state"] == "resumed":
        return pgbouncer.plan_resume(now)
    return pgbouncer.plan_route(now, config_file.read(config), params["host"] or "(not known yet)", params["port"])


def in_time(limit):
    """What is done before each change: nothing comes late, after a network that was away or a machine that slept."""
    def check(step):
        if limit and time.time() > limit:
            raise pgbouncer.PoolerError(
                f"too late to {step.sentence}: the lease of this run may have run out, and another may hold the "
                "migration. Nothing more was changed. Cure: run again; it goes on from the real state."
            )

    return check


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
            "not_after": {"type": "float"},
        },
        required_if=[("state", "routed", ["config"])],
        supports_check_mode=True,
    )
    params = module.params
    config = Path(params["config"] or "").resolve()
    try:
        if params["state"] == "routed" and not params["host"] and not module.check_mode:
            raise pgbouncer.PoolerError("host is empty. Cure: name the server to lead clients to. Nothing was changed.")
        switch = Switch(Console(params["admin"]))
        plan = make_plan(params, switch.look(params["databases"]), config)
        if not module.check_mode:
            carry_out(plan, {
                "pause": lambda name: switch.hold(name, params["pause_timeout"]),
                "resume": switch.release,
                "write": lambda text: config_file.write(
                    config, text, Path(module.tmpdir) / "pgbouncer.ini", module.atomic_move),
                "reload": lambda **wish: switch.reload(config=str(config), **wish),
            }, in_time(params["not_after"]))
        module.exit_json(**plan.result(), routes=dict(plan.before))
    except MigrationError as error:
        module.fail_json(msg=error.message)


if __name__ == "__main__":
    main()
