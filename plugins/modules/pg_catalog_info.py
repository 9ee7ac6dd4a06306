# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_catalog_info
short_description: Fingerprint a database's catalogue, and say what changed since another fingerprint
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Logical replication carries no DDL. A fingerprint taken at the start of a migration, compared on every status and
    before the cutover, tells which objects somebody changed meanwhile.
  - Values of sequences, contents of tables and what a migration of this collection makes aren't part of it.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.address
options:
  database:
    description: The database. Left out, the address's own C(dbname).
    type: str
  objects:
    description: Which classes of objects to look at. Left out, all of them.
    type: list
    elements: str
    choices:
      - schemas
      - extensions
      - extension_versions
      - types
      - tables
      - columns
      - indexes
      - constraints
      - sequences
      - functions
      - triggers
      - views
      - rules
      - policies
      - statistics
      - operators
      - grants
      - owners
      - comments
      - settings
      - identities
      - publications
  since:
    description: An earlier RV(fingerprint) of the same database. Classes that only one of both has aren't compared.
    type: dict
notes:
  - The catalogue is open to every login. No superuser is needed.
  - A fingerprint of a thousand tables has about 50 kB, one of ten thousand half a megabyte.
"""

EXAMPLES = r"""
- name: Remember how the source looks
  cloudpg.migration.pg_catalog_info:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
  register: at_start

- name: Has anybody changed it since?
  cloudpg.migration.pg_catalog_info:
    server: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    since: "{{ at_start.fingerprint }}"
  register: now
  failed_when: now is failed or now.change_count > 0
"""

RETURN = r"""
fingerprint:
  description: What to give as O(since) later; null in check mode when the server isn't there yet.
  type: dict
  returned: success
  contains:
    format:
      description: The version of its form.
      type: int
    hash:
      description: One hash of everything.
      type: str
    classes:
      description: By class, C(count) of objects and C(hash).
      type: dict
    objects:
      description: The hashes of all objects, packed.
      type: str
changes:
  description: The first 100 objects that changed, with C(class), C(object) and C(change) (added, removed or changed).
  type: list
  elements: dict
  returned: success
change_count:
  description: How many there are; null without O(since).
  type: int
  returned: success
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._compare import canonical, fingerprint
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import SHOWN
from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect


def look(params, check_mode):
    if not_there_yet(params["server"], check_mode):
        return {"fingerprint": None, "changes": [], "change_count": None}
    with connect(params["server"], params["database"]) as session:
        session.run(canonical.SETTINGS)
        version = session.value("SELECT current_setting('server_version_num')::int")
        taken = fingerprint.fingerprint(
            fingerprint.read(session, params["objects"] or fingerprint.CLASSES, version)
        )
    changes = fingerprint.changes(params["since"], taken) if params["since"] is not None else None
    return {
        "fingerprint": taken,
        "changes": (changes or [])[:SHOWN],
        "change_count": None if changes is None else len(changes),
    }


def main():
    run(
        look,
        {
            "server": address_spec(),
            "database": {"type": "str"},
            "objects": {"type": "list", "elements": "str", "choices": list(fingerprint.CLASSES)},
            "since": {"type": "dict"},
        },
    )


if __name__ == "__main__":
    main()
