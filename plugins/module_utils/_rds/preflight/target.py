# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the target can be made as it is wished for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..._findings import Finding, blocker, warning
from .. import state
from .facts import Facts

_IDENTIFIER = re.compile(r"[a-z](-?[a-z0-9])*", re.IGNORECASE)
LONGEST = 63
# A drain that is proven by CloudWatch takes two whole periods of 60 s, and promotion its own time.
BY_CLOUDWATCH = 300


def names(facts: Facts) -> Iterator[Finding]:
    for name in (facts.cluster_name, facts.instance_name):
        if not _IDENTIFIER.fullmatch(name) or len(name) > LONGEST:
            yield blocker(
                "identifier-invalid", name, "AWS doesn't take it as a name",
                f"1 to {LONGEST} letters, digits and single hyphens, a letter first and no hyphen last; the instance "
                "is named after the cluster unless it is given", "R22",
            )


def outage(facts: Facts) -> Iterator[Finding]:
    if not facts.max_outage:
        yield warning(
            "max-outage-unset", facts.source_name, "nothing was promised: the cutover will refuse to begin",
            "set migration_max_outage, in seconds",
        )
    elif facts.server is None and facts.max_outage < BY_CLOUDWATCH:
        yield warning(
            "max-outage-short", facts.source_name,
            f"{facts.max_outage} s are promised; without a login the drain is proven by CloudWatch, minute by minute",
            f"promise at least {BY_CLOUDWATCH} s, or give a login in migration_source.postgres", "R13",
        )


def version(facts: Facts) -> Iterator[Finding]:
    has = facts.source["EngineVersion"]
    if not facts.allowed:
        yield blocker(
            "source-version-unsupported", has,
            f"Aurora has no version that a replica of {facts.source_name} can be made in",
            "upgrade the source to a minor version which Aurora has", "R5",
        )
    elif facts.engine_version and facts.engine_version not in facts.allowed:
        other = state.major(facts.engine_version) != state.major(has)
        reason = "another major version" if other else "not among those AWS allows"
        yield blocker(
            "engine-major-differs" if other else "engine-version-not-allowed", facts.engine_version,
            f"for a replica of {facts.source_name} ({has}) it is {reason}", f"one of {', '.join(facts.allowed)}", "R3",
        )


def instance_class(facts: Facts) -> Iterator[Finding]:
    if facts.version and facts.orderable is False:
        yield blocker(
            "class-not-orderable", facts.instance_class,
            f"AWS doesn't offer it for Aurora {facts.version} in this Region",
            "choose another (aws rds describe-orderable-db-instance-options)", "R5",
        )


def cluster(facts: Facts) -> Iterator[Finding]:
    there = facts.cluster
    if there is None:
        return
    owner = state.tags_of(there).get(state.MIGRATION_TAG)
    if owner == facts.migration:
        return
    if owner is None and state.replicates(there, facts.source):
        return
    yield blocker(
        "target-exists", facts.cluster_name,
        f"it belongs to the migration {owner}" if owner else "it exists and isn't a replica of the source",
        "name another cluster", "R7",
    )


def instance(facts: Facts) -> Iterator[Finding]:
    there = facts.instance
    if there is not None and there.get("DBClusterIdentifier") != facts.cluster_name:
        yield blocker(
            "target-instance-exists", facts.instance_name,
            f"an instance of that name exists outside {facts.cluster_name}",
            "name another in migration_target.instance, or another cluster", "R2",
        )


def security_groups(facts: Facts) -> Iterator[Finding]:
    vpc = state.vpc_of(facts.source)
    for group in facts.security_group_ids:
        found = facts.group_vpcs.get(group)
        if found is None:
            yield blocker(
                "security-group-missing", group, "there is no such security group: the target couldn't be opened",
                "correct replica_target_security_groups", "R19",
            )
        elif vpc and found != vpc:
            yield blocker(
                "security-group-elsewhere", group, f"it is in {found}, the source and its replica are in {vpc}",
                f"name a group of {vpc}", "R19",
            )


def own_key(facts: Facts) -> Iterator[Finding]:
    source = facts.source["DBInstanceArn"]
    where, account = state.region_of(facts.kms_key_id), state.account_of(facts.kms_key_id)
    here, own = state.region_of(source), state.account_of(source)
    if where and where != here:
        yield blocker(
            "key-elsewhere", facts.kms_key_id, f"it is a key of {where}, and the replica is made in {here}",
            f"name a key of {here} in replica_kms_key_id", "R4",
        )
    elif account and account != own:
        yield warning(
            "key-foreign", facts.kms_key_id, f"it is a key of the account {account}, which has to share it with {own}",
            "see that its policy allows kms:CreateGrant and kms:DescribeKey, then accept this", "R4",
        )


def zones(facts: Facts) -> Iterator[Finding]:
    subnets = (facts.source.get("DBSubnetGroup") or {}).get("Subnets", [])
    found = {(subnet.get("SubnetAvailabilityZone") or {}).get("Name") for subnet in subnets}
    if len(found) == 1:
        yield blocker(
            "subnet-group-one-zone", facts.source["DBSubnetGroup"]["DBSubnetGroupName"],
            "its subnets are in one availability zone; an Aurora cluster needs two", "add a subnet in another zone",
            "R1",
        )


ALWAYS = (names, outage)
CHECKS = (version, instance_class, cluster, instance, security_groups, own_key, zones)
