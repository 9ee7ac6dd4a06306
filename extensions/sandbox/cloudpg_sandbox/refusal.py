# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An error as moto's serializers want it."""

from __future__ import annotations

from moto.core.exceptions import ServiceException

from .rules import ApiError


class Refusal(ServiceException):
    """Any error code of a service. Not moto's own class: its serializer would look for a service named `core`."""

    @classmethod
    def of(cls, error: ApiError) -> Refusal:
        return cls(error.code, error.message)
