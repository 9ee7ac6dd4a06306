# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_carried_jobs
short_description: Stop what travelled with a physical copy and writes on its own
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - A promoted physical copy brings along the subscriptions and the pg_cron jobs of its source. Both start on their own.
  - This module disables the subscriptions, waits until their workers have ended, and makes the jobs inactive.
  - Jobs that can't all be seen fail the module, for one of them may be writing.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address
options:
  state:
    description:
      - V(stopped) disables every subscription and makes every job inactive. A job that is running is not interrupted.
      - V(resumed) makes the jobs of O(jobs) active again. Subscriptions stay disabled; their slot is the old side's.
    type: str
    choices: [stopped, resumed]
    default: stopped
  databases:
    description: The databases to look into. Empty means all that allow connections, but for RDS's own C(rdsadmin).
    type: list
    elements: str
    default: []
  jobs:
    description: Which jobs to resume, as RV(jobs) was when they were stopped. Required with O(state=resumed).
    type: list
    elements: dict
    suboptions:
      database:
        description: The database pg_cron keeps its jobs in.
        type: str
        required: true
      ids:
        description: The ids of the jobs.
        type: list
        elements: int
        required: true
"""

EXAMPLES = r"""
- name: Stop what travelled along
  cloudpg.migration.pg_carried_jobs:
    server: {host: orders-aurora.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    state: stopped
  register: carried

- name: Let the jobs run again, now that the target serves
  cloudpg.migration.pg_carried_jobs:
    server: {host: orders-aurora.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    state: resumed
    jobs: "{{ carried.jobs }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences.
  type: list
  elements: str
  returned: success
subscriptions:
  description: The enabled subscriptions that were found, with C(database) and C(name).
  type: list
  elements: dict
  returned: success
jobs:
  description: The active jobs that were found, with C(database) and C(ids). Keep it where it survives the run.
  type: list
  elements: dict
  returned: success
queries:
  description: The statements that were run.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import jobs
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out


def converge(params, check_mode):
    absent = not_there_yet(params["server"], check_mode)
    found = [] if absent else jobs.observe(connect, params["server"], params["databases"])
    if params["state"] == "stopped":
        plan = jobs.plan_stop(found)
    else:
        wanted = {} if absent else {one["database"]: one["ids"] for one in params["jobs"]}
        plan = jobs.plan_resume(found, wanted)
    operations = jobs.Operations(connect, params["server"])
    if not check_mode:
        carry_out(plan, operations.table())
    return {
        **plan.result(),
        "subscriptions": [{"database": one.database, "name": name} for one in found for name in one.subscriptions],
        "jobs": [{"database": one.database, "ids": one.active} for one in found if one.active],
        "queries": operations.queries,
    }


def main():
    job = {"database": {"type": "str", "required": True}, "ids": {"type": "list", "elements": "int", "required": True}}
    run(
        converge,
        {
            "server": address_spec(),
            "state": {"type": "str", "choices": ["stopped", "resumed"], "default": "stopped"},
            "databases": {"type": "list", "elements": "str", "default": []},
            "jobs": {"type": "list", "elements": "dict", "options": job},
        },
        required_if=[("state", "resumed", ["jobs"])],
    )


if __name__ == "__main__":
    main()
