# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writers through a real promotion, done well and done badly, and through the death of the ledger itself."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from cloudpg_sandbox.servers import Server

from .live_ledger import Ledger, drained, eventually, wrong


def follow(path: Path, **routes: str) -> None:
    building = path.with_suffix(".new")
    building.write_text(json.dumps(routes))
    building.rename(path)


def test_a_fenced_promotion_loses_nothing(
    ledger: Ledger, source: Server, standby: Server, dsn: str, tmp_path: Path
) -> None:
    moved = dsn.replace(source.address, standby.address)
    follower = tmp_path / "follow"
    writers = ledger.start(
        "--route", f"pooler={dsn}", "--route", f"direct={dsn}", "--rate", "200", "--follow-file", str(follower)
    )
    eventually(lambda: ledger.acked(source) > 100, "writes before")
    source.allow([])
    source.restart()
    eventually(lambda: drained(source, standby), "the drain")
    standby.promote()
    follow(follower, pooler=moved, direct=moved)
    eventually(lambda: ledger.acked(standby) > 100, "writes after")
    writers.send_signal(signal.SIGTERM)
    assert writers.wait(20) == 0
    source.allow(["127.0.0.1/32"])

    code, told = ledger.verify(moved, "--source", dsn)

    assert (code, wrong(told)) == (0, {}), told["findings"]
    assert [server["address"] for server in told["servers"]] == [source.address, standby.address]
    assert told["outage"]["recovered"]
    assert told["outage_s"] > 0.1
    assert told["commits_per_second"]["after"] > 20


def test_a_promotion_without_a_fence_is_split_brain(
    ledger: Ledger, source: Server, standby: Server, dsn: str, tmp_path: Path
) -> None:
    moved = dsn.replace(source.address, standby.address)
    follower = tmp_path / "follow"
    writers = ledger.start(
        "--route", f"pooler={dsn}", "--route", f"direct={dsn}", "--rate", "200", "--follow-file", str(follower)
    )
    eventually(lambda: ledger.acked(source) > 100, "writes before")
    standby.promote()
    so_far = ledger.acked(source)
    eventually(lambda: ledger.acked(source) > so_far + 50, "writes behind the promotion")
    follow(follower, pooler=moved)
    eventually(lambda: ledger.acked(standby) > 50, "writes after")
    writers.send_signal(signal.SIGTERM)
    assert writers.wait(20) == 0

    code, told = ledger.verify(moved, "--source", dsn)

    assert code == 1
    assert told["lost"] >= told["split_brain"] > 50


def test_a_ledger_that_was_killed_still_proves_what_it_wrote_down(ledger: Ledger, dsn: str, source: Server) -> None:
    writers = ledger.start("--route", f"pooler={dsn}", "--rate", "300")
    eventually(lambda: ledger.acked(source) > 100, "writes")
    writers.kill()
    writers.wait()
    first = ledger.acked(source)
    again = ledger.run("write", "--journal", str(ledger.journal), "--route", f"pooler={dsn}", "--for", "1")
    assert again.returncode == 0

    code, told = ledger.verify(dsn)

    assert (code, wrong(told)) == (0, {}), told["findings"]
    assert told["acked"] > first


def test_writers_stop_for_a_file_and_tell_what_they_could_not_reach(ledger: Ledger, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    writers = ledger.start(
        "--route", "pooler=host=127.91.255.254 port=1 user=app dbname=none", "--stop-file", str(stop)
    )
    eventually(ledger.journal.exists, "the journal")
    stop.touch()
    told, _nothing = writers.communicate(timeout=20)

    assert writers.returncode == 0
    assert "acked=0" in told


def test_a_second_run_on_the_same_journal_is_refused(ledger: Ledger, dsn: str, source: Server) -> None:
    writers = ledger.start("--route", f"pooler={dsn}", "--rate", "50")
    eventually(lambda: ledger.acked(source) > 5, "writes")
    second = ledger.run("write", "--journal", str(ledger.journal), "--route", f"pooler={dsn}", "--for", "1")
    writers.send_signal(signal.SIGINT)
    writers.communicate(timeout=20)

    assert second.returncode == 2
    assert "another run" in second.stderr
