# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a module promises about check mode, diff and repetition."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Looks at the real state, says what it would do and touches nothing.
  diff_mode:
    description: Returns what was, or in check mode would be, different.
  idempotent:
    description: A second run with the same arguments reports no change, unless something else changed meanwhile.
"""

    WRITING = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This action only reads.
  diff_mode:
    support: N/A
    details: This action only reads.
  idempotent:
    support: full
    details: This action only reads.
"""

    WAITING = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: In check mode it returns at once and says what it would wait for.
  diff_mode:
    support: N/A
    details: This action changes nothing.
  idempotent:
    support: full
    details: This action changes nothing but the lease of the migration, which it renews.
"""
