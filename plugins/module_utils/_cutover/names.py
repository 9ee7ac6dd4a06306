# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a migration's ways are called, there and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .._logical.selection import object_name, slot_name


def way_back(migration: str) -> str:
    """The replication that leads back is named as if it were a migration of its own."""
    return f"{migration}-back"


def subscriptions(migration: str) -> tuple[str, str]:
    """The subscription that leads there, and the one that leads back."""
    return object_name(migration), object_name(way_back(migration))


def slots(migration: str, databases: Iterable[str]) -> list[str]:
    """Every slot the migration may have, whichever side it is on."""
    ways = (migration, way_back(migration))
    return [*map(object_name, ways), *(slot_name(way, database) for way in ways for database in databases)]


def logins(migration: str, databases: Iterable[str]) -> list[str]:
    """Every replication login the migration may have made, whichever side it is on: they are named like the slots."""
    return slots(migration, databases)
