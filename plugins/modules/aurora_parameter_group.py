# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aurora_parameter_group
short_description: Translate the parameters of an RDS instance into Aurora's parameter groups
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes a cluster parameter group and an instance parameter group which say on Aurora what somebody has set on the RDS
    instance. Parameter groups don't travel with a replica.
  - A parameter that Aurora lets the cluster have goes into the cluster's group, else into the instance's. What Aurora
    doesn't have or doesn't allow is reported.
  - Values that were made for RDS's memory are reported and not carried.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.aws
  - cloudpg.migration.journal
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  state:
    description:
      - V(present) makes the two groups say exactly what was translated and asked for.
        Anything else that was set in them goes back to Aurora's default.
      - V(absent) deletes them. A group that the migration didn't make stays.
    type: str
    choices: [present, absent]
    default: present
  source:
    description: The RDS instance to translate from. Required with O(state=present).
    type: str
  engine_version:
    description: The version of Aurora the groups are for. Left out, the major of O(source) counts.
    type: str
  family:
    description: The family of the groups, when O(engine_version) isn't given.
    type: str
  cluster_group:
    description: The name of the cluster's group.
    type: str
    required: true
  instance_group:
    description: The name of the instance's group.
    type: str
    required: true
  extra_cluster_parameters:
    description: Parameters of the cluster that have the last word over the translation.
    type: dict
    default: {}
  extra_instance_parameters:
    description: Parameters of the instance that have the last word over the translation.
    type: dict
    default: {}
  exclude:
    description: Parameters of the source not to translate.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of the groups, beside the migration's own. Left out, tags are left alone.
    type: dict
  purge_tags:
    description: Whether to remove tags that aren't in O(tags).
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Translate the source's parameters
  cloudpg.migration.aurora_parameter_group:
    source: orders-rds
    cluster_group: orders-cluster
    instance_group: orders-instance
    extra_cluster_parameters:
      rds.logical_replication: "1"
    journal: "{{ lock.journal }}"

- name: Remove them
  cloudpg.migration.aurora_parameter_group:
    state: absent
    cluster_group: orders-cluster
    instance_group: orders-instance
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
cluster_parameters:
  description: What the cluster's group says, beside Aurora's defaults.
  type: dict
  returned: state is present
instance_parameters:
  description: What the instance's group says, beside Aurora's defaults.
  type: dict
  returned: state is present
not_on_aurora:
  description: What was set on the source and can't be on Aurora, with C(name), C(value) and C(reason).
  type: list
  elements: dict
  returned: state is present
skipped:
  description: What was set on the source and is Aurora's default already.
  type: list
  elements: dict
  returned: state is present
review:
  description: What somebody should look at, with C(name), C(value), C(reason) and whether it was C(carried) over.
  type: list
  elements: dict
  returned: state is present
family:
  description: The family of the groups.
  type: str
  returned: state is present
not_in_force:
  description:
    - Instances on which a group is written but not in force, with C(instance), C(group) and C(status).
    - They need a reboot.
  type: list
  elements: dict
  returned: state is present
cluster_group:
  description: The name of the cluster's group.
  type: str
  returned: always
instance_group:
  description: The name of the instance's group.
  type: str
  returned: always
predicted:
  description: Whether this is what would be, and not what is.
  type: bool
  returned: always
kept:
  description: Groups which the migration didn't make and which therefore stay.
  type: list
  elements: str
  returned: state is absent
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import JOURNAL, run
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import (
    api, parameter_groups, parameter_work, parameters
)
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Lock

LEVELS = (parameters.CLUSTER, parameters.INSTANCE)


def read_both(rds, params):
    for level in LEVELS:
        parameter_groups.check_name(f"{level}_group", params[f"{level}_group"])
    return [parameter_work.read(rds, level, params[f"{level}_group"]) for level in LEVELS]


def present(rds, params):
    source = api.describe_instance(rds, params["source"])
    if source is None:
        raise RdsError(f"source: there is no instance {params['source']} in this Region. Cure: name the RDS instance.")
    family = parameter_groups.family_of(source["EngineVersion"], params["engine_version"], params["family"])
    defaults = parameter_work.defaults_of(rds, family)
    translation = parameters.with_extras(
        parameters.translate(parameter_work.source_values(rds, source), defaults, params["exclude"]), defaults,
        params["extra_cluster_parameters"], params["extra_instance_parameters"],
    )
    wishes = [
        parameter_groups.Wish(
            level, params[f"{level}_group"].lower(), family, getattr(translation, level), params["tags"],
            params["purge_tags"],
        )
        for level in LEVELS
    ]
    plan = parameter_groups.plan_present(read_both(rds, params), wishes, params["journal"]["migration"], defaults)
    return plan, {
        "cluster_parameters": translation.cluster, "instance_parameters": translation.instance, "family": family,
        **{name: list(getattr(translation, name)) for name in ("not_on_aurora", "skipped", "review")},
    }


def absent(rds, params):
    plan, kept = parameter_groups.plan_absent(read_both(rds, params), params["journal"]["migration"])
    return plan, {"kept": kept}


def apply(module, rds, plan):
    if plan.changed:
        lock = Lock(module.client("ec2"), module.params["journal"])
        carry_out(plan, parameter_work.operations(lock.cover(rds)), lock.guard)


def body(module):
    params, rds = module.params, module.client("rds")
    plan, told = (present if params["state"] == "present" else absent)(rds, params)
    if not module.check_mode:
        apply(module, rds, plan)
    names = {f"{level}_group": params[f"{level}_group"].lower() for level in LEVELS}
    if params["state"] == "present":
        told["not_in_force"] = parameter_groups.not_in_force(
            **names, clusters=api.describe_clusters(rds), instances=api.describe_instances(rds)
        )
    return {**plan.result(), **names, **told, "predicted": module.check_mode and plan.changed}


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "source": {"type": "str"},
            "engine_version": {"type": "str"},
            "family": {"type": "str"},
            "cluster_group": {"type": "str", "required": True},
            "instance_group": {"type": "str", "required": True},
            "extra_cluster_parameters": {"type": "dict", "default": {}},
            "extra_instance_parameters": {"type": "dict", "default": {}},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
            "journal": JOURNAL,
        },
        required_if=[("state", "present", ["source"])],
    )


if __name__ == "__main__":
    main()
