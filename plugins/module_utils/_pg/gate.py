# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate of a physical copy: has it replayed what the source wrote last? Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import PgError

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
# Within a WAL segment's worth the end is near, and worth looking at more often.
NEAR = 16 * 1024 * 1024


@dataclass(frozen=True)
class Passage:
    """``failed`` says why the gate can never open by waiting."""

    line: str
    done: bool = False
    near: bool = False
    failed: str | None = None


def lsn_number(text: str) -> int:
    """An LSN (``16/B374D848``) as the byte position it is; raises PgError for anything else."""
    found = _LSN.fullmatch(str(text).strip())
    if not found:
        raise PgError(
            f"lsn: {text!r} is no LSN such as 16/B374D848. Cure: give the lsn that pg_replication_info returned."
        )
    return int(found[1], 16) << 32 | int(found[2], 16)


def passage(seen: Mapping[str, Any], lsn: str, via: str, standby: str | None = None) -> Passage:
    """Judge the positions of a server by ``replayed >= lsn``, never by equality (P17).

    ``via`` says whose positions they are: the ``standby``'s own, or the ``source``'s view of it (R15), where
    ``standby`` names it by application name or slot when there are several.
    """
    return _by_standby(seen, lsn) if via == "standby" else _by_source(seen, lsn, standby)


def _measure(name: str, replayed: str, lsn: str) -> Passage:
    missing = lsn_number(lsn) - lsn_number(replayed)
    if missing <= 0:
        return Passage(f"{name} has replayed {replayed}, past {lsn}", done=True)
    return Passage(f"{name} has replayed {replayed} of {lsn}: {missing} B behind", near=missing <= NEAR)


def _by_standby(seen: Mapping[str, Any], lsn: str) -> Passage:
    if not seen["in_recovery"]:
        said = "the replica is no standby any more: its LSNs can't be compared with the source's (R17)"
        return Passage(said, failed=f"{said}. Cure: look at the migration's status.")
    if seen["replay_lsn"] is None:
        why = seen.get("refused") or "it names no position"
        said = f"the replica doesn't say how far it has replayed: {why}"
        return Passage(said, failed=f"{said} Cure: wait with via=source, or by CloudWatch (R15).")
    return _measure("the replica", seen["replay_lsn"], lsn)


def _by_source(seen: Mapping[str, Any], lsn: str, standby: str | None) -> Passage:
    # A base backup in progress is a walsender as well.
    followers = [row for row in seen["standbys"] if row["state"] not in ("backup", "startup")]
    if standby:
        followers = [row for row in followers if standby in (row["name"], row["slot"])]
    if len(followers) > 1:
        names = ", ".join(sorted(str(row["slot"] or row["name"]) for row in followers))
        said = f"the source has {len(followers)} standbys: {names}"
        return Passage(said, failed=f"{said}. Cure: name the one that counts in standby.")
    own = (followers[0]["slot"] if followers else None) or standby
    slots = [slot for slot in seen["slots"] if slot["type"] == "physical" and (not own or slot["name"] == own)]
    broken = next((slot for slot in slots if _broken(slot)), None)
    if broken and (own or not followers):
        said = f"slot {broken['name']} is {broken['wal_status']}: the source has dropped WAL the replica needs (P14)"
        return Passage(said, failed=f"{said}. Cure: build the replica again.")
    if not followers:
        return Passage(f"no standby{f' {standby}' if standby else ''} is connected to the source")
    name = own or followers[0]["name"] or "the replica"
    if followers[0]["replay_lsn"] is None:
        said = f"the source shows no position of {name}"
        return Passage(said, failed=f"{said}. Cure: grant pg_monitor to the login (P52).")
    measured = _measure(name, followers[0]["replay_lsn"], lsn)
    if measured.done and own and slots and slots[0]["restart_lsn"]:
        held = _measure(f"slot {name}", slots[0]["restart_lsn"], lsn)
        return measured if held.done else held
    return measured


def _broken(slot: Mapping[str, Any]) -> bool:
    """A follower that is connected may still take an unreserved slot's WAL; a lost one is gone for good."""
    return slot["wal_status"] == "lost" or (slot["wal_status"] == "unreserved" and not slot["active"])
