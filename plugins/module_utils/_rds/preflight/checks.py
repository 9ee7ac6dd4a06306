# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All checks of a preflight by Aurora replica: a small pure function each, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..._findings import Finding
from . import dependents, server, source, target
from .facts import Facts

Check = Callable[[Facts], Iterable[Finding]]

# Those which need nothing to be there; those which look at the source; those which look at what SQL told of it.
ALWAYS: tuple[Check, ...] = (*source.ALWAYS, *target.ALWAYS, *server.ALWAYS)
OF_SOURCE: tuple[Check, ...] = (*source.CHECKS, *target.CHECKS, *dependents.CHECKS)
OF_SERVER: tuple[Check, ...] = server.CHECKS


def findings(facts: Facts) -> list[Finding]:
    """What all checks have to say, blockers first."""
    checks = list(ALWAYS)
    checks += OF_SOURCE if facts.source is not None else ()
    checks += OF_SERVER if facts.server is not None else ()
    found = [finding for check in checks for finding in check(facts)]
    return sorted(found, key=lambda finding: finding.severity)
