# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may happen around a run that nobody kills: servers that go, networks that part, an API that is unwell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stand import Stand
from verdict import families

CUTOVER = "Cutover / cloudpg.migration.replica : cutover | {} #1"
GATE = CUTOVER.format("gate | See that the replica is near")
CLOSE = CUTOVER.format("close | Close the source to everybody and end the sessions it has")
PROVE = CUTOVER.format("close | Prove that no client is left")
MARKED = CUTOVER.format("drain | Read the last position the source wrote")
DRAIN = CUTOVER.format("drain | Wait until the replica has replayed it")
PROMOTE = CUTOVER.format("promote | Make the replica a cluster of its own, still closed")
PROMOTED = CUTOVER.format("promote | Wait for the promotion and its event")
CHECK = CUTOVER.format("check | Read the target")
OPEN = CUTOVER.format("open | Write down that the target is open")
GROUPS = CUTOVER.format("open | Give the target its security groups")
BUILD = "Replicate / cloudpg.migration.replica : build | Make the replica cluster, closed #1"
IN_STEP = "Replicate / cloudpg.migration.replica : build | Wait until the replica is in step #1"


def nothing(stand: Stand) -> None:
    """The other side mends itself, or the next run does."""


@dataclass(frozen=True)
class Disturbance:
    """``strike`` happens when the run comes to ``halt`` (None: before it starts), ``mend`` when it has ended.

    ``cause`` has to be in the message when the run fails, if it ``may_stop`` at all. ``crash``: writes that were never
    flushed may be gone.
    """

    name: str
    halt: str | None
    strike: Callable[[Stand], None]
    mend: Callable[[Stand], None] = nothing
    cause: str = ""
    crash: bool = False
    may_stop: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)


# Servers

def server(which: str, action: str) -> Callable[[Stand], None]:
    """An action of the sandbox upon the source or the target's instance."""

    def act(stand: Stand) -> None:
        identifier = stand.source.identifier if which == "source" else f"{stand.cluster}-1"
        stand.sandbox.control("POST", f"servers/{identifier}", {"action": action})

    return act


# The controller's network

def _rule(stand: Stand) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": stand.bastion_cidr}]}]


def _ids(stand: Stand) -> list[str]:
    found = stand.sandbox.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": list(families(stand))}]
    )
    return [group["GroupId"] for group in found["SecurityGroups"] if group["IpPermissions"]]


def shut_out(stand: Stand) -> None:
    """The controller's network is taken out of the quarantine groups."""
    ec2 = stand.sandbox.client("ec2")
    for group_id in _ids(stand):
        ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=_rule(stand))


# The API

def fault(name: str, **details: Any) -> Callable[[Stand], None]:
    """A fault of the sandbox; ``{source}``, ``{cluster}`` and ``{member}`` in identifiers are those of the stand."""

    def act(stand: Stand) -> None:
        names = {"source": stand.source.identifier, "cluster": stand.cluster, "member": f"{stand.cluster}-1"}
        spec = {key: value.format(**names) if key == "identifier" else value for key, value in details.items()}
        stand.sandbox.control("POST", "faults", {"name": name, **spec})

    return act


def both(*acts: Callable[[Stand], None]) -> Callable[[Stand], None]:
    def act(stand: Stand) -> None:
        for one in acts:
            one(stand)

    return act


def no_faults(stand: Stand) -> None:
    stand.sandbox.control("DELETE", "faults")


NETWORK = [
    *(
        Disturbance(f"connections of the {side} are cut before {name}", halt, server(side, "drop_connections"))
        for side, name, halt in (
            ("source", "the proof", PROVE), ("source", "the last position", MARKED), ("target", "the drain", DRAIN),
            ("target", "the check", CHECK),
        )
    ),
    Disturbance("the controller is shut out before the proof", PROVE, shut_out, cause=r"no pg_hba\.conf entry|reach"),
    Disturbance("the controller is shut out before the drain", DRAIN, shut_out, cause=r"no pg_hba\.conf entry|reach"),
    Disturbance("the controller is shut out before the check", CHECK, shut_out, cause=r"no pg_hba\.conf entry|reach"),
]
SERVERS = [
    Disturbance("the source restarts while the target is built", BUILD, server("source", "restart")),
    Disturbance("the source restarts before it is closed", CLOSE, server("source", "restart")),
    Disturbance("the source is killed before it is closed", CLOSE, server("source", "kill"), server("source", "start"),
                crash=True),
    Disturbance("the source is killed before the proof", PROVE, server("source", "kill"), server("source", "start"),
                cause="refused|reach", crash=True),
    Disturbance("the source stops before the drain", DRAIN, server("source", "stop"), server("source", "start"),
                cause="refused|reach"),
    Disturbance("the source stops before the check", CHECK, server("source", "stop"), server("source", "start"),
                cause="refused|reach"),
    Disturbance("the target restarts before the drain", DRAIN, server("target", "restart")),
    Disturbance("the target stops before the drain", DRAIN, server("target", "stop"), server("target", "start"),
                cause="refused|reach"),
    Disturbance("the target is killed before the promotion", PROMOTE, server("target", "kill"),
                server("target", "start"), cause="."),
    Disturbance("the target stops before the check", CHECK, server("target", "stop"), server("target", "start"),
                cause="refused|reach"),
]
HURRY = {"migration_max_outage": 42, "replica_undo_seconds": 30}
WITHOUT_LOGIN = {"migration_controller_cidrs": []}
FAULTS = [
    *(Disturbance(f"throttling of a fifth of all calls, seed {seed}", None,
                  fault("throttling", operation="*", rate=0.2, seed=seed), no_faults, "throttled") for seed in (1, 2)),
    Disturbance("a fifth of all calls answers 500", None, fault("internal_error", operation="*", rate=0.2), no_faults,
                "the service failed"),
    Disturbance("a fifth of all calls answers 503", None, fault("service_unavailable", operation="*", rate=0.2),
                no_faults, "the service failed"),
    *(Disturbance(f"a tenth of all answers is lost, seed {seed}", None,
                  fault("drop_response", operation="*", rate=0.1, seed=seed), no_faults, "no answer")
      for seed in (1, 2)),
    Disturbance("throttling, 500 and lost answers at once", None, both(
        fault("throttling", operation="*", rate=0.1, seed=3), fault("internal_error", operation="*", rate=0.1, seed=4),
        fault("drop_response", operation="*", rate=0.05, seed=5)), no_faults, "throttled|failed|no answer"),
    *(Disturbance(f"the answer to {operation} is lost", None, fault("drop_response", operation=operation, times=1),
                  no_faults, "no answer")
      for operation in ("rds:CreateDBCluster", "rds:CreateDBInstance", "rds:PromoteReadReplicaDBCluster",
                        "rds:ModifyDBInstance", "rds:RebootDBInstance", "ec2:CreateSecurityGroup")),
    *(Disturbance(f"{operation} is not allowed", None, fault("access_denied", operation=operation), no_faults,
                  "permission is missing")
      for operation in ("ec2:CreateSecurityGroup", "ec2:CreateTags", "rds:CreateDBCluster", "rds:RebootDBInstance",
                        "rds:PromoteReadReplicaDBCluster", "rds:ModifyDBCluster")),
    Disturbance("the token runs out before the source is closed", CLOSE, fault("expired_token", operation="*"),
                no_faults, "token has expired"),
    Disturbance("the token runs out before the promotion", PROMOTE, fault("expired_token", operation="*"), no_faults,
                "token has expired"),
    Disturbance("the token runs out at the open", OPEN, fault("expired_token", operation="*"), no_faults,
                "token has expired"),
    Disturbance("the token runs out after the open", GROUPS, fault("expired_token", operation="*"), no_faults,
                "token has expired"),
    Disturbance("the cluster's creation fails", None, fault("refuse_transition", identifier="{cluster}",
                                                            transition="creating"), no_faults, "failed"),
    Disturbance("the member's creation fails", None, fault("refuse_transition", identifier="{member}",
                                                           transition="creating"), no_faults, "failed"),
    Disturbance("the promotion is given up", None, fault("refuse_transition", identifier="{cluster}",
                                                         transition="promoting"), no_faults, "promot",
                variables=HURRY),
    Disturbance("the promotion takes too long", None, fault("slow_transition", identifier="{cluster}",
                                                            transition="promoting", factor=200), no_faults,
                "promot|waited", variables=HURRY),
    Disturbance("the source's reboot takes too long", None, fault("slow_transition", identifier="{source}",
                                                                  transition="rebooting", factor=120), no_faults,
                "reboot|waited", variables=HURRY),
    Disturbance("metrics of the lag are missing", None,
                fault("missing_metrics", metric="RDSToAuroraPostgreSQLReplicaLag"), no_faults, "waited|figure",
                variables={"migration_build_timeout": 15}),
    Disturbance("metrics are missing behind the fence, without a login", PROVE, fault("missing_metrics", metric="*"),
                no_faults, "waited|sample|figure", variables={**HURRY, **WITHOUT_LOGIN}),
    Disturbance("metrics are stale behind the fence, without a login", PROVE, fault("stale_metrics", metric="*"),
                no_faults, "waited|sample|figure", variables={**HURRY, **WITHOUT_LOGIN}),
    Disturbance("a reboot takes twice what an impatient runner gives a task", None,
                fault("slow_transition", identifier="{source}", transition="rebooting", factor=60), no_faults,
                settings={"ANSIBLE_TASK_TIMEOUT": "6"}, may_stop=False),
]
