# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replica_preflight_info
short_description: What stands in the way of a migration by Aurora replica
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Looks at the RDS instance, at what hangs on it and at where the Aurora replica is to be, and changes nothing.
  - A blocker stops the migration; a warning is something to know, or to make again at the target.
  - Optional calls (alarms, proxies, parameters, metrics) which are refused give a warning; all others fail the module.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.aws
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  source:
    description: The RDS instance.
    type: str
    required: true
  cluster:
    description: The Aurora cluster to be.
    type: str
    required: true
  instance:
    description: The cluster's instance to be, C(<cluster>-1) when left out.
    type: str
  instance_class:
    description: The class of that instance.
    type: str
    required: true
  engine_version:
    description: The version of Aurora; left out, the lowest that AWS allows for the source.
    type: str
  migration:
    description: The name of the migration. What it has made already is no hindrance.
    type: str
    required: true
  kms_key_id:
    description: The KMS key that is to encrypt the target. Empty means that of the source.
    type: str
  security_group_ids:
    description: The security groups the target gets when it is opened. Empty means those of the source.
    type: list
    elements: str
    default: []
  max_outage:
    description: Seconds the outage may last; 0 is not set.
    type: int
    default: 0
  build_hours:
    description: Hours the replica may take to build, for which the source has to have room for WAL.
    type: float
    default: 24
  server:
    description:
      - What M(cloudpg.migration.pg_server_info) returned for the source.
      - Without it nobody looked inside, which is a blocker that can be acknowledged.
    type: dict
seealso:
  - module: cloudpg.migration.report_findings
"""

EXAMPLES = r"""
- name: Look inside the source
  cloudpg.migration.pg_server_info:
    server: {host: orders.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
  register: inside

- name: See what stands in the way
  cloudpg.migration.replica_preflight_info:
    migration: orders
    source: orders-rds
    cluster: orders-aurora
    instance_class: db.r6g.large
    max_outage: 120
    server: "{{ inside.server }}"
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
      description: What it is about.
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
engine_version:
  description: The version of Aurora that would be made; null when there is none.
  type: str
  returned: always
source:
  description: The instance, or null when there is none of that name.
  type: dict
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import state
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.preflight import checks, work


def body(module):
    clients = (module.client(service) for service in ("rds", "ec2", "cloudwatch"))
    facts = work.gather(*clients, module.params, utc_now())
    return {
        "changed": False,
        "findings": [finding.as_dict() for finding in checks.findings(facts)],
        "engine_version": facts.version,
        "source": state.instance_document(facts.source) if facts.source else None,
    }


def main():
    run(
        body,
        {
            "source": {"type": "str", "required": True},
            "cluster": {"type": "str", "required": True},
            "instance": {"type": "str"},
            "instance_class": {"type": "str", "required": True},
            "engine_version": {"type": "str"},
            "kms_key_id": {"type": "str"},
            "migration": {"type": "str", "required": True},
            "security_group_ids": {"type": "list", "elements": "str", "default": []},
            "max_outage": {"type": "int", "default": 0},
            "build_hours": {"type": "float", "default": 24},
            "server": {"type": "dict"},
        },
    )


if __name__ == "__main__":
    main()
