"""Families of groups, names of holders, and what is cleared away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.cloudpg.migration.plugins.module_utils import _journal
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event, Lease, event_tags, lease_tag
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal, journal_work
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError

from .builders import NOW, tags


def group(name, group_id=None, vpc="vpc-1", **values):
    return {"GroupName": name, "GroupId": group_id or f"sg-{name}", "VpcId": vpc, "Tags": [
        {"Key": key, "Value": value} for key, value in values.pop("tags", {}).items()
    ] + tags(**values)}


def event(id="a", was="old", now="new", minute=0, object="orders"):
    return Event(id, object, was, now, _journal.stamp(NOW + timedelta(minutes=minute)), "me@here#1")


@pytest.mark.parametrize("migration, numbers", [
    ("orders", [1, 2, 10]), ("orders-2", [1]), ("order", []), ("orders-", []),
])
def test_r33_generations_are_told_apart_from_migrations_with_a_longer_name(migration, numbers):
    found = [group(name) for name in (
        "cloudpg-orders-10", "cloudpg-orders-2", "cloudpg-orders-1", "cloudpg-orders-2-1", "cloudpg-orders-x",
        "my-cloudpg-orders-3",
    )]
    family = journal.family_of(migration, found)
    assert [generation.number for generation in family.generations] == numbers


def test_r33_a_family_is_that_of_one_vpc():
    found = [group("cloudpg-orders-1", "sg-a", "vpc-1"), group("cloudpg-orders-1", "sg-b", "vpc-2")]
    assert journal.family_of("orders", found, "vpc-2").group_ids == ["sg-b"]


def test_events_of_all_generations_are_one_journal_with_the_first_was_and_the_last_now():
    family = journal.family_of("orders", [
        group("cloudpg-orders-2", tags=event_tags(event(was="temporary", now="newer", minute=1))),
        group("cloudpg-orders-1", tags=event_tags(event(was="original", now="new"))),
    ])
    assert (family.events["a"].was, family.events["a"].now) == ("original", "newer")


def test_a_torn_entry_is_an_error_that_names_group_and_entry():
    whole = event_tags(event(was=["sg-%017d" % number for number in range(30)]))
    assert len(whole) > 2
    torn = dict(list(whole.items())[1:])
    family = journal.family_of("orders", [group("cloudpg-orders-1", "sg-7", tags=torn)])
    with pytest.raises(RdsError, match=r"sg-7 \(cloudpg-orders-1\): journal entry a is torn.*Cure: "):
        family.events["a"]


@pytest.mark.parametrize("text", ["garbage", "yesterday tomorrow me@here"])
def test_a_lease_that_cannot_be_read_may_be_a_living_one_and_is_an_error(text):
    family = journal.family_of("orders", [group("cloudpg-orders-1", tags={_journal.LEASE_TAG: text})])
    with pytest.raises(RdsError, match="cannot be read.*make sure that no run is active"):
        family.newest.lease


@given(some.text("abc-", max_size=300), some.text("abc.", max_size=300), some.text("123", max_size=300))
def test_a_holder_always_fits_into_its_tag_with_its_token(user, host, job):
    name = _journal.holder_name(user, host, "0a1b2c3d", job)
    lease = Lease(12, name, NOW, NOW)
    assert "#0a1b2c3d" in name
    assert _journal.lease_from_tags(12, lease_tag(lease)).holder == name


def test_a_holder_is_readable():
    assert _journal.holder_name("ann", "bastion", "0a1b2c3d", "17") == "ann@bastion#0a1b2c3d job 17"


@pytest.mark.parametrize("name", ["orders", "orders-2", "2-orders"])
def test_a_name_of_lower_case_letters_digits_and_single_hyphens_is_one(name):
    _journal.check_name(name)


@pytest.mark.parametrize("name", ["", "Orders", "orders_2", "-orders", "orders-", "or--ders", "orders*", "o rders"])
def test_any_other_name_is_refused(name):
    with pytest.raises(MigrationError, match="lower-case letters"):
        _journal.check_name(name)


# Clearing away

FAMILY = journal.family_of("orders", [
    group("cloudpg-orders-1", "sg-1", tags=event_tags(event("a"))),
    group("cloudpg-orders-2", "sg-2"),
    group("cloudpg-orders-3", "sg-3"),
])


@pytest.mark.parametrize("kept, own, doomed", [
    ({}, None, ["sg-1", "sg-2", "sg-3"]),
    ({}, "sg-3", ["sg-1", "sg-2"]),
    ({"sg-2": ["instance orders"]}, "sg-3", ["sg-1"]),
    ({"sg-1": [], "sg-2": [], "sg-3": []}, "sg-3", []),
])
def test_what_nothing_uses_is_deleted_and_the_runs_own_empty_lock_is_no_change(kept, own, doomed):
    plan = journal_work.plan_removal(FAMILY, kept, own)
    assert [step.args["group_id"] for step in plan.steps] == doomed
    assert plan.changed is bool(doomed)


def test_the_runs_own_lock_is_a_change_when_it_remembers_something():
    family = journal.family_of("orders", [group("cloudpg-orders-1", "sg-1", tags=event_tags(event()))])
    assert journal_work.plan_removal(family, {}, "sg-1").changed


def test_a_reader_sees_who_holds_it_and_whether_the_lease_has_lapsed():
    lease = Lease(1, "me@here#1", NOW, NOW + timedelta(seconds=60))
    family = journal.family_of("orders", [group("cloudpg-orders-1", "sg-1", tags=lease_tag(lease))])
    [seen] = journal_work.journals(family, NOW)
    assert (seen["holder"], seen["lapsed"], seen["group_ids"]) == ("me@here#1", False, ["sg-1"])
    [later] = journal_work.journals(family, NOW + timedelta(seconds=60))
    assert later["lapsed"] is True
    assert journal_work.journals(journal.family_of("orders", []), NOW) == []
