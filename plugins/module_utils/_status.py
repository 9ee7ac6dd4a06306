# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status document: one shape for every path, for people, for scheduled jobs and for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SCHEMA = 1

# In the order a migration goes through them. `ready` is a target that waits, empty, for a cutover that copies.
# `aborted` is a cutover that was put back; the target may be dead. `returned` is one that was opened and led back:
# the source serves again, and this migration goes no further.
PHASES = (
    "absent", "building", "ready", "replicating", "quiesced", "promoted", "aborted", "open", "returned", "finished",
)


def status(
    migration: str,
    path: str,
    phase: str,
    sentence: str,
    *,
    lag_bytes: int | None = None,
    lag_seconds: float | None = None,
    rate_bytes: float | None = None,
    seconds_to_go: float | None = None,
    blockers: Sequence[str] = (),
    holder: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document; what is not known is null, never zero. Raises ValueError for a phase nobody knows."""
    if phase not in PHASES:
        raise ValueError(f"unknown phase {phase}: one of {', '.join(PHASES)}")
    return {
        "schema": SCHEMA,
        "migration": migration,
        "path": path,
        "phase": phase,
        "healthy": not blockers,
        "sentence": sentence,
        "lag": {"bytes": lag_bytes, "seconds": lag_seconds},
        "rate_bytes": rate_bytes,
        "seconds_to_go": seconds_to_go,
        "blockers": list(blockers),
        "holder": dict(holder) if holder else None,
        "details": dict(details or {}),
    }


def size(count: float) -> str:
    """Bytes for a person: ``0 B``, ``118 MiB``, ``1.2 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for a person: ``00:13``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def line(document: Mapping[str, Any]) -> str:
    """The document as one line for a person; what isn't known is left out."""
    lag, parts = document["lag"], [document["phase"], document["sentence"]]
    if lag["seconds"] is not None:
        parts.append(f"lag {lag['seconds']:.1f} s")
    if lag["bytes"] is not None:
        parts.append(f"{size(lag['bytes'])} behind")
    if document["rate_bytes"] is not None:
        parts.append(f"{size(document['rate_bytes'])}/s")
    if document["seconds_to_go"] is not None:
        parts.append(f"{duration(document['seconds_to_go'])} to go")
    if document["blockers"]:
        parts.append("blocked by " + ", ".join(document["blockers"]))
    if document["holder"]:
        parts.append(f"held by {document['holder']['holder']} until {document['holder']['until']}")
    return " · ".join(parts)
