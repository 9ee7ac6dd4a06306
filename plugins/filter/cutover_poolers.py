# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters over ``migration_traffic``."""

from __future__ import annotations

PARTS = ("admin", "config", "databases", "host", "port", "pause_timeout")


def cutover_poolers(traffic, pause_timeout=10, suffix=""):
    """The entries of kind pgbouncer as ``pg_cutover`` takes them; ``suffix`` is what a user's name ends in there."""
    return [
        {
            "pause_timeout": pause_timeout, **{part: entry[part] for part in PARTS if part in entry},
            **({"user": f"{entry['user']}{suffix}"} if "user" in entry else {}),
        }
        for entry in traffic if entry.get("kind") == "pgbouncer"
    ]


class FilterModule:
    def filters(self):
        return {"cutover_poolers": cutover_poolers}
