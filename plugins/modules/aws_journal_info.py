# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_journal_info
short_description: Read the lock and the journal of a migration on AWS
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Says who holds a migration, until when, and what was changed for its sake.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.aws
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  migration:
    description: The name of the migration.
    type: str
    required: true
  instance:
    description:
      - An RDS instance in the VPC where the migration is kept, usually the source.
      - When neither it nor O(vpc_id) leads to a VPC, the name of the migration must be in use in one VPC only.
    type: str
  cluster:
    description: An Aurora cluster whose VPC is taken when O(instance) isn't given or is no longer there.
    type: str
  vpc_id:
    description: The VPC itself.
    type: str
seealso:
  - module: cloudpg.migration.aws_journal
"""

EXAMPLES = r"""
- name: See who holds the migration
  cloudpg.migration.aws_journal_info:
    migration: orders
    instance: orders-rds
  register: known
"""

RETURN = r"""
journals:
  description: The journal, or an empty list when the migration has none.
  type: list
  elements: dict
  returned: always
  contains:
    migration:
      description: The name of the migration.
      type: str
    generation:
      description: The newest generation.
      type: int
    holder:
      description: Who holds it; null when it was given back.
      type: str
    since:
      description: Since when (ISO 8601).
      type: str
    until:
      description: Until when the lease runs.
      type: str
    lapsed:
      description: Whether nobody holds it, because it was given back or the lease ran out.
      type: bool
    group_id:
      description: The newest security group.
      type: str
    group_ids:
      description: All of them, oldest first.
      type: list
      elements: str
    events:
      description: The journal by id, each entry with C(object), C(was), C(now), C(at) and C(by).
      type: dict
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal, journal_work


def body(module):
    vpc_id = journal_work.place(module.client("rds"), module.params)
    family = journal.read(module.client("ec2"), module.params["migration"], vpc_id)
    return {"changed": False, "journals": journal_work.journals(family, utc_now())}


def main():
    run(
        body,
        {
            "migration": {"type": "str", "required": True},
            "instance": {"type": "str"},
            "cluster": {"type": "str"},
            "vpc_id": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
