# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that read for a comparison: several a side, each used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from .._pg.connection import Session
from .._pg.server import Connect
from .canonical import ALONE, RANGES_SINCE, SETTINGS

Answer = TypeVar("Answer")


@dataclass
class Side:
    """One database: ``ask`` runs a question on one of its connections, in a thread of its own."""

    name: str
    version_num: int
    encoding: str
    where: str
    _pool: ThreadPoolExecutor
    _session: Callable[[], Session]

    @property
    def by_ranges(self) -> bool:
        """Whether a scan can begin in the middle of a table (P53)."""
        return self.version_num >= RANGES_SINCE

    def ask(self, question: Callable[[Session], Answer]) -> Future[Answer]:
        return self._pool.submit(lambda: question(self._session()))

    def all(self, questions: Iterable[Callable[[Session], Answer]]) -> list[Answer]:
        """Every question's answer, asked at the same time; the first error is raised."""
        return settled([self.ask(question) for question in questions])


def settled(asked: Iterable[Future[Answer]]) -> list[Answer]:
    """The answers; when one fails, those that haven't begun are called off."""
    asked = list(asked)
    try:
        return [future.result() for future in asked]
    except BaseException:
        for future in asked:
            future.cancel()
        raise


@contextmanager
def reading(
    connect: Connect, address: Mapping[str, Any], database: str | None, jobs: int, name: str
) -> Iterator[Side]:
    """A side with up to ``jobs`` connections, opened when they are needed; raises PgError."""
    mine = threading.local()
    with ExitStack() as open_ones:
        lock = threading.Lock()

        def session() -> Session:
            if not hasattr(mine, "session"):
                entered = connect(address, database)
                mine.session = entered.__enter__()
                with lock:
                    open_ones.push(entered.__exit__)
                mine.session.run(SETTINGS)
                if mine.session.value("SELECT current_setting('server_version_num')::int") >= RANGES_SINCE:
                    mine.session.run(ALONE)
            return mine.session

        with ThreadPoolExecutor(jobs, thread_name_prefix=name) as pool:
            def look() -> tuple[dict[str, Any], str]:
                return session().row(
                    "SELECT current_setting('server_version_num')::int AS version_num,"
                    " current_setting('server_encoding') AS encoding"
                ), session().where

            seen, where = pool.submit(look).result()
            yield Side(name, seen["version_num"], seen["encoding"], where, pool, session)
