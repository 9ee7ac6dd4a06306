# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps a promoted target closed: the ways in which it isn't what the source was. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differences(target: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> list[str]:
    """A sentence a difference; none means that the target may be opened.

    Both are what ``pg_server_info`` returned. Without ``source`` only the target itself is judged. What could not be
    read is a difference, never equality.
    """
    found = []
    if target["in_recovery"]:
        found.append("it is still in recovery and takes no writes")
    if target["prepared_transaction_count"]:
        found.append(f"{target['prepared_transaction_count']} prepared transactions travelled along and hold locks")
    for database in target["databases"]:
        found += [f"database {database['name']}: {text}" for text in _busy(database)]
    return found + (_unlike(target, source) if source is not None else [])


def _busy(database: Mapping[str, Any]) -> list[str]:
    """What writes in a database on its own (R19, P44)."""
    found = [
        f"subscription {row['name']} travelled along and is enabled"
        for row in database["subscriptions"] if row["enabled"]
    ]
    if not database["cron_jobs_readable"]:
        found.append("its cron jobs can't be read by this login, so they can't be known to be off")
    elif database["cron_jobs_active"]:
        found.append(f"{database['cron_jobs_active']} cron jobs are active")
    return found


def _unlike(target: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    found = []
    there = {database["name"]: database for database in target["databases"]}
    for database in source["databases"]:
        name = database["name"]
        if name not in there:
            found.append(f"database {name} is missing")
            continue
        had, has = ({row["name"] for row in side["extensions"]} for side in (database, there[name]))
        if had - has:
            found.append(f"database {name}: extension {', '.join(sorted(had - has))} is missing")
    counted = {(row["database"], row["table"]): row["rows"] for row in target["tables"]}
    for row in source["tables"]:
        rows = counted.get((row["database"], row["table"]))
        if rows != row["rows"]:
            shown = "wasn't counted" if rows is None else f"has {rows} rows"
            found.append(f"{row['database']}: {row['table']} {shown}, the source {row['rows']}")
    return found
