# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict as a pure function: what passes, and above all what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from cloudpg_ledger.contents import Contents, whole_transfers
from cloudpg_ledger.effects import effects_of
from cloudpg_ledger.journal import ACKED, DOUBT, FAILED
from cloudpg_ledger.verdict import DUPLICATED, LOST, PHANTOM, SPLIT_BRAIN, TORN, judge
from cloudpg_ledger.workload import LAP_WIDTH
from hypothesis import given
from hypothesis import strategies as st

from .ledger_story import BASE, SOURCE, TARGET, Story, counts, undo

PLAIN = ("entry", "counter", "enqueue", "transfer", "ticket", "batch")
OUTCOMES = (ACKED, DOUBT, FAILED)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize(
    ("outcome", "copies", "expected"),
    [
        (ACKED, 1, {}),
        (ACKED, 0, {LOST: 1}),
        (ACKED, 2, {DUPLICATED: 1}),
        (ACKED, 3, {DUPLICATED: 2}),
        (DOUBT, 0, {}),
        (DOUBT, 1, {}),
        (DOUBT, 2, {DUPLICATED: 1}),
        (FAILED, 0, {}),
        (FAILED, 1, {PHANTOM: 1}),
    ],
)
def test_an_insert_is_there_as_often_as_its_outcome_allows(
    kind: str, outcome: str, copies: int, expected: dict[str, int]
) -> None:
    story = Story()
    story.attempt("entry")
    attempt = story.attempt(kind, outcome, committed=outcome != FAILED)
    table = {"entry": "entries", "counter": "counters", "enqueue": "queue", "batch": "batch"}.get(kind, f"{kind}s")
    story.contents.effects[table][attempt.key] = copies

    assert counts(judge(story.attempts, story.contents)) == expected


@pytest.mark.parametrize(
    ("insert", "delete", "copies", "expected"),
    [
        (ACKED, ACKED, 0, {}),
        (ACKED, ACKED, 1, {LOST: 1}),
        (ACKED, DOUBT, 0, {}),
        (ACKED, DOUBT, 1, {}),
        (ACKED, DOUBT, 2, {DUPLICATED: 1}),
        (ACKED, FAILED, 1, {}),
        (ACKED, FAILED, 0, {LOST: 1}),
    ],
)
def test_a_deleted_row_is_gone_as_its_outcome_demands(
    insert: str, delete: str, copies: int, expected: dict[str, int]
) -> None:
    story = Story()
    row = story.attempt("enqueue", insert)
    story.attempt("dequeue", delete, ref=row.seq)
    story.contents.effects["queue"][row.key] = copies

    verdict = judge(story.attempts, story.contents)

    assert counts(verdict) == expected
    if delete == ACKED and copies:
        assert verdict.findings[0].attempt.kind == "dequeue"


@pytest.mark.parametrize(
    ("truncate", "marker", "older_row", "expected"),
    [
        (ACKED, 1, 0, {}),
        (ACKED, 1, 1, {LOST: 1}),  # the TRUNCATE didn't arrive
        (ACKED, 0, 0, {LOST: 1}),
        (DOUBT, 1, 0, {}),
        (DOUBT, 0, 1, {}),
        (DOUBT, 1, 1, {LOST: 1}),  # half of its transaction
        (DOUBT, 0, 0, {LOST: 1}),  # it didn't happen, so the older row has to be there
        (FAILED, 0, 1, {}),
        (FAILED, 0, 0, {LOST: 1}),
    ],
)
def test_a_truncate_takes_the_older_rows_and_leaves_its_marker(
    truncate: str, marker: int, older_row: int, expected: dict[str, int]
) -> None:
    story = Story()
    older = story.attempt("batch")
    attempt = story.attempt("truncate", truncate)
    newer = story.attempt("batch")
    story.contents.effects["batch"] = Counter({older.key: older_row, attempt.key: marker, newer.key: 1})

    assert counts(judge(story.attempts, story.contents)) == expected


@pytest.mark.parametrize(
    ("heads", "parts", "expected"),
    [
        (0, 0, (0, False)),
        (1, 2, (1, False)),
        (2, 4, (2, False)),
        (1, 1, (0, True)),
        (0, 2, (0, True)),
        (1, 4, (1, True)),
    ],
)
def test_a_transfer_is_whole_or_torn(heads: int, parts: int, expected: tuple[int, bool]) -> None:
    assert whole_transfers(heads, parts) == expected


@pytest.mark.parametrize(
    ("outcome", "expected"), [(ACKED, {LOST: 1, TORN: 1}), (DOUBT, {TORN: 1}), (FAILED, {TORN: 1})]
)
def test_a_torn_transaction_fails_whatever_its_outcome(outcome: str, expected: dict[str, int]) -> None:
    story = Story()
    story.attempt("entry")
    attempt = story.attempt("transfer", outcome, committed=False)
    story.contents.torn_transfers.add(attempt.key)

    assert counts(judge(story.attempts, story.contents)) == expected


def test_a_wrong_balance_is_torn() -> None:
    story = Story()
    story.attempt("transfer")
    story.contents.torn.append("account 1 of w: balance 5, postings 6")

    assert counts(judge(story.attempts, story.contents)) == {TORN: 1}


def test_a_row_the_journal_never_heard_of_is_a_phantom() -> None:
    story = Story()
    story.attempt("entry")
    story.contents.effects["entries"][("w", 99)] = 1

    assert counts(judge(story.attempts, story.contents)) == {PHANTOM: 1}


def test_p32_a_sequence_that_lags_behind_would_give_a_number_out_again() -> None:
    story = Story()
    for _number in range(3):
        story.attempt("ticket")
    story.contents.next_values["ticket"] = 3

    assert counts(judge(story.attempts, story.contents)) == {DUPLICATED: 1}


def test_p32_a_promoted_sequence_may_be_ahead() -> None:
    story = Story()
    story.attempt("ticket")
    story.contents.next_values["ticket"] += 32

    assert counts(judge(story.attempts, story.contents)) == {}


def test_a_number_acknowledged_twice_is_a_duplicate() -> None:
    story = Story()
    story.attempt("ticket", number=7)
    story.attempt("ticket", number=7)

    assert counts(judge(story.attempts, story.contents)) == {DUPLICATED: 1}


def test_an_identity_column_that_starts_again_is_a_duplicate() -> None:
    story = Story()
    story.attempt("entry")
    story.attempt("entry", FAILED).error = "23505"

    assert counts(judge(story.attempts, story.contents)) == {DUPLICATED: 1}


@pytest.mark.parametrize(
    ("next_value", "expected"),
    [
        (BASE + 2, {}),
        (BASE + 34, {}),
        (BASE + 1, {DUPLICATED: 1}),
        (BASE + LAP_WIDTH, {LOST: 1}),
        (1, {LOST: 1}),
    ],
)
def test_a_restart_holds_on_the_target(next_value: int, expected: dict[str, int]) -> None:
    story = Story()
    story.attempt("restart", base=9 * BASE)
    story.attempt("restart", base=BASE)
    story.attempt("lap", base=BASE)
    story.contents.next_values["lap"] = next_value

    assert counts(judge(story.attempts, story.contents)) == expected


@pytest.mark.parametrize("committed", [True, False])
def test_a_restart_in_doubt_may_hold_or_not(committed: bool) -> None:
    story = Story()
    story.attempt("restart", base=9 * BASE)
    story.attempt("restart", DOUBT, committed=committed, base=BASE)

    assert counts(judge(story.attempts, story.contents)) == {}


def test_a_number_from_before_the_restart_tells_that_it_was_forgotten() -> None:
    story = Story()
    story.attempt("restart", base=BASE)
    story.attempt("lap", base=BASE, number=3)
    story.contents.next_values["lap"] = BASE + 1

    assert counts(judge(story.attempts, story.contents)) == {LOST: 1}


def after_a_cutover(behind_the_fence: Callable[[Story], None]) -> tuple[Story, Contents, Contents]:
    """A story with two writes moved, something on the source only, and one write on the target."""
    story = Story()
    story.attempt("entry")
    kept = story.attempt("enqueue")
    target = story.copy()
    target.server = TARGET
    behind_the_fence(story)
    source = story.copy()
    newer = story.attempt("entry", server=TARGET)
    target.effects["entries"][newer.key] = 1
    assert target.effects["queue"][kept.key] == 1
    return story, target, source


@pytest.mark.parametrize(
    ("behind_the_fence", "expected"),
    [
        (lambda story: None, {}),
        (lambda story: story.attempt("entry"), {LOST: 1, SPLIT_BRAIN: 1}),
        (lambda story: story.attempt("entry", DOUBT, committed=True), {SPLIT_BRAIN: 1}),
        (lambda story: story.attempt("entry", DOUBT), {}),
        (lambda story: story.attempt("dequeue", ref=2), {LOST: 1, SPLIT_BRAIN: 1}),
        (lambda story: story.attempt("dequeue", DOUBT, committed=True, ref=2), {SPLIT_BRAIN: 1}),
        (lambda story: story.attempt("entry", FAILED), {}),
    ],
)
def test_what_the_source_took_behind_the_fence_is_split_brain(
    behind_the_fence: Callable[[Story], None], expected: dict[str, int]
) -> None:
    story, target, source = after_a_cutover(behind_the_fence)

    assert counts(judge(story.attempts, target, source)) == expected


def test_a_row_made_and_deleted_behind_the_fence_hides_nothing_else() -> None:
    def behind_the_fence(story: Story) -> None:
        story.attempt("entry")
        story.attempt("enqueue")
        story.attempt("dequeue", ref=len(story.attempts))

    story, target, source = after_a_cutover(behind_the_fence)

    assert counts(judge(story.attempts, target, source)) == {LOST: 1, SPLIT_BRAIN: 1}


def test_a_row_the_copy_left_out_is_lost_but_no_split_brain() -> None:
    story = Story()
    left_out = story.attempt("entry")
    story.attempt("entry")
    target = story.copy()
    target.server = TARGET
    target.effects["entries"][left_out.key] = 0

    assert counts(judge(story.attempts, target, story.contents)) == {LOST: 1}


def test_a_target_with_nothing_from_the_source_makes_all_of_it_split_brain() -> None:
    story = Story()
    empty = Story().copy()
    empty.server = TARGET
    story.attempt("entry")
    story.attempt("entry")

    assert counts(judge(story.attempts, empty, story.contents)) == {LOST: 2, SPLIT_BRAIN: 2}


def test_nothing_acknowledged_proves_nothing() -> None:
    assert not judge([], Contents()).passed


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any mixture of attempts with any outcomes; those in doubt were committed or not."""
    story = Story()
    story.attempt("restart", base=BASE)
    for kind in draw(st.lists(st.sampled_from([*PLAIN, "dequeue", "truncate", "restart", "lap"]), max_size=40)):
        outcome = draw(st.sampled_from(OUTCOMES))
        committed = outcome == ACKED or (outcome == DOUBT and draw(st.booleans()))
        data = {}
        if kind == "dequeue":
            gone = [a.data["ref"] for a in story.attempts if a.kind == "dequeue"]
            held = [a.seq for a in story.attempts if a.kind == "enqueue" and a.outcome == ACKED and a.seq not in gone]
            if not held:
                continue
            data = {"ref": draw(st.sampled_from(held))}
        elif kind == "restart":
            used = {a.data["base"] for a in story.attempts if a.kind == "restart"}
            bases = st.integers(1, 2**40).map(lambda number: number * LAP_WIDTH)
            data = {"base": draw(bases.filter(lambda base, used=used: base not in used))}
        elif kind == "lap":
            restart = [a for a in story.attempts if a.kind == "restart" and a.outcome != FAILED][-1]
            if restart.outcome == DOUBT:
                continue  # a writer restarts again until it knows
            data = {"base": restart.data["base"]}
        story.attempt(kind, outcome, committed=committed, **data)
    return story


@given(stories())
def test_a_faithful_copy_always_passes(story: Story) -> None:
    verdict = judge(story.attempts, story.copy(), story.copy())

    assert verdict.passed, verdict.findings


@given(stories(), st.data())
def test_an_acknowledged_write_taken_away_is_always_noticed(story: Story, data: st.DataObject) -> None:
    damaged = story.copy()
    # marker and removal of a TRUNCATE in doubt vouch for each other
    certain = [e for e in effects_of(story.attempts, damaged) if e.keys and e.outcome == e.attempt.outcome == ACKED]
    undo(data.draw(st.sampled_from(certain)), damaged)

    assert judge(story.attempts, damaged).count(LOST) == 1


@given(stories(), st.data())
def test_a_row_doubled_is_always_noticed(story: Story, data: st.DataObject) -> None:
    damaged = story.copy()
    rows = [(table, key) for table, found in damaged.effects.items() for key, count in found.items() if count]
    table, key = data.draw(st.sampled_from(rows))
    damaged.effects[table][key] += 1

    assert judge(story.attempts, damaged).count(DUPLICATED) == 1


def test_the_source_is_told_by_its_address() -> None:
    story = Story()
    story.attempt("entry")
    target = story.copy()
    story.attempt("entry", server="127.0.0.99")
    story.contents.server = None

    assert SOURCE != story.attempts[1].server
    assert counts(judge(story.attempts, target, story.contents)) == {LOST: 1, SPLIT_BRAIN: 1}
