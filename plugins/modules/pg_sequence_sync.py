# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_sequence_sync
short_description: Bring the sequences of one database to where those of another stand
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Logical replication carries no sequences. This module reads every sequence of both sides from itself, with its
    C(is_called), and sets those of the target that are behind, all in one statement a side.
  - No sequence is ever moved backwards, which for a descending one means upwards. A second run changes nothing.
  - It works in both directions; for the way back give the addresses the other way round.
  - Nothing is set when one sequence can't be, because it is missing, out of bounds or not the login's to set.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.address.both
  - cloudpg.migration.journal.sql
options:
  database:
    description: The database on both sides. Left out, each address's own C(dbname).
    type: str
  sequences:
    description:
      - The sequences to bring over, as C(schema.name), quoted where SQL needs it. Identity columns have theirs too.
      - Empty means all, but for those of extensions and of the schema C(cloudpg_migration).
    type: list
    elements: str
    default: []
  schemas:
    description: Only sequences in these schemas, beside those of O(sequences).
    type: list
    elements: str
    default: []
  exclude:
    description: Sequences to leave out, in which V(*) stands for anything.
    type: list
    elements: str
    default: []
  margin:
    description:
      - How many values to stay ahead of the source. It is multiplied by the sequence's increment.
      - It is meant for tests before the cutover, while the source still draws values. The exact state is brought over
        by V(0), after the source has come to rest and before the target is opened.
      - A margin that doesn't fit before the bound of a sequence fails the module; for one that cycles it is left out.
    type: int
    default: 0
notes:
  - The login of the source needs SELECT on the sequences, that of the target SELECT and UPDATE, both USAGE on the
    schemas. Membership in the owner's role brings all of them. No superuser is needed.
  - C(setval) isn't transactional. A run that is interrupted leaves some sequences set; the next one sets the others.
  - A session of the target that has drawn values of a sequence with a CACHE goes on with those it has.
"""

EXAMPLES = r"""
- name: Exact, after the source has come to rest
  cloudpg.migration.pg_sequence_sync:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass, dbname: orders}

- name: With room for a test, while the source goes on
  cloudpg.migration.pg_sequence_sync:
    source: {host: orders-rds.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    target: {host: orders-new.example.com, user: migration, passfile: /etc/cloudpg/pgpass}
    database: orders
    margin: 10000
    exclude: [audit.*]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in sentences.
  type: list
  elements: str
  returned: success
counts:
  description: How many sequences were (or would be) C(set), were C(equal), and were left because they are C(ahead).
  type: dict
  returned: success
  sample: {ahead: 1, equal: 0, set: 9999}
sequences:
  description: The first 100 that were set, each with C(sequence), C(was) and C(now).
  type: list
  elements: dict
  returned: success
  sample:
    - sequence: public.orders_id_seq
      was: {last_value: 1, is_called: false}
      now: {last_value: 4711, is_called: true}
ahead:
  description: The first 100 sequences that are ahead of the source's, by name.
  type: list
  elements: str
  returned: success
findings:
  description: What stands in the way (C(blocker)) or is worth knowing (C(warning)), the first 100.
  type: list
  elements: dict
  returned: always
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import sequence_work, sequences
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.results import (
    as_dicts, bounded, refuse_blockers,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import SHOWN, Selection
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.address import address_spec, not_there_yet
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.hold import OPTION, keeping
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out


def fresh(one):
    """How a sequence will stand on a target that is only made by a step check mode left out."""
    bound = one.min_value if one.increment > 0 else one.max_value
    return replace(one, oid=0, last_value=bound, is_called=False)


def converge(params, check_mode):
    wanted = Selection(params["sequences"], params["exclude"], params["schemas"])
    absent = {side: not_there_yet(params[side], check_mode, side) for side in ("source", "target")}
    with keeping(connect, params, check_mode) as watch, ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        sides = {
            side: stack.enter_context(watch.connect(params[side], params["database"]))
            for side in ("source", "target") if not absent[side]
        }
        reading = {
            side: pool.submit(sequence_work.read, sides[side], wanted if side == "source" else Selection())
            for side in sides
        }
        source = reading["source"].result() if "source" in sides else []
        target = reading["target"].result() if "target" in sides else [fresh(one) for one in source]
        moves, findings = sequences.compare(source, target, params["margin"])
        refuse_blockers(findings)
        plan = sequences.plan(moves)
        if not check_mode:
            carry_out(plan, {"set": lambda values: sequence_work.write(sides["target"], values)}, watch.check)
    return {
        **bounded(plan),
        "counts": sequences.counts(moves),
        "sequences": [move.as_dict() for move in moves if move.verdict == sequences.SET][:SHOWN],
        "ahead": [move.target.name for move in moves if move.verdict == sequences.AHEAD][:SHOWN],
        "findings": as_dicts(findings),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "source": address_spec(),
            "target": address_spec(),
            "database": {"type": "str"},
            "sequences": {"type": "list", "elements": "str", "default": []},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "journal": OPTION,
            "margin": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        if module.params["margin"] < 0:
            raise MigrationError("margin: it can't be negative, no sequence is moved backwards. Cure: give 0 or more.")
        module.exit_json(**converge(module.params, module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code, findings=getattr(error, "findings", []))


if __name__ == "__main__":
    main()
