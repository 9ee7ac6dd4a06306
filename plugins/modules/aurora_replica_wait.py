# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aurora_replica_wait
short_description: Wait for an Aurora replica, and say how far it is
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Polls M(cloudpg.migration.aurora_replica_info), prints a line whenever something changes and every 30 seconds
    otherwise, and renews the lease of the migration meanwhile.
  - A state that leads nowhere (V(failed), V(storage-full), ...) ends the wait at once.
  - This is an action; C(async) doesn't work with it. When the output goes to a pipe, set E(PYTHONUNBUFFERED) to V(1).
  - All options of M(cloudpg.migration.aurora_replica_info) that say how to reach AWS may be given as well.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.waiting
  - cloudpg.migration.aws
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  until:
    description:
      - V(cluster_available) waits for the cluster, V(created) for its instance as well.
      - V(in_step) waits until the lag is at most O(max_lag_seconds), by a sample that is not older than three periods.
      - V(drained) waits until samples that began after O(after) prove that everything is replayed.
      - V(promoted) waits until the promotion is done and its event was seen.
    type: str
    choices: [cluster_available, created, in_step, drained, promoted]
    required: true
  source:
    description: The identifier of the RDS for PostgreSQL instance.
    type: str
    required: true
  cluster:
    description: The identifier of the Aurora cluster.
    type: str
    required: true
  max_lag_seconds:
    description: The lag to wait for. An idle source saw-tooths up to 300 s.
    type: float
    default: 300
  after:
    description: The moment (ISO 8601) since which nobody writes to the source. Needed for O(until=drained).
    type: str
  metric_period:
    description: The period of a sample in seconds.
    type: int
    default: 60
  wait_timeout:
    description: How long to wait, in seconds. The last state is returned when it is not enough.
    type: int
    default: 1800
  journal:
    description: The lock whose lease is renewed while waiting, as M(cloudpg.migration.aws_journal) returned it.
    type: dict
    suboptions:
      migration:
        description: The name of the migration.
        type: str
        required: true
      generation:
        description: The generation of the lock.
        type: int
      holder:
        description: Who holds it.
        type: str
      group_id:
        description: The security group.
        type: str
seealso:
  - module: cloudpg.migration.aurora_replica_info
"""

EXAMPLES = r"""
- name: Wait until the replica is in step
  cloudpg.migration.aurora_replica_wait:
    until: in_step
    source: orders-rds
    cluster: orders-aurora
    max_lag_seconds: 300
    journal: "{{ lock.journal }}"
    wait_timeout: 86400
"""

RETURN = r"""
state:
  description: The last result of M(cloudpg.migration.aurora_replica_info); null in check mode.
  type: dict
  returned: always
elapsed:
  description: How long it took, in seconds.
  type: float
  returned: when not in check mode
msg:
  description: The last line that was printed.
  type: str
  returned: always
"""
