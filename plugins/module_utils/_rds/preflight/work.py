# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what the checks look at. Only Describe and Get calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .. import api, metrics, parameter_work, parameters, state
from ..errors import RdsError
from .facts import Facts

WINDOW = timedelta(hours=3)
PERIOD = 300
EXTENSIONS = "rds.extensions"
LIBRARIES = "shared_preload_libraries"
_ALARMS = 100


class Asking:
    """Asks what may be refused without ending the preflight, and remembers why there was no answer."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}

    def __call__(self, subject: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except RdsError as error:
            self.unknown[subject] = error.message
            return None


def alarms_of(cloudwatch: Any, instance: str) -> list[str]:
    """The names of the alarms that watch an instance."""
    found = api.collect(cloudwatch, "describe_alarms", "MetricAlarms", "alarms")
    return sorted(
        alarm["AlarmName"] for alarm in found
        if {"Name": "DBInstanceIdentifier", "Value": instance} in alarm.get("Dimensions", [])
    )[:_ALARMS]


def proxies_of(rds: Any, instance: str) -> list[str]:
    """The RDS proxies which lead to an instance."""
    names = [proxy["DBProxyName"] for proxy in api.collect(rds, "describe_db_proxies", "DBProxies", "RDS proxies")]
    return [name for name in names if any(
        target.get("RdsResourceId") == instance
        for target in api.collect(rds, "describe_db_proxy_targets", "Targets", f"RDS proxy {name}", DBProxyName=name)
    )]


def group_vpcs(ec2: Any, ids: Sequence[str]) -> dict[str, str]:
    """The VPCs of the security groups that exist, by id."""
    found = api.collect(
        ec2, "describe_security_groups", "SecurityGroups", "security groups",
        Filters=[{"Name": "group-id", "Values": list(ids)}],
    ) if ids else []
    return {group["GroupId"]: group["VpcId"] for group in found}


def libraries_of(
    rds: Any, source: Mapping[str, Any], server: Mapping[str, Any] | None
) -> list[str] | None:
    """What the source preloads: as the server says, else as its parameter groups do."""
    if server is not None and server.get(LIBRARIES) is not None:
        return server[LIBRARIES]
    for group in source.get("DBParameterGroups", []):
        for each in api.describe_parameters(rds, group["DBParameterGroupName"]):
            if each["ParameterName"] == LIBRARIES:
                return [name.strip() for name in each.get("ParameterValue", "").split(",") if name.strip()]
    return None


def extensions_of(defaults: parameters.Defaults) -> frozenset[str] | None:
    """The extensions Aurora has, where AWS lists them among the parameters; None where it doesn't."""
    for level in (parameters.CLUSTER, parameters.INSTANCE):
        listed = defaults.at(level).get(EXTENSIONS, {})
        words = listed.get("AllowedValues") or listed.get("ParameterValue")
        if words:
            return frozenset(word.strip() for word in words.split(",") if word.strip())
    return None


def gather(rds: Any, ec2: Any, cloudwatch: Any, params: Mapping[str, Any], now: datetime) -> Facts:
    """The facts for a module's parameters. ``now`` is UTC."""
    # AWS writes identifiers in lower case.
    name, cluster = params["source"].lower(), params["cluster"].lower()
    wish = {
        "now": now, "source_name": name, "cluster_name": cluster, "region": rds.meta.region_name,
        "instance_name": (params["instance"] or f"{cluster}-1").lower(),
        **{key: params[key] for key in (
            "build_hours", "engine_version", "instance_class", "kms_key_id", "max_outage", "migration",
            "security_group_ids", "server",
        )},
    }
    source = api.describe_instance(rds, name)
    if source is None:
        return Facts(**wish)
    allowed = state.allowed_versions(source["EngineVersion"], api.describe_versions(rds))
    version = params["engine_version"] or (allowed[0] if allowed else None)
    version = version if version in allowed else None
    ask = Asking()
    defaults = ask("parameters", lambda: parameter_work.defaults_of(rds, _family(source))) if allowed else None
    return Facts(
        **wish, source=source, allowed=allowed, version=version,
        cluster=api.describe_cluster(rds, cluster),
        instance=api.describe_instance(rds, wish["instance_name"]),
        orderable=bool(api.describe_orderable(rds, version, params["instance_class"])) if version else None,
        group_vpcs=group_vpcs(ec2, params["security_group_ids"]),
        parameters=ask("parameters", lambda: parameters.translate(
            parameter_work.source_values(rds, source), defaults
        )) if defaults else None,
        aurora_extensions=extensions_of(defaults) if defaults else None,
        libraries=ask("libraries", lambda: libraries_of(rds, source, params["server"])),
        samples=ask("metrics", lambda: {
            metric: metrics.read(cloudwatch, metric, name, now - WINDOW, now, PERIOD) for metric in metrics.ON_SOURCE
        }) or {},
        alarms=ask("alarms", lambda: alarms_of(cloudwatch, name)),
        proxies=ask("proxies", lambda: proxies_of(rds, name)),
        unknown=ask.unknown,
    )


def _family(source: Mapping[str, Any]) -> str:
    return f"aurora-postgresql{state.major(source['EngineVersion'])}"
