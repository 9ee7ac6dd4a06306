# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All checks of a preflight of logical replication: a small pure function each, in one table."""

from __future__ import annotations

from .._findings import Finding
from . import servers, sources, targets
from .facts import Facts


def findings(facts: Facts) -> list[Finding]:
    """What all checks have to say, blockers first."""
    found = [finding for check in servers.CHECKS for finding in check(facts)]
    for database in facts.databases:
        for check in (*sources.CHECKS, *targets.CHECKS):
            found += check(database, facts)
    return sorted(found, key=lambda finding: finding.severity)
