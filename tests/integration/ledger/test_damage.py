# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`verify` against a real database that was damaged by hand after a run of real writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloudpg_ledger.journal import ACKED, read
from cloudpg_sandbox.servers import Server

from .live_ledger import SECRET, Ledger, wrong

# what was done to the database, and what the ledger has to say
DAMAGE = {
    "nothing": ("SELECT 1", {}),
    "row deleted": ("DELETE FROM ledger.entries WHERE id = (SELECT min(id) FROM ledger.entries)", {"lost": 1}),
    "row doubled": (
        "INSERT INTO ledger.entries (writer, seq, body) SELECT writer, seq, body FROM ledger.entries LIMIT 1",
        {"duplicated": 1},
    ),
    "contents changed": (
        "UPDATE ledger.entries SET body = 'x' WHERE id = (SELECT min(id) FROM ledger.entries)",
        {"lost": 1},
    ),
    "update lost": (
        "UPDATE ledger.counters SET version = version - 1, history = trim_array(history, 1)"
        " WHERE (writer, slot) = (SELECT writer, slot FROM ledger.counters WHERE version > 1 LIMIT 1)",
        {"lost": 1},
    ),
    "update applied twice": (
        "UPDATE ledger.counters SET version = version + 1, history = history || history[1]"
        " WHERE (writer, slot) = (SELECT writer, slot FROM ledger.counters LIMIT 1)",
        {"duplicated": 1},
    ),
    "version wrong": (
        "UPDATE ledger.counters SET version = version + 1"
        " WHERE (writer, slot) = (SELECT writer, slot FROM ledger.counters LIMIT 1)",
        {"torn": 1},
    ),
    "posting lost": (
        "DELETE FROM ledger.postings WHERE id = (SELECT min(id) FROM ledger.postings)",
        {"lost": 1, "torn": 2},  # the transfer, and the balance of one account
    ),
    "balance wrong": (
        "UPDATE ledger.accounts SET balance = balance + 1"
        " WHERE (writer, account) = (SELECT writer, account FROM ledger.accounts LIMIT 1)",
        {"torn": 1},
    ),
    "sequence behind": ("SELECT setval('ledger.ticket', 1)", {"duplicated": 1}),
    "sequence ahead": ("SELECT setval('ledger.ticket', 32 + (SELECT last_value FROM ledger.ticket))", {}),
    "restart forgotten": ("SELECT setval('ledger.lap', 1)", {"lost": 1}),
    "row of nobody": (
        "INSERT INTO ledger.queue (writer, seq) SELECT writer, 1000000 FROM ledger.entries LIMIT 1",
        {"phantom": 1},
    ),
}


@pytest.fixture(scope="module")
def written(source: Server, passfile: Path, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A ledger whose writers have run against the database `written`."""
    ledger = Ledger(tmp_path_factory.mktemp("written") / "journal", passfile)
    source.query("CREATE DATABASE written OWNER app")
    dsn = ledger.dsn(source, "written")
    ledger.init(dsn)
    routes = ["--route", f"pooler={dsn}", "--route", f"direct={dsn}"]
    answer = ledger.run("write", "--journal", str(ledger.journal), *routes, "--rate", "300", "--for", "4")
    assert answer.returncode == 0, answer.stderr
    return ledger


@pytest.fixture
def damaged(source: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A copy of `written` that a statement was run on."""
    source.query("CREATE DATABASE damaged TEMPLATE written OWNER app")
    source.query(request.param, dbname="damaged")
    yield "damaged"
    source.query("DROP DATABASE damaged WITH (FORCE)")


@pytest.mark.parametrize(("damaged", "expected"), DAMAGE.values(), ids=DAMAGE.keys(), indirect=["damaged"])
def test_what_was_done_by_hand_is_found(
    written: Ledger, source: Server, damaged: str, expected: dict[str, int]
) -> None:
    code, told = written.verify(written.dsn(source, damaged))

    assert wrong(told) == expected, told["findings"]
    assert code == (1 if expected else 0)


def test_latest_tells_the_outage_of_the_last_run_alone_and_judges_the_writes_of_all(
    written: Ledger, source: Server, tmp_path: Path
) -> None:
    text = written.journal.read_text(encoding="utf-8")
    began = json.loads(text.splitlines()[0])
    # A run before it, in which nobody was answered for a hundred seconds.
    idle = [
        {**began, "at": began["at"] - 200, "wall": began["wall"] - 200}, {"event": "stop", "at": began["at"] - 100},
    ]
    both = Ledger(tmp_path / "journal", written.passfile)
    both.journal.write_text("".join(json.dumps(line) + "\n" for line in idle) + text, encoding="utf-8")
    dsn = written.dsn(source, "written")
    (code, of_all), (latest_code, of_latest), (alone_code, alone) = (
        both.verify(dsn), both.verify(dsn, "--latest"), written.verify(dsn)
    )

    assert (code, latest_code, alone_code) == (0, 0, 0)
    assert of_all["outage_s"] == 100 and not of_all["outage"]["recovered"]
    assert of_latest["outage_s"] == alone["outage_s"] < 50
    assert of_latest["acked"] == of_all["acked"] == alone["acked"]


def resurrected(journal: Path) -> str:
    """A statement that undoes a delete which was acknowledged."""
    attempts = read(str(journal)).attempts
    delete = next(attempt for attempt in attempts if attempt.kind == "dequeue" and attempt.outcome == ACKED)
    return f"INSERT INTO ledger.queue (writer, seq) VALUES ('{delete.writer}', {delete.data['ref']})"


def untruncated(journal: Path) -> str:
    """A statement that puts a row back from before the last TRUNCATE."""
    attempts = read(str(journal)).attempts
    last = max(number for number, attempt in enumerate(attempts) if attempt.kind == "truncate")
    row = next(attempt for attempt in attempts[:last] if attempt.kind == "batch")
    return f"INSERT INTO ledger.batch (writer, seq) VALUES ('{row.writer}', {row.seq})"


@pytest.mark.parametrize("damage", [resurrected, untruncated])
def test_a_row_that_came_back_is_a_lost_delete(
    written: Ledger, source: Server, damage: Callable[[Path], str]
) -> None:
    source.query("CREATE DATABASE returned TEMPLATE written OWNER app")
    try:
        source.query(damage(written.journal), dbname="returned")
        code, told = written.verify(written.dsn(source, "returned"))
    finally:
        source.query("DROP DATABASE returned WITH (FORCE)")

    assert (code, wrong(told)) == (1, {"lost": 1})


def test_every_kind_was_written_at_the_rate_asked_for(written: Ledger, source: Server) -> None:
    code, told = written.verify(written.dsn(source, "written"), "--source", written.dsn(source, "written"))

    assert code == 0
    assert set(told["kinds"]) == {
        "entry", "counter", "enqueue", "dequeue", "transfer", "ticket", "batch", "truncate", "lap", "restart"
    }
    assert all(kind["acked"] for kind in told["kinds"].values())
    assert told["acked"] > 600  # 1200 on an idle machine
    assert told["servers"][0]["address"] == source.address
    assert SECRET not in written.journal.read_text(encoding="utf-8")


def test_a_database_that_cannot_be_read_gives_no_verdict(written: Ledger, source: Server) -> None:
    answer = written.run("verify", "--journal", str(written.journal), "--target", written.dsn(source, "nowhere"))

    assert answer.returncode == 2
    assert "nowhere" in answer.stderr


def test_a_target_without_the_tables_gives_no_verdict(written: Ledger, source: Server) -> None:
    answer = written.run("verify", "--journal", str(written.journal), "--target", written.dsn(source, "postgres"))

    assert answer.returncode == 2
    assert "ledger.entries" in answer.stderr
