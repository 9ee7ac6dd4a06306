# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a module's parameters to its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._findings import in_the_way
from .._logical.selection import Selection, first, object_name
from .._pg.connection import connect
from .._pg.errors import PgError
from .._pg.hold import Hold, hold_of
from .._plan import Plan, Step, carry_out
from . import ledger, obstacles, snapshot
from .engine import Engine
from .observe import Observed, Wish
from .sessions import Wire, application_name
from .throttle import Limits

_LEAST = {"max_jobs": 1, "slot_timeout": 1, "reconnect_timeout": 0, "split_above": 0, "wait_timeout": 0}


def wish_of(params: Mapping[str, Any]) -> Wish:
    """Raises PgError for values that can't be."""
    for option, least in _LEAST.items():
        if params[option] < least:
            raise PgError(f"{option} is {params[option]}. Cure: give {least} or more.")
    for option, value in params["throttle"].items():
        if value < 0:
            raise PgError(f"throttle.{option} is {value}. Cure: give 0 (no limit) or more.")
    made = object_name(params["migration"])
    if params["failover"] and not params["follow"]:
        raise PgError("failover is about the slot, and with follow=false there is none. Cure: leave it out.")
    return Wish(
        params["source"], params["target"], params["database"], params["migration"],
        Selection(params["tables"], params["exclude"], params["schemas"]),
        (params["slot"] or made) if params["follow"] else None, params["publication"] or made, params["max_jobs"],
        params["split_above"], params["maintenance_work_mem"], params["indexes"], params["analyze"],
        params["failover"], Limits(**params["throttle"]), params["slot_timeout"], params["reconnect_timeout"],
        params["wait_timeout"],
    )


def converge(params: Mapping[str, Any], check_mode: bool, not_there_yet: bool) -> dict[str, Any]:
    """The module's result; raises MigrationError, with ``findings`` where something stands against the copy."""
    wish = wish_of(params)
    hold = hold_of(connect, params, check_mode)
    if not_there_yet:
        plan = Plan((Step("copy", "copy all tables, once both servers are there"),))
        return _result(wish, plan, None, Engine(wish, hold))
    try:
        hold.guard()
        return (_absent if params["state"] == "absent" else _copied)(wish, hold, check_mode)
    finally:
        hold.close()


def _copied(wish: Wish, hold: Hold, check_mode: bool) -> dict[str, Any]:
    engine = Engine(wish, hold)
    seen = engine.look()
    try:
        obstacles.refuse(in_the_way(seen.findings, check_mode))
    except PgError as error:
        error.findings = first(seen.findings, lambda one: one.as_dict())
        raise
    plan = plan_of(wish, seen)
    if not check_mode and plan.changed:
        return _result(wish, plan, engine.carry_out(), engine, seen)
    return _result(wish, plan, seen, engine)


def plan_of(wish: Wish, seen: Observed) -> Plan:
    """The steps for a person; they overlap, so that the engine carries them out as one. Pure."""
    decision, work = seen.decision, seen.work
    steps = []
    if decision.begin and wish.slot:
        steps.append(Step("copy", f"{'replace' if decision.drop else 'make'} slot {wish.slot} and keep its snapshot"))
    if decision.copy:
        steps.append(Step("copy", f"copy {len(decision.copy)} tables ({seen.bytes_to_copy / 2**20:.1f} MiB)"))
    if decision.leave:
        steps.append(Step("copy", f"leave {len(decision.leave)} unfinished tables to the subscription (P56)"))
    if work.indexes:
        steps.append(Step("copy", f"build {len(work.indexes)} indexes and keys"))
    if work.foreign_keys:
        steps.append(Step("copy", f"add and validate {len(work.foreign_keys)} foreign keys"))
    if work.analyze and not decision.over:
        steps.append(Step("copy", f"analyze {len(work.analyze)} tables"))
    if not decision.over and decision.whole:
        steps.append(Step("copy", "write down that the copy is done"))
    before = {"copied": len(decision.kept - decision.enter), "left": len(seen.standing.named(ledger.LEFT))}
    after = {"copied": len(decision.kept | decision.copy), "left": len(decision.left)}
    return Plan(tuple(steps), before, after)


def _result(
    wish: Wish, plan: Plan, seen: Observed | None, engine: Engine, found: Observed | None = None
) -> dict[str, Any]:
    result = {
        **plan.result(), "slot": wish.slot, "lsn": None, "done": False, "table_count": 0, "bytes": 0, "rows": 0,
        "left": [], "entering": [], "findings": [], "queries": first(engine.statements, str),
    }
    if seen is not None:
        findings = (found or seen).findings
        result |= {
            "lsn": seen.standing.lsn, "done": seen.decision.over, "table_count": len(seen.chosen),
            "bytes": sum(table.bytes for table in seen.chosen.values()), "rows": seen.standing.rows,
            "left": sorted(seen.decision.left), "entering": sorted(seen.decision.entering),
            "findings": first(findings, lambda one: one.as_dict()),
        }
    if engine.figures:
        result["progress"] = {**engine.figures, "reconnected": engine.restarts}
    return result


def _absent(wish: Wish, hold: Hold, check_mode: bool) -> dict[str, Any]:
    name = application_name(wish.migration)
    source, target = (Wire(address, wish.database, name) for address in (wish.source, wish.target))
    try:
        standing = ledger.read(target, wish.migration)
        slot = snapshot.slot_state(source, wish.slot) if wish.slot and standing.slot == wish.slot else None
        used = f", which pid {slot['active_pid']} uses now" if slot and slot["active"] else ""
        steps = [Step("slot", f"drop slot {wish.slot}{used}")] if slot else []
        if standing.run:
            steps.append(Step("ledger", f"forget that {len(standing.tables)} tables were copied or left"))
        plan = Plan(tuple(steps), {"copied": len(standing.tables)}, {"copied": 0})
        if not check_mode and steps:
            if used:
                raise PgError(
                    f"{source.where}: slot {wish.slot} is in use by pid {slot['active_pid']} (P13). Nothing was "
                    "changed. Cure: drop the subscription that uses it first.", code="slot_in_use",
                )
            Engine(wish, hold).lock(target)
            carry_out(plan, {
                "slot": lambda: snapshot.drop_slot(source, wish.slot),
                "ledger": lambda: ledger.forget(target, wish.migration),
            }, lambda _step: hold.guard())
        return {
            **plan.result(), "slot": None, "lsn": None, "done": False, "table_count": 0, "bytes": 0, "rows": 0,
            "left": [], "entering": [], "findings": [], "queries": [],
        }
    finally:
        source.close()
        target.close()
