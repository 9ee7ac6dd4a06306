# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault may be told: its names, its keys, and what they may name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import botocore.exceptions
import botocore.session

from .planetscale_catalogue import OPERATIONS as PLANETSCALE
from .sampler import UNITS

COUNTING = ("rate", "seed", "times")
ON_CALLS = ("operation", "operations", "identifier", *COUNTING)
ON_TRANSITIONS = ("identifier", "transition", *COUNTING)
# Every fault with the keys it takes.
KNOWN: dict[str, tuple[str, ...]] = {
    "access_denied": ON_CALLS,
    "delay": (*ON_CALLS, "seconds"),
    "drop_response": ON_CALLS,
    "expired_token": ON_CALLS,
    "internal_error": ON_CALLS,
    "service_unavailable": ON_CALLS,
    "throttling": ON_CALLS,
    "slow_transition": (*ON_TRANSITIONS, "factor"),
    "refuse_transition": ON_TRANSITIONS,
    "missing_metrics": ("metric", "identifier"),
    "stale_metrics": ("metric", "identifier"),
    "wal_switch": ("identifier", "seconds"),
}
NEEDED = {"delay": "seconds", "refuse_transition": "transition", "wal_switch": "seconds"}
TRANSITIONS = (
    "backing-up",
    "creating",
    "deleting",
    "failing-over",
    "modifying",
    "promoting",
    "promotion-accepted",
    "rebooting",
    "security-groups",
    "starting",
    "stopping",
)


@functools.cache
def _operations_of(service: str) -> tuple[str, ...] | None:
    """Every operation of a service; None for a service nobody knows."""
    if service == "planetscale":
        return tuple(PLANETSCALE)
    try:
        return tuple(botocore.session.get_session().get_service_model(service).operation_names)
    except botocore.exceptions.UnknownServiceError:
        return None


def _check_pattern(pattern: Any) -> None:
    """Refuse a pattern that can't match: `rds:Describ` is a typing error, not a wish."""
    if not isinstance(pattern, str) or not pattern:
        raise ValueError(f"operation is a pattern such as rds:Describe*, not {pattern!r}")
    service, colon, operation = pattern.rpartition(":")
    if not colon or any(character in service for character in "*?["):
        return
    names = _operations_of(service)
    if names is None:
        raise ValueError(f"operation {pattern!r}: there is no service {service!r}")
    if not any(fnmatchcase(name, operation) for name in names):
        raise ValueError(f"operation {pattern!r}: {service} has no operation like {operation!r}")


def _check_number(spec: Mapping[str, Any], key: str, least: float, most: float = float("inf")) -> None:
    number = spec.get(key, least)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not least <= number <= most:
        bounds = f"from {least:g} to {most:g}" if most < float("inf") else f"of {least:g} or more"
        raise ValueError(f"{key} is a number {bounds}, not {number!r}")


def check(spec: Mapping[str, Any]) -> None:
    """ValueError for a spec that names something unknown, with what is known."""
    name = spec.get("name")
    if name not in KNOWN:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(sorted(KNOWN))}")
    unknown = sorted(set(spec) - {"name", *KNOWN[name]})
    if unknown:
        raise ValueError(f"{name} takes no {', '.join(unknown)}; it takes {', '.join(sorted(KNOWN[name]))}")
    if name in NEEDED and NEEDED[name] not in spec:
        raise ValueError(f"{name} needs {NEEDED[name]}")
    for pattern in patterns(spec):
        _check_pattern(pattern)
    if not any(fnmatchcase(item, str(spec.get("transition", "*"))) for item in TRANSITIONS):
        raise ValueError(f"{name} knows no transition {spec['transition']!r}; it knows {', '.join(TRANSITIONS)}")
    if not any(fnmatchcase(item, str(spec.get("metric", "*"))) for item in UNITS):
        raise ValueError(f"there is no metric {spec['metric']!r}; there are {', '.join(UNITS)}")
    _check_number(spec, "rate", 0, 1)
    _check_number(spec, "times", 1)
    _check_number(spec, "seconds", 0)
    _check_number(spec, "factor", 0)


def patterns(spec: Mapping[str, Any]) -> list[str]:
    """The operations a fault strikes: `operation` (one pattern) and `operations` (a list); all when none is named."""
    several = spec.get("operations", [])
    found = [
        *([spec["operation"]] if "operation" in spec else []),
        *([several] if isinstance(several, str) else several),
    ]
    return found or ["*"]
