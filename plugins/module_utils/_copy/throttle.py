# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the source suffers, the copy reads less: who backs off, and how he comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .sessions import Wire

# So many calm looks before one more reader is let in.
CALM = 3

# Only its members see what the sessions of others do, and how far replicas are.
SEES_ALL = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"
REPLICAS = "SELECT count(*) FROM pg_stat_replication"
_LOAD = """
    WITH others AS (
        SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active'
        AND application_name <> %(name)s AND pid <> pg_backend_pid()
    )
    SELECT (SELECT count(*) FROM others WHERE wait_event_type IS NULL) AS busy,
           (SELECT count(*) FROM others WHERE wait_event_type = 'IO') AS waiting_for_storage,
           (SELECT coalesce(max(extract(epoch FROM replay_lag)), 0) FROM pg_stat_replication) AS replica_lag,
           (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint
            FROM pg_replication_slots WHERE slot_name IS DISTINCT FROM %(slot)s) AS retained_by_others
"""


@dataclass(frozen=True)
class Limits:
    """0 switches a limit off."""

    busy_sessions: int = 0
    storage_sessions: int = 0
    replica_lag: float = 0
    retained_by_others: int = 0

    def exceeded(self, load: Mapping[str, Any]) -> str | None:
        """Which limit, in words. Pure."""
        if self.busy_sessions and load["busy"] > self.busy_sessions:
            return f"{load['busy']} sessions keep the source's processors busy"
        if self.storage_sessions and load["waiting_for_storage"] > self.storage_sessions:
            return f"{load['waiting_for_storage']} sessions wait for the source's storage"
        if self.replica_lag and load["replica_lag"] > self.replica_lag:
            return f"a replica of the source is {load['replica_lag']:.0f} s behind"
        if self.retained_by_others and load["retained_by_others"] > self.retained_by_others:
            return f"another slot of the source holds back {load['retained_by_others']} B"
        return None


def look(wire: Wire, name: str, slot: str | None) -> dict[str, Any]:
    return wire.row(_LOAD, {"name": name, "slot": slot})


class Throttle:
    """How many may read at once: half as many on every look that finds too much load, one more after a calm while."""

    def __init__(self, limits: Limits, most: int) -> None:
        self._limits, self._most = limits, most
        self.allowed = most
        self.why: str | None = None
        self._calm = 0

    def judge(self, load: Mapping[str, Any]) -> int:
        why = self._limits.exceeded(load)
        if why:
            self.why, self._calm = why, 0
            self.allowed = max(1, self.allowed // 2)
        elif self.allowed < self._most:
            self._calm += 1
            if self._calm >= CALM:
                self.allowed, self._calm = self.allowed + 1, 0
        if self.allowed == self._most:
            self.why = None
        return self.allowed
