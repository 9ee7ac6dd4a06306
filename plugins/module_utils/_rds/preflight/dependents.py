# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hangs on the source and doesn't travel with a physical copy (R10), and what has to be kept an eye on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..._findings import Finding, warning
from .. import metrics
from ..state import tags_of
from .facts import Document, Facts

# Free space below this part of the storage is little, whatever the growth.
LITTLE = 0.1
GIB = 1024 ** 3
# CloudWatch publishes every minute; what is older than this says nothing about now.
FRESH = timedelta(minutes=30)


@dataclass(frozen=True)
class Dependent:
    """Something of the source that has to be made again. ``look`` returns what is there, or something false."""

    id: str
    look: Callable[[Document], Any]
    reason: str
    cure: str
    fact: str = "R10"


def _option_groups(source: Document) -> str:
    names = [group["OptionGroupName"] for group in source.get("OptionGroupMemberships", [])]
    return ", ".join(name for name in names if not name.startswith("default:"))


def _local_replicas(source: Document) -> str:
    names = source.get("ReadReplicaDBInstanceIdentifiers", [])
    return ", ".join(name for name in names if not name.startswith("arn:"))


def _roles(source: Document) -> str:
    return ", ".join(
        f"{role.get('RoleArn', '').rsplit('/', 1)[-1]} ({role.get('FeatureName')})"
        for role in source.get("AssociatedRoles", [])
    )


DEPENDENTS = (
    Dependent("role-associations", _roles, "IAM roles stay behind", "add them to the cluster (AddRoleToDBCluster)"),
    Dependent("option-group", _option_groups, "Aurora has no option groups", "see what its options did"),
    Dependent("read-replicas", _local_replicas, "replicas go on following the old side",
              "add readers to the cluster after the cutover", "R8"),
    Dependent("managed-secret", lambda source: (source.get("MasterUserSecret") or {}).get("SecretArn"),
              "the managed password and its rotation stay behind", "turn them on for the cluster after the cutover"),
    Dependent("enhanced-monitoring", lambda source: source.get("MonitoringInterval"),
              "enhanced monitoring stays behind", "turn it on for the target"),
    Dependent("performance-insights", lambda source: source.get("PerformanceInsightsEnabled"),
              "Performance Insights stay behind", "turn them on for the target"),
    Dependent("log-exports", lambda source: ", ".join(source.get("EnabledCloudwatchLogsExports", [])),
              "log exports stay behind", "turn them on for the cluster"),
    Dependent("iam-authentication", lambda source: source.get("IAMDatabaseAuthenticationEnabled"),
              "login by IAM token stays behind", "turn it on for the cluster before clients need it"),
    Dependent("domain", lambda source: ", ".join(one.get("Domain", "") for one in source.get("DomainMemberships", [])),
              "the directory membership stays behind", "join the cluster to the directory"),
    Dependent("deletion-protection", lambda source: source.get("DeletionProtection"),
              "protection from deletion stays behind", "turn it on for the cluster after the cutover"),
    Dependent("multi-az", lambda source: source.get("MultiAZ"), "the target is a single instance until it is promoted",
              "add a reader after the cutover", "R8"),
    Dependent("tags", lambda source: ", ".join(sorted(key for key in tags_of(source) if not key.startswith("aws:"))),
              "tags stay behind", "give them in replica_tags"),
)


def dependents(facts: Facts) -> Iterator[Finding]:
    for one in DEPENDENTS:
        there = one.look(facts.source)
        if there:
            said = "" if there is True else f": {there}"
            yield warning(one.id, facts.source_name, f"{one.reason}{said}", one.cure, one.fact)


def alarms(facts: Facts) -> Iterator[Finding]:
    if facts.alarms:
        yield warning(
            "alarms", facts.source_name, f"alarms watch the old instance only: {', '.join(facts.alarms[:10])}",
            "make them for the target as well", "R10",
        )


def proxies(facts: Facts) -> Iterator[Finding]:
    for name in facts.proxies or ():
        yield warning(
            "rds-proxy", name, f"it leads clients to {facts.source_name} and is no kind of traffic that is switched",
            "register the cluster as its target at the cutover, with a hook", "R10",
        )


def unasked(facts: Facts) -> Iterator[Finding]:
    for subject, why in sorted(facts.unknown.items()):
        yield warning(f"{subject}-unknown", facts.source_name, why, "allow the call, or look yourself", "R10")


def parameters(facts: Facts) -> Iterator[Finding]:
    if facts.parameters is None:
        return
    for row in facts.parameters.not_on_aurora:
        yield warning(
            "parameter-not-on-aurora", row["name"], f"it is {row['value']} on the source; {row['reason']}",
            "see whether Aurora needs something instead", "R26",
        )
    for row in facts.parameters.review:
        done = "carried over" if row["carried"] else "not carried over"
        yield warning(
            "parameter-review", row["name"], f"it is {row['value']} on the source and {done}: {row['reason']}",
            "set what the target is to have in replica_cluster_parameters", "R26",
        )


def storage(facts: Facts) -> Iterator[Finding]:
    """The slot of the replica keeps WAL on the source for as long as the replica is built (R12: missing isn't zero)."""
    free, log = (_fresh(facts, name) for name in (metrics.FREE_SPACE, metrics.LOG_SIZE))
    if not free:
        yield warning(
            "free-storage-unknown", facts.source_name,
            f"CloudWatch has no recent {metrics.FREE_SPACE}: it isn't known to suffice",
            "look at the free storage yourself", "R12",
        )
        return
    left, size = free[-1].low, facts.source.get("AllocatedStorage", 0) * GIB
    if left < size * LITTLE:
        yield warning(
            "free-storage-low", facts.source_name, f"{left / GIB:.1f} of {size / GIB:.0f} GiB are free",
            "enlarge its storage: WAL is kept while the replica is built", "R12",
        )
    if not log:
        yield warning(
            "wal-growth-unknown", facts.source_name,
            f"CloudWatch has no recent {metrics.LOG_SIZE}: its growth isn't known",
            "watch the free storage while the replica is built", "R12",
        )
        return
    speed = max(growth(_fresh(facts, name)) for name in (metrics.LOG_SIZE, metrics.SLOT_LAG))
    if speed > 0 and left / speed < facts.build_hours * 3600:
        yield warning(
            "storage-fills", facts.source_name,
            f"WAL grows by {speed * 3600 / GIB:.2f} GiB an hour: the storage is full in {left / speed / 3600:.1f} h",
            f"enlarge the storage, or find what keeps WAL (building may take {facts.build_hours:g} h)", "R12",
        )


def _fresh(facts: Facts, name: str) -> Sequence[metrics.Sample]:
    """The samples of a metric, or none when the last one is too old to tell anything about now."""
    samples = facts.samples.get(name) or ()
    return samples if samples and facts.now - samples[-1].at <= FRESH else ()


def growth(samples: Sequence[metrics.Sample]) -> float:
    """Bytes a second between the first and the last sample; 0 for less than two, or when it shrank."""
    if len(samples) < 2:
        return 0.0
    seconds = (samples[-1].at - samples[0].at).total_seconds()
    return max(0.0, (samples[-1].high - samples[0].high) / seconds) if seconds > 0 else 0.0


CHECKS = (dependents, alarms, proxies, unasked, parameters, storage)
