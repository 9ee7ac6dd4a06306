# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``pg_journal`` does with the lock of both sides: take, renew, give back, clear away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import LeaseLost
from .._journal import Queue, holder_of_this_run, merge
from .._plan import Plan, Step
from . import journal, lease
from .connection import Session


def result(
    migration: str, held: Mapping[str, Any] | None = None, taken_over: bool = False,
    events: Mapping[str, Any] | None = None, plan: Plan = Plan(),
) -> dict[str, Any]:
    """The module's return value; without ``held`` nobody holds it."""
    nobody = {"migration": migration, "generation": None, "holder": None, "group_id": None}
    return {
        **plan.result(), "journal": dict(held or nobody), "taken_over": taken_over,
        "events": {name: event.as_dict() for name, event in (events or {}).items()},
    }


def go(source: Session, target: Session | None, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the lock into the state that is asked for. Raises PgError (code ``held``) and LeaseLost.

    ``target`` None is one that isn't there yet: the source holds the lock alone until a later call has both.
    """
    held, migration, taken_over = dict(params["journal"]), params["journal"]["migration"], False
    sides = tuple(side for side in (source, target) if side)
    if params["state"] == "absent":
        return _absent({"source": source, "target": target}, params, check_mode)
    if check_mode:
        return result(migration, events=_events(sides, migration))
    if params["state"] == "released":
        # A target that came to be meanwhile, and whose lock this run never took, isn't its to give back.
        for side in reversed(sides):
            if side is source or lease.read(side, migration)[0] >= (held["generation"] or 0):
                lease.release(side, held)
        return result(migration, events=_events(sides, migration))
    if held["generation"]:
        lease.renew(source, held)
        if target:
            taken_over = _join(target, held, params)
    elif target:
        held, taken_over = _take(source, target, params)
    else:
        held, taken_over = _take_alone(source, params)
    if params["events"]:
        for side in sides:
            with side.transaction():
                lease.renew(side, held)
                journal.record(side, migration, [journal.Entry(**event) for event in params["events"]], held["holder"])
    return result(migration, held, taken_over, _events(sides, migration))


def _queue(params: Mapping[str, Any]) -> Queue:
    return Queue(params["take_over"], params["wait_timeout"])


def _take_alone(source: Session, params: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The source's side, while there is no other."""
    migration, holder = params["journal"]["migration"], holder_of_this_run(params["job"])
    first, over = lease.acquire(source, migration, holder, _queue(params))
    return {"migration": migration, "generation": first.generation, "holder": holder, "group_id": None}, over


def _join(target: Session, held: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """The target's side for who holds the source; renewed where this run has it. Whether another's was taken over."""
    migration, generation = held["migration"], held["generation"]
    if lease.read(target, migration)[0] == generation:
        lease.renew(target, held)
        return False
    taken, over = lease.acquire(target, migration, held["holder"], _queue(params), generation)
    if taken.generation != generation:
        lease.release(target, {**held, "generation": taken.generation})
        raise LeaseLost(
            f"migration {migration} on {target.where}: its lock has been taken {taken.generation - 1} times, the"
            f" source's {generation} times: they don't belong together. Nothing was changed. Cure: run again, which"
            " takes both sides at once.",
            code="lease_lost",
        )
    return over


def _take(source: Session, target: Session, params: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Both sides, the source first: who has that one only has to wait for the target, and nobody waits for them."""
    migration, holder = params["journal"]["migration"], holder_of_this_run(params["job"])
    queue = _queue(params)
    behind, _other = lease.read(target, migration)
    first, over = lease.acquire(source, migration, holder, queue, behind + 1)
    held = {"migration": migration, "generation": first.generation, "holder": holder, "group_id": None}
    try:
        # Whoever held the target alone has lost the source, and stops at its next step.
        second, over_there = lease.acquire(target, migration, holder, queue, first.generation)
    except BaseException:
        lease.release(source, held)
        raise
    if second.generation != first.generation:
        lease.release(source, held)
        lease.release(target, {**held, "generation": second.generation})
        return _take(source, target, params)
    return held, over or over_there


def _absent(both: Mapping[str, Session | None], params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Forget it on both sides, but for what is to be remembered. The run's own lock is no change, unless there was
    something to forget."""
    held, migration = params["journal"], params["journal"]["migration"]
    # Where there is no target, the source remembers.
    places = params["remember_on"] if both["target"] else ["source"]
    sides = [(side, params["remember"] if name in places else ()) for name, side in both.items() if side]
    remembering = [side.where for side, kept in sides if set(journal.read(side, migration)) - set(kept)]
    plan = Plan(
        tuple(
            Step("clear", f"remove migration {migration} from the journal on {where}", {"where": where})
            for where in remembering
        ),
        {"journals": sorted(remembering)}, {"journals": []},
    )
    if not check_mode:
        for side, _kept in sides if held["generation"] else ():
            lease.renew(side, held)
        for side, kept in sides:
            lease.clear(side, migration, kept)
    return result(migration, plan=plan)


def _events(sides: tuple[Session, ...], migration: str) -> dict[str, Any]:
    return merge([event for side in sides for event in journal.read(side, migration).values()])
