# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy from beginning to end, through lost connections and restarts of either server (P55, P56)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from typing import Any

from .._errors import LeaseLost, WaitTimeout
from .._pg.errors import PgError
from .._pg.hold import KEEP_ALIVE, Hold
from . import ledger, obstacles, snapshot, throttle
from .graph import build
from .observe import Observed, Wish, observe
from .pool import Pool
from .progress import Progress, line
from .run import BREATH, Crew, Run, until_it_answers
from .sessions import ConnectionLost, Wire, application_name
from .snapshot import Keeper, SnapshotLost
from .worker import Setting

_LEFT_OVER = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = %s AND datname = current_database() AND usename = current_user AND NOT pid = ANY (%s)
"""
_OUR_OWN = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY (%s) AND application_name = %s
"""
_STILL_THERE = _LEFT_OVER.replace("pg_terminate_backend(pid)", "pid")
_ENDS_WITHIN = 30.0
_SHARED_BUFFERS = "SELECT pg_size_bytes(current_setting('shared_buffers')) AS shared," \
                  " pg_size_bytes(current_setting('maintenance_work_mem')) AS now"
_MOST_MEMORY = 1 << 30
# Whoever was taken over notices it within a KEEP_ALIVE, if he is awake.
_NOTICED_WITHIN = 3 * KEEP_ALIVE


class Engine:
    """Copies as wished, under the lock of ``hold``. ``statements`` are those that built indexes and keys."""

    def __init__(self, wish: Wish, hold: Hold, clock: Callable[[], float] = time.monotonic) -> None:
        self._wish, self._hold, self._clock = wish, hold, clock
        self._name = application_name(wish.migration)
        self._ends = clock() + wish.wait_seconds if wish.wait_seconds else float("inf")
        self._keeper: Keeper | None = None
        self._run = 0
        self.statements: list[str] = []
        self.figures: dict[str, Any] = {}
        self.restarts = 0

    def look(self) -> Observed:
        """What would be done; changes nothing. A server that goes away while it is looked at is waited for.

        One that can't be reached to begin with isn't: its address may be wrong.
        """
        deadline, answered = self._clock() + self._wish.patience_seconds, False
        while True:
            with ExitStack() as stack:
                try:
                    source = stack.enter_context(closing(self._open(self._wish.source)))
                    target = stack.enter_context(closing(self._open(self._wish.target)))
                    answered = True
                    self.lock(target)
                    return observe(self._wish, source, target)
                except ConnectionLost:
                    if not answered or self._clock() >= deadline:
                        raise
            time.sleep(BREATH)

    def carry_out(self) -> Observed:
        """Copy until all is done that this run can do; what was observed at last. Raises PgError and WaitTimeout."""
        deadline = self._clock() + self._wish.patience_seconds
        try:
            while True:
                before = self._how_far()
                try:
                    return self._attempt()
                except (ConnectionLost, SnapshotLost) as error:
                    if before != self._how_far():
                        deadline = self._clock() + self._wish.patience_seconds
                    if self._clock() >= min(deadline, self._ends):
                        raise
                    self.restarts += 1
                    self._forget_lost_snapshot(error)
                    time.sleep(BREATH)
        finally:
            if self._keeper is not None:
                self._keeper.close()

    def _how_far(self) -> tuple[Any, ...]:
        return len(self.statements), self.figures.get("tables_done"), self.figures.get("bytes_done")

    def _forget_lost_snapshot(self, error: PgError) -> None:
        if self._keeper is None:
            return
        with suppress(SnapshotLost):
            if not isinstance(error, SnapshotLost):
                self._keeper.check()
                return
        self._keeper.close()
        self._keeper = None

    def lock(self, target: Wire) -> None:
        """One copy at a time. Who holds the migration ends one that goes on without: it has lost it, and sleeps."""
        try:
            ledger.lock(target, self._wish.migration, _NOTICED_WITHIN if self._hold.real else 0)
        except PgError as error:
            if error.code != "copy_held" or not self._hold.real:
                raise
            self._keep(now=True)
            self._end_left_over(target, [])
            ledger.lock(target, self._wish.migration)

    def _keep(self, now: bool = False) -> None:
        """Renew the lease; raises LeaseLost, ConnectionLost where a server can't be asked, WaitTimeout at the end."""
        if self._clock() >= self._ends:
            raise WaitTimeout(
                f"wait_timeout ({self._wish.wait_seconds:.0f} s) is over before the copy is done"
                f"{' (' + line(self.figures) + ')' if self.figures else ''}: nothing of it works on, and what is in "
                "stays in. Cure: run again with a longer wait_timeout."
            )
        try:
            if now:
                self._hold.guard()
            else:
                self._hold.keep()
        except PgError as error:
            raise ConnectionLost(error.message, code=error.code) from error

    def _open(self, address: Mapping[str, Any]) -> Wire:
        return Wire(address, self._wish.database, self._name)

    def _reach(self, address: Mapping[str, Any]) -> Wire:
        """A connection as soon as the server answers; raises ConnectionLost where it stays away for too long."""
        patience = min(self._wish.patience_seconds, self._ends - self._clock())
        return until_it_answers(lambda: self._open(address), patience)

    def _attempt(self) -> Observed:
        wish = self._wish
        source = self._reach(wish.source)
        target = self._reach(wish.target)
        try:
            self._keep(now=True)
            ledger.prepare(target)
            self.lock(target)
            kept = [self._keeper.pid] if self._keeper else []
            self._end_left_over(source, kept)
            self._end_left_over(target, [])
            seen = observe(wish, source, target, alive=self._keeper is not None)
            if seen.decision.over:
                return seen
            obstacles.refuse(seen.findings)
            self._begin(seen, source, target)
            self._leave(seen, target)
            self._work(seen, source, target)
            if seen.decision.whole:
                ledger.end(target, wish.migration)
            return observe(wish, source, target, alive=False) if seen.decision.whole else seen
        finally:
            source.close()
            target.close()

    def _end_left_over(self, wire: Wire, spared: list[int]) -> None:
        """A run that was killed may have left its backends at work: an index being built, a COPY that waits."""
        known = (self._name, [wire.pid, *spared])
        wire.run(_LEFT_OVER, known)
        deadline = self._clock() + _ENDS_WITHIN
        while wire.rows(_STILL_THERE, known):
            self._keep()
            if self._clock() > deadline:
                raise PgError(f"{wire.where}: backends of an earlier run (application_name {self._name}) don't end "
                              f"within {_ENDS_WITHIN:.0f} s. Cure: look at what they wait for, then run again.")
            time.sleep(BREATH / 5)

    # -- the moment that is copied -----------------------------------------------------------------------------------

    def _begin(self, seen: Observed, source: Wire, target: Wire) -> None:
        wish, decision = self._wish, seen.decision
        if not decision.begin:
            self._run = seen.standing.run
            return
        # The intent first: a slot that a killed run leaves behind is then known to be ours.
        self._run = ledger.begin(target, wish.migration, wish.slot, decision.copy)
        if decision.drop:
            snapshot.drop_slot(source, wish.slot)
        if wish.slot is None:
            self._keeper = Keeper(self._open(wish.source))
            return
        point, self._keeper = snapshot.make_slot(
            wish.source, wish.database, self._name, wish.slot, source, wish.slot_seconds, wish.failover,
            lambda name: Keeper(self._open(wish.source), name), self._keep,
        )
        ledger.found_point(target, wish.migration, point)

    def _leave(self, seen: Observed, target: Wire) -> None:
        ledger.entered(target, self._wish.migration, seen.decision.enter)
        for name in sorted(seen.decision.leave):
            ledger.leave(target, self._wish.migration, name)

    # -- the work ----------------------------------------------------------------------------------------------------

    def _work(self, seen: Observed, source: Wire, target: Wire) -> None:
        wish = self._wish
        jobs = build(seen.work, wish.split_above, wish.jobs, source.version)
        most = 0 if wish.memory else self._memory(target)
        setting = Setting(
            wish.source, wish.target, wish.database, wish.migration, self._run,
            self._keeper.name if self._keeper else None, wish.memory or f"{most // 1024}kB", most,
        )
        sizes = {name: table.bytes for name, table in seen.chosen.items()}
        ours = seen.decision.copy | seen.decision.kept
        kept = seen.decision.kept & set(sizes)
        progress = Progress(
            sum(sizes.get(name, 0) for name in ours), len(ours), sum(job.kind == "statement" for job in jobs),
            sum(sizes[name] for name in kept), len(seen.decision.kept),
        )
        pool = Pool(setting, 2 * wish.jobs)
        crew = Crew(
            pool, self._keeper, throttle.Throttle(wish.limits, wish.jobs), wish.jobs, wish.patience_seconds,
            lambda figures: self._tell(target, figures), lambda: self._look(source), sizes, self._keep,
            self._clock, self.statements,
        )
        try:
            Run(jobs, crew, progress).carry_out()
            # Between two looks it may have been lost: then nothing can follow what was copied.
            self._look(source)
        except (LeaseLost, WaitTimeout):
            pool.stop()
            self._end_workers(source, target, list(pool.backends))
            raise
        finally:
            pool.stop()

    def _end_workers(self, source: Wire, target: Wire, backends: list[int]) -> None:
        """A backend whose client is gone would finish what it was told: an index would still come."""
        for wire, pids in ((source, backends[::2]), (target, backends[1::2])):
            with suppress(PgError):
                wire.run(_OUR_OWN, (pids, self._name))

    def _look(self, source: Wire) -> Mapping[str, Any]:
        """How the source is doing; raises PgError when the slot is lost, for then all copying is in vain (P14)."""
        slot = snapshot.slot_state(source, self._wish.slot) if self._wish.slot else None
        if self._wish.slot and (slot is None or slot["wal_status"] == "lost"):
            raise PgError(
                f"{source.where}: slot {self._wish.slot} was lost while the copy ran (P14): it keeps too little "
                "WAL. Cure: raise max_slot_wal_keep_size, run with state=absent, empty the tables and copy again.",
                code="slot_lost",
            )
        return throttle.look(source, self._name, self._wish.slot)

    def _tell(self, target: Wire, figures: Mapping[str, Any]) -> None:
        self.figures = dict(figures)
        ledger.tell(target, self._wish.migration, figures)

    def _memory(self, target: Wire) -> int:
        """The bytes an index may be built in: as many as all of them together share with shared_buffers."""
        row = target.row(_SHARED_BUFFERS)
        return max(row["now"], min(_MOST_MEMORY, row["shared"] // self._wish.jobs))
