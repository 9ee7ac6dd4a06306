# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API calls a sandbox has answered, without their secrets: what a test of check mode or idempotence looks at."""

from __future__ import annotations

import collections
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

KEPT = 50_000
LONGEST_TEXT = 2_000
HIDDEN = "***"
SECRET_KEY = re.compile(r"password|passwd|secret|token|authorization|credential|privatekey", re.IGNORECASE)


def without_secrets(value: Any) -> Any:
    """The value as JSON can carry it, with whatever a secret's key holds replaced by ``***``, at any depth."""
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if SECRET_KEY.search(str(key)) and item is not None else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set)):
        return [without_secrets(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"


class ApiLog:
    """The last `kept` calls, numbered from 1; a number is never used twice, not even after `clear`."""

    def __init__(self, kept: int = KEPT, clock: Callable[[], float] = time.time) -> None:
        self._entries: collections.deque[dict[str, Any]] = collections.deque(maxlen=kept)
        self._lock = threading.Lock()
        self._clock = clock
        self._last = 0
        self.dropped = 0

    def record(
        self,
        service: str,
        operation: str | None,
        region: str | None = None,
        params: Mapping[str, Any] | None = None,
        status: int = 200,
        error_code: str | None = None,
        user_agent: str = "",
    ) -> int:
        """Write one call down; returns its number."""
        entry = {
            "time": self._clock(),
            "service": service,
            "operation": operation,
            "region": region,
            "params": without_secrets(params or {}),
            "status": status,
            "error_code": error_code,
            "user_agent": user_agent,
        }
        with self._lock:
            self._last += 1
            self.dropped += len(self._entries) == self._entries.maxlen
            self._entries.append({"seq": self._last, **entry})
            return self._last

    def entries(self, since: int = 0) -> list[dict[str, Any]]:
        """The calls with a number above `since`, oldest first."""
        with self._lock:
            return [entry for entry in self._entries if entry["seq"] > since]

    def clear(self) -> None:
        """Forget the calls and the count of those that were dropped."""
        with self._lock:
            self._entries.clear()
            self.dropped = 0
