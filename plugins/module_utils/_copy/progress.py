# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far the copy is, how fast, and how long it will take. Pure, but for the clock it is given."""

from __future__ import annotations

from collections import deque
from typing import Any

# The rate is that of the last seconds, not of the whole run.
WINDOW = 30.0


class Progress:
    """Counts in bytes of the source's tables: what goes over the line has another size, and is scaled to them."""

    def __init__(self, total: int, tables: int, others: int, done: int = 0, tables_done: int = 0) -> None:
        self.total, self.tables, self.others = total, tables, others
        self.done, self.tables_done, self.others_done = done, tables_done, 0
        self._here = self._over_line = 0
        self._seen: deque[tuple[float, int]] = deque()

    def table_done(self, size: int, moved: int) -> None:
        """A table, or the share of it that a range is."""
        self.done += size
        self._here += size
        self._over_line += moved

    def _scaled(self, moved: int, size: int) -> int:
        ratio = self._here / self._over_line if self._over_line else 1.0
        return min(size, int(moved * ratio))

    def at(self, now: float, in_flight: list[tuple[int, int]]) -> dict[str, Any]:
        """The figures at a moment; ``in_flight`` are pairs of a job's size and what has gone over the line for it."""
        done = min(self.total, self.done + sum(self._scaled(moved, size) for size, moved in in_flight))
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        left = self.total - done
        return {
            "bytes": self.total, "bytes_done": done, "tables": self.tables, "tables_done": self.tables_done,
            "indexes": self.others, "indexes_done": self.others_done, "bytes_per_second": int(rate),
            "seconds_to_go": round(left / rate) if rate > 0 and left else (0 if not left else None),
        }


def line(figures: dict[str, Any]) -> str:
    """One line for a person: ``copy 43 % · 12/31 tables · 1.2/2.8 GiB · 118 MiB/s · 00:13 to go``."""
    share = 100 * figures["bytes_done"] // figures["bytes"] if figures["bytes"] else 100
    parts = [
        f"copy {share} %", f"{figures['tables_done']}/{figures['tables']} tables",
        f"{figures['bytes_done'] / 2**30:.1f}/{figures['bytes'] / 2**30:.1f} GiB",
        f"{figures['bytes_per_second'] / 2**20:.0f} MiB/s",
    ]
    if figures["seconds_to_go"] is None:
        return " · ".join(parts)
    if figures["seconds_to_go"]:
        minutes, seconds = divmod(figures["seconds_to_go"], 60)
        return " · ".join([*parts, f"{minutes:02d}:{seconds:02d} to go"])
    return " · ".join([*parts, f"{figures['indexes_done']}/{figures['indexes']} indexes and keys"])
