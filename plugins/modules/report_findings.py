# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report_findings
short_description: Print what preflight found, and fail on a blocker
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Prints every finding as one line with its object, the reason and the cure, the blockers first.
  - A finding is acknowledged by its C(id), or by C(id:object) for one object. Blockers about correctness can't be.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
options:
  findings:
    description: Findings as C(replica_preflight_info) returns them.
    type: list
    elements: dict
    required: true
  acknowledged:
    description: Ids of findings that are known and accepted.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Judge what was found
  cloudpg.migration.report_findings:
    findings:
      - id: minor-upgrades-on
        severity: warning
        object: orders-rds
        reason: automatic minor upgrades are on.
        cure: they are held while the target is built.
        fact: R11
    acknowledged: [minor-upgrades-on]
"""

RETURN = r"""
verdict:
  description: What the findings mean for the run, the first 100 of each kind.
  type: dict
  returned: always
  contains:
    blockers:
      description: What stops the run.
      type: list
      elements: dict
    warnings:
      description: What was found and not acknowledged.
      type: list
      elements: dict
    acknowledged:
      description: What was found and is accepted.
      type: list
      elements: dict
    unknown:
      description: Acknowledged ids which no finding has, misspelt or cured.
      type: list
      elements: str
"""
