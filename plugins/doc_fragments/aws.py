# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that speak to AWS have in common, beside amazon.aws's own fragments."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/cloudpg.migration.aws) in C(module_defaults) for the options that say how to reach AWS.
    support: full
    membership:
      - cloudpg.migration.aws
notes:
  - A call that is throttled, or fails inside the service, is tried six times with growing pauses.
  - An error names the operation and the object; a permission that is missing is named as the IAM action to allow.
"""

    WAIT = r"""
options:
  wait:
    description: Whether to wait until AWS has done what was asked.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait, in seconds.
      - A state that leads nowhere (V(failed), V(storage-full), ...) ends the wait at once.
    type: int
    default: 3600
"""
