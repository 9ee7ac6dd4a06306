# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One worker: a process with a connection to each side, which does jobs until it is told to stop."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .._errors import MigrationError
from .._pg import journal
from .._pg.errors import PgError
from . import ledger
from .definitions import index_settings
from .jobs import Job
from .relay import Relay
from .sessions import ConnectionLost, Wire, application_name
from .snapshot import SnapshotLost
from .transfer import copy_in, copy_out

_PR_SET_PDEATHSIG = 1
# "could not import the requested snapshot", "invalid snapshot identifier", "snapshot … does not exist".
_NO_SNAPSHOT = ("22023", "55000", "42704")
_PAUSE = 0.05

_INDEX_THERE = "SELECT to_regclass(%s) IS NOT NULL"
_KEY_THERE = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(%s) AND quote_ident(conname) = %s)"
_ATTACHED = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s))"


@dataclass(frozen=True)
class Setting:
    """What all jobs of a run have in common. ``most_memory``: bytes; 0 where ``memory`` is what the user wants."""

    source: Mapping[str, Any]
    target: Mapping[str, Any]
    database: str | None
    migration: str
    run: int
    snapshot: str | None
    memory: str
    most_memory: int = 0


def die_with_parent(parent: int) -> None:
    """No worker outlives the process that started it, not even one that was killed."""
    with suppress(AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def serve(
    setting: Setting, channel: Any, moved: Any, paused: Any, backends: Any, number: int, parent: int
) -> None:
    """Answer each job with (kind of outcome, facts); ``moved``, ``paused`` and ``backends`` are the parent's, too."""
    die_with_parent(parent)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    worker = Worker(setting, moved, paused, backends, number)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (order := channel.recv()) is not None:
            channel.send(worker.answer(*order))


class Worker:
    """The jobs by kind. Connections are kept between jobs; after any error both are made anew."""

    def __init__(self, setting: Setting, moved: Any, paused: Any, backends: Any, number: int) -> None:
        self._setting, self._moved, self._paused, self._number = setting, moved, paused, number
        self._backends = backends
        self._source: Wire | None = None
        self._target: Wire | None = None

    def answer(self, job: Job, attempt: int, helpers: int) -> tuple[str, Any]:
        self._moved[self._number] = 0
        began = time.monotonic()
        try:
            facts = getattr(self, job.kind)(job, attempt, helpers)
            return "done", {**(facts or {}), "seconds": time.monotonic() - began}
        except SnapshotLost as error:
            return self._failed("snapshot", error)
        except ConnectionLost as error:
            return self._failed("lost", error)
        except MigrationError as error:
            return self._failed("failed", PgError(f"{job.subject}: {error.message}", code=error.code))
        except MemoryError:
            return self._failed("failed", PgError(f"{job.subject}: no memory is left for a worker. Cure: fewer jobs."))

    def _failed(self, outcome: str, error: MigrationError) -> tuple[str, Any]:
        for wire in (self._source, self._target):
            if wire is not None:
                with suppress(Exception):
                    wire.close()
        self._source = self._target = None
        return outcome, {"message": error.message, "code": error.code}

    # -- the two sides ---------------------------------------------------------------------------------------------

    def _reader(self) -> Wire:
        if self._source is None:
            self._source = Wire(
                self._setting.source, self._setting.database, application_name(self._setting.migration),
                {"max_parallel_workers_per_gather": "0"},
            )
            self._backends[2 * self._number] = self._source.pid
        return self._source

    def _writer(self) -> Wire:
        if self._target is None:
            # The ledger is lost with the rows it speaks of, or neither is: a crash costs a table's copy, no more.
            self._target = Wire(
                self._setting.target, self._setting.database, application_name(self._setting.migration),
                {"synchronous_commit": "off", "maintenance_work_mem": self._setting.memory},
            )
            self._backends[2 * self._number + 1] = self._target.pid
        return self._target

    def _enter_snapshot(self, source: Wire) -> None:
        """One transaction a table or range: held longer, a mere ALTER would queue everybody behind it (P54)."""
        source.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            source.run("SET TRANSACTION SNAPSHOT %s", (self._setting.snapshot,))
        except ConnectionLost:
            raise
        except PgError as error:
            if error.code in _NO_SNAPSHOT:
                raise SnapshotLost(error.message, code="snapshot_lost") from error
            raise

    def _count(self, size: int) -> None:
        self._moved[self._number] += size
        while self._paused[self._number]:
            time.sleep(_PAUSE)

    # -- the jobs --------------------------------------------------------------------------------------------------

    def copy(self, job: Job, *_how: int) -> dict[str, Any] | None:
        """A whole table: emptied, filled and written into the ledger in one transaction (P53, P55)."""
        return self._bring(job, None)

    def range(self, job: Job, *_how: int) -> dict[str, Any] | None:
        """Some pages of a table that was emptied before."""
        return self._bring(job, job.details["pages"])

    def _bring(self, job: Job, pages: tuple[int, int | None] | None) -> dict[str, Any] | None:
        here, table, way = self._setting, job.subject, job.details["way"]
        source, target = self._reader(), self._writer()
        began = time.monotonic()
        target.run("BEGIN")
        if pages is None:
            already = ledger.is_copied(target, here.migration, here.run, table)
        else:
            already = ledger.range_is_copied(target, here.migration, here.run, table, pages[0])
        if already:
            target.run("ROLLBACK")
            return None
        if pages is None:
            target.run(f"TRUNCATE ONLY {table}")
        self._enter_snapshot(source)
        rows, size = Relay(source, target).copy(copy_out(way, pages), copy_in(way, pages is None), self._count)
        source.run("COMMIT")
        if pages is None:
            ledger.copied(target, here.migration, table, rows, size, time.monotonic() - began)
        else:
            ledger.range_copied(target, here.migration, here.run, table, pages[0], rows, size)
        target.run("COMMIT")
        return {"rows": rows, "bytes": size}

    def clear(self, job: Job, *_how: int) -> None:
        """Empty a table that several will fill."""
        here, target = self._setting, self._writer()
        target.run("BEGIN")
        if ledger.ranges_total(target, here.migration, here.run, job.subject) == (0, 0):
            if not ledger.is_copied(target, here.migration, here.run, job.subject):
                target.run(f"TRUNCATE ONLY {job.subject}")
        target.run("COMMIT")

    def close(self, job: Job, *_how: int) -> None:
        """All ranges are in: the table counts as copied."""
        here, target = self._setting, self._writer()
        target.run("BEGIN")
        if not ledger.is_copied(target, here.migration, here.run, job.subject):
            rows, size = ledger.ranges_total(target, here.migration, here.run, job.subject)
            ledger.copied(target, here.migration, job.subject, rows, size, 0)
        target.run("COMMIT")

    def statement(self, job: Job, attempt: int, helpers: int) -> None:
        """An index, a key, ANALYZE. What a lost connection had already made isn't made twice."""
        target = self._writer()
        if attempt and self._is_made(target, job.details):
            return
        if job.details["what"] == "index":
            # In one message they are one transaction, after whose end the session is as it was.
            settings = index_settings(job.details["sorted"], helpers, self._setting.most_memory)
            target.run("; ".join([*settings, job.details["sql"]]))
        elif job.details["what"] == "identity":
            target.run("BEGIN")
            journal.record(target, self._setting.migration, job.details["entries"])
            target.run(job.details["sql"])
            target.run("COMMIT")
        else:
            target.run(job.details["sql"])

    @staticmethod
    def _is_made(target: Wire, details: Mapping[str, Any]) -> bool:
        if details.get("unless"):
            return target.value(_INDEX_THERE, (details["unless"],))
        if details.get("key"):
            return target.value(_KEY_THERE, details["key"])
        if details.get("attached"):
            return target.value(_ATTACHED, (details["attached"],))
        return False
