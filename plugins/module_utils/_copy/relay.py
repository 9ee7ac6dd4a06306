# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows from one server to the other, as they come: COPY out of one connection straight into COPY of the other.

psycopg2 hands over what it reads row by row, which costs 0.2 µs a row, but writes only what it can read itself. So the
writing side speaks to libpq, by the library that psycopg2 has loaded: no pipe, no second process, no thread, and an
error on either side ends both.
"""

from __future__ import annotations

import ctypes
import io
import select
from collections.abc import Callable
from typing import Any

try:
    import psycopg2
except ImportError:
    psycopg2 = None

from .._pg.errors import from_answer
from .sessions import ConnectionLost, Wire, is_loss

_COMMAND_OK, _COPY_IN = 1, 4
_SQLSTATE, _PRIMARY, _CONTEXT = ord("C"), ord("M"), ord("W")
# Bytes that are gathered for a write. With four times as much the target has nothing to do while they are gathered,
# and a copy beside two processors takes a third longer.
BUFFER = 1 << 16

_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "PQexec": (_POINTER, [_POINTER, _TEXT]),
    "PQresultStatus": (ctypes.c_int, [_POINTER]),
    "PQresultErrorField": (_TEXT, [_POINTER, ctypes.c_int]),
    "PQcmdTuples": (_TEXT, [_POINTER]),
    "PQclear": (None, [_POINTER]),
    "PQerrorMessage": (_TEXT, [_POINTER]),
    "PQputCopyData": (ctypes.c_int, [_POINTER, _POINTER, ctypes.c_int]),
    "PQputCopyEnd": (ctypes.c_int, [_POINTER, _TEXT]),
    "PQgetResult": (_POINTER, [_POINTER]),
    "PQstatus": (ctypes.c_int, [_POINTER]),
}


def libpq() -> Any:
    """The functions of the libpq that psycopg2 itself uses, whatever it is called and wherever it lies."""
    library = ctypes.CDLL(psycopg2._psycopg.__file__)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Inlet(io.RawIOBase):
    """What is written here goes into a connection's COPY; ``moved`` is told the bytes and may wait."""

    def __init__(self, library: Any, wire: Wire, moved: Callable[[int], None]) -> None:
        self._library, self._wire, self._moved = library, wire, moved
        self.failed = False
        self.bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = len(data)
        # During COPY a server says nothing but why it stopped; asked only at the end, it would be told all the rest.
        answered, _written, _failed = select.select([self._wire.raw], [], [], 0)
        if answered or self._library.PQputCopyData(self._wire.raw.pgconn_ptr, bytes(data), size) != 1:
            self.failed = True
            raise OSError("the target takes no more")
        self.bytes += size
        self._moved(size)
        return size


class Relay:
    """Copies between two sessions, both inside the transactions the caller has begun."""

    def __init__(self, source: Wire, target: Wire) -> None:
        self._source, self._target, self._library = source, target, libpq()

    def copy(self, out: str, into: str, moved: Callable[[int], None]) -> tuple[int, int]:
        """Run COPY … TO STDOUT on the source and COPY … FROM STDIN on the target; the rows and bytes that went over.

        Raises PgError, or ConnectionLost where a connection broke. After an error both connections must be closed.
        """
        self._begin(into)
        inlet = _Inlet(self._library, self._target, moved)
        buffer = io.BufferedWriter(inlet, BUFFER)
        try:
            with self._source.raw.cursor() as cursor:
                cursor.copy_expert(out, buffer)
            buffer.flush()
        except (psycopg2.Error, OSError) as error:
            if inlet.failed:
                raise self._refusal() from error
            raise self._source_refusal(error) from error
        return self._end(), inlet.bytes

    def _begin(self, into: str) -> None:
        pointer = self._target.raw.pgconn_ptr
        encoding = psycopg2.extensions.encodings[self._target.raw.encoding]
        result = self._library.PQexec(pointer, into.encode(encoding))
        try:
            if self._library.PQresultStatus(result) != _COPY_IN:
                raise self._error(result)
        finally:
            self._library.PQclear(result)

    def _end(self) -> int:
        pointer = self._target.raw.pgconn_ptr
        self._library.PQputCopyEnd(pointer, None)
        result = self._library.PQgetResult(pointer)
        try:
            if self._library.PQresultStatus(result) != _COMMAND_OK:
                raise self._error(result)
            rows = int(self._library.PQcmdTuples(result) or 0)
        finally:
            self._library.PQclear(result)
        self._drain()
        return rows

    def _drain(self) -> None:
        """libpq wants to be asked until it has nothing more."""
        while result := self._library.PQgetResult(self._target.raw.pgconn_ptr):
            self._library.PQclear(result)

    def _refusal(self) -> Exception:
        """Why the target stopped taking rows: libpq has its answer, if one came."""
        pointer = self._target.raw.pgconn_ptr
        self._library.PQputCopyEnd(pointer, b"stopped")
        result = self._library.PQgetResult(pointer)
        try:
            return self._error(result)
        finally:
            self._library.PQclear(result)

    def _error(self, result: Any) -> Exception:
        pointer = self._target.raw.pgconn_ptr
        code, said, context = (
            (self._library.PQresultErrorField(result, field) or b"").decode("utf-8", "replace")
            for field in (_SQLSTATE, _PRIMARY, _CONTEXT)
        )
        said = said or (self._library.PQerrorMessage(pointer) or b"").decode("utf-8", "replace")
        told = from_answer(self._target.where, code or None, f"{said} ({context.splitlines()[0]})" if context else said)
        if not code or self._library.PQstatus(pointer) != 0 or is_loss(self._target.raw, code):
            return ConnectionLost(told.message, code=told.code)
        return told

    def _source_refusal(self, error: Exception) -> Exception:
        code = getattr(error, "pgcode", None)
        said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
        told = from_answer(self._source.where, code, said)
        lost = code is None or is_loss(self._source.raw, code)
        return ConnectionLost(told.message, code=code) if lost else told
