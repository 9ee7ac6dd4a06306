# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover to a target that doesn't follow: one process closes the source, another opens the target, and what lies
between them carries the rows."""

from __future__ import annotations

from typing import Any

from .._pg.errors import PgError
from .._plan import Plan, Step
from . import row
from .cutover import FENCED, Cutover
from .stand import Stand, open_stand

_FENCING = ("pause", "fence", "prove")
_OPENING = ("prove", "sequences", "check", "open", "repoint", "resume")


class Apart(Cutover):
    """Either half. Whatever fails in one puts back what the other has done."""

    @property
    def fencing(self) -> bool:
        return self.params["state"] == FENCED

    def check(self) -> dict[str, Any]:
        """What would be done. Nothing was fenced in check mode: there is nothing to insist on for the second half."""
        with open_stand(self.params, self._write, locked=False) as stand:
            decision = row.decide(row.read(stand.target.home, self.row.migration), stand.target_closed())
            if decision == row.FORWARD:
                return self._result(self._left(stand), row.OPENED)
            told = [self._undo] if decision == row.UNDO and self.fencing else []
            if self.fencing and decision == row.START:
                stand.check(following=False)
            return self._result(Plan((*told, *self.steps(stand))), None)

    def steps(self, stand: Stand) -> list[Step]:
        wanted = _FENCING if self.fencing else _OPENING
        return [step for step in super().steps(stand) if step.op in wanted]

    def _decide(self, stand: Stand) -> str:
        """The second half goes on from the first, of this very run; everything else that is found is settled."""
        if not self.fencing and self.row.go_on(stand.target.home):
            return row.START
        decision = super()._decide(stand)
        if decision == row.START and not self.fencing:
            done = " What another run has begun was put back." if self._undone else ""
            raise PgError(
                f"{stand.source.where}: this run hasn't closed it, so {stand.target.where} may lack rows.{done} "
                "Cure: begin with state=fenced, copy the rows behind that, and go on with the same journal.",
                code="not_fenced",
            )
        return decision

    def prepare(self, stand: Stand) -> Plan:
        if self.fencing:
            stand.check(following=False)
            self._closing = stand.source_fence.plan_close().steps[0].args
        else:
            self._check_fence(stand)
            self._lift = stand.target_fence.plan_open().steps[0].args
        for side in (stand.source, stand.target):
            side.limit(self.params["max_outage"])
        self.arm(True)
        if self.fencing:
            self.row.begin(stand.target.home, {
                "source": stand.source.where, "databases": stand.databases, "following": [],
            })
        return Plan(tuple(self.steps(stand)))

    @staticmethod
    def _check_fence(stand: Stand) -> None:
        """Raise PgError when somebody has opened a side while rows were carried over."""
        stand.check_target()
        if stand.source_fence.plan_close().changed:
            raise PgError(
                f"{stand.source.where}: not every database is closed any more, so rows may have been written that the "
                "target doesn't have. Cure: find out who opened it, and begin again."
            )
        for pooler in stand.poolers:
            pooler.check()

    def attempt(self, stand: Stand) -> str:
        timeline, fence, step = self.timeline, stand.source_fence, self.timeline.step
        timeline.begin()
        deadline = timeline.until
        self.line.until = deadline + timeline.undo / 8
        if self.fencing:
            self.pause(stand)
            with step("fence"):
                fence.close(**self._closing)
        with step("prove"):
            fence.empty(deadline)
        if self.fencing:
            timeline.end()
            return FENCED
        with step("sequences"):
            stand.read_numbers(write=True)
        with step("check"):
            fence.empty(self._clock())
        return self.hand_over(stand)
