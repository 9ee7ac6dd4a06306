# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mishaps of a target that follows, in which nothing looks wrong at first sight: each is found, named and mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pair import MADE, NAME, SLOT, Pair  # puts the checkout's extensions on the path
from report import Row
from runs import finish
from sql_verdict import follow, found
from processes import eventually  # isort: skip

TABLES = """
    CREATE SCHEMA load;
    CREATE TABLE load.t0 (id int PRIMARY KEY, pad text NOT NULL);
    INSERT INTO load.t0 SELECT i, 'x' FROM generate_series(1, 1000) AS i;
    CREATE TABLE load.extra (id int PRIMARY KEY, pad text NOT NULL);
    INSERT INTO load.extra SELECT i, 'x' FROM generate_series(1, 1000) AS i;
"""
STRANGE = 1_000_000
KEPT = {"max_slot_wal_keep_size": "32MB", "max_wal_size": "64MB", "min_wal_size": "32MB"}
Tell = Callable[[Row], None]


def happened(name: str, expected: str, wrong: list[str], tell: Tell) -> None:
    tell(Row("mishap", "status", expected, name, note="" if wrong else "found and named"))


def slot_lost(pair: Pair, tell: Tell) -> list[str]:
    """P14: the target is away for longer than the source keeps WAL. Only beginning again helps, and that is said."""
    _run, wrong = follow(pair)
    if wrong:
        return wrong
    pair.target.server.stop()
    for _number in range(5):
        pair.source.query("SELECT pg_logical_emit_message(false, 'chaos', repeat('x', 16 << 20))")
        pair.source.query("SELECT pg_switch_wal()")
    pair.source.query("CHECKPOINT")
    eventually(lambda: pair.source.query(
        "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [SLOT]) == [("lost",)], "a lost slot")
    pair.target.server.start()
    wrong = found(pair, "slot-lost")
    happened("slot lost (P14)", "slot-lost", wrong, tell)
    for verb in ("replicate", "cutover"):
        run = finish(pair, verb)
        if run.process.returncode == 0 or "slot" not in run.output:
            wrong.append(f"{verb} goes on without its slot: {run.output[-600:]}")
    run = finish(pair, "rollback")
    if run.process.returncode:
        wrong.append(f"rollback with a lost slot failed: {run.output[-900:]}")
    pair.renew_target()
    return wrong


def conflict(pair: Pair) -> None:
    """A row that the target has already: apply fails for as long as it is there."""
    pair.past_the_fence(f"INSERT INTO load.t0 VALUES ({STRANGE}, 'strange')")
    pair.source.run(f"INSERT INTO load.t0 VALUES ({STRANGE}, 'right')")


def worker_crash_looping(pair: Pair, tell: Tell) -> list[str]:
    """P18: enabled, and its worker ends again and again."""
    _run, wrong = follow(pair)
    if wrong:
        return wrong
    conflict(pair)
    eventually(lambda: pair.target.query("SELECT sum(apply_error_count) > 1 FROM pg_stat_subscription_stats")[0][0],
               "errors of the worker")
    wrong = found(pair, "worker-crash-looping")
    happened("crash loop (P18)", "worker-crash-looping", wrong, tell)
    pair.past_the_fence(f"DELETE FROM load.t0 WHERE id = {STRANGE}")
    pair.in_step()
    return wrong


def silently_off(pair: Pair, tell: Tell) -> list[str]:
    """P19: an error has switched it off. It comes on again only when somebody says that the error is mended."""
    _run, wrong = follow(pair)
    if wrong:
        return wrong
    pair.past_the_fence(f"ALTER SUBSCRIPTION {MADE} SET (disable_on_error = true)")
    conflict(pair)
    eventually(lambda: pair.target.query("SELECT subenabled FROM pg_subscription") == [(False,)], "a switched off one")
    wrong = found(pair, "subscription-silently-off")
    happened("silently off (P19)", "subscription-silently-off", wrong, tell)
    run = finish(pair, "replicate")
    if run.process.returncode == 0 or "subscription-silently-off" not in run.output:
        wrong.append(f"replicate goes on as if nothing had happened: {run.output[-600:]}")
    pair.past_the_fence(f"DELETE FROM load.t0 WHERE id = {STRANGE}")
    run = finish(pair, "replicate", extra={"migration_acknowledged": ["subscription-silently-off"]})
    if run.process.returncode:
        wrong.append(f"acknowledged, and replicate failed: {run.output[-900:]}")
    pair.past_the_fence(f"ALTER SUBSCRIPTION {MADE} SET (disable_on_error = false)")
    return wrong


def sets_apart(pair: Pair, tell: Tell) -> list[str]:
    """P11: somebody publishes a table more. Its changes are dropped without a word until the subscription knows it."""
    pair.write_inventory(logical_exclude=["load.extra"])
    _run, wrong = follow(pair)
    if wrong:
        return wrong
    pair.past_the_fence(
        "CREATE TABLE load.extra (id int PRIMARY KEY, pad text NOT NULL)", "ALTER TABLE load.extra OWNER TO owner",
    )
    pair.source.query(f"ALTER PUBLICATION {MADE} ADD TABLE load.extra")
    pair.source.run(f"INSERT INTO load.extra VALUES ({STRANGE}, 'dropped without a word')")
    pair.in_step()
    wrong = found(pair, "relation-sets-apart")
    happened("sets apart (P11)", "relation-sets-apart", wrong, tell)
    pair.write_inventory()
    run = finish(pair, "replicate")
    if run.process.returncode == 0 or "relation-sets-apart" not in run.output:
        wrong.append(f"replicate says nothing of the table that isn't followed: {run.output[-600:]}")
    pair.told("pg_subscription", **pair.both, migration=NAME, slot_name=SLOT, create_slot=False, copy_data=False,
              refresh="with_data", acknowledged=["relation-sets-apart"])
    return wrong


MISHAPS: dict[str, tuple[Callable[[Pair, Tell], list[str]], dict[str, Any]]] = {
    "slot lost": (slot_lost, {"source_settings": KEPT}),
    "worker": (worker_crash_looping, {}),
    "off": (silently_off, {}),
    "apart": (sets_apart, {}),
}
