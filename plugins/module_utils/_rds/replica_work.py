# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out the plans for an Aurora replica."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .._errors import WaitTimeout
from . import api, state, waiters
from .errors import RdsError
from .journal import Lock
from .quiesce import FENCED
from .replica import DEAD, Seen, Wish, promoted
from .waiters import Patience, Sight

PROMOTION = "target.promotion"
# How long AWS may take to show that a promotion, which it says is under way, has begun.
SETTLING = 20.0


def observe(rds: Any, wish: Wish) -> Seen:
    """Read source, cluster and its instances."""
    cluster = api.describe_cluster(rds, wish.cluster)
    return Seen(
        source=api.describe_instance(rds, wish.source),
        cluster=cluster,
        members=tuple(api.describe_members(rds, wish.cluster)) if cluster else (),
    )


def choose_version(rds: Any, source: dict[str, Any], wish: Wish) -> str:
    """The version of a new cluster: the one asked for, else the lowest allowed; with it the class (R5)."""
    allowed = state.allowed_versions(source["EngineVersion"], api.describe_versions(rds))
    version = wish.engine_version or (allowed[0] if allowed else None)
    if version not in allowed:
        raise RdsError(
            f"engine_version {version or 'left out'}: {wish.source} ({source['EngineVersion']}) cannot be replicated "
            f"to it. Cure: one of {', '.join(allowed) or 'none that AWS offers; upgrade the source first'} (R5)."
        )
    if wish.instance_class and not api.describe_orderable(rds, version, wish.instance_class):
        raise RdsError(
            f"instance_class {wish.instance_class} is not offered for {api.ENGINE} {version} in this Region (R5). "
            "Cure: another class (aws rds describe-orderable-db-instance-options)."
        )
    return version


@dataclass(frozen=True)
class Work:
    """The operations that the steps of a plan name."""

    rds: Any
    wish: Wish
    lock: Lock
    patience: Patience
    now: Callable[[], datetime]

    def operations(self) -> dict[str, Callable[..., None]]:
        return {
            "create_cluster": self.create_cluster,
            "create_instance": self.create_instance,
            "tag": lambda arn, tags: api.add_tags(self.rds, arn, tags),
            "untag": lambda arn, keys: api.remove_tags(self.rds, arn, keys),
            "protect": lambda identifier, on: api.modify_cluster(self.rds, identifier, DeletionProtection=on),
            "promote": self.promote,
        }

    def create_cluster(self, request: dict[str, Any]) -> None:
        """A new cluster isn't the one that had its name before, and was written down as dead."""
        dead = self.lock.events().get(DEAD)
        if dead and dead.now:
            self.lock.record(DEAD, dead.object, False, False)
        api.create_cluster(self.rds, **_named(request, "DBClusterIdentifier"))

    def create_instance(self, request: dict[str, Any]) -> None:
        """Once the cluster is available, and the lock is still ours then (R2)."""
        waiters.cluster_available(self.rds, self.wish.cluster, self.patience)
        self.lock.guard()
        api.create_instance(self.rds, **_named(request, "DBInstanceIdentifier"))

    def promote(self, identifier: str) -> None:
        """A refusal is no failure when a call whose answer was lost has begun the promotion already (R16).

        The journal has the fence behind which it was asked for: behind another one, or none, the copy isn't whole.
        """
        fence = self.lock.events().get(FENCED)
        self.lock.record(PROMOTION, identifier, None, fence.now if fence else None)
        try:
            api.promote_cluster(self.rds, identifier)
        except RdsError as error:
            if error.code not in api.BAD_STATE or not self._has_begun(identifier):
                raise

    def _has_begun(self, identifier: str) -> bool:
        def look() -> Sight:
            cluster = api.describe_cluster(self.rds, identifier) or {}
            status = cluster.get("Status")
            return Sight(status != "available" or not state.is_replica(cluster), f"{identifier} is {status}", cluster)

        try:
            cluster = replace(self.patience, timeout=SETTLING).until(look, f"the promotion of {identifier} to begin")
        except WaitTimeout:
            return False
        return cluster.get("Status") == "promoting" or not state.is_replica(cluster)

    def await_present(self, seen: Seen) -> None:
        """Until cluster and instance are available; a cluster that was promoted meanwhile is left in peace."""
        if promoted(seen, self.wish):
            return
        waiters.cluster_available(self.rds, self.wish.cluster, self.patience)
        waiters.instance_available(self.rds, self.wish.instance, self.patience)

    def await_promoted(self, seen: Seen) -> None:
        waiters.promoted(self.rds, self.wish.cluster, self.now, self.patience)


def _named(request: dict[str, Any], key: str) -> dict[str, Any]:
    """A request with its identifier as the functions of ``api`` take it."""
    return {"identifier": request[key], **{name: value for name, value in request.items() if name != key}}
