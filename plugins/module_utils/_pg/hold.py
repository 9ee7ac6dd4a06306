# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock that a long step works under: its lease is renewed meanwhile, and who lost it stops (R33)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .._errors import LeaseLost, MigrationError
from .._journal import JOURNAL, LEASE
from . import lease
from .connection import Session
from .errors import PgError
from .server import Connect

# Seconds between two renewals: so long may who was taken over go on unknowingly.
KEEP_ALIVE = 5.0
# What is called off may be followed by another statement: it is called off as well.
_AGAIN = 0.2

OPTION = {**JOURNAL, "required": False}


class Hold:
    """The lock of a run on the servers it has it on; one without a journal holds nothing and renews nothing.

    Sessions are kept open and made anew once when they break: a long step outlives many a connection.
    """

    def __init__(
        self, connect: Connect, servers: Sequence[Mapping[str, Any]] = (), journal: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._servers, self._journal, self._clock = connect, list(servers), journal, clock
        self._sessions: dict[int, tuple[ExitStack, Session]] = {}
        self._kept_at = clock()

    @property
    def real(self) -> bool:
        return self._journal is not None

    def guard(self) -> None:
        """Renew the lease now. Raises LeaseLost, and PgError where a server can't be asked."""
        for number in range(len(self._servers) if self.real else 0):
            try:
                lease.renew(self._session(number), self._journal)
            except PgError:
                self._drop(number)
                lease.renew(self._session(number), self._journal)
        self._kept_at = self._clock()

    def keep(self) -> None:
        """Renew the lease when it is time. A server that can't be asked is an error once the lease has run out."""
        passed = self._clock() - self._kept_at
        if not self.real or passed < KEEP_ALIVE:
            return
        try:
            self.guard()
        except PgError:
            if passed >= LEASE.total_seconds():
                raise

    def close(self) -> None:
        for number in list(self._sessions):
            self._drop(number)

    def _session(self, number: int) -> Session:
        if number not in self._sessions:
            stack = ExitStack()
            self._sessions[number] = stack, stack.enter_context(self._connect(self._servers[number]))
        return self._sessions[number][1]

    def _drop(self, number: int) -> None:
        if number in self._sessions:
            self._sessions.pop(number)[0].close()


def hold_of(connect: Connect, params: Mapping[str, Any], check_mode: bool) -> Hold:
    """The hold that a module's ``journal`` stands for, on its source and target, or its server.

    In check mode there is none. Raises PgError for a journal that isn't held, or not beside the data.
    """
    journal = params.get("journal")
    if not journal or check_mode:
        return Hold(connect)
    insist(journal)
    servers = [params[side] for side in ("source", "target", "server") if params.get(side)]
    return Hold(connect, servers, journal)


def insist(journal: Mapping[str, Any]) -> None:
    """Raises PgError for a journal that isn't held, or not beside the data. Pure."""
    if journal.get("group_id"):
        raise PgError(
            f"journal: the lock of migration {journal['migration']} is security group {journal['group_id']} on AWS, "
            "whose lease can't be renewed here. Cure: give what pg_journal returned, or leave journal out."
        )
    if not (journal.get("generation") and journal.get("holder")):
        raise PgError(
            f"journal: migration {journal['migration']} is not held: generation and holder are needed. Cure: take the "
            "lock with pg_journal (state: held) and pass on the journal it returns."
        )


class Watch:
    """What works while a thread renews the lease: its connections, and the question whether the lock was lost."""

    def __init__(self, hold: Hold, connect: Connect) -> None:
        self._hold, self._connect = hold, connect
        self._mine: list[Session] = []
        self._over = threading.Event()
        self.lost: MigrationError | None = None

    @contextmanager
    def connect(self, address: Mapping[str, Any], database: str | None = None) -> Iterator[Session]:
        """A session that is called off when the lock is lost."""
        with self._connect(address, database) as session:
            self._mine.append(session)
            try:
                yield session
            finally:
                self._mine.remove(session)

    def check(self, _step: Any = None) -> None:
        """Before a change: raises what the renewal has met, above all LeaseLost."""
        if self.lost:
            raise self.lost

    def renew(self) -> None:
        """The thread: renews, and after a loss calls off whatever is begun, until the work is over."""
        while not self._over.wait(KEEP_ALIVE if self.lost is None else _AGAIN):
            if self.lost is None:
                try:
                    self._hold.keep()
                except MigrationError as error:
                    self.lost = error
            if self.lost is not None:
                for session in list(self._mine):
                    with suppress(PgError):
                        session.cancel()

    def end(self) -> None:
        self._over.set()


@contextmanager
def keeping(connect: Connect, params: Mapping[str, Any], check_mode: bool) -> Iterator[Watch]:
    """Renew the lease of a module's ``journal`` while the block works, by a thread of its own.

    The block connects by ``watch.connect`` and asks ``watch.check`` before each change. Raises LeaseLost.
    """
    hold = hold_of(connect, params, check_mode)
    watch = Watch(hold, connect)
    if not hold.real:
        yield watch
        return
    renewing = threading.Thread(target=watch.renew, name="lease", daemon=True)
    try:
        hold.guard()
        renewing.start()
        yield watch
    except LeaseLost:
        raise
    except MigrationError as error:
        if watch.lost:
            raise watch.lost from error
        raise
    finally:
        watch.end()
        if renewing.ident:
            renewing.join()
        hold.close()
    watch.check()
