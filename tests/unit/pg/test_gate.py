# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate of a physical copy."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.cloudpg.migration.plugins.action.pg_replication_wait import ActionModule
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import gate
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError

L = "1/00000100"


def standby(replay, **more):
    return {"in_recovery": True, "replay_lsn": replay, "refused": None, "standbys": [], "slots": [], **more}


def follower(replay, name="replica", slot=None, state="streaming"):
    return {"name": name, "slot": slot, "state": state, "replay_lsn": replay}


def slot(name, restart="1/00000200", status="reserved", active=True, kind="physical"):
    return {"name": name, "type": kind, "active": active, "restart_lsn": restart, "wal_status": status}


def source(*followers, slots=()):
    return {"in_recovery": False, "replay_lsn": None, "standbys": list(followers), "slots": list(slots)}


@pytest.mark.parametrize("text, number", [("0/0", 0), ("0/ff", 255), ("1/0", 2**32), ("16/B374D848", 0x16B374D848)])
def test_an_lsn_is_a_position(text, number):
    assert gate.lsn_number(text) == number


@pytest.mark.parametrize("text", ["", None, "16", "16/", "x/1", "1/123456789", "1/2/3"])
def test_what_is_no_lsn_is_refused(text):
    with pytest.raises(PgError, match="is no LSN"):
        gate.lsn_number(text)


@pytest.mark.parametrize("replayed, done", [
    ("1/000000FF", False), ("1/00000100", True), ("1/00000101", True), ("2/00000000", True), ("0/FFFFFFFF", False),
])
@pytest.mark.parametrize("via", ["standby", "source"])
def test_p17_the_gate_opens_at_the_position_or_past_it(replayed, done, via):
    seen = standby(replayed) if via == "standby" else source(follower(replayed))
    passage = gate.passage(seen, L, via)
    assert (passage.done, passage.failed) == (done, None)


@pytest.mark.parametrize("replayed, near", [("0/00000001", False), ("1/00000000", True)])
def test_the_end_is_looked_at_more_often(replayed, near):
    assert gate.passage(standby(replayed), L, "standby").near is near


def test_r17_a_copy_that_was_promoted_proves_nothing():
    assert "R17" in gate.passage(standby("9/0", in_recovery=False), L, "standby").failed


def test_r15_a_copy_that_refuses_to_tell_sends_the_caller_to_the_source():
    passage = gate.passage(standby(None, refused="not supported."), L, "standby")
    assert not passage.done
    assert "not supported. Cure: wait with via=source" in passage.failed


@pytest.mark.parametrize("restart, done", [("1/000000FF", False), ("1/00000100", True), (None, True)])
def test_r15_the_source_looks_at_the_copys_slot_as_well(restart, done):
    seen = source(follower(L, slot="ours"), slots=[slot("ours", restart)])
    assert gate.passage(seen, L, "source").done is done


@pytest.mark.parametrize("named, done", [("one", True), ("two_slot", False)])
def test_of_several_standbys_the_named_one_counts(named, done):
    seen = source(follower("1/200", "one"), follower("0/1", "two", "two_slot"), slots=[slot("two_slot")])
    assert gate.passage(seen, L, "source", named).done is done


def test_several_standbys_and_none_named_end_the_wait():
    failed = gate.passage(source(follower("1/200", "one"), follower("1/200", "two")), L, "source").failed
    assert "2 standbys: one, two" in failed


@pytest.mark.parametrize("state", ["backup", "startup"])
def test_a_base_backup_is_no_standby(state):
    passage = gate.passage(source(follower("1/200", state=state)), L, "source")
    assert (passage.done, passage.failed) == (False, None)


def test_nobody_connected_is_waited_for_and_never_passes():
    passage = gate.passage(source(), L, "source")
    assert (passage.done, passage.failed) == (False, None)


def test_p52_a_position_that_is_hidden_fails():
    assert "pg_monitor" in gate.passage(source(follower(None)), L, "source").failed


@pytest.mark.parametrize("followers, slots, named, fails", [
    ([], [slot("ours", status="lost", active=False)], None, True),
    ([], [slot("ours", status="unreserved", active=False)], None, True),
    ([], [slot("other", status="lost", active=False)], "ours", False),
    ([], [slot("cdc", status="lost", active=False, kind="logical")], None, False),
    ([follower("0/1", slot="ours")], [slot("ours", status="lost")], None, True),
    ([follower("0/1", slot="ours")], [slot("ours", status="unreserved")], None, False),
    ([follower("0/1", slot="ours")], [slot("ours"), slot("other", status="lost", active=False)], None, False),
    ([follower("0/1")], [slot("other", status="lost", active=False)], None, False),
])
def test_p14_a_slot_whose_wal_is_gone_ends_the_wait(followers, slots, named, fails):
    passage = gate.passage(source(*followers, slots=slots), L, "source", named)
    assert ("P14" in (passage.failed or "")) is fails
    assert not passage.done


def action(check_mode=False):
    return ActionModule(SimpleNamespace(check_mode=check_mode), None, None, None, None, None)


@pytest.mark.parametrize("args, said", [
    ({"lsn": "0/0"}, "proves nothing"), ({"lsn": "soon"}, "is no LSN"), ({}, "is no LSN"),
    ({"lsn": "0/1", "via": "hearsay"}, "via is one of"),
])
def test_a_wait_for_nothing_is_refused(args, said):
    with pytest.raises(AnsibleActionFail, match=said):
        action().options(args)


def test_check_mode_has_no_position_yet():
    wanted, _asked = action(check_mode=True).options({"lsn": None})
    assert wanted["lsn"] is None


def test_the_options_of_the_lease_do_not_reach_the_server():
    waiting = action()
    wanted, asked = waiting.options({"lsn": L, "server": {"host": "h"}, "region": "eu-west-1", "profile": "p"})
    assert asked == {"server": {"host": "h"}}
    assert wanted == {"lsn": L, "via": "standby", "standby": None}
    assert waiting._session == {"region": "eu-west-1", "profile": "p"}
