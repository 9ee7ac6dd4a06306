# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report_status
short_description: Print where a migration stands
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Prints a status document as one line.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
options:
  status:
    description: The status document, as the C(status) door of a path makes it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say where the migration stands
  cloudpg.migration.report_status:
    status: "{{ migration_status }}"
"""

RETURN = r"""
status:
  description: The document.
  type: dict
  returned: always
"""
