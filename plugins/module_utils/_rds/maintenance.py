# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping AWS's own maintenance out of a migration (R11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from .._findings import Finding, warning
from .._journal import Event
from .._plan import Plan, Step
from .errors import RdsError

EVENT = "source.auto_minor_version_upgrade"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(\w{3}):(\d\d):(\d\d)-(\w{3}):(\d\d):(\d\d)", re.IGNORECASE)


def next_window(window: str, now: datetime) -> tuple[datetime, datetime]:
    """Begin and end (UTC) of the maintenance window that runs at ``now`` or comes next. ValueError for no window."""
    match = _WINDOW.fullmatch(window)
    if not match or not {match[1].lower(), match[4].lower()} <= set(_DAYS):
        raise ValueError(f"{window} is no maintenance window")
    monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    begin, end = (
        monday + timedelta(days=_DAYS.index(day.lower()), hours=int(hour), minutes=int(minute))
        for day, hour, minute in (match.groups()[:3], match.groups()[3:])
    )
    if end <= begin:
        end += timedelta(days=7)
    week = timedelta(days=7)
    if end - week > now:
        begin, end = begin - week, end - week
    elif end <= now:
        begin, end = begin + week, end + week
    return begin, end


def findings(instance: Mapping[str, Any], now: datetime, hours: float) -> list[Finding]:
    """A warning when the maintenance window runs, or begins within ``hours`` (R11)."""
    name, window = instance["DBInstanceIdentifier"], instance.get("PreferredMaintenanceWindow")
    if not window:
        return []
    begin, end = next_window(window, now)
    if begin - now > timedelta(hours=hours):
        return []
    when = "runs now" if begin <= now else f"begins in {(begin - now) / timedelta(hours=1):.1f} h"
    return [warning(
        "maintenance-window-near", name, f"its maintenance window ({window} UTC) {when}",
        f"move the window, or the cutover, so that they don't meet; it ends at {end:%a %H:%M} UTC", "R11",
    )]


def plan_held(instance: Mapping[str, Any]) -> Plan:
    """Automatic minor upgrades off."""
    return _plan(instance, False)


def plan_released(instance: Mapping[str, Any] | None, event: Event | None) -> Plan:
    """Back to what the journal says; nothing when it says nothing, or when the instance is gone."""
    if instance is None or event is None:
        return Plan()
    if event.object != instance["DBInstanceIdentifier"]:
        raise RdsError(
            f"journal entry {EVENT} is about {event.object}, not about {instance['DBInstanceIdentifier']}. "
            "Cure: name the migration this belongs to."
        )
    return _plan(instance, bool(event.was))


def _plan(instance: Mapping[str, Any], wanted: bool) -> Plan:
    present = bool(instance.get("AutoMinorVersionUpgrade"))
    before, after = ({"auto_minor_version_upgrade": value} for value in (present, wanted))
    if present == wanted:
        return Plan((), before, after)
    name = instance["DBInstanceIdentifier"]
    return Plan(
        (Step("set", f"turn automatic minor version upgrades of {name} {'on' if wanted else 'off'}", {"on": wanted}),),
        before, after,
    )
