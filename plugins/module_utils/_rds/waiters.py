# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for AWS: our own loop, which names the states that lead nowhere and keeps the lease alive (R6)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from .._patience import Patience, Sight
from . import api, state
from .errors import RdsError

# An instance works, and takes changes, while its storage is being optimised; that may last for hours.
READY = frozenset({"available", "storage-optimization"})


def living(kind: str, identifier: str, document: dict[str, Any] | None, failures: Collection[str]) -> str:
    """The status of a thing that has to be there and on its way; RdsError when it is not (R6)."""
    if document is None:
        raise RdsError(f"{kind} {identifier} is gone. Cure: find out in CloudTrail who deleted it.", code="gone")
    status = document.get("Status") or document.get("DBInstanceStatus") or "unknown"
    if status in failures:
        raise RdsError(
            f"{kind} {identifier} is {status}: it will not become available by itself. "
            f"Cure: read its events (aws rds describe-events), mend or delete it, then run again.",
            code=status,
        )
    return status


def cluster_sight(rds: Any, identifier: str, done: Callable[[dict[str, Any]], bool] = lambda cluster: True) -> Sight:
    """One look at a cluster that is to be available and ``done``."""
    cluster = api.describe_cluster(rds, identifier)
    status = living("cluster", identifier, cluster, state.CLUSTER_FAILURES)
    return Sight(status == "available" and done(cluster), f"cluster {identifier} is {status}", cluster)


def instance_sight(rds: Any, identifier: str, done: Callable[[dict[str, Any]], bool] = lambda instance: True) -> Sight:
    """One look at an instance that is to be available and ``done``."""
    instance = api.describe_instance(rds, identifier)
    status = living("instance", identifier, instance, state.INSTANCE_FAILURES)
    return Sight(status in READY and done(instance), f"instance {identifier} is {status}", instance)


def cluster_available(rds: Any, identifier: str, patience: Patience) -> dict[str, Any]:
    return patience.until(lambda: cluster_sight(rds, identifier), f"cluster {identifier} to be available")


def instance_available(rds: Any, identifier: str, patience: Patience) -> dict[str, Any]:
    return patience.until(lambda: instance_sight(rds, identifier), f"instance {identifier} to be available")


def promoted(rds: Any, identifier: str, now: Callable[[], datetime], patience: Patience) -> dict[str, Any]:
    """Until nothing of a promotion is lacking (R16); returns the cluster. One that AWS gave up is an error at once."""
    begun = False

    def look() -> Sight:
        nonlocal begun
        cluster = api.describe_cluster(rds, identifier)
        status = living("cluster", identifier, cluster, state.CLUSTER_FAILURES)
        if begun and status == "available" and state.is_replica(cluster):
            raise RdsError(
                f"cluster {identifier} is a replica again: AWS gave its promotion up. Cure: read its events, mend what "
                "they name, then run again.",
                code="promotion_failed",
            )
        begun = begun or status == "promoting"
        lacks = promotion_lacks(rds, cluster, now())
        return Sight(not lacks, f"cluster {identifier}: {', '.join(lacks)}", cluster)

    return patience.until(look, f"cluster {identifier} to be promoted")


def promotion_lacks(rds: Any, cluster: dict[str, Any], now: datetime) -> list[str]:
    """What the promotion of this cluster lacks, by its state and the events since it was made (R16)."""
    born = cluster.get("ClusterCreateTime") or now - state.EVENT_HISTORY
    events = api.describe_events(rds, cluster["DBClusterIdentifier"], born, now)
    return state.promotion_lacks(cluster, events, now)


def gone(describe: Callable[[], dict[str, Any] | None], name: str, patience: Patience) -> None:
    """Until a thing that is being deleted is no longer there."""

    def look() -> Sight:
        document = describe()
        status = (document or {}).get("Status") or (document or {}).get("DBInstanceStatus")
        return Sight(document is None, f"{name} is {status}")

    patience.until(look, f"{name} to be gone")
