# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is left in databases behind their fence, and whether that proves it (P52). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._pg import sessions


def concerned(
    rows: Sequence[Mapping[str, Any]], databases: Collection[str], spared: Collection[int]
) -> list[Mapping[str, Any]]:
    """The backends that count: in one of the databases, or in none that is known. ``spared`` are pids of our own."""
    return [
        row for row in rows if row["pid"] not in spared and (row["database"] is None or row["database"] in databases)
    ]


def verdict(
    rows: Sequence[Mapping[str, Any]], databases: Collection[str], spared: Collection[int],
    prepared: Sequence[str], starting: Sequence[int],
) -> dict[str, Any]:
    """``sessions.judge`` on what counts; ``starting`` are backends on their way in, looked for before the rows."""
    seen = sessions.judge([row for row in concerned(rows, databases, spared) if not authenticating(row)], prepared)
    late = [pid for pid in starting if pid not in spared]
    if late:
        seen["reasons"].append(f"{len(late)} backends are just connecting, the first pid {late[0]}")
        seen["proven"] = False
    return seen


def authenticating(row: Mapping[str, Any]) -> bool:
    """Whether a backend hasn't come to the check of CONNECT yet: servers from 18 on show it while it logs in.

    One that has come past it is among ``starting``; and with clients that try and try again there is always another.
    """
    return row["state"] == "starting" and row["user"] is None and row["database"] is None


def to_end(
    rows: Sequence[Mapping[str, Any]], databases: Collection[str], spared: Collection[int]
) -> list[Mapping[str, Any]]:
    """The sessions that have to end. One that hides what it is has to as well."""
    return [
        row for row in concerned(rows, databases, spared)
        if row["database"] is not None and not sessions.harmless(row)
    ]
