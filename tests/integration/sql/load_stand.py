# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that write into a database while it is moved, and the ledger's word on whether anything was lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from processes import start, stop

from .sql_stand import SECRET, Side

LEDGER = str(Path(__file__).resolve().parents[3] / "extensions" / "ledger")
# Of these the ledger must have found none.
WRONG = ("lost", "duplicated", "split_brain", "torn", "phantom")


class Load:
    """The ledger's writers on one database, ``rate`` commits a second; its files are kept in ``directory``."""

    def __init__(self, source: Side, directory: Path, rate: float = 60) -> None:
        self.source, self.directory, self.rate = source, directory, rate
        directory.mkdir(parents=True, exist_ok=True)
        self._passfile = directory / "passfile"
        self._passfile.touch(mode=0o600)
        self._passfile.write_text(f"*:*:*:*:{SECRET}\n", encoding="utf-8")
        self._follow = directory / f"{source.database}.follow"
        self._journal = directory / f"{source.database}.journal"
        self._writers: subprocess.Popen[bytes] | None = None

    def init(self) -> None:
        """The ledger's tables, as the database's owner."""
        self._run("init", "--dsn", self._dsn(self.source))

    def start(self, side: Side | None = None) -> None:
        """Begin to write into the source, or where the clients are led to instead."""
        with open(self._log, "ab") as log:
            self._writers = start([
                sys.executable, LEDGER, "write", "--journal", str(self._journal), "--rate", str(self.rate), "--rising",
                "--route", f"direct={self._dsn(side or self.source)}", "--follow-file", str(self._follow),
            ], stdout=log, stderr=log)

    def lead(self, side: Side) -> None:
        """Tell the writers where to go on."""
        building = self._follow.with_suffix(".new")
        building.write_text(json.dumps({"direct": self._dsn(side)}), encoding="utf-8")
        building.replace(self._follow)

    def acked(self) -> int:
        """Commits acknowledged so far."""
        if not self._journal.exists():
            return 0
        with open(self._journal, "rb") as journal:
            return sum(line.startswith(b'{"event":"acked"') for line in journal)

    def await_commits(self, more: int = 20, seconds: float = 60.0) -> None:
        """Wait until so many more were acknowledged; AssertionError when the writers can't."""
        wanted, deadline = self.acked() + more, time.monotonic() + seconds
        while self.acked() < wanted:
            if self._writers is None or self._writers.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the clients don't write: {self._log.read_text(encoding='utf-8')[-1000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the writers after the answers under way."""
        stop(self._writers)

    def verify(self, target: Side, source: Side | None = None, login: str = "owner") -> dict[str, Any]:
        """What the ledger says of the target, and of the source where that is given; ``login`` is who reads them."""
        arguments = ["--journal", str(self._journal), "--target", self._dsn(target, login)]
        return json.loads(self._run(
            "verify", *arguments, *(["--source", self._dsn(source, login)] if source else []), codes=(0, 1)
        ))

    @property
    def _log(self) -> Path:
        return self.directory / f"{self.source.database}.log"

    def _dsn(self, side: Side, login: str = "owner") -> str:
        address = {**side.address(login), "passfile": str(self._passfile)}
        address.pop("password")
        return " ".join(f"{key}={value}" for key, value in address.items())

    @staticmethod
    def _run(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        answer = subprocess.run([sys.executable, LEDGER, *arguments], capture_output=True, text=True, check=False)
        if answer.returncode not in codes:
            raise AssertionError(f"ledger {arguments[0]} failed: {answer.stderr.strip()}")
        return answer.stdout
