# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The slots that nobody reads until the next cutover, moved on: they would hold WAL back until the disk is full (P25).

They are on the side that is closed, where all that is written came from the side that serves, which has it already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .._cutover import ways
from .._cutover.hold import key
from .._cutover.names import way_back
from .._cutover.turn import SOURCE, TARGET, Turn, turn
from .._pg import journal, server
from .._pg.connection import Session, connect
from .selection import NOT_USERS, slot_name

_TRY = "SELECT pg_try_advisory_lock(%s)"


@dataclass
class Idle:
    """The migration's idle slots; ``homes`` are the sessions with the journals of both sides, by side."""

    addresses: Mapping[str, Mapping[str, Any]]
    homes: Mapping[str, Session]
    migration: str
    databases: Sequence[str]

    def turn(self) -> Turn:
        source, target = (journal.read(self.homes[side], self.migration) for side in (SOURCE, TARGET))
        return turn(source, target, self.databases)

    def advance(self, check_mode: bool) -> dict[str, Any]:
        """What was moved, or would be, and what wasn't with the reason."""
        moved, left = [], []
        whose = self.turn()
        for database in self.databases if safe(whose) else ():
            slot = slot_name(way_back(self.migration) if whose.idle == TARGET else self.migration, database)
            with connect(self.addresses[whose.idle], database) as session:
                found = ways.slots(session, [slot]).get(slot)
                if found is None:
                    continue
                why = None if check_mode else self._move(session, slot, found, whose)
            one = {"database": database, "slot": slot, "side": whose.idle}
            if why:
                left.append({**one, "reason": why})
            else:
                moved.append({**one, "bytes": found["behind"]})
        return {"moved": moved, "left": left}

    def _move(self, session: Session, slot: str, found: Mapping[str, Any], whose: Turn) -> str | None:
        """Under the lock of the cutovers: behind one that opens this side the same move would lose its writes."""
        if not session.value(_TRY, (key(self.migration),)):
            return "a cutover is under way"
        if self.turn() != whose:
            return "a cutover came in between"
        if found["active"] or found["wal_status"] == "lost":
            return "somebody fetches from it" if found["active"] else "it is lost"
        ways.advance(session, slot)
        return None


def safe(whose: Turn) -> bool:
    """Whether the side that doesn't serve writes nothing of its own: it is closed, and nobody is about to open it."""
    return not whose.halfway and not whose.finished and whose.idle in whose.closed and whose.serves not in whose.closed


def advance(
    source: Mapping[str, Any], target: Mapping[str, Any], migration: str, wanted: Sequence[str], check_mode: bool
) -> dict[str, Any]:
    """Move them on both servers; raises PgError for what can't be read or mustn't be done."""
    with ExitStack() as stack:
        homes = {side: stack.enter_context(connect(address)) for side, address in ((SOURCE, source), (TARGET, target))}
        names = [
            row["name"] for row in server.databases(homes[SOURCE], wanted) if wanted or row["name"] not in NOT_USERS
        ]
        return Idle({SOURCE: source, TARGET: target}, homes, migration, names).advance(check_mode)
