# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rds_maintenance_hold
short_description: Keep automatic upgrades away from an RDS instance during a migration
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Turns automatic minor version upgrades off, journals how it was, and puts it back.
  - Warns when the maintenance window is near.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.aws
  - cloudpg.migration.aws.wait
  - cloudpg.migration.journal
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  state:
    description:
      - V(held) turns automatic minor version upgrades off.
      - V(released) puts them back to what the journal says; without an entry there is nothing to do.
    type: str
    choices: [held, released]
    default: held
  instance:
    description: The instance.
    type: str
    required: true
  hours:
    description: Warn when the maintenance window begins within this many hours.
    type: float
    default: 24
"""

EXAMPLES = r"""
- name: Keep upgrades away
  cloudpg.migration.rds_maintenance_hold:
    state: held
    instance: orders-rds
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
findings:
  description: A warning when the maintenance window is near, in the form M(cloudpg.migration.report_findings) takes.
  type: list
  elements: dict
  returned: always
instance:
  description: The instance, or null when it is gone.
  type: dict
  returned: always
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import JOURNAL, WAIT, run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import api, maintenance, state, waiters
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Lock, read


def make_plan(params, seen, events):
    if params["state"] == "released":
        return maintenance.plan_released(seen, events.get(maintenance.EVENT))
    if seen is None:
        raise RdsError(f"instance {params['instance']} doesn't exist in this Region. Cure: name one that does.")
    return maintenance.plan_held(seen)


def switch(rds, lock, name, on):
    """The journal has the original before the change; after a release it says that it was put back."""
    lock.record(maintenance.EVENT, name, not on, on)
    api.modify_instance(rds, name, AutoMinorVersionUpgrade=on)


def apply(module, rds, plan):
    name, lock = module.params["instance"], Lock(module.client("ec2"), module.params["journal"])
    lock.cover(rds)
    carry_out(plan, {"set": lambda on: switch(rds, lock, name, on)}, lock.guard)
    if plan.changed and module.params["wait"]:
        wanted = plan.after["auto_minor_version_upgrade"]
        waiters.Patience(module.params["wait_timeout"], lock.keep_alive).until(
            lambda: waiters.instance_sight(rds, name, lambda seen: seen["AutoMinorVersionUpgrade"] == wanted),
            f"instance {name} to take the change",
        )


def body(module):
    params, rds = module.params, module.client("rds")
    seen = api.describe_instance(rds, params["instance"])
    held = params["journal"]
    family = read(
        module.client("ec2"), held["migration"], state.vpc_of(seen) if seen else None, held["group_id"]
    )
    plan = make_plan(params, seen, family.events)
    findings = maintenance.findings(seen, utc_now(), params["hours"]) if seen and params["state"] == "held" else []
    if not module.check_mode:
        apply(module, rds, plan)
        seen = api.describe_instance(rds, params["instance"]) if plan.changed else seen
    return {
        **plan.result(),
        "instance": state.instance_document(seen) if seen else None,
        "findings": [finding.as_dict() for finding in findings],
    }


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "instance": {"type": "str", "required": True},
            "hours": {"type": "float", "default": 24},
            "journal": JOURNAL,
            **WAIT,
        },
    )


if __name__ == "__main__":
    main()
