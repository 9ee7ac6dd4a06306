# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_replication_wait
short_description: Wait until a physical copy has replayed a position
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Polls M(cloudpg.migration.pg_replication_info) until the copy has replayed O(lsn) or more, and prints how far it is.
  - It compares by at least, never by equality, for even an idle server goes on writing WAL.
  - A copy that was promoted meanwhile, a slot whose WAL is gone and a position that isn't shown end the wait at once.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.waiting
  - cloudpg.migration.address
  - amazon.aws.common.modules
  - amazon.aws.region.modules
options:
  lsn:
    description: The position, as M(cloudpg.migration.pg_replication_info) returned it for C(mark).
    type: str
    required: true
  via:
    description:
      - Whose view to trust. With V(standby) the O(server) is the copy itself.
      - With V(source) it is the primary, whose view of the copy (its walsender and, if it has one, its slot) counts.
        Use it where the copy refuses to tell its position, as Aurora may.
    type: str
    choices: [standby, source]
    default: standby
  standby:
    description: With O(via=source), which standby counts, by application name or slot. Needed when there are several.
    type: str
  wait_timeout:
    description: Seconds to wait. On a timeout the last state is returned.
    type: float
    default: 1800
  journal:
    description:
      - The lock of the migration, as M(cloudpg.migration.aws_journal) returned it.
      - Its lease is renewed while waiting, with the AWS options given here.
    type: dict
notes:
  - This is an action plugin. C(async) doesn't work with it.
  - The progress is one whole line each time something changes; on a pipe set E(PYTHONUNBUFFERED=1) to see it at once.
seealso:
  - module: cloudpg.migration.pg_replication_info
"""

EXAMPLES = r"""
- name: Wait until the replica has replayed what the closed source wrote last
  cloudpg.migration.pg_replication_wait:
    server: {host: replica.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    lsn: 16/B374D848
    wait_timeout: 60

- name: The same as the source sees it
  cloudpg.migration.pg_replication_wait:
    server: {host: orders.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    via: source
    lsn: 16/B374D848
    wait_timeout: 60
"""

RETURN = r"""
state:
  description: What M(cloudpg.migration.pg_replication_info) returned last; null in check mode.
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
