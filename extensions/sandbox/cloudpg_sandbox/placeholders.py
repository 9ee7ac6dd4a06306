# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand-ins for parts that aren't there yet."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse


class Faults:
    def add(self, spec: dict[str, Any]) -> dict[str, Any]:
        return spec

    def remove(self, fault_id: str) -> None:
        return None

    def list(self) -> list[dict[str, Any]]:
        return []

    def before_call(self, service: str, operation: str | None, params: dict[str, Any]) -> float | None:
        return None

    def slow_factor(self, identifier: str, transition: str) -> float:
        return 1.0

    def refuse(self, identifier: str, transition: str) -> bool:
        return False


class MetricStore:
    pass


class Sampler:
    def __init__(self, servers: Any, store: MetricStore) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


def cloudwatch_response_class(store: MetricStore) -> type:
    return CloudWatchResponse
