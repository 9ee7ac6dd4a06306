# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logical_wait
short_description: Wait until the databases of a migration follow their source
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Polls M(cloudpg.migration.logical_info) until every table of every database follows and none is further behind than
    O(max_lag_bytes), and prints how far they are.
  - A slot that is lost and a subscription that an error has switched off end the wait at once.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.waiting
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  migration:
    description: The name of the migration.
    type: str
    required: true
  databases:
    description:
      - The databases that are moved. Empty means all that allow connections, but for V(postgres) and those of the
        service.
    type: list
    elements: str
    default: []
  max_lag_bytes:
    description: How far behind a slot may be.
    type: int
    default: 16777216
  whole:
    description:
      - Whether the copy has to be over as well. With V(false) it is enough that every table follows, which is before
        M(cloudpg.migration.pg_copy) adds the foreign keys of tables that came in by the subscription.
    type: bool
    default: true
  acknowledged:
    description: Ids of findings to go on in spite of, or C(id:object) for one object.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait. On a timeout the last state is returned.
    type: float
    default: 1800
notes:
  - The lease of O(journal) is renewed every 20 seconds while it waits.
  - This is an action plugin. C(async) doesn't work with it.
  - The progress is one whole line each time something changes; on a pipe set E(PYTHONUNBUFFERED=1) to see it at once.
seealso:
  - module: cloudpg.migration.logical_info
"""

EXAMPLES = r"""
- name: Wait until the databases are in step
  cloudpg.migration.logical_wait:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    migration: orders
    wait_timeout: 3600
"""

RETURN = r"""
state:
  description: What M(cloudpg.migration.logical_info) returned last; null in check mode.
  type: dict
  returned: always
elapsed:
  description: Seconds it took.
  type: float
  returned: when it waited
msg:
  description: The last line, or why the wait ended without success.
  type: str
  returned: always
"""
