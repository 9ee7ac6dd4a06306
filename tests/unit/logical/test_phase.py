# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a migration by logical replication stands, and when the wait for it is over."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.cloudpg.migration.plugins.action.logical_wait import ActionModule
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.phase import phase_of


def database(copy=("done", []), ready=2, behind=0, published=True):
    """Two tables; ``copy`` is the ledger's state and what an interruption left, ``ready`` what follows of them."""
    state, left = copy or (None, [])
    return {
        "name": "shop", "publication": published, "bytes_behind": behind, "findings": [],
        "copy": {"state": state, "tables": 2, "ready": 2 - len(left), "left": left} if copy else None,
        "subscription": None if ready is None else {"tables": {"count": 2, "ready": ready}},
    }


NOTHING = database(copy=None, ready=None, behind=None, published=False)
LEFT = database(copy=("copying", ["public.b"]))


@pytest.mark.parametrize(("given", "phase"), [
    (NOTHING, "absent"),
    (database(copy=None, ready=None, behind=None), "building"),
    (database(copy=("copying", []), ready=None), "building"),
    (database(ready=None), "building"),
    (LEFT, "building"),
    (database(ready=1), "building"),
    (database(), "replicating"),
])
def test_p18_a_database_replicates_when_all_is_copied_and_every_table_follows(given, phase):
    assert phase_of(given) == phase


@pytest.mark.parametrize(("given", "options", "over"), [
    (database(), {}, True),
    (database(ready=1), {}, False),
    (database(behind=2000), {"max_lag_bytes": 1000}, False),
    (database(behind=None), {}, False),
    (LEFT, {}, False),
    # The keys of tables that came in by the subscription are made after they are in: nobody may wait for them (P56).
    (LEFT, {"whole": False}, True),
    (LEFT, {"whole": "false"}, True),
    (database(copy=("copying", ["public.b"]), ready=1), {"whole": False}, False),
    (database(copy=("copying", ["public.b"]), behind=2000), {"whole": False, "max_lag_bytes": 1000}, False),
    (NOTHING, {"whole": False}, False),
])
def test_p56_when_the_wait_is_over(given, options, over):
    action = ActionModule(MagicMock(), *[None] * 5)
    wanted, asked = action.options({"migration": "orders", **options})
    assert action.look({"databases": [given]}, wanted).done is over
    assert asked == {"migration": "orders"}
