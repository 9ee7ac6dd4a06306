# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What matters to a move with downtime, where nothing is replicated (S18). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._findings import Finding, blocker
from .._logical.selection import matches
from .._status import duration, size

# Findings of a preflight of logical replication about what a copy behind the fence needs nothing of: decoding, slots,
# apply workers, replica identities, changes that would have to be followed. What isn't listed is told.
ONLY_FOLLOWING = (
    "wal-level", "target-wal-level", "source-without-streaming", "no-disable-on-error", "no-origin-filter",
    "login-lacks-replication", "login-cannot-subscribe", "slot-*", "orphan-slot", "source-slots*",
    "source-walsenders*", "target-slots*", "target-walsenders*", "target-origins*", "target-workers*",
    "target-worker-processes", "way-back-*", "long-snapshot", "long-transaction", "table-not-owned",
    "table-without-identity", "table-still-published", "identity-*", "index-not-usable", "generated-column*",
    "trigger-fires-on-apply", "target-trigger-fires-on-apply", "materialized-view", "partman",
)
# Bytes a second that no copy over a network beats by much, for who has promised an outage that can't be kept.
_FAST = 200 << 20


def told(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that matter."""
    return [one for one in findings if not matches(one["id"], ONLY_FOLLOWING)]


def downtime(migration: str, sizes: Sequence[int], max_outage: float) -> Finding:
    """That nobody is served while rows are copied, to be acknowledged. ``max_outage`` in seconds, 0 when not set."""
    count, bytes_ = len(sizes), sum(sizes)
    said = (
        f"writes stop for as long as the copy takes: {size(bytes_)} in {count} database{'' if count == 1 else 's'}, "
        "then indexes, and a comparison of every row"
    )
    least = bytes_ / _FAST
    if 0 < max_outage < least:
        said += f"; migration_max_outage is {duration(max_outage)}, and the rows alone take at least {duration(least)}"
    return blocker(
        "downtime", migration, said, "acknowledge it, or take planetscale_method: logical", "S18", acknowledgeable=True,
    )
