# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a writer remembers of its own writes, so that the journal can be judged exactly."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from cloudpg_ledger.journal import ACKED, DOUBT, FAILED
from cloudpg_ledger.workload import LAP_WIDTH, Batches, Counters, Laps, Queue, mix


def test_an_update_goes_to_a_row_whose_insert_was_acknowledged() -> None:
    counters = Counters()
    counters.settle(counters.next("w", 1), DOUBT)
    insert = counters.next("w", 2)
    counters.settle(insert, ACKED)

    assert insert.sql.startswith("INSERT")
    assert counters.next("w", 3).params["slot"] == 2


@pytest.mark.parametrize(("outcomes", "same_row"), [([ACKED], True), ([DOUBT], True), ([FAILED], False)])
def test_a_counter_that_refuses_is_left(outcomes: list[str], same_row: bool) -> None:
    counters = Counters()
    counters.settle(counters.next("w", 1), ACKED)
    for seq, outcome in enumerate(outcomes, 2):
        counters.settle(counters.next("w", seq), outcome)

    assert (counters.next("w", 9).params["slot"] == 1) is same_row


def test_a_counter_gets_a_new_row_before_its_history_grows_long() -> None:
    counters = Counters()
    rows = Counter()
    for seq in range(1, 201):
        write = counters.next("w", seq)
        counters.settle(write, ACKED)
        rows[write.params["slot"] or seq] += 1

    assert set(rows.values()) == {Counters.UPDATES_A_ROW}


def test_only_acknowledged_rows_are_deleted_and_each_once() -> None:
    queue, outcomes = Queue(random.Random(1)), random.Random(2)
    acked, deleted = set(), []
    for seq in range(1, 500):
        write = queue.next("w", seq)
        outcome = outcomes.choice([ACKED, DOUBT, FAILED])
        queue.settle(write, outcome)
        if write.kind == "dequeue":
            deleted.append(write.data["ref"])
        elif outcome == ACKED:
            acked.add(seq)

    assert len(deleted) > 50
    assert len(deleted) == len(set(deleted))
    assert set(deleted) < acked


def test_a_table_is_truncated_first_and_again_until_that_is_certain() -> None:
    batches = Batches()
    for outcome in (FAILED, DOUBT, ACKED):
        write = batches.next("w", 1)
        assert write.kind == "truncate"
        batches.settle(write, outcome)

    assert batches.next("w", 2).kind == "batch"


def test_a_sequence_is_restarted_again_while_its_range_is_in_doubt() -> None:
    laps = Laps(random.Random(1))
    doubtful = laps.next("w", 1)
    laps.settle(doubtful, DOUBT)
    certain = laps.next("w", 2)
    laps.settle(certain, ACKED)

    assert certain.kind == "restart"
    assert abs(certain.data["base"] - doubtful.data["base"]) >= LAP_WIDTH
    assert laps.next("w", 3).data == certain.data


def test_p34_rising_restarts_go_up_also_in_the_next_run(monkeypatch) -> None:
    bases = []
    for begun in (1_800_000_000_000, 1_800_000_000_010):
        monkeypatch.setattr("cloudpg_ledger.workload.time.time_ns", lambda now=begun: now * 10**6)
        laps = Laps(random.Random(1), rising=True)
        for seq in range(3):
            write = laps.next("w", seq)
            laps.settle(write, DOUBT)
            bases.append(write.data["base"])
    assert bases == sorted(set(bases))
    assert all(after - before >= LAP_WIDTH for before, after in zip(bases, bases[1:]))
    assert bases[-1] + LAP_WIDTH < 2**63


def test_a_restart_that_failed_leaves_the_range() -> None:
    laps = Laps(random.Random(1))
    first = laps.next("w", 0)
    laps.settle(first, ACKED)
    for seq in range(1, Laps.NUMBERS_A_LAP + 1):
        laps.settle(laps.next("w", seq), ACKED)
    again = laps.next("w", 90)
    laps.settle(again, FAILED)

    assert again.kind == "restart"
    assert laps._base == first.data["base"]


def test_only_the_first_writer_truncates_and_restarts() -> None:
    kinds = {first: {type(kind) for kind in mix(random.Random(1), first=first)[0]} for first in (True, False)}

    assert kinds[True] - kinds[False] == {Batches, Laps}
