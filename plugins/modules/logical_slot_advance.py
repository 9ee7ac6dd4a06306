# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logical_slot_advance
short_description: Move the slots that wait for the next cutover past what the other side has already
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - The way back has a slot on the target that nobody reads until the cutover, and after the cutover the slot on the
    source is such a one. Both keep WAL until the disk is full.
  - All that is written on the side that is closed came from the other one. So the slot is moved on to what is flushed.
  - It is done under the lock of M(cloudpg.migration.pg_cutover), and not while one is under way or was left half-way.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
attributes:
  diff_mode:
    support: none
    details: Nothing of a user's is changed.
  idempotent:
    details: To move a slot on never counts as a change.
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
notes:
  - The login needs REPLICATION on the side that is closed.
seealso:
  - module: cloudpg.migration.pg_cutover
"""

EXAMPLES = r"""
- name: Let the target throw away WAL that nobody needs for the way back
  cloudpg.migration.logical_slot_advance:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    migration: orders
    databases: [orders]
"""

RETURN = r"""
moved:
  description: The slots, each with its C(database), C(slot), C(side) and the C(bytes) that it was behind before.
  type: list
  elements: dict
  returned: success
left:
  description: The slots that weren't moved, likewise, with the C(reason).
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._logical import idle
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet


def body(params, check_mode):
    missing = [not_there_yet(params[side], check_mode, side) for side in ("source", "target")]
    if any(missing):
        return {"moved": [], "left": []}
    return idle.advance(params["source"], params["target"], params["migration"], params["databases"], check_mode)


def main():
    run(
        body,
        {
            "source": address_spec(),
            "target": address_spec(),
            "migration": {"type": "str", "required": True},
            "databases": {"type": "list", "elements": "str", "default": []},
        },
    )


if __name__ == "__main__":
    main()
