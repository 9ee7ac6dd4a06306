# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reboot of an instance that is known to have been one (R18, R27)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from . import api, state, waiters
from .errors import RdsError
from .waiters import Patience, Sight

ATTEMPTS = 3


def reboot(
    rds: Any, identifier: str, patience: Patience, guard: Callable[[], Any], now: Callable[[], datetime]
) -> None:
    """Reboot an instance and wait for it. ``guard`` is called before it is asked for, and may raise LeaseLost.

    It is back when it was seen away from available, or when AWS has an event of it after the call.
    """
    _available(rds, identifier, patience)
    guard()
    asked = api.service_time(rds, identifier)
    _ask(rds, identifier, patience, guard)
    away = False

    def look() -> Sight:
        nonlocal away
        instance = api.describe_instance(rds, identifier)
        status = waiters.living("instance", identifier, instance, state.INSTANCE_FAILURES)
        away = away or status not in waiters.READY
        done = status in waiters.READY and (away or restarted_since(rds, identifier, asked, max(now(), asked)))
        return Sight(done, f"instance {identifier} is {status}", instance)

    patience.until(look, f"instance {identifier} to be back from its reboot")


def restarted_since(rds: Any, identifier: str, moment: datetime, now: datetime) -> bool:
    """Whether AWS has an event that says so."""
    events = api.describe_events(rds, identifier, moment, now, "db-instance")
    return any("restarted" in event.get("Message", "").lower() for event in events)


def _ask(rds: Any, identifier: str, patience: Patience, guard: Callable[[], Any]) -> None:
    for attempt in range(ATTEMPTS):
        try:
            api.reboot_instance(rds, identifier)
            return
        except RdsError as error:
            if error.code not in api.BAD_STATE or attempt == ATTEMPTS - 1:
                raise
        _available(rds, identifier, patience)
        guard()


def _available(rds: Any, identifier: str, patience: Patience) -> None:
    waiters.instance_available(rds, identifier, patience)
