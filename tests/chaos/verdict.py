# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be true when a migration has come to its end, however it came there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import Row
from runs import Run, await_silence, finish
from stand import CHECKOUT, SOME, Stand

FIGURES = ("acked", "in_doubt", "lost", "duplicated", "split_brain", "torn", "phantom", "outage_s")
WRONG = ("lost", "duplicated", "split_brain", "torn", "phantom")
POOLER_FILES = {"pgbouncer.ini", "users.txt", "pgbouncer.log"}
TAKE_OVER = {"migration_take_over": True}


def judge_open(stand: Stand, runs: Sequence[Run], *, crashed: bool = False) -> tuple[list[str], dict[str, Any]]:
    """The target serves, with all that was acknowledged; what is wrong (nothing: good) and the ledger's figures."""
    wrong = []
    cluster = describe_cluster(stand)
    if cluster is None:
        return [f"there is no cluster {stand.cluster}"], {}
    # By the migration's own group the source reaches the target, as long as there is a way back.
    if (groups := groups_of(cluster) - own_groups(stand)) != {stand.source.security_group}:
        wrong.append(f"the target's groups are {groups}, not {stand.source.security_group}")
    instance = describe_source(stand)
    if instance and stand.source.security_group in groups_of(instance):
        wrong.append("the source is open beside the target")
    if stand.pooler.leads_to("shop") != cluster["Endpoint"]:
        wrong.append(f"the pooler leads to {stand.pooler.leads_to('shop')}, not to {cluster['Endpoint']}")
    told: dict[str, Any] = {}
    if not wrong:
        if instance:
            # The fence may let nobody in at all: what was written there is read from within the server.
            stand.unusual_controller[stand.source.host] = stand.from_within(stand.source.identifier)
        told, more = _ledger(stand, cluster["Endpoint"], stand.source.host, crashed)
        wrong += more
    return wrong + leftovers(stand, runs) + again(stand, "migrate"), told


def judge_rolled_back(stand: Stand, runs: Sequence[Run]) -> tuple[list[str], dict[str, Any]]:
    """The source serves as before, and nothing of the migration is left."""
    wrong = []
    instance = describe_source(stand)
    if groups_of(instance) != {stand.source.security_group}:
        wrong.append(f"the source's groups are {groups_of(instance)}, not {stand.source.security_group}")
    if not instance["AutoMinorVersionUpgrade"]:
        wrong.append("automatic minor upgrades of the source were not put back")
    if describe_cluster(stand):
        wrong.append("the target is still there")
    if left := families(stand):
        wrong.append(f"security groups are left: {', '.join(sorted(left))}")
    if stand.pooler.leads_to("shop") != stand.source.host:
        wrong.append(f"the pooler leads to {stand.pooler.leads_to('shop')}, not to the source")
    rds = stand.sandbox.client("rds")
    groups = [group["DBParameterGroupName"] for group in rds.describe_db_parameter_groups()["DBParameterGroups"]]
    groups += [
        group["DBClusterParameterGroupName"]
        for group in rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]
    ]
    if ours := {f"{stand.name}-cluster", f"{stand.name}-instance"} & set(groups):
        wrong.append(f"parameter groups are left: {', '.join(sorted(ours))}")
    told, more = _ledger(stand, stand.source.host, None, False)
    return wrong + more + leftovers(stand, runs) + again(stand, "rollback"), told


def judge_served(stand: Stand, runs: Sequence[Run], verb: str) -> tuple[list[str], dict[str, Any]]:
    """The side that serves after this playbook has all that was ever acknowledged, and the clients are led there."""
    hosts = stand.sides_after(verb)
    wrong, told = [], {}
    if stand.pooler.leads_to("shop") != hosts[0]:
        wrong.append(f"the pooler leads to {stand.pooler.leads_to('shop')}, not to {hosts[0]}")
    else:
        told, wrong = _ledger(stand, *hosts, False)
    return wrong + leftovers(stand, runs) + again(stand, verb), told


def _ledger(
    stand: Stand, target: str, source: str | None, crashed: bool
) -> tuple[dict[str, Any], list[str]]:
    stand.lead_direct_clients(target)
    try:
        stand.await_commits(SOME)
    except TimeoutError:
        return {}, ["the clients don't write any more"]
    stand.stop_writers()
    told = stand.verify(target, source)
    wrong = [f"ledger: {name}={told[name]}" for name in WRONG if told[name]]
    if crashed and wrong:
        # A crash may take with it what was acknowledged without having been flushed: those writers said so.
        wrong = [line for line in wrong if not _unflushed(told)]
    return {name: told[name] for name in FIGURES}, wrong


def _unflushed(told: dict[str, Any]) -> bool:
    return all(finding.get("asynchronous") for finding in told["findings"])


def leftovers(stand: Stand, runs: Sequence[Run]) -> list[str]:
    """What a run leaves behind that none should."""
    wrong = []
    if alive := await_silence(runs):
        wrong.append(f"processes are left: {', '.join(map(str, alive))}")
    if lease := lease_of(stand):
        wrong.append(f"the lock is held: {lease}")
    if stand.pooler_is_held():
        wrong.append("the pooler still holds its clients")
    if faults := stand.sandbox.control("GET", "faults"):
        wrong.append(f"faults are left: {faults}")
    if strange := {path.name for path in stand.pooler.directory.iterdir()} - POOLER_FILES:
        wrong.append(f"files are left beside the pooler's: {', '.join(sorted(strange))}")
    wrong += [f"{path} is left by a run that ended well" for path in temporary(runs)]
    wrong += [f"a password is in {path}" for path in with_secrets(stand, stand.directory / "runs")]
    if (CHECKOUT / "pgbouncer.ini").exists():
        wrong.append("a file is left in the checkout")
    return wrong


def temporary(runs: Sequence[Run]) -> list[str]:
    """What runs that ended well have left where temporary things are. (One that was killed leaves Ansible's own.)"""
    ended = [run.directory for run in runs if run.process.returncode == 0]
    places = [one / name for one in ended for name in ("tmp", "here", "home/.ansible/tmp") if (one / name).exists()]
    return [str(path.relative_to(place.parents[1])) for place in places for path in place.iterdir()]


def again(stand: Stand, verb: str, extra: dict[str, Any] | None = None) -> list[str]:
    """A run more has nothing to do."""
    run = finish(stand, verb, extra=extra)
    if run.process.returncode:
        return [f"{verb} again failed: {run.output[-600:]}"]
    return [] if run.changed == 0 else [f"{verb} again changed {run.changed}"]


def with_secrets(stand: Stand, place: Path) -> list[str]:
    """Files in which one of the passwords can be read. (The environment is in ansible-runner's own artifacts.)"""
    own, key = [word.encode() for word in stand.passwords.values()], stand.sandbox.env["AWS_SECRET_ACCESS_KEY"].encode()
    found = []
    for path in place.rglob("*"):
        try:
            text = path.read_bytes() if path.is_file() else b""
        except OSError:
            continue  # gone meanwhile, or a fifo of a run that was killed
        if any(word in text for word in own) or (key in text and "artifacts" not in path.parts):
            found.append(str(path.relative_to(place)))
    return found


def describe_cluster(stand: Stand) -> dict[str, Any] | None:
    found = stand.sandbox.client("rds").describe_db_clusters()["DBClusters"]
    return next((one for one in found if one["DBClusterIdentifier"] == stand.cluster), None)


def describe_source(stand: Stand) -> dict[str, Any] | None:
    found = stand.sandbox.client("rds").describe_db_instances()["DBInstances"]
    return next((one for one in found if one["DBInstanceIdentifier"] == stand.source.identifier), None)


def groups_of(thing: dict[str, Any]) -> set[str]:
    return {group["VpcSecurityGroupId"] for group in thing["VpcSecurityGroups"]}


def lease_of(stand: Stand) -> str:
    """The newest generation's: those before it are of no account."""
    # One that lets in PlanetScale's imports is no generation of the lock.
    family = {name: tags for name, tags in families(stand).items() if name.rpartition("-")[2].isdigit()}
    newest = max(family, key=lambda name: int(name.rpartition("-")[2]), default=None)
    return family[newest].get("cloudpg:lease", "") if newest else ""


def families(stand: Stand) -> dict[str, dict[str, str]]:
    """The migration's security groups: their tags by name."""
    return {
        group["GroupName"]: {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])} for group in _family(stand)
    }


def own_groups(stand: Stand) -> set[str]:
    """The identifiers of the migration's security groups."""
    return {group["GroupId"] for group in _family(stand)}


def _family(stand: Stand) -> list[dict[str, Any]]:
    return stand.sandbox.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"cloudpg-{stand.name}-*"]}]
    )["SecurityGroups"]


def judge_finished(stand: Stand, runs: Sequence[Run], extra: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The target serves; the old instance is closed, or gone."""
    wrong, instance, cluster = [], describe_source(stand), describe_cluster(stand)
    if extra["replica_old_source"] == "delete":
        if instance:
            wrong.append("the old instance is still there")
        if left := families(stand):
            wrong.append(f"security groups are left: {', '.join(sorted(left))}")
    elif instance is None or stand.source.security_group in groups_of(instance):
        wrong.append("the old instance is gone or open")
    if cluster is None or groups_of(cluster) != {stand.source.security_group}:
        return [*wrong, "the target does not serve"], {}
    told, more = _ledger(stand, cluster["Endpoint"], stand.source.host if instance else None, False)
    return wrong + more + leftovers(stand, runs) + again(stand, "finish", extra), told


def judged(rows: list[Row], stand: Stand, runs: Sequence[Run], wrong: list[str], figures: dict[str, Any],
           evidence: Path) -> list[Row]:
    """The rows with the verdict; what a person needs to understand a wrong one is kept in ``evidence``."""
    for row in rows:
        row.wrong, row.figures = wrong, figures
    if wrong:
        evidence.mkdir(parents=True, exist_ok=True)
        for run in runs:
            for name in ("output", "trace"):
                if (run.directory / name).exists():
                    shutil.copy(run.directory / name, evidence / f"{run.directory.name}.{name}")
        (evidence / "calls.json").write_text(json.dumps(stand.sandbox.log(), indent=1), encoding="utf-8")
        (evidence / "sandbox.log").write_text(stand.sandbox.sandbox_log(), encoding="utf-8")
        (evidence / "wrong").write_text("\n".join(wrong) + "\n", encoding="utf-8")
    return rows
