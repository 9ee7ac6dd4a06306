# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aurora_replica_info
short_description: Look at an RDS instance, its Aurora replica and the lag between them
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Reads the source and the replica cluster and, when asked, CloudWatch's figures of their lag.
  - Says whether a promotion is done, and whether samples of CloudWatch prove that the replica has caught up.
  - Figures that CloudWatch doesn't have are null and never zero.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.aws
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  source:
    description: The identifier of the RDS for PostgreSQL instance.
    type: str
    required: true
  cluster:
    description: The identifier of the Aurora cluster.
    type: str
    required: true
  metrics:
    description: Whether to read the figures of CloudWatch.
    type: bool
    default: false
  metric_period:
    description: The period of a sample in seconds. RDS publishes one a minute.
    type: int
    default: 60
  metric_window:
    description: How far to look back for samples, in seconds. An idle source saw-tooths over 300 s.
    type: int
    default: 900
  events_since:
    description: Return events of the cluster since this moment (ISO 8601). AWS keeps them for 14 days.
    type: str
  drained_after:
    description:
      - The moment (ISO 8601) from which on nobody wrote to the source any more, usually
        RV(cloudpg.migration.rds_quiesce#module:fenced_at).
      - Judges by samples whose period began after it whether the replica has everything that was written before.
    type: str
seealso:
  - module: cloudpg.migration.aurora_replica
  - module: cloudpg.migration.aurora_replica_wait
"""

EXAMPLES = r"""
- name: See how far the replica is
  cloudpg.migration.aurora_replica_info:
    source: orders-rds
    cluster: orders-aurora
    metrics: true
  register: seen
"""

RETURN = r"""
source:
  description: The source, or null when there is none.
  type: dict
  returned: always
replicas:
  description: >-
    The cluster as M(cloudpg.migration.aurora_replica) returns it, or an empty list. A promoted one is listed as well.
  type: list
  elements: dict
  returned: always
phase:
  description: As M(cloudpg.migration.aurora_replica) returns it, for the cluster's first instance.
  type: str
  returned: always
promotion:
  description: Whether the promotion is C(done), and otherwise what it C(lacks).
  type: dict
  returned: always
metrics:
  description: >-
    The latest sample of each metric by name with C(value) (in bytes or seconds), C(unit), C(at) (the moment at which
    its period began) and C(age_seconds), or null where there is none.
  type: dict
  returned: when O(metrics) is true
events:
  description: Events of the cluster with C(at) and C(message), oldest first.
  type: list
  elements: dict
  returned: when O(events_since) was given
drain:
  description: Whether the catch-up is C(proven), the C(reason) for the answer, and the C(samples) it rests on.
  type: dict
  returned: when O(drained_after) was given
"""

from datetime import timedelta

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import api, metrics, state, waiters
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError


def moment(params, option):
    try:
        return state.moment_of(params[option]) if params[option] else None
    except ValueError as error:
        raise RdsError(f"{option}: {params[option]!r} is no moment. Cure: write it like 2026-01-31T12:00Z.") from error


def promotion(rds, cluster, now):
    if cluster is None:
        return {"done": False, "lacks": ["there is no cluster"]}
    lacks = (
        state.promotion_lacks(cluster, [], now) if state.is_replica(cluster)
        else waiters.promotion_lacks(rds, cluster, now)
    )
    return {"done": not lacks, "lacks": lacks}


def read_samples(module, source, members, since, now, names):
    """By metric; a side that isn't there has none."""
    cloudwatch = module.client("cloudwatch")
    sides = {name: source for name in metrics.ON_SOURCE}
    sides[metrics.REPLICA_LAG] = members[0] if members else None
    return {
        name: metrics.read(
            cloudwatch, name, sides[name]["DBInstanceIdentifier"], since, now, module.params["metric_period"]
        ) if sides[name] else []
        for name in names
    }


def body(module):
    params, rds, now = module.params, module.client("rds"), utc_now()
    since, fence = moment(params, "events_since"), moment(params, "drained_after")
    source, cluster = api.describe_instance(rds, params["source"]), api.describe_cluster(rds, params["cluster"])
    members = api.describe_members(rds, params["cluster"]) if cluster else []
    first = members[0]["DBInstanceIdentifier"] if members else ""
    result = {
        "changed": False,
        "source": state.instance_document(source) if source else None,
        "replicas": [state.cluster_document(cluster, members)] if cluster else [],
        "phase": state.phase(cluster, members, first),
        "promotion": promotion(rds, cluster, now),
    }
    if since:
        events = api.describe_events(rds, params["cluster"], since, now) if cluster else []
        result["events"] = [{"at": state.iso(event["Date"]), "message": event["Message"]} for event in events]
    if params["metrics"]:
        begin = now - timedelta(seconds=params["metric_window"])
        names = (metrics.REPLICA_LAG, *metrics.ON_SOURCE)
        found = read_samples(module, source, members, begin, now, names)
        result["metrics"] = {name: metrics.latest(name, found[name], now) for name in names}
    if fence:
        begin = max(fence, now - timedelta(seconds=params["metric_period"] * (metrics.MOST_DATAPOINTS - 1)))
        found = read_samples(module, source, members, begin, now, (metrics.REPLICA_LAG, metrics.SLOT_LAG))
        result["drain"] = metrics.drain(fence, found[metrics.REPLICA_LAG], found[metrics.SLOT_LAG])
    return result


def main():
    run(
        body,
        {
            "source": {"type": "str", "required": True},
            "cluster": {"type": "str", "required": True},
            "metrics": {"type": "bool", "default": False},
            "metric_period": {"type": "int", "default": 60},
            "metric_window": {"type": "int", "default": 900},
            "events_since": {"type": "str"},
            "drained_after": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
