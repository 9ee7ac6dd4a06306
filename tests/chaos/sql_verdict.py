# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be true of both sides when a database was copied and follows, whatever happened to the copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pair import DATABASE, NAME, SLOT, WRONG, Pair
from runs import Run, finish
from verdict import FIGURES

# Backends of a run that is over, slots that nobody uses, states that nobody waits for.
_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^cloudpg_copy'"
_SLOTS = "SELECT slot_name FROM pg_replication_slots ORDER BY 1"
_FOLLOWED = "SELECT DISTINCT srsubstate::text FROM pg_subscription_rel"


def follow(pair: Pair) -> tuple[Run, list[str]]:
    """The role from wherever the copy is to the end; what is wrong with that."""
    run = finish(pair, "replicate")
    if run.process.returncode == 0:
        return run, []
    lines = [line for line in run.output.splitlines() if "[ERROR]" in line or "fatal:" in line]
    return run, [f"replicate failed: {' | '.join(lines)[-1500:] or run.output[-1500:]}"]


def judge_followed(pair: Pair, crashed: bool = False) -> tuple[list[str], dict[str, Any]]:
    """Writers stop, sequences are brought over: both sides have to be the same, with all that was acknowledged.

    ``crashed``: writes that the source had acknowledged without flushing may be gone, on both sides.
    """
    pair.load.await_commits()
    pair.load.stop()
    pair.in_step()
    pair.told("pg_sequence_sync", **pair.both)
    wrong = []
    compared = pair.module("pg_compare", **pair.both, max_jobs=2).result()
    if compared.get("failed"):
        wrong.append(f"pg_compare: {compared.get('msg')}")
    again = pair.copy().result()
    if again.get("failed") or again["changed"] or not again["done"]:
        wrong.append(f"pg_copy once more: {again.get('msg') or again.get('actions')}")
    wrong += status(pair) + leftovers(pair)
    told = pair.load.verify(pair.target, pair.source, "boss")
    damage = [f"ledger: {name}={told[name]}" for name in WRONG if told[name]]
    if damage and not (crashed and all(one.get("asynchronous") for one in told["findings"])):
        wrong += [*damage, str(told["findings"])[:600]]
        return wrong, {name: told[name] for name in FIGURES}
    # What a crash took from both sides was never promised: it isn't the migration's loss.
    return wrong, {**{name: told[name] for name in FIGURES}, **({name: 0 for name in WRONG} if damage else {})}


def status(pair: Pair) -> list[str]:
    """What the migration's status finds wrong."""
    seen = pair.module("logical_info", **_sides(pair)).result()
    if seen.get("failed"):
        return [f"logical_info: {seen['msg']}"]
    return [f"status: {one['id']} {one['object']}: {one['reason']}" for one in seen["databases"][0]["findings"]
            if one["severity"] == "blocker"]


def found(pair: Pair, expected: str) -> list[str]:
    """What is wrong with how a mishap is told: module and role have to name it, and the role has to fail."""
    seen = pair.module("logical_info", **_sides(pair)).result()
    named = [one["id"] for one in (seen.get("databases") or [{"findings": []}])[0]["findings"]]
    wrong = [] if expected in named else [f"logical_info doesn't name {expected}: {named or seen.get('msg')}"]
    run = finish(pair, "status")
    if run.process.returncode == 0 or expected not in run.output:
        wrong.append(f"the status ends with {run.process.returncode} and without {expected}: {run.output[-600:]}")
    return wrong


def leftovers(pair: Pair) -> list[str]:
    """What a copy leaves behind that none should."""
    wrong = []
    for name, side in (("source", pair.source), ("target", pair.target)):
        if side.query(_BACKENDS) != [(0,)]:
            wrong.append(f"backends of the copy are left on the {name}")
    if (slots := pair.source.query(_SLOTS)) != [(SLOT,)]:
        wrong.append(f"the source has the slots {slots}")
    if (states := pair.target.query(_FOLLOWED)) != [("r",)]:
        wrong.append(f"tables are in the states {states}")
    return wrong


def _sides(pair: Pair) -> dict[str, Any]:
    sides: Sequence[str] = ("source", "target")
    return {**{side: pair.both[side] for side in sides}, "migration": NAME, "databases": [DATABASE]}
