# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a body of PlanetScale's API has to be like: a wrong one is refused with a code and a sentence, as there."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import Any

from .planetscale_catalogue import INHERITABLE, LEAST_STORAGE, PARAMETERS, REGIONS, SKUS
from .planetscale_model import Configuration, Facts
from .rules import ApiError

NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62})")
AMOUNT = re.compile(r"\d+\s*(B|kB|MB|GB|TB)?")
SWITCH = ("on", "off", "true", "false", "yes", "no", "1", "0")


def unprocessable(message: str) -> ApiError:
    return ApiError("unprocessable", message, 422)


def invalid(message: str) -> ApiError:
    return ApiError("invalid_params", message, 422)


def text(body: Facts, key: str, needed: bool = False) -> str | None:
    value = body.get(key)
    if value is None and not needed:
        return None
    if not isinstance(value, str) or needed and not value:
        raise invalid(f"{key} must be a string" if value is not None else f"{key} is required")
    return value


def whole(body: Facts, key: str, least: int = 0) -> int | None:
    value = body.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise invalid(f"{key} must be an integer of {least} or more")
    return value


def name(body: Facts, taken: Any) -> str:
    wanted = text(body, "name", needed=True) or ""
    if not NAME.fullmatch(wanted):
        raise unprocessable("Name can only contain lowercase letters, numbers, hyphens, and underscores")
    if wanted in taken:
        raise unprocessable("Name has already been taken")
    return wanted


def region(body: Facts) -> str:
    default = next(slug for slug, one in REGIONS.items() if one["current_default"])
    wanted = text(body, "region") or default
    if wanted not in REGIONS:
        raise unprocessable(f"Region {wanted} is not available")
    return wanted


def cluster(body: Facts) -> str:
    wanted = text(body, "cluster_size", needed=True) or ""
    if wanted not in SKUS:
        raise unprocessable(f"Cluster size {wanted} is not available")
    return wanted


def replicas(body: Facts) -> int | None:
    """0 or at least 2 (S2)."""
    wanted = whole(body, "replicas")
    if wanted == 1:
        raise unprocessable("Replicas must be 0 or at least 2")
    return wanted


def storage(body: Facts) -> Facts:
    found = body.get("storage") or {}
    if not isinstance(found, dict):
        raise invalid("storage must be an object")
    whole(found, "minimum_storage_bytes", LEAST_STORAGE)
    whole(found, "maximum_storage_bytes", LEAST_STORAGE)
    return found


def inherited(body: Facts) -> list[str]:
    wanted = body.get("inherited_roles") or []
    unknown = [one for one in wanted if one not in INHERITABLE]
    if unknown:
        raise unprocessable(f"Inherited roles {', '.join(map(str, unknown))} are not included in the list")
    return sorted(set(wanted))


def networks(body: Facts, needed: bool) -> list[str]:
    wanted = body.get("cidrs")
    if wanted is None and not needed:
        return []
    if not isinstance(wanted, list) or not wanted:
        raise invalid("cidrs must contain at least one IPv4 range")
    try:
        return [str(ipaddress.IPv4Network(one, strict=False)) for one in wanted]
    except ValueError as error:
        raise unprocessable(f"Cidrs are invalid: {error}") from error


def parameters(before: dict[str, dict[str, str]], wanted: Any) -> dict[str, dict[str, str]]:
    """The branch's own values with the wanted ones among them; a default's value is nothing of its own."""
    if not isinstance(wanted, dict) or not all(isinstance(values, dict) for values in wanted.values()):
        raise invalid('parameters are nested by namespace: {"pgconf": {"max_connections": "200"}}')
    after = {namespace: dict(values) for namespace, values in before.items()}
    for namespace, values in wanted.items():
        for key, value in values.items():
            known = PARAMETERS.get(key)
            if known is None or known.namespace != namespace:
                raise unprocessable(f"Parameter {namespace}.{key} does not exist")
            if str(value) != known.default:
                _check_value(key, str(value))
                after.setdefault(namespace, {})[key] = str(value)
            else:
                after.get(namespace, {}).pop(key, None)
    return {namespace: values for namespace, values in after.items() if values}


def _check_value(key: str, value: str) -> None:
    known = PARAMETERS[key]
    if known.immutable:
        raise unprocessable(f"Parameter {key} can't be changed")
    if known.kind == "select" and value not in known.options:
        raise unprocessable(f"Parameter {key} must be one of {', '.join(known.options)}")
    if known.kind == "boolean" and value not in SWITCH:
        raise unprocessable(f"Parameter {key} must be on or off")
    if known.kind == "bytes" and not AMOUNT.fullmatch(value):
        raise unprocessable(f"Parameter {key} must be a size")
    if known.kind in ("integer", "seconds"):
        try:
            fits = (known.least or 0) <= int(value) <= (known.most or 0)
        except ValueError:
            fits = False
        if not fits:
            raise unprocessable(f"Parameter {key} must be between {known.least} and {known.most}")


def changed(before: Configuration, body: Facts) -> Configuration:
    """The configuration that a change request asks for."""
    wanted = storage(body)
    after = before
    if body.get("cluster_size") is not None:
        after = replace(after, cluster=cluster(body))
    count = replicas(body)
    if count is not None:
        after = replace(after, replicas=count)
    if body.get("parameters") is not None:
        after = replace(after, parameters=parameters(before.parameters, body["parameters"]))
    given = {
        "minimum_storage": wanted.get("minimum_storage_bytes"), "maximum_storage": wanted.get("maximum_storage_bytes"),
        "autoscaling": wanted.get("storage_autoscaling"), "iops": wanted.get("storage_iops"),
        "throughput": wanted.get("storage_throughput_mibs"),
    }
    after = replace(after, **{key: value for key, value in given.items() if value is not None})
    if after.maximum_storage < after.minimum_storage:
        raise unprocessable("Maximum storage must not be less than minimum storage")
    return after
