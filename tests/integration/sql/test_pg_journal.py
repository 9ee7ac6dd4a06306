# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of a migration between two servers: one holder at a time, and who lost it changes nothing more (R33)."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import LeaseLost
from ansible_collections.cloudpg.migration.plugins.module_utils._pg import journal, lease
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect

NAME = "orders"


@pytest.fixture
def sides(pair):
    return pair(16, 18)


@pytest.fixture
def hold(sides, run_module):
    """The module on both sides; ``hold(state=…, …)``."""
    source, target = sides

    def go(journal=None, check=False, login="migration", **options):
        return run_module("pg_journal", {
            "source": source.address(login), "target": target.address(login),
            "journal": journal or {"migration": NAME}, **options,
        }, check=check)

    return go


def lapse(*sides):
    for side in sides:
        side.query("UPDATE cloudpg_migration.lease SET until = now() - interval '1 second'")


def test_the_lock_is_taken_on_both_sides_renewed_and_given_back_without_a_change(hold, sides):
    first = hold(job="17")
    held = first["journal"]
    assert (first["changed"], first["taken_over"], held["generation"]) == (False, False, 1)
    assert held["holder"].endswith("job 17")
    for side in sides:
        assert side.query("SELECT generation, holder FROM cloudpg_migration.lease") == [(1, held["holder"])]
    lapse(*sides)
    assert hold(held)["journal"] == held
    assert sides[1].query("SELECT until > now() FROM cloudpg_migration.lease") == [(True,)]
    given = hold(held, state="released")
    assert (given["changed"], given["journal"]["holder"]) == (False, None)
    assert hold()["journal"]["generation"] == 2


def test_r33_of_two_runs_one_wins_and_the_other_is_told_who_holds_it(hold):
    held = hold(job="the-first")["journal"]
    second = hold(wait_timeout=0)
    assert second["failed"] and second["code"] == "held"
    words = (held["holder"], "since", "its lease runs until", "Cure:")
    assert [word for word in words if word not in second["msg"]] == []


def test_r33_a_lapsed_lease_is_taken_over_with_the_next_generation_and_the_sleeper_finds_it_lost(hold, sides):
    sleeper = hold()["journal"]
    lapse(*sides)
    taken = hold(wait_timeout=0)
    assert (taken["taken_over"], taken["journal"]["generation"]) == (True, sleeper["generation"] + 1)
    woken = hold(sleeper)
    assert woken["failed"] and woken["code"] == "lease_lost"
    assert f"held by {taken['journal']['holder']}" in woken["msg"] and "Nothing more was changed" in woken["msg"]
    for side in sides:
        with connect(side.address()) as session, pytest.raises(LeaseLost):
            lease.renew(session, sleeper)


def test_r33_a_takeover_does_not_wait(hold):
    first = hold()["journal"]
    assert hold(take_over=True, wait_timeout=0)["taken_over"]
    assert hold(first, state="released")["code"] == "lease_lost"


def test_who_can_have_one_side_only_gives_it_back(hold, sides):
    held = hold()["journal"]
    sides[0].query("UPDATE cloudpg_migration.lease SET holder = NULL")
    refused = hold(wait_timeout=0)
    assert refused["failed"] and held["holder"] in refused["msg"]
    assert sides[0].query("SELECT holder FROM cloudpg_migration.lease") == [(None,)]


def test_a_side_whose_generation_is_behind_catches_up(hold, sides):
    hold(hold()["journal"], state="released")
    sides[1].query("DROP SCHEMA cloudpg_migration CASCADE")
    held = hold()["journal"]
    assert held["generation"] == 2
    assert sides[1].query("SELECT generation FROM cloudpg_migration.lease") == [(2,)]


def test_check_mode_takes_nothing(hold, sides):
    told = hold(check=True)
    assert told["journal"] == {"migration": NAME, "generation": None, "holder": None, "group_id": None}
    assert all(side.query("SELECT FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == [] for side in sides)


def test_absent_forgets_this_migration_and_removes_the_schema_with_the_last_one(hold, sides):
    hold({"migration": "other"})
    held = hold()["journal"]
    with connect(sides[0].address()) as session, session.transaction():
        journal.record(session, NAME, [journal.Entry("identity.a", "a", "d", "f")])
    assert "identity.a" in hold(held)["events"]
    planned = hold(held, state="absent", check=True)
    assert planned["changed"] and len(planned["actions"]) == 1, "the lock itself is nothing to remember"
    assert hold(held, state="absent")["changed"]
    assert sides[0].query("SELECT migration FROM cloudpg_migration.lease") == [("other",)]
    assert not hold(state="absent")["changed"]
    assert not hold({"migration": "other"}, state="absent")["changed"]
    assert all(side.query("SELECT FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == [] for side in sides)


@pytest.mark.parametrize("places, remembering", [
    (None, ["target"]), (["target"], ["target"]), (["source"], ["source"]), ([], []),
    (["source", "target"], ["source", "target"]),
], ids=["default", "target", "source", "none", "both"])
def test_what_is_remembered_stays_where_it_is_wanted_and_a_second_run_changes_nothing(hold, sides, places, remembering):
    held = hold(events=[{"id": each, "object": NAME, "now": True} for each in ("over", "passing")])["journal"]
    options = {"state": "absent", "remember": ["over"]} | ({} if places is None else {"remember_on": places})
    planned = hold(held, check=True, **options)
    assert planned["changed"] and len(planned["actions"]) == 2
    assert hold(held, **options)["changed"] and not hold(**options)["changed"]
    for name, side in zip(("source", "target"), sides):
        with connect(side.address()) as session:
            assert list(journal.read(session, NAME)) == (["over"] if name in remembering else []), name
    assert list(hold()["events"]) == (["over"] if remembering else [])


def test_a_source_without_a_target_remembers_whatever_was_wanted(sides, run_module):
    source, target = sides

    def go(**options):
        return run_module("pg_journal", {
            "source": source.address(), "target": {**target.address(), "host": None}, "journal": {"migration": NAME},
            "remember": ["over"], "remember_on": ["target"], **options,
        })

    held = go(events=[{"id": each, "object": NAME, "now": True} for each in ("over", "passing")])["journal"]
    assert go(state="absent", journal=held)["changed"]
    with connect(source.address()) as session:
        assert list(journal.read(session, NAME)) == ["over"]


@pytest.mark.parametrize("wrong, words", [
    ({"journal": {"migration": "Or ders"}}, ["journal.migration", "lower-case letters"]),
    ({"login": "plain"}, ["permission denied", "Cure: grant the right"]),
], ids=["name", "privilege"])
def test_what_can_not_be_is_named(hold, wrong, words):
    told = hold(**wrong)
    assert told["failed"] and [word for word in words if word not in told["msg"]] == []


def test_a_source_whose_target_isnt_there_yet_holds_the_lock_alone_until_it_is(sides, run_module):
    source, target = sides

    def go(there, journal=None, **options):
        address = target.address() if there else {**target.address(), "host": None}
        return run_module("pg_journal", {
            "source": source.address(), "target": address, "journal": journal or {"migration": NAME}, **options,
        })

    held = go(False)["journal"]
    assert source.query("SELECT generation, holder FROM cloudpg_migration.lease") == [(1, held["holder"])]
    assert target.query("SELECT FROM pg_namespace WHERE nspname = 'cloudpg_migration'") == []
    assert go(True, held, events=[{"id": "made", "object": "shop", "now": 1}])["journal"] == held
    for side in sides:
        assert side.query("SELECT generation, holder FROM cloudpg_migration.lease") == [(1, held["holder"])]
    lapse(*sides)
    assert go(True, held)["journal"] == held
    assert target.query("SELECT until > now() FROM cloudpg_migration.lease") == [(True,)]
    assert go(True, held, state="released")["journal"]["holder"] is None
    again = go(False)["journal"]
    assert again["generation"] == 2
    given = go(True, again, state="released")
    assert not given.get("failed"), "a target whose side was never taken is none to give back"
    assert source.query("SELECT holder FROM cloudpg_migration.lease") == [(None,)]


def test_r33_a_target_that_another_run_holds_is_not_joined(sides, run_module):
    source, target = sides

    def go(there, journal=None, **options):
        address = target.address() if there else {**target.address(), "host": None}
        return run_module("pg_journal", {
            "source": source.address(), "target": address, "journal": journal or {"migration": NAME},
            "wait_timeout": 0, **options,
        })

    first = go(True)["journal"]
    source.query("UPDATE cloudpg_migration.lease SET until = now() - interval '1 second'")
    second = go(False)["journal"]
    refused = go(True, second)
    assert (refused["failed"], refused["code"]) == (True, "held") and first["holder"] in refused["msg"]
    lapse(target)
    joined = go(True, second)
    assert (joined["taken_over"], joined["journal"]) == (True, second)
    assert go(True, first)["code"] == "lease_lost"


def test_a_target_that_has_seen_more_runs_than_the_source_is_not_of_this_migration(sides, run_module):
    source, target = sides
    for _turn in range(2):
        told = run_module("pg_journal", {
            "source": target.address(), "target": {"host": None}, "journal": {"migration": NAME},
        })
        run_module("pg_journal", {
            "source": target.address(), "target": {"host": None}, "journal": told["journal"], "state": "released",
        })
    alone = run_module("pg_journal", {
        "source": source.address(), "target": {"host": None}, "journal": {"migration": NAME},
    })["journal"]
    refused = run_module("pg_journal", {
        "source": source.address(), "target": target.address(), "journal": alone,
    })
    assert (refused["failed"], refused["code"]) == (True, "lease_lost") and "run again" in refused["msg"]
    assert target.query("SELECT holder FROM cloudpg_migration.lease") == [(None,)]
