# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security groups as a server sees them: which client networks reach its port. Pure functions."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any


def covers_port(rule: Mapping[str, Any], port: int) -> bool:
    """Whether an ingress rule (protocol, from_port, to_port as AWS has them) reaches a TCP port."""
    protocol = str(rule.get("protocol"))
    if protocol == "-1":
        return True
    if protocol not in ("tcp", "6"):
        return False
    first, last = rule.get("from_port"), rule.get("to_port")
    if first is None or last is None or -1 in (int(first), int(last)):
        return True
    return int(first) <= port <= int(last)


def networks_for(rules: Iterable[Mapping[str, Any]], port: int) -> list[str]:
    """Client networks that the rules let in to a port, sorted, each once.

    Only CIDR ranges count: a rule that names another group or a prefix list has no address on one machine.
    """
    found = set()
    for rule in rules:
        if covers_port(rule, port):
            for cidr in rule.get("cidrs", ()):
                found.add(str(ipaddress.ip_network(cidr, strict=False)))
    return sorted(found)
