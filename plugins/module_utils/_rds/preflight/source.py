# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the source can have an Aurora replica at all, and be closed for the cutover."""

from __future__ import annotations

from collections.abc import Iterator

from ..._findings import Finding, blocker, warning
from .. import maintenance, state
from .facts import Facts

CRON = "pg_cron"


def missing(facts: Facts) -> Iterator[Finding]:
    if facts.source is None:
        yield blocker(
            "source-missing", facts.source_name, "there is no RDS instance of that name in this Region and account",
            "name the instance, and the Region and account it is in", "R3",
        )


def engine(facts: Facts) -> Iterator[Finding]:
    name = facts.source.get("Engine")
    if name != "postgres":
        yield blocker(
            "source-engine", facts.source_name, f"its engine is {name}, not postgres",
            "only RDS for PostgreSQL can have an Aurora replica", "R3",
        )


def status(facts: Facts) -> Iterator[Finding]:
    now = facts.source.get("DBInstanceStatus")
    if now != "available":
        yield blocker(
            "source-not-available", facts.source_name, f"its status is {now}", "wait until it is available, or mend it",
            "R6",
        )


def backups(facts: Facts) -> Iterator[Finding]:
    if not facts.source.get("BackupRetentionPeriod"):
        yield blocker(
            "source-backups-off", facts.source_name, "automatic backups are off, and a replica starts from one",
            "set its backup retention to at least 1 day", "R3",
        )


def is_replica(facts: Facts) -> Iterator[Finding]:
    origin = facts.source.get("ReadReplicaSourceDBInstanceIdentifier")
    if origin:
        yield blocker(
            "source-is-replica", facts.source_name, f"it is itself a replica of {origin}",
            f"name {origin} as the source", "R3",
        )


def other_aurora_replicas(facts: Facts) -> Iterator[Finding]:
    for name in facts.source.get("ReadReplicaDBClusterIdentifiers", []):
        if name.rsplit(":", 1)[-1] != facts.cluster_name:
            yield blocker(
                "source-has-aurora-replica", name,
                f"{facts.source_name} has this Aurora replica, and may have one only",
                "promote or delete it, or name it as the target", "R3",
            )


def cross_region_replicas(facts: Facts) -> Iterator[Finding]:
    for name in facts.source.get("ReadReplicaDBInstanceIdentifiers", []):
        # One in the same Region is listed by its name, one elsewhere by its ARN.
        if name.startswith("arn:") and name.split(":")[3] != facts.region:
            yield blocker(
                "source-has-cross-region-replica", name,
                f"{facts.source_name} has this replica in another Region, which rules an Aurora replica out",
                "promote or delete it", "R3",
            )


def key(facts: Facts) -> Iterator[Finding]:
    if state.encrypted(facts.source) and not facts.source.get("KmsKeyId"):
        yield warning(
            "source-key-unnamed", facts.source_name,
            "it is encrypted and AWS doesn't say by which key; what a replica is given then is not documented",
            "name the key of the target in replica_kms_key_id", "R4",
        )
    closed = state.encrypted(facts.source) or facts.source.get("StorageEncryptionType") == "sse-rds"
    if not closed and not facts.kms_key_id:
        yield warning(
            "source-unencrypted", facts.source_name,
            "its storage isn't encrypted, so the target's won't be either, for good",
            "encrypt the source first (by a copied snapshot), or accept it", "R4",
        )


def maintenance_window(facts: Facts) -> Iterator[Finding]:
    yield from maintenance.findings(facts.source, facts.now, facts.maintenance_hours)


def pending(facts: Facts) -> Iterator[Finding]:
    waiting = sorted(facts.source.get("PendingModifiedValues") or {})
    if waiting:
        yield warning(
            "source-changes-pending", facts.source_name,
            f"{', '.join(waiting)} will change at the next reboot, which is the fence", "apply them before the cutover",
            "R18",
        )
    for group in facts.source.get("DBParameterGroups", []):
        if group.get("ParameterApplyStatus") != "in-sync":
            yield warning(
                "source-parameters-pending", group["DBParameterGroupName"],
                f"it is {group.get('ParameterApplyStatus')} on {facts.source_name}; the fence's reboot changes that",
                "reboot the source before the cutover", "R27",
            )


def cron(facts: Facts) -> Iterator[Finding]:
    """A fence of security groups doesn't stop what runs inside the server (R18, P44)."""
    if CRON not in (facts.libraries or ()):
        return
    if facts.server is None:
        yield blocker(
            "cron-without-login", facts.source_name,
            "pg_cron is preloaded: its jobs go on writing behind the fence, and without a login nobody sees them",
            "give a login in migration_source.postgres, or take pg_cron out of shared_preload_libraries and reboot",
            "R18",
        )
        return
    running = [row for row in facts.server["databases"] if row["cron_jobs_active"]]
    for row in running:
        yield blocker(
            "cron-jobs-active", row["name"], f"{row['cron_jobs_active']} cron jobs go on writing behind the fence",
            "make them inactive before the cutover (cron.alter_job), and active again on the target", "R18",
        )
    for row in facts.server["databases"]:
        if not row["cron_jobs_readable"]:
            yield blocker(
                "cron-jobs-hidden", row["name"], "a policy hides cron jobs of other users from the login",
                "log in as a role which sees all jobs", "R18",
            )


def libraries_unknown(facts: Facts) -> Iterator[Finding]:
    if facts.libraries is None:
        yield blocker(
            "libraries-unknown", facts.source_name, "shared_preload_libraries can't be read, so pg_cron may be in it",
            "allow rds:DescribeDBParameters, or grant pg_read_all_settings to the login", "R18", acknowledgeable=True,
        )


ALWAYS = (missing,)
CHECKS = (
    engine, status, backups, is_replica, other_aurora_replicas, cross_region_replicas, key, maintenance_window, pending,
    cron, libraries_unknown,
)
