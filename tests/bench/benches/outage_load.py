# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outage of a cutover at half the load that the machine can carry: the longest time without a commit."""

from __future__ import annotations

from collections.abc import Iterator

from outage import measure_outage
from report import Measured
from stand import Bench

SHARE = 0.5
TARGET = 500


def measure(bench: Bench) -> Iterator[Measured]:
    yield from measure_outage(bench, "outage_load", TARGET, lambda most: SHARE * most)
