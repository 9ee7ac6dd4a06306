# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cutover: the order of its steps, and what is done when one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import LeaseLost, MigrationError
from .._pg.address import place
from .._plan import Plan, Step
from . import row, ways
from .line import Line
from .row import Row
from .stand import Stand, Write, open_stand
from .timeline import Timeline

# Seconds for putting everything back, or going on to the end, once that has to be done.
_SETTLING = 60.0
CUT_OVER, SETTLED, FENCED = "cut_over", "settled", "fenced"
_POLL = 0.01

_SENTENCES = (
    ("pause", "hold the clients of {poolers}"),
    ("fence", "close {databases} on {source} and end the sessions there"),
    ("prove", "prove that nobody is left who could write"),
    ("mark", "read how far {source} has written"),
    ("drain", "follow {source} to there"),
    ("sequences", "bring the sequences over"),
    ("advance", "move the slots of the way back past that"),
    ("disable", "turn replication to {target} off"),
    ("check", "see that nothing was written after all"),
    ("open", "open {databases} on {target}: the point of no return"),
    ("repoint", "lead {poolers} to {target}"),
    ("resume", "let the clients go on"),
    ("enable", "turn replication back to {source} on"),
)


class CutoverError(MigrationError):
    """It failed; ``result`` is what is to be known besides."""

    def __init__(self, message: str, code: str | None, result: Mapping[str, Any]) -> None:
        super().__init__(message, code=code)
        self.result = dict(result)


class Cutover:
    """One run of the module. ``arm`` says whether a signal may interrupt it now."""

    def __init__(
        self, params: Mapping[str, Any], line: Line, arm: Callable[[bool], None], write: Write,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.params, self.line, self.arm, self._write = params, line, arm, write
        self._clock, self._sleep = clock, sleep
        way = f"{place(params['source'])} -> {place(params['target'])}"
        self.row = Row(params["journal"], way)
        self.timeline = Timeline(params["max_outage"], clock)
        self.lsn: str | None = None
        self._undo = Step("undo", f"put back a cutover that was left half-way, {way}")
        self._undone: list[Step] = []
        self._lift: Mapping[str, Any] = {}
        self._closing: Mapping[str, Any] = {}

    def check(self) -> dict[str, Any]:
        """What would be done, by the real state. Changes nothing, locks nothing."""
        with open_stand(self.params, self._write, locked=False) as stand:
            decision = row.decide(row.read(stand.target.home, self.row.migration), stand.target_closed())
            if decision == row.FORWARD:
                return self._result(self._left(stand), row.OPENED)
            told = [self._undo] if decision == row.UNDO else []
            if self.params["state"] == SETTLED:
                return self._result(Plan(tuple(told)), row.PUT_BACK if told else None)
            if decision == row.START:
                stand.check()
                stand.read_numbers(write=False)
            steps = self.steps(stand)
            return self._result(Plan((*told, *steps)), None)

    def steps(self, stand: Stand) -> list[Step]:
        """The steps of the outage as sentences."""
        words = {
            "poolers": ", ".join(pooler.name for pooler in stand.poolers), "databases": ", ".join(stand.databases),
            "source": stand.source.where, "target": stand.target.where,
        }
        left_out = set()
        if not stand.poolers:
            left_out |= {"pause", "repoint", "resume"}
        if not stand.back:
            left_out |= {"advance", "enable"}
        return [Step(name, said.format(**words)) for name, said in _SENTENCES if name not in left_out]

    def run(self) -> dict[str, Any]:
        """The module's result. Raises CutoverError, after everything was put back as far as that was possible."""
        try:
            with open_stand(self.params, self._write, locked=True) as stand:
                decision = self._decide(stand)
                if decision == row.FORWARD:
                    plan = self._left(stand)
                    self.forward(stand)
                    return self._result(plan, row.OPENED)
                if self.params["state"] == SETTLED:
                    return self._result(Plan(tuple(self._undone)), row.PUT_BACK if self._undone else None)
                plan = self.prepare(stand)
                return self._result(plan, self.attempt(stand))
        except LeaseLost:
            raise
        except MigrationError as error:
            return self.settle(error)
        except Exception as error:
            # Whatever it is, nobody may be left held up by it.
            return self.settle(MigrationError(f"{type(error).__name__}: {error}."))

    def _decide(self, stand: Stand) -> str:
        """What is found is settled first: what isn't open is put back, and then a cutover may begin."""
        decision, found = self.row.reconsider(stand.target.home, stand.target_closed())
        if decision == row.UNDO:
            self.undo(stand, found)
            self.row.generation = None
            return row.START
        return decision

    def prepare(self, stand: Stand) -> Plan:
        """Everything that can be done while the clients go on. Returns what will be done."""
        stand.check()
        stand.read_numbers(write=True)
        stand.advance_back()
        self._lift = stand.target_fence.plan_open().steps[0].args
        self._closing = stand.source_fence.plan_close().steps[0].args
        for side in (stand.source, stand.target):
            side.limit(self.params["max_outage"])
        self.arm(True)
        self.row.begin(stand.target.home, {
            "source": stand.source.where, "databases": stand.databases,
            "following": [database for database, way in stand.forward.items() if way.enabled],
        })
        return Plan(tuple(self.steps(stand)))

    def attempt(self, stand: Stand) -> str:
        """The outage, to its end; the outcome. Whatever it raises, ``settle`` decides what becomes of it."""
        timeline, fence = self.timeline, stand.source_fence
        step = timeline.step
        timeline.begin()
        deadline = timeline.until
        # Steps that see the deadline come can say what they wait for; an answer that doesn't come can't.
        self.line.until = deadline + timeline.undo / 8
        self.pause(stand)
        with step("fence"):
            fence.close(**self._closing)
        with step("prove"):
            fence.empty(deadline)
        drain = stand.drain()
        with step("mark"):
            drain.mark()
            self.lsn = drain.lsn
        with step("drain"):
            drain.wait(deadline)
        with step("sequences"):
            for database in stand.databases:
                stand.bring_numbers(database)
        if stand.back:
            with step("advance"):
                stand.advance_back()
        with step("disable"):
            stand.set_forward(False)
        with step("check"):
            fence.empty(self._clock())
            drain.nothing_since(stand.source.sessions, deadline)
        return self.hand_over(stand)

    def pause(self, stand: Stand) -> None:
        """Hold the poolers' clients, where there are poolers."""
        if stand.poolers:
            with self.timeline.step("pause"):
                for pooler in stand.poolers:
                    stand.alive()
                    pooler.pause(self.line.left())

    def hand_over(self, stand: Stand) -> str:
        """The point of no return, and what follows it."""
        with self.timeline.step("open"):
            self.arm(False)
            self.open(stand)
        self.timeline.returnable, self.line.until = False, None
        self.forward(stand)
        return row.OPENED

    def open(self, stand: Stand) -> None:
        """The point of no return: one transaction on the target."""
        home = stand.target.home
        with home.transaction():
            self.row.check(home)
            stand.target_fence.lift(self._lift["changes"], self._lift["ids"])
            self.row.opened(home, {
                "source": stand.source.where, "databases": stand.databases, "lsn": self.lsn,
            })

    def forward(self, stand: Stand) -> None:
        """What follows the open, as far as it isn't done yet. One that fails doesn't keep the others waiting."""
        self.timeline.returnable = False
        failed: dict[str, str] = {}
        for name in ("repoint", "resume") if stand.poolers else ():
            stand.alive()
            with self.timeline.step(name):
                for pooler in [one for one in stand.poolers if one.name not in failed]:
                    try:
                        getattr(pooler, name)()
                    except MigrationError as error:
                        failed[pooler.name] = error.message
        self.timeline.end()
        if stand.lost and self.params["follow"]:
            failed["source"] = f"The way back can't be turned on: {stand.lost.message}"
        elif stand.back:
            with self.timeline.step("enable"):
                self._turn_back_on(stand)
        if failed:
            raise MigrationError(
                f"{stand.target.where} is open, and not everything that follows was done: {' '.join(failed.values())} "
                "Run again: from here it only goes forward.", code="unfinished",
            )

    def _turn_back_on(self, stand: Stand) -> None:
        """First what leads forward has to have stopped for good, or rows would go round in circles (P25)."""
        drain, deadline = stand.drain(), self._clock() + _SETTLING
        while any(slot["active"] for slot in ways.slots(
            stand.source.home, [way.slot for way in stand.forward.values() if way.slot]
        ).values()):
            if self._clock() >= deadline:
                raise MigrationError("replication to the target was turned off, and its worker doesn't end.")
            drain.poke()
            self._sleep(_POLL)
        for database, way in stand.idle_back().items():
            ways.set_enabled(stand.source.sessions[database], way.name, True)

    def _left(self, stand: Stand) -> Plan:
        """What is left to do behind the point of no return."""
        steps = [step for pooler in stand.poolers for step in pooler.plan_switch().steps]
        steps += [Step("enable", f"turn subscription {way.name} of database {database} on")
                  for database, way in stand.idle_back().items()]
        return Plan(tuple(steps))

    def undo(self, stand: Stand, found: Mapping[str, Any]) -> None:
        """Put back what a cutover has changed before its point of no return. What isn't changed stays as it is."""
        stand.set_forward(True, found["following"])
        stand.look_again()
        plan = stand.source_fence.plan_open()
        for step in plan.steps:
            stand.source_fence.open(**step.args)
        held: list[str] = []
        for pooler in stand.poolers:
            try:
                pooler.resume()
            except MigrationError as error:
                held.append(error.message)
        if held:
            raise MigrationError(
                f"{stand.source.where} takes writes again, but clients may still be held: {' '.join(held)} Run again "
                "when that is mended, or give the console RESUME.", code="still_held",
            )
        self.row.put_back(stand.target.home, {key: found[key] for key in ("source", "databases")})
        self._undone.append(self._undo)

    def settle(self, failure: MigrationError) -> dict[str, Any]:
        """After a failure: new sessions, and the same decision that a run makes which finds a cutover half-way."""
        went = self.timeline.where_it_went()
        self.arm(False)
        self.timeline.returnable, self.line.until = False, self._clock() + _SETTLING
        if self.row.generation is None:
            raise CutoverError(failure.message, failure.code, self._result(Plan(), None))
        try:
            with open_stand({**self.params, "wait_timeout": _SETTLING}, self._write, locked=True) as stand:
                decision, found = self.row.reconsider(stand.target.home, stand.target_closed())
                if decision == row.FORWARD:
                    plan = Plan(tuple(self.steps(stand)))
                    self.forward(stand)
                    return self._result(plan, row.OPENED)
                if decision == row.UNDO:
                    self.undo(stand, found)
        except MigrationError as second:
            self.timeline.end()
            if second.code == "unfinished":
                raise CutoverError(second.message, second.code, self._result(Plan(), row.OPENED)) from failure
            if second.code == "still_held":
                said = f"{failure.message} {went} {second.message}"
                raise CutoverError(said, failure.code, self._result(Plan(), None)) from failure
            raise CutoverError(
                f"{failure.message} {went} Then it could be neither put back nor finished: {second.message} "
                f"{self._standing()}", failure.code, self._result(Plan(), None),
            ) from failure
        self.timeline.end()
        raise CutoverError(
            f"{failure.message} {went} Everything was put back: {place(self.params['source'])} takes writes again.",
            failure.code, self._result(Plan(), row.PUT_BACK),
        ) from failure

    def _standing(self) -> str:
        if self.timeline.began is None:
            return "Nobody was held up. Run again."
        return (
            "Whether the target was opened can only be read there: the source stays closed and clients stay held. Run "
            "again as soon as both servers answer: the target's journal decides."
        )

    def _result(self, plan: Plan, outcome: str | None) -> dict[str, Any]:
        return {
            **plan.result(), "outcome": outcome, "steps": self.timeline.steps, "outage_ms": self.timeline.outage_ms,
            "lsn": self.lsn,
        }
