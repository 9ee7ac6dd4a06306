# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a migration by logical replication stands, and when the wait for it is over."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.cloudpg.migration.plugins.action.logical_wait import ActionModule
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.turn import Turn, turn
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.idle import safe
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.phase import copied_of, document, phase_of
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.standing import NOTHING as NO_SOURCE
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.standing import broken

AT = "2026-01-01T00:00:00+00:00"


def database(copy=("done", []), ready=2, behind=0, published=True, back=2, awaits=False):
    """Two tables; ``copy`` is the ledger's state and what an interruption left, ``ready`` what follows of them,
    ``back`` what follows the other way, None without one."""
    state, left = copy or (None, [])
    return {
        "name": "shop", "awaits": awaits, "publication": published, "bytes_behind": behind, "findings": [],
        "copy": {"state": state, "tables": 2, "ready": 2 - len(left), "left": left} if copy else None,
        "subscription": None if ready is None else {"tables": {"count": 2, "ready": ready}},
        "back": {"subscription": None if back is None else {"tables": {"count": 2, "ready": back}}, "broken": []},
    }


def seen(*databases, **more):
    return {**NO_SOURCE, "databases": list(databases), **more}


NOTHING = database(copy=None, ready=None, behind=None, published=False, back=None)
AWAITING = database(copy=None, ready=None, behind=None, published=False, back=None, awaits=True)
LEFT = database(copy=("copying", ["public.b"]))
OPENED = {"serves": "target", "opened_at": AT}


@pytest.mark.parametrize(("given", "phase"), [
    (NOTHING, "absent"),
    (database(copy=None, ready=None, behind=None), "building"),
    (database(copy=("copying", []), ready=None), "building"),
    (database(ready=None), "building"),
    (LEFT, "building"),
    (database(ready=1), "building"),
    (database(), "replicating"),
    (AWAITING, "ready"),
    (database(copy=("copying", []), ready=None, published=False, back=None, awaits=True), "ready"),
])
def test_p18_a_database_replicates_when_all_is_copied_and_every_table_follows(given, phase):
    assert copied_of(given) == phase_of(seen(given)) == phase


@pytest.mark.parametrize(("more", "phase", "serves", "said"), [
    ({}, "replicating", "source", "followed by 1 database, 2 tables; the way back is ready"),
    ({"returned": True}, "replicating", "source", "the source serves again"),
    ({"halfway": "there"}, "quiesced", "source", "a cutover to the target is half-way"),
    ({"halfway": "back", "serves": "target"}, "quiesced", "target", "a way back to the source is half-way"),
    (OPENED, "open", "target", f"the target serves 1 database since {AT}; the source follows it"),
    ({"serves": "target", "finished": True}, "finished", "target", "the target serves"),
    # What is left when everything was removed, and nobody may log in to the target any more.
    ({"serves": "source", "finished": True, "databases": [NOTHING]}, "finished", "target", "the target serves"),
    ({"databases": [NOTHING]}, "absent", None, "nothing was built yet"),
])
def test_the_journals_decide_which_side_serves(more, phase, serves, said):
    told = document("orders", "logical", {**seen(database()), **more})
    assert (told["phase"], told["healthy"], told["details"]["serves"]) == (phase, True, serves)
    assert said in told["sentence"]


def test_p25_an_open_target_without_a_way_back_is_said_to_have_none():
    told = document("orders", "logical", seen(database(back=None, behind=None), **OPENED))
    assert "there is no way back" in told["sentence"] and told["details"]["way_back"] is False
    assert told["lag"]["bytes"] is None


def event(id, now):
    return {id: Event(id, "x", None, now, AT, "me")}


def closed(where, *names):
    return {f"closed.{name}@{where}": Event(f"closed.{name}@{where}", name, {}, {"database": name}, AT, "me")
            for name in names}


def cut(state):
    return event("cutover", {"state": state, "generation": 1})


SHUT = {"source": closed("old:1", "a", "b"), "target": closed("new:1", "a", "b")}


@pytest.mark.parametrize(("source", "target", "expected"), [
    ({}, {}, Turn()),
    ({}, SHUT["target"], Turn(closed=("target",))),
    # Not all of them: what isn't closed isn't said to be.
    ({}, closed("new:1", "a"), Turn()),
    ({}, {**SHUT["target"], **cut("begun")}, Turn(halfway="there", closed=("target",))),
    (SHUT["source"], {**SHUT["target"], **cut("undoing")}, Turn(halfway="there", closed=("source", "target"))),
    ({}, {**SHUT["target"], **cut("put_back")}, Turn(closed=("target",))),
    (SHUT["source"], cut("opened"), Turn("target", closed=("source",), opened_at=AT)),
    ({**SHUT["source"], **cut("begun")}, cut("opened"), Turn("target", "back", closed=("source",), opened_at=AT)),
    ({**SHUT["source"], **cut("begun")}, {**SHUT["target"], **cut("opened")},
     Turn("target", "back", closed=("source", "target"), opened_at=AT)),
    (cut("opened"), {**SHUT["target"], **cut("opened")}, Turn(returned=True, closed=("target",), opened_at=AT)),
    # A second cutover, half-way and done.
    ({**SHUT["source"], **cut("opened")}, {**SHUT["target"], **cut("begun")},
     Turn("source", "there", True, closed=("source", "target"), opened_at=AT)),
    ({**SHUT["source"], **cut("opened")}, cut("opened"),
     Turn("target", None, True, closed=("source",), opened_at=AT)),
    ({}, event("migration.finished", True), Turn(finished=True)),
])
def test_whose_turn_it_is(source, target, expected):
    assert turn(source, target, ["a", "b"]) == expected


@pytest.mark.parametrize(("given", "expected"), [
    (Turn(closed=("target",)), True),
    (Turn("target", closed=("source",)), True),
    (Turn(), False),
    # Behind a fence that isn't drained yet the slot of the source has changes for the target.
    (Turn(closed=("source", "target")), False),
    (Turn(halfway="there", closed=("target",)), False),
    (Turn("target", closed=("target",)), False),
    (Turn(finished=True, closed=("target",)), False),
])
def test_p25_an_idle_slot_is_moved_only_where_nobody_can_write_of_his_own(given, expected):
    assert safe(given) is expected


def way(publication=True, slot=True, subscription=True, enabled=False):
    return {"publication": publication, "bytes_behind": 0 if slot else None,
            "subscription": {"enabled": enabled} if subscription else None}


GONE = way(False, False, False)


@pytest.mark.parametrize(("forward", "back", "serves", "found"), [
    (way(enabled=True), way(), "source", []),
    (way(enabled=True), GONE, "source", []),
    (way(enabled=True), way(slot=False), "source", ["way-back-broken"]),
    (way(enabled=True), way(subscription=False), "source", ["way-back-broken"]),
    (way(enabled=True), way(enabled=True), "source", ["way-back-broken"]),
    (way(), way(enabled=True), "target", []),
    (way(), way(), "target", ["way-back-broken"]),
    (way(), way(publication=False, enabled=True), "target", ["way-back-broken"]),
    (way(slot=False), way(enabled=True), "target", ["way-there-broken"]),
    (way(), GONE, "target", []),
])
def test_p25_what_is_broken_of_the_way_back(forward, back, serves, found):
    assert [one.id for one in broken("shop", forward, back, [], Turn(serves))] == found
    assert bool(back["broken"]) is ("way-back-broken" in found)


@pytest.mark.parametrize(("given", "options", "over"), [
    (seen(database()), {}, True),
    (seen(database(ready=1)), {}, False),
    (seen(database(behind=2000)), {"max_lag_bytes": 1000}, False),
    (seen(database(behind=None)), {}, False),
    (seen(LEFT), {}, False),
    # The keys of tables that came in by the subscription are made after they are in: nobody may wait for them (P56).
    (seen(LEFT), {"whole": False}, True),
    (seen(LEFT), {"whole": "false"}, True),
    (seen(database(copy=("copying", ["public.b"]), ready=1)), {"whole": False}, False),
    (seen(database(copy=("copying", ["public.b"]), behind=2000)), {"whole": False, "max_lag_bytes": 1000}, False),
    (seen(NOTHING), {"whole": False}, False),
    # Behind the cutover it is the source that follows.
    (seen(database(), **OPENED), {}, True),
    (seen(database(back=1), **OPENED), {}, False),
    (seen(database(back=None), **OPENED), {}, False),
    (seen(database(), halfway="there"), {}, False),
])
def test_p56_when_the_wait_is_over(given, options, over):
    action = ActionModule(MagicMock(), *[None] * 5)
    wanted, asked = action.options({"migration": "orders", **options})
    assert action.look(given, wanted).done is over
    assert asked == {"migration": "orders"}
