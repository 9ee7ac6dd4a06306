# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logical_info
short_description: Where a migration by logical replication stands
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Looks at both sides of each database that is moved, at publication, slot, subscription and the ledger of the copy.
  - Reads in the journals which side serves, and whether a cutover is half-way. The way back is looked at as well.
  - Says what is wrong, such as a slot that is lost, a worker that ends again and again, a subscription that an error
    has switched off, tables that are published and not subscribed to, and DDL on the source since the beginning.
  - A target without O(target.host) isn't there yet.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.address.both
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
  patience:
    description: For how many seconds a worker that is missing, or has had errors, is watched before it is judged.
    type: int
    default: 6
notes:
  - The logins need CONNECT on the databases, and USAGE on the schema C(cloudpg_migration).
seealso:
  - module: cloudpg.migration.pg_subscription
  - module: cloudpg.migration.logical_wait
"""

EXAMPLES = r"""
- name: See how far the databases are
  cloudpg.migration.logical_info:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    migration: orders
  register: seen
"""

RETURN = r"""
databases:
  description: The databases that are moved.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The database.
      type: str
    slot:
      description: The name of its slot on the source.
      type: str
    back:
      description:
        - The way back, with C(publication) on the target, C(slot) and C(bytes_behind) there, the C(subscription) on the
          source, and what is C(broken) of it, in sentences.
      type: dict
    target:
      description: Whether the target has it.
      type: bool
    publication:
      description: Whether the source has the migration's publication.
      type: bool
    bytes_behind:
      description: How far the slot of the side that serves is behind what it has flushed; null without a slot.
      type: int
    copy:
      description: The ledger of the copy with C(state), C(tables), C(ready), C(left), C(progress); null without one.
      type: dict
    catalogue:
      description: Whether the journal has the catalogue as it was when the migration began.
      type: bool
    awaits:
      description: Whether the target holds it, closed, for a copy that comes with the cutover.
      type: bool
    subscription:
      description: As M(cloudpg.migration.pg_subscription) returns it; null when there is none.
      type: dict
    findings:
      description: What is wrong or worth knowing, the first 100.
      type: list
      elements: dict
serves:
  description: The side that takes the writes, V(source) or V(target).
  type: str
  returned: success
halfway:
  description: The direction, V(there) or V(back), of a cutover that is under way or was left; null without one.
  type: str
  returned: success
returned:
  description: Whether the source serves again after a cutover.
  type: bool
  returned: success
finished:
  description: Whether the migration is over.
  type: bool
  returned: success
closed:
  description: The sides that the migration holds closed.
  type: list
  elements: str
  returned: success
opened_at:
  description: When the side that serves was opened by a cutover; null before one.
  type: str
  returned: success
holder:
  description: Who holds the migration, with C(holder), C(since), C(until) and C(generation); null when nobody does.
  type: dict
  returned: success
events:
  description: The journal of the target by id, without the catalogues.
  type: dict
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._logical import standing
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet


def look(params, check_mode):
    if not_there_yet(params["source"], check_mode, "source"):
        return standing.NOTHING
    target = params["target"] if params["target"]["host"] else None
    return standing.look(params["source"], target, params["migration"], params["databases"], params["patience"])


def main():
    run(
        look,
        {
            "source": address_spec(),
            "target": address_spec(),
            "migration": {"type": "str", "required": True},
            "databases": {"type": "list", "elements": "str", "default": []},
            "patience": {"type": "int", "default": 6},
        },
    )


if __name__ == "__main__":
    main()
