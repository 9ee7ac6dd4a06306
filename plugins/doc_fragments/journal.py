# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The lock of a migration, as M(cloudpg.migration.aws_journal) hands it out."""

    DOCUMENTATION = r"""
options:
  journal:
    description:
      - Which migration this is and who holds it, as M(cloudpg.migration.aws_journal) returned it under C(journal).
      - Before every change the lock is looked at and its lease is renewed. A run that lost it changes nothing more.
    type: dict
    required: true
    suboptions:
      migration:
        description: The name of the migration.
        type: str
        required: true
      generation:
        description: The generation of the lock. It is null in check mode only, where no lock is taken.
        type: int
      holder:
        description: Who holds it.
        type: str
      group_id:
        description: The security group which is lock, journal and quarantine.
        type: str
"""

    # Modules that work with SQL alone.
    SQL = r"""
options:
  journal:
    description:
      - The lock to work under, as M(cloudpg.migration.pg_journal) returned it under C(journal). Left out, none is
        needed.
      - Its lease of 60 seconds is renewed every few seconds while the module works, in the database that each address
        names.
      - When another run has taken the migration over, what the module is at is called off, and it fails with the code
        V(lease_lost). It changes nothing more; what it had finished stays.
      - In check mode there is no lock, and it isn't looked at.
    type: dict
    suboptions:
      migration:
        description: The name of the migration.
        type: str
        required: true
      generation:
        description: The generation of the lock.
        type: int
      holder:
        description: Who holds it.
        type: str
      group_id:
        description: Null. A lock on AWS can't be renewed here.
        type: str
"""
