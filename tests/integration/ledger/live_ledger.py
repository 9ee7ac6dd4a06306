# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's command line as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudpg_sandbox.servers import Server

PROGRAM = str(Path(__file__).parents[3] / "extensions" / "ledger")
SECRET = "long-dummy-secret-of-the-ledger"


def eventually(holds: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Poll until something is true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return value


@dataclass
class Ledger:
    """`python extensions/ledger` with one journal."""

    journal: Path
    passfile: Path

    def dsn(self, server: Server, dbname: str) -> str:
        """An address for the application's login."""
        return f"host={server.address} port={server.port} user=app dbname={dbname} passfile={self.passfile}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Any subcommand, to its end."""
        return subprocess.run(
            [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60
        )

    def init(self, dsn: str) -> None:
        """Make the schema."""
        answer = self.run("init", "--dsn", dsn)
        assert answer.returncode == 0, answer.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`write` in the background."""
        return subprocess.Popen(
            [sys.executable, PROGRAM, "write", "--journal", str(self.journal), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    def verify(self, target: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and report."""
        answer = self.run("verify", "--journal", str(self.journal), "--target", target, *arguments)
        assert answer.stdout, answer.stderr
        return answer.returncode, json.loads(answer.stdout)

    def acked(self, server: Server) -> int:
        """How many commits the journal says this server has acknowledged so far."""
        address = f'"server":"{server.address}"'
        lines = self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []
        return sum('"event":"acked"' in line and address in line for line in lines)


def drained(source: Server, standby: Server) -> bool:
    """Whether the standby has replayed all that the source has written."""
    position = source.query("SELECT pg_current_wal_flush_lsn()")[0][0]
    return standby.query("SELECT pg_last_wal_replay_lsn() >= %s", [position])[0][0]


def wrong(told: dict[str, Any]) -> dict[str, int]:
    """The categories of a report that found something."""
    return {name: told[name] for name in ("lost", "duplicated", "split_brain", "torn", "phantom") if told[name]}
