# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.cloudpg.migration.plugins.module_utils._rds.metrics import REPLICA_LAG, SLOT_LAG
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.state import CLUSTER_FAILURES, INSTANCE_FAILURES
from ansible_collections.cloudpg.migration.plugins.plugin_utils._wait import Look, WaitAction

AIMS = {
    "cluster_available": "the replica cluster {cluster} to be available",
    "created": "the replica {cluster} and its instance to be available",
    "in_step": "the replica {cluster} to be at most {max_lag_seconds:g} s behind {source}",
    "drained": "the replica {cluster} to have everything that {source} wrote before {after}",
    "promoted": "the promotion of {cluster}",
}
# Older than this many periods, a figure says nothing about now.
FRESH = 3


def human(size: float) -> str:
    """``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def building(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> Look:
    """Cluster and, for all but ``cluster_available``, its instances. Failure states end the wait (R6)."""
    name = wanted["cluster"]
    if not result["replicas"]:
        return Look(f"replica {name}: not there", failed=f"the cluster {name} doesn't exist: make it first")
    cluster = result["replicas"][0]
    things = [(f"cluster {name}", cluster["status"], CLUSTER_FAILURES)]
    if wanted["until"] != "cluster_available":
        things += [(f"instance {one['identifier']}", one["status"], INSTANCE_FAILURES) for one in cluster["members"]]
    states = [status for _thing, status, _failures in things]
    line = f"replica {name}: {', '.join(states)}"
    for thing, status, failures in things:
        if status in failures:
            return Look(line, failed=f"{thing} is {status}: it will not become available by itself; read its events")
    complete = wanted["until"] == "cluster_available" or len(things) > 1
    return Look(line, done=complete and all(status == "available" for status in states))


def in_step(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> Look:
    """By a fresh figure of the lag; a missing one is not zero (R12)."""
    built = building(result, wanted)
    if not built.done:
        return built
    lag, slot = result["metrics"][REPLICA_LAG], result["metrics"][SLOT_LAG]
    rest = f" · slot {human(slot['value'])}" if slot else ""
    if lag is None:
        return Look(f"no figure of the lag yet{rest}")
    if lag["age_seconds"] > FRESH * wanted["metric_period"]:
        return Look(f"the last figure of the lag is {lag['age_seconds']:.0f} s old{rest}")
    if lag["value"] > wanted["max_lag_seconds"]:
        return Look(f"behind: lag {lag['value']:.1f} s{rest}")
    return Look(f"in step: lag {lag['value']:.1f} s{rest}", done=True)


def drained(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> Look:
    """By the judgement of the info module (R13, R15)."""
    built = building(result, wanted)
    if built.failed:
        return built
    drain = result["drain"]
    if drain["proven"]:
        return Look(f"drained: {drain['reason']}", done=True)
    return Look(f"draining: {drain['reason']}", near=True)


def promoted(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> Look:
    """All four signs of a promotion (R16)."""
    built = building(result, wanted)
    if built.failed:
        return built
    if result["promotion"]["done"]:
        return Look(f"{wanted['cluster']} is promoted", done=True)
    return Look(f"promoting {wanted['cluster']}: {', '.join(result['promotion']['lacks'])}", near=True)


JUDGES = {
    "cluster_available": building, "created": building, "in_step": in_step, "drained": drained, "promoted": promoted,
}


class ActionModule(WaitAction):
    """Wait for an Aurora replica."""

    info_module = "cloudpg.migration.aurora_replica_info"

    def options(self, args):
        wanted = {"until": args.pop("until", None), "after": args.pop("after", None) or None}
        for name, default, kind in (("max_lag_seconds", 300, float), ("metric_period", 60, int)):
            value = args.pop(name, default)
            try:
                wanted[name] = kind(value)
            except (TypeError, ValueError) as error:
                raise AnsibleActionFail(f"{name} is a number of seconds, not {value!r}") from error
        if wanted["until"] not in JUDGES:
            raise AnsibleActionFail(f"until is one of {', '.join(JUDGES)}, not {wanted['until']!r}")
        if wanted["until"] == "drained" and not wanted["after"] and not self._task.check_mode:
            raise AnsibleActionFail("after is needed for until: drained: the moment (fenced_at) nobody writes since")
        for name in ("source", "cluster"):
            if not args.get(name):
                raise AnsibleActionFail(f"{name} is needed")
            wanted[name] = args[name]
        asked = {**args, "metric_period": wanted["metric_period"], "metrics": wanted["until"] == "in_step"}
        if wanted["until"] == "drained":
            asked["drained_after"] = wanted["after"]
        return wanted, asked

    def describe(self, wanted):
        return AIMS[wanted["until"]].format(**{**wanted, "after": wanted["after"] or "it was closed"})

    def look(self, result, wanted):
        return JUDGES[wanted["until"]](result, wanted)
