# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what is read back after an orderly end, a kill, and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cloudpg_ledger.journal import ACKED, DOUBT, FAILED, Journal, JournalError, parse, read

RUN = {"event": "run", "run": "r", "at": 100.0, "wall": 1_000_100.0, "routes": ["pooler", "direct"]}


def tried(seq: int, at: float = 101.0, **data: Any) -> dict[str, Any]:
    return {"event": "try", "writer": "r.0", "seq": seq, "kind": "entry", "route": "pooler", "at": at, "data": data}


def settled(event: str, seq: int, at: float = 102.0, **more: Any) -> dict[str, Any]:
    return {"event": event, "writer": "r.0", "seq": seq, "at": at, **more}


def lines(*entries: dict[str, Any]) -> list[str]:
    return [json.dumps(entry) + "\n" for entry in entries]


@pytest.mark.parametrize("outcome", [ACKED, FAILED, DOUBT])
def test_an_attempt_ends_as_it_was_settled(outcome: str) -> None:
    history = parse(lines(RUN, tried(1, base=7), settled(outcome, 1, server="127.0.0.1", data={"number": 9})))

    (attempt,) = history.attempts
    assert (attempt.outcome, attempt.ended, attempt.server) == (outcome, 102.0, "127.0.0.1")
    assert attempt.data == {"base": 7, "number": 9}


def test_an_attempt_never_settled_is_in_doubt_for_ever() -> None:
    (attempt,) = parse(lines(RUN, tried(1))).attempts

    assert (attempt.outcome, attempt.ended) == (DOUBT, float("inf"))


def test_attempts_come_in_the_order_they_began() -> None:
    history = parse(lines(RUN, tried(2, at=103.0), tried(1, at=101.0)))

    assert [attempt.seq for attempt in history.attempts] == [1, 2]


def test_a_run_lasts_until_its_stop_or_its_last_word() -> None:
    history = parse(lines(RUN, {"event": "stop", "at": 150.0}, RUN | {"at": 200.0}, tried(1, at=230.0)))

    assert [(run.began, run.ended) for run in history.runs] == [(100.0, 150.0), (200.0, 230.0)]


def test_monotonic_times_can_be_shown_as_times_of_day() -> None:
    assert parse(lines(RUN)).wall_offset == 1_000_000.0


def test_a_torn_last_line_is_left_out() -> None:
    history = parse([*lines(RUN, tried(1)), json.dumps(settled(ACKED, 1))[:20]])

    assert [attempt.outcome for attempt in history.attempts] == [DOUBT]


@pytest.mark.parametrize(
    "damage",
    [
        ["garbage\n"],
        lines({"event": "unheard of", "at": 1.0}),
        lines(settled(ACKED, 1)),
        lines(tried(1), settled(ACKED, 1), settled(ACKED, 1)),
        lines(tried(1), tried(1)),
        lines({"event": "try", "at": 1.0}),
    ],
)
def test_a_damaged_journal_is_refused(damage: list[str]) -> None:
    with pytest.raises(JournalError, match="line .* of the journal is damaged"):
        parse([*lines(RUN), *damage])


def test_a_journal_without_a_run_is_refused() -> None:
    with pytest.raises(JournalError, match="damaged"):
        parse(lines(tried(1)))


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    first = Journal(path)

    with pytest.raises(JournalError, match="another run"):
        Journal(path)
    first.close()
    Journal(path).close()


def test_a_next_run_appends_behind_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("".join(lines(RUN, tried(1))) + '{"event":"acked","wri')

    journal = Journal(str(path))
    journal.record("run", at=300.0, wall=1_000_300.0, routes=["pooler"])
    journal.close()

    history = read(str(path))
    assert len(history.runs) == 2
    assert [attempt.outcome for attempt in history.attempts] == [DOUBT]


def test_a_full_disk_stops_the_run() -> None:
    journal = Journal.__new__(Journal)
    with open("/dev/full", "wb", buffering=0) as full:
        journal._fd = full.fileno()
        with pytest.raises(JournalError, match="can't be written: No space left"):
            journal.record("try")
