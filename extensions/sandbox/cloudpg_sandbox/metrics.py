# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of the sandbox: measured by the sampler, kept in the store, asked for through CloudWatch (R12 to R14)."""

from __future__ import annotations

from .cloudwatch import cloudwatch_response_class
from .metric_store import MetricStore
from .sampler import Sampler

__all__ = ["MetricStore", "Sampler", "cloudwatch_response_class"]
