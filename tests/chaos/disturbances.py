# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may happen around a run that nobody kills: servers that go, networks that part, an API that is unwell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from stand import Stand  # puts the checkout's extensions on the path
from verdict import families
from cloudpg_sandbox.testing import ControlError  # isort: skip

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


def nothing(stand: Stand) -> None:
    """The other side mends itself, or the next run does."""


@dataclass(frozen=True)
class Disturbance:
    """``strike`` happens when the run comes to ``halt`` (None: before it starts), ``mend`` when it has ended.

    ``cause`` has to be in the message when the run fails, if it ``may_stop`` at all, or ``must_stop``. ``crash``:
    writes that were never flushed may be gone. ``far``: the controller comes by ways that can be lost.
    """

    name: str
    halt: str | None
    strike: Callable[[Stand], None]
    mend: Callable[[Stand], None] = nothing
    cause: str = ""
    crash: bool = False
    far: bool = False
    may_stop: bool = True
    must_stop: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)


# Servers

def server(which: str, action: str) -> Callable[[Stand], None]:
    """An action of the sandbox upon the source or the target's instance."""

    def act(stand: Stand) -> None:
        identifier = stand.source.identifier if which == "source" else f"{stand.cluster}-1"
        stand.sandbox.control("POST", f"servers/{identifier}", {"action": action})

    return act


def cut(which: str, seconds: float = 4.0) -> Callable[[Stand], None]:
    """Every connection to it is cut again and again, beside the run that goes on."""

    def again(stand: Stand) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(OSError, ControlError):
                server(which, "drop_connections")(stand)
            time.sleep(0.2)

    return lambda stand: threading.Thread(target=again, args=(stand,), daemon=True).start()


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


def loss(*sides: str, seconds: float | None = None) -> Callable[[Stand], None]:
    """The ways to these servers are lost, for so many seconds or until they are restored."""

    def act(stand: Stand) -> None:
        for side in sides:
            stand.ways[side].lose(seconds)

    return act


def restored(stand: Stand) -> None:
    for way in stand.ways.values():
        way.restore()


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


# Each list is a round: runs on one stand, of which each but the last stops before the target is promoted.
SHUT_OUT = r"no pg_hba\.conf entry|reach"
LOST = "timeout|timed out|closed|terminated|reach"
NETWORK = [
    [
        Disturbance(f"the network to the {side} is lost before {name}", halt, loss(side), restored, LOST, far=True)
        for side, name, halt in (
            ("source", "the proof", PROVE), ("source", "the last position", MARKED), ("target", "the gate", GATE),
            ("target", "the drain", DRAIN), ("target", "the check", CHECK),
        )
    ],
    [Disturbance("the network to both is lost before the check", CHECK, loss("source", "target"), restored, LOST,
                 far=True)],
    [Disturbance("the network to both is lost for five seconds before the drain", DRAIN,
                 loss("source", "target", seconds=5), cause=LOST, far=True)],
    [
        Disturbance(f"the controller is shut out before {name}", halt, shut_out, cause=SHUT_OUT)
        for name, halt in (("the proof", PROVE), ("the drain", DRAIN), ("the check", CHECK))
    ],
    [Disturbance("connections of the source are cut for four seconds from the proof on", PROVE, cut("source"),
                 cause=LOST)],
    [Disturbance("connections of the target are cut for four seconds from the drain on", DRAIN, cut("target"),
                 cause=LOST)],
]
SERVERS = [
    [Disturbance("the source restarts while the target is built", BUILD, server("source", "restart"))],
    [Disturbance("the source is killed before it is closed", CLOSE, server("source", "kill"), server("source", "start"),
                 crash=True)],
    [
        Disturbance(f"the {side} {what} before {name}", halt, server(side, action), server(side, "start"), cause,
                    crash=action == "kill")
        for side, what, action, name, halt, cause in (
            ("source", "is killed", "kill", "the proof", PROVE, "refused|reach"),
            ("target", "stops", "stop", "the drain", DRAIN, "refused|reach"),
            ("target", "is killed", "kill", "the promotion", PROMOTE, ""),
        )
    ],
    # What the source wrote may be on the target already: then that is promoted before the source is missed.
    [Disturbance("the source stops before the drain", DRAIN, server("source", "stop"), server("source", "start"),
                 "refused|reach")],
    [Disturbance("the target stops before the check", CHECK, server("target", "stop"), server("target", "start"),
                 cause="refused|reach")],
]
HURRY = {"migration_max_outage": 60, "replica_undo_seconds": 30}
WITHOUT_LOGIN = {"migration_controller_cidrs": []}
TIMEOUTS = [
    [Disturbance("a reboot takes twice what an impatient runner gives a task", None,
                 fault("slow_transition", identifier="{source}", transition="rebooting", factor=60), no_faults,
                 settings={"ANSIBLE_TASK_TIMEOUT": "6"}, may_stop=False)],
]
# The token runs out again and again: each run goes on from where the one before it was left without any power.
TOKENS = [
    Disturbance(f"the token runs out {name}", halt, fault("expired_token", operation="*"), no_faults,
                "token has expired")
    for name, halt in (("before the source is closed", CLOSE), ("before the promotion", PROMOTE),
                       ("at the open", OPEN), ("after the open", GROUPS))
]
DENIED = [
    Disturbance(f"{operation} is not allowed", None, fault("access_denied", operation=operation), no_faults,
                "permission is missing")
    for operation in ("ec2:CreateSecurityGroup", "rds:CreateDBCluster", "rds:RebootDBInstance",
                      "rds:PromoteReadReplicaDBCluster", "rds:ModifyDBCluster")
]
# Also played one by one, and faster, by tests/integration; here clients write, and the end is judged.
FAULTS = [
    [Disturbance("throttling of a fifth of all calls", None,
                 fault("throttling", operation="*", rate=0.2, seed=1), no_faults, "throttled")],
    [Disturbance("a tenth of all calls answers 500, a tenth 503", None, both(
        fault("internal_error", operation="*", rate=0.1, seed=2),
        fault("service_unavailable", operation="*", rate=0.1, seed=3)), no_faults, "the service failed")],
    [Disturbance("a tenth of all answers is lost", None,
                 fault("drop_response", operation="*", rate=0.1, seed=1), no_faults, "no answer")],
    [Disturbance("the answers to six calls that change something are lost", None, both(*(
        fault("drop_response", operation=operation, times=1)
        for operation in ("rds:CreateDBCluster", "rds:CreateDBInstance", "rds:PromoteReadReplicaDBCluster",
                          "rds:ModifyDBInstance", "rds:RebootDBInstance", "ec2:CreateSecurityGroup"))),
        no_faults, "no answer")],
    DENIED,
    TOKENS,
    [Disturbance("the member's creation fails", None, fault("refuse_transition", identifier="{member}",
                                                            transition="creating"), no_faults, "failed")],
    [Disturbance("the promotion is given up", None, fault("refuse_transition", identifier="{cluster}",
                                                          transition="promoting"), no_faults, "promot",
                 variables=HURRY)],
    [
        Disturbance("the source's reboot takes too long", None, fault("slow_transition", identifier="{source}",
                                                                      transition="rebooting", factor=240), no_faults,
                    "reboot|waited", variables=HURRY),
        Disturbance("the promotion takes too long", None, fault("slow_transition", identifier="{cluster}",
                                                                transition="promoting", factor=240), no_faults,
                    "promot|waited", variables=HURRY),
    ],
    [
        Disturbance(f"metrics are {name} from the fence on, without a login", CLOSE,
                    fault(f"{name}_metrics", metric="*"), no_faults, "waited|sample|figure",
                    variables={**HURRY, **WITHOUT_LOGIN}, must_stop=must_stop)
        # A figure that is repeated can't be told from a true one, as long as it is a good one.
        for name, must_stop in (("missing", True), ("stale", False))
    ],
]


def halts() -> set[str]:
    """Every boundary at which something happens."""
    return {what.halt for group in (NETWORK, SERVERS, TIMEOUTS, FAULTS) for several in group for what in several
            if what.halt}
