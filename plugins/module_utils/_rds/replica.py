# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to happen to an Aurora replica: pure plans from what is there to what is wished for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._plan import Plan, Step
from . import state
from .api import ENGINE
from .errors import RdsError
from .state import MIGRATION_TAG, aws_tags, encrypted, is_replica, replicates, tags_of

Document = Mapping[str, Any]
# The journal's entry for a cluster that must never serve: its cutover was put back, or it is being removed.
DEAD = "target.dead"


@dataclass(frozen=True)
class Seen:
    """What is there, as AWS writes it."""

    source: Document | None = None
    cluster: Document | None = None
    members: Sequence[Document] = ()


@dataclass(frozen=True)
class Wish:
    """What is asked for. None leaves a thing alone, or to AWS's default where it is created."""

    migration: str
    source: str
    cluster: str
    instance: str
    instance_class: str | None = None
    engine_version: str | None = None
    security_group_ids: Sequence[str] | None = None
    cluster_parameter_group: str | None = None
    parameter_group: str | None = None
    kms_key_id: str | None = None
    storage_encrypted: bool | None = None
    tags: Mapping[str, str] | None = None
    purge_tags: bool = True
    deletion_protection: bool | None = None
    skip_final_snapshot: bool = False
    final_snapshot: str | None = None
    # False: plan only what can be done now, since nobody waits for the rest of it.
    whole: bool = True

    @property
    def all_tags(self) -> dict[str, str]:
        return {**(self.tags or {}), MIGRATION_TAG: self.migration}


def owner(cluster: Document) -> str | None:
    """The migration that made the cluster, by its tag."""
    return tags_of(cluster).get(MIGRATION_TAG)


def promoted(seen: Seen, wish: Wish) -> bool:
    """A cluster of this migration that has been promoted; while it is created it may not name its source yet."""
    cluster = seen.cluster
    return (
        cluster is not None and owner(cluster) == wish.migration and not is_replica(cluster)
        and cluster.get("Status") not in ("creating", "deleting")
    )


def check_belongs(seen: Seen, wish: Wish) -> None:
    """Raise RdsError for a cluster of that name which has nothing to do with this migration (R7)."""
    cluster = seen.cluster
    if cluster is None:
        return
    holder, follows = owner(cluster), cluster.get("ReplicationSourceIdentifier")
    if holder not in (None, wish.migration):
        raise RdsError(
            f"cluster {wish.cluster} belongs to the migration {holder} (tag {MIGRATION_TAG}), not to {wish.migration}. "
            "Cure: name another cluster."
        )
    if follows and not replicates(cluster, wish.source):
        raise RdsError(
            f"cluster {wish.cluster} replicates from {follows}, not from {wish.source}. Cure: name another cluster."
        )
    if not follows and holder is None:
        raise RdsError(
            f"cluster {wish.cluster} exists, is no replica of {wish.source} and was not made by the migration "
            f"{wish.migration}. Cure: name another cluster."
        )


def check_healthy(seen: Seen, wish: Wish) -> None:
    """Raise RdsError for a state out of which nothing leads by itself (R6)."""
    things = [(f"cluster {wish.cluster}", (seen.cluster or {}).get("Status"), state.CLUSTER_FAILURES)]
    things += [
        (f"instance {member['DBInstanceIdentifier']}", member.get("DBInstanceStatus"), state.INSTANCE_FAILURES)
        for member in seen.members
    ]
    for name, status, failures in things:
        if status in failures:
            raise RdsError(
                f"{name} is {status}: it will not become available by itself. Cure: read its events, then mend it, or "
                "remove it with state: absent and run again.",
                code=status,
            )


# Requests

def cluster_request(source: Document, wish: Wish, version: str) -> dict[str, Any]:
    """The CreateDBCluster of a replica: by the source's ARN, in its subnet group, encrypted as it is (R1, R4)."""
    secret = encrypted(source) or bool(wish.kms_key_id) if wish.storage_encrypted is None else wish.storage_encrypted
    if wish.kms_key_id and not secret:
        raise RdsError(
            "storage_encrypted is false, but kms_key_id is given. Cure: leave one of them out."
        )
    if encrypted(source) and not secret:
        raise RdsError(
            f"storage_encrypted is false, but {wish.source} is encrypted: a replica of it must be, too (R4). "
            "Cure: leave storage_encrypted out."
        )
    elsewhere, here = state.region_of(wish.kms_key_id), state.region_of(source["DBInstanceArn"])
    if elsewhere and elsewhere != here:
        raise RdsError(
            f"kms_key_id {wish.kms_key_id} is a key of {elsewhere}, and the replica is made in {here} (R4). "
            f"Cure: name a key of {here}."
        )
    request = {
        "DBClusterIdentifier": wish.cluster,
        "Engine": ENGINE,
        "EngineVersion": version,
        "ReplicationSourceIdentifier": source["DBInstanceArn"],
        "DBSubnetGroupName": (source.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
        "VpcSecurityGroupIds": list(wish.security_group_ids or []),
        "DBClusterParameterGroupName": wish.cluster_parameter_group,
        "KmsKeyId": (wish.kms_key_id or source.get("KmsKeyId")) if secret else None,
        "DeletionProtection": wish.deletion_protection,
        "Tags": aws_tags(wish.all_tags),
    }
    if secret:
        request["StorageEncrypted"] = True
    return {name: value for name, value in request.items() if value not in (None, [])}


def instance_request(wish: Wish) -> dict[str, Any]:
    """The CreateDBInstance of its one instance; version, groups and encryption are the cluster's (R2)."""
    if not wish.instance_class:
        raise RdsError("instance_class is needed to create the instance. Cure: give it, e.g. db.r6g.large.")
    request = {
        "DBInstanceIdentifier": wish.instance,
        "DBInstanceClass": wish.instance_class,
        "Engine": ENGINE,
        "DBClusterIdentifier": wish.cluster,
        "DBParameterGroupName": wish.parameter_group,
        "Tags": aws_tags(wish.all_tags),
    }
    return {name: value for name, value in request.items() if value is not None}


# Plans

def summary(seen: Seen) -> dict[str, Any]:
    """The part of what is there that plans speak about; for the diff."""
    cluster = seen.cluster
    if cluster is None:
        return {"cluster": None, "instances": []}
    return {
        "cluster": {
            "identifier": cluster["DBClusterIdentifier"],
            "engine_version": cluster.get("EngineVersion"),
            "replication_source": cluster.get("ReplicationSourceIdentifier") or None,
            "deletion_protection": bool(cluster.get("DeletionProtection")),
            "tags": tags_of(cluster),
        },
        "instances": [member["DBInstanceIdentifier"] for member in seen.members],
    }


@dataclass
class Draft:
    """A plan in the making: each step also says what it does to the picture."""

    before: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.after = {**self.before, "instances": list(self.before["instances"])}

    def add(self, op: str, sentence: str, **args: Any) -> None:
        self.steps.append(Step(op, sentence, args))

    def cluster(self, **changes: Any) -> None:
        self.after["cluster"] = {**(self.after["cluster"] or {}), **changes}

    def plan(self) -> Plan:
        return Plan(tuple(self.steps), self.before, self.after)


def plan_present(seen: Seen, wish: Wish, version: str | None) -> Plan:
    """To a replica with its instance. ``version`` is that of a cluster which is yet to be made."""
    check_belongs(seen, wish)
    draft = Draft(summary(seen))
    if promoted(seen, wish):
        return draft.plan()
    check_healthy(seen, wish)
    if seen.cluster is None:
        request = cluster_request(seen.source, wish, version)
        draft.add("create_cluster", f"create cluster {wish.cluster} ({ENGINE} {version}) as a replica of {wish.source}",
                  request=request)
        draft.cluster(
            identifier=wish.cluster, engine_version=version, replication_source=request["ReplicationSourceIdentifier"],
            deletion_protection=bool(wish.deletion_protection), tags=wish.all_tags,
        )
    else:
        _converge(draft, seen.cluster, wish)
    if not any(member["DBInstanceIdentifier"] == wish.instance for member in seen.members):
        request = instance_request(wish)
        if wish.whole or (seen.cluster or {}).get("Status") == "available":
            draft.add("create_instance", f"create instance {wish.instance} ({wish.instance_class}) in {wish.cluster}",
                      request=request)
            draft.after["instances"].append(wish.instance)
    return draft.plan()


def _converge(draft: Draft, cluster: Document, wish: Wish) -> None:
    present = tags_of(cluster)
    wanted = wish.all_tags
    missing = {key: value for key, value in wanted.items() if present.get(key) != value}
    surplus = [
        key for key in present
        if wish.tags is not None and wish.purge_tags and key not in wanted and not key.startswith("aws:")
    ]
    kept = {key: value for key, value in present.items() if key not in surplus}
    if missing:
        draft.add("tag", f"set tags {', '.join(sorted(missing))} of cluster {wish.cluster}",
                  arn=cluster["DBClusterArn"], tags=missing)
    if surplus:
        draft.add("untag", f"remove tags {', '.join(sorted(surplus))} of cluster {wish.cluster}",
                  arn=cluster["DBClusterArn"], keys=surplus)
    draft.cluster(tags={**kept, **missing})
    protect(draft, cluster, wish)


def protect(draft: Draft, cluster: Document, wish: Wish) -> None:
    """To the deletion protection that is asked for."""
    asked = wish.deletion_protection
    if asked is not None and asked != bool(cluster.get("DeletionProtection")):
        draft.add("protect", f"turn deletion protection of cluster {wish.cluster} {'on' if asked else 'off'}",
                  identifier=wish.cluster, on=asked)
        draft.cluster(deletion_protection=asked)


def plan_promoted(seen: Seen, wish: Wish, *, may_be_missing: bool = False) -> Plan:
    """To a cluster of its own. ``may_be_missing`` is check mode: what an earlier task would have made isn't there."""
    check_belongs(seen, wish)
    draft = Draft(summary(seen))
    if promoted(seen, wish) or (seen.cluster or {}).get("Status") == "promoting":
        return draft.plan()
    if seen.cluster is None and not may_be_missing:
        raise RdsError(
            f"cluster {wish.cluster} doesn't exist: there is nothing to promote. Cure: make it with state: present."
        )
    check_healthy(seen, wish)
    if seen.cluster is not None and not seen.members and not may_be_missing:
        raise RdsError(
            f"cluster {wish.cluster} has no instance yet, so it cannot be promoted (R2). Cure: state: present first."
        )
    draft.add("promote", f"promote cluster {wish.cluster} to a cluster of its own", identifier=wish.cluster)
    draft.cluster(replication_source=None)
    return draft.plan()


def document(seen: Seen) -> dict[str, Any] | None:
    """The cluster that is there, as our modules return it."""
    return state.cluster_document(seen.cluster, seen.members) if seen.cluster else None


def predicted(seen: Seen, plan: Plan, wish: Wish) -> dict[str, Any] | None:
    """The cluster as it would be after the plan; what is not there yet has null endpoints."""
    after = plan.after["cluster"]
    if after is None:
        return None
    requests = {step.op: step.args["request"] for step in plan.steps if "request" in step.args}
    cluster = {
        "DBClusterIdentifier": wish.cluster,
        **(seen.cluster or {}),
        **{name: value for name, value in requests.get("create_cluster", {}).items() if name != "VpcSecurityGroupIds"},
        "TagList": aws_tags(after.get("tags") or {}),
        "ReplicationSourceIdentifier": after.get("replication_source"),
        "DeletionProtection": after.get("deletion_protection"),
    }
    members = [*seen.members, *([requests["create_instance"]] if "create_instance" in requests else [])]
    return {**state.cluster_document(cluster, members), "predicted": True}
