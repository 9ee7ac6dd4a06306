# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_replication_info
short_description: How far a PostgreSQL server has written or replayed
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Reads the positions of a primary or a standby, of the standbys that follow it and of its slots.
  - With O(mark) it returns the position a copy must have replayed before it may be promoted.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.address
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: This action changes no object of the database.
  idempotent:
    support: full
    details: O(mark) writes to the WAL alone, which is no change.
options:
  mark:
    description:
      - Whether to write an empty commit to the WAL, wait until it is flushed, and return a position in RV(lsn) which no
        commit the server has acknowledged lies beyond.
      - Use it after the fence is proven with M(cloudpg.migration.pg_session_info). In check mode nothing is written.
    type: bool
    default: false
seealso:
  - module: cloudpg.migration.pg_replication_wait
"""

EXAMPLES = r"""
- name: Read the last position the closed source wrote
  cloudpg.migration.pg_replication_info:
    server: {host: orders.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    mark: true
  register: last

- name: Wait until the replica has replayed it
  cloudpg.migration.pg_replication_wait:
    server: {host: replica.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    lsn: "{{ last.lsn }}"
"""

RETURN = r"""
lsn:
  description: The position that was asked for by O(mark); null without it and in check mode.
  type: str
  returned: success
  sample: 16/B374D848
replication:
  description: The positions; null in check mode when the server isn't there yet. LSNs are text, lags bytes.
  type: dict
  returned: success
  contains:
    in_recovery:
      description: Whether it is a standby.
      type: bool
    flush_lsn:
      description: How far a primary has flushed; null on a standby.
      type: str
    receive_lsn:
      description: How far a standby has received; null on a primary.
      type: str
    replay_lsn:
      description: How far a standby has replayed; null on a primary.
      type: str
    replayed_until:
      description: When the last transaction a standby has replayed was committed.
      type: str
    wal_bytes:
      description: RV(replication.flush_lsn) or RV(replication.replay_lsn) as a number of bytes, to work out a rate.
      type: int
    refused:
      description: What the server said when it would not tell its position; null otherwise.
      type: str
    standbys:
      description:
        - The standbys connected, with C(name), C(slot), C(client_addr), C(state), C(sent_lsn), C(flush_lsn),
          C(replay_lsn) and C(sync_state). Without C(pg_monitor) their positions are null.
      type: list
      elements: dict
    slots:
      description:
        - The slots with C(name), C(type), C(active), C(restart_lsn), C(confirmed_flush_lsn), C(wal_status) and
          C(lag_bytes).
      type: list
      elements: dict
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._module import run
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import positions
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect


def look(params, check_mode):
    if not_there_yet(params["server"], check_mode):
        return {"lsn": None, "replication": None}
    with connect(params["server"]) as session:
        lsn = positions.mark(session) if params["mark"] and not check_mode else None
        return {"lsn": lsn, "replication": positions.positions(session)}


def main():
    run(look, {"server": address_spec(), "mark": {"type": "bool", "default": False}})


if __name__ == "__main__":
    main()
