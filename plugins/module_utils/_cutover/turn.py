# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn it is: which side of a migration serves, by what the journals of both say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .._journal import Event
from . import fence, row

SOURCE, TARGET = "source", "target"
# The directions of a cutover.
THERE, BACK = "there", "back"
# By this entry a migration is known to be over, when nothing else of it is left.
FINISHED = "migration.finished"


@dataclass(frozen=True)
class Turn:
    """``serves`` is the side that takes the writes, or did last. ``halfway`` is the direction of a cutover that
    somebody is at, or that was left; ``returned`` whether there was a way back. ``closed`` are the sides that the
    migration holds closed, in every database."""

    serves: str = SOURCE
    halfway: str | None = None
    returned: bool = False
    finished: bool = False
    closed: tuple[str, ...] = ()
    opened_at: str | None = None

    @property
    def idle(self) -> str:
        """The side that doesn't serve."""
        return TARGET if self.serves == SOURCE else SOURCE


def turn(
    source: Mapping[str, Event], target: Mapping[str, Event], databases: Collection[str],
) -> Turn:
    """Out of the journals of both sides by id.

    The row of a cutover is in the journal of the side that is opened by it: there in the target's, back in the
    source's. A side that was opened and is closed again has been left since.
    """
    closed = tuple(
        side for side, events in ((SOURCE, source), (TARGET, target))
        if databases and set(fence.by_database(events.values())) >= set(databases)
    )
    there, back = (events.get(row.EVENT) for events in (target, source))
    decided = {
        THERE: row.decide(there and there.now, TARGET in closed),
        BACK: row.decide(back and back.now, SOURCE in closed),
    }
    halfway = next((way for way, found in decided.items() if found == row.UNDO), None)
    serves = TARGET if halfway == BACK or decided[THERE] == row.FORWARD else SOURCE
    last = there if serves == TARGET else back
    return Turn(
        serves, halfway, bool(back and back.now["state"] == row.OPENED), FINISHED in target or FINISHED in source,
        closed,
        last.as_dict()["at"] if last and last.now["state"] == row.OPENED else None,
    )
