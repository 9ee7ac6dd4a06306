# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checks of a preflight look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..metrics import Sample
from ..parameters import Translation

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """The wish and the real state, read once. None stands for what isn't there, or for what nobody could be asked.

    ``server`` is what ``pg_server_info`` told of the source; ``unknown`` says by subject why AWS gave no answer.
    """

    now: datetime
    migration: str
    source_name: str
    cluster_name: str
    instance_name: str
    instance_class: str
    region: str = ""
    engine_version: str | None = None
    kms_key_id: str | None = None
    max_outage: int = 0
    build_hours: float = 24.0
    maintenance_hours: float = 24.0
    security_group_ids: Sequence[str] = ()
    source: Document | None = None
    cluster: Document | None = None
    instance: Document | None = None
    allowed: Sequence[str] = ()
    version: str | None = None
    orderable: bool | None = None
    group_vpcs: Mapping[str, str] = field(default_factory=dict)
    parameters: Translation | None = None
    libraries: Sequence[str] | None = None
    aurora_extensions: frozenset[str] | None = None
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    alarms: Sequence[str] | None = ()
    proxies: Sequence[str] | None = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    server: Mapping[str, Any] | None = None
