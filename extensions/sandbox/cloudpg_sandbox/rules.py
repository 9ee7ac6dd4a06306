# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What RDS refuses: a call that would fail there fails here, with the service's error code and, where known, its words.

Pure functions on plain dicts in AWS's spelling: `params` as a call brings them, the rest as Describe calls answer
them. Each returns None or raises ApiError. The fact's number (R1 …) stands where it is enforced.
"""

from __future__ import annotations

from .rules_changes import check_delete_cluster, check_delete_instance, check_modify_instance, check_reboot
from .rules_common import ApiError, check_identifier
from .rules_creation import check_create_cluster_member, check_create_replica_cluster, check_promote

__all__ = [
    "ApiError",
    "check_create_cluster_member",
    "check_create_replica_cluster",
    "check_delete_cluster",
    "check_delete_instance",
    "check_identifier",
    "check_modify_instance",
    "check_promote",
    "check_reboot",
]
