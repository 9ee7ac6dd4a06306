# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outage of a cutover when there is next to nothing to do, but for as much as it takes to see it."""

from __future__ import annotations

from collections.abc import Iterator

from outage import measure_outage
from report import Measured
from stand import Bench

# Transactions a second of all clients together: 5 ms from one to the next.
RATE = 200
TARGET = 200


def measure(bench: Bench) -> Iterator[Measured]:
    yield from measure_outage(bench, "outage_idle", TARGET, lambda _most: RATE)
