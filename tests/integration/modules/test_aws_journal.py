"""The lock and the journal of a migration, kept in security groups of the sandbox (R33)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import LeaseLost
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Lease, lease_tag
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal as locks
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError

ENTRY = {"id": "dns.ttl", "object": "db.example.org", "was": 300, "now": 5}


def ago(seconds):
    return datetime.now(timezone.utc) - timedelta(seconds=seconds)


def lapse(cloud, group_id, holder="somebody@else#1"):
    """As if the holder had died two minutes ago."""
    write_lease(cloud, group_id, holder, ago(60))


def write_lease(cloud, group_id, holder, until):
    [(key, value)] = lease_tag(Lease(0, holder, ago(120), until)).items()
    cloud.ec2.create_tags(Resources=[group_id], Tags=[{"Key": key, "Value": value}])


@pytest.fixture
def take(cloud, shop, run_module):
    """Take a migration's lock."""

    def take(migration, check=False, **options):
        args = {"journal": {"migration": migration}, "instance": shop["DBInstanceIdentifier"], **options}
        return run_module("aws_journal", args, check=check)

    return take


@pytest.fixture
def renew(run_module):
    """Act on a lock that is held."""
    return lambda journal, check=False, **options: run_module("aws_journal", {"journal": journal, **options}, check)


@pytest.fixture
def info(shop, run_module):
    def info(migration, **options):
        options = options or {"instance": shop["DBInstanceIdentifier"]}
        return run_module("aws_journal_info", {"migration": migration, **options})

    return info


# Taking it

def test_r33_the_lock_is_a_group_with_its_lease_made_in_one_call(cloud, shop, take):
    name = cloud.name("orders")
    with cloud.calls() as calls:
        taken = take(name, job="17")
    assert (taken["changed"], taken["taken_over"], taken["journal"]["generation"]) == (False, False, 1)
    assert calls.changes == ["CreateSecurityGroup"]
    group = cloud.groups_of(name)[f"cloudpg-{name}-1"]
    assert group["GroupId"] == taken["journal"]["group_id"]
    assert group["VpcId"] == shop["DBSubnetGroup"]["VpcId"]
    tags = cloud.tags(group["GroupId"])
    assert tags["cloudpg:migration"] == name
    assert tags["cloudpg:lease"].endswith(taken["journal"]["holder"])
    assert taken["journal"]["holder"].endswith(" job 17")


def test_r33_a_second_run_is_told_who_holds_it_and_until_when(cloud, held, take):
    with cloud.calls() as calls:
        refused = take(held["migration"], wait_timeout=0)
    assert refused["failed"] and refused["code"] == "held"
    assert f"held by {held['holder']} since 20" in refused["msg"]
    assert "its lease runs until 20" in refused["msg"] and "take_over: true" in refused["msg"]
    assert calls.changes == []


def test_r33_of_many_runs_at_once_one_gets_it(cloud, take):
    name = cloud.name("orders")
    together = threading.Barrier(4)

    def race(_number):
        together.wait()
        return take(name, wait_timeout=0)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(race, range(4)))
    assert sorted(bool(result.get("failed")) for result in results) == [False, True, True, True]
    assert len(cloud.groups_of(name)) == 1


def test_r33_a_lapsed_lease_is_taken_over_by_the_next_generation(cloud, held, take, renew):
    lapse(cloud, held["group_id"])
    taken = take(held["migration"])
    assert (taken["taken_over"], taken["journal"]["generation"]) == (True, 2)
    late = renew(held)
    assert late["failed"] and late["code"] == "lease_lost"
    assert f"held by {taken['journal']['holder']}" in late["msg"] and "(generation 2)" in late["msg"]


def test_r33_take_over_doesnt_wait_for_the_lease(held, take):
    taken = take(held["migration"], take_over=True, wait_timeout=0)
    assert (taken["taken_over"], taken["journal"]["generation"]) == (True, 2)


def test_r33_a_lock_that_was_given_back_is_followed_by_the_next_generation_and_not_taken_over(cloud, held, take, renew):
    assert renew(held, state="released")["changed"] is False
    taken = take(held["migration"], wait_timeout=0)
    assert (taken["taken_over"], taken["journal"]["generation"]) == (False, 2)
    assert list(cloud.groups_of(held["migration"])) == [f"cloudpg-{held['migration']}-2"], "the empty one is swept away"


def test_r33_a_generation_with_a_journal_is_not_swept_away(cloud, held, take, renew):
    renew(held, events=[ENTRY])
    renew(held, state="released")
    taken = take(held["migration"])
    assert len(taken["groups"]) == 2
    assert taken["events"]["dns.ttl"]["was"] == 300


def test_r33_a_group_that_is_used_is_not_swept_away(cloud, shop, held, take, renew):
    attach = dict(DBInstanceIdentifier=shop["DBInstanceIdentifier"], ApplyImmediately=True)
    cloud.rds.modify_db_instance(**attach, VpcSecurityGroupIds=[cloud.app_group, held["group_id"]])
    renew(held, state="released")
    assert take(held["migration"])["groups"][0] == held["group_id"]
    cloud.rds.modify_db_instance(**attach, VpcSecurityGroupIds=[cloud.app_group])
    wait_until(lambda: cloud.attached(shop["DBInstanceIdentifier"]) == [cloud.app_group])


def test_the_lock_is_taken_where_a_cluster_or_a_named_vpc_is(cloud, run_module):
    for number, place in enumerate([{"vpc_id": cloud.vpc}, {"instance": "gone", "vpc_id": cloud.vpc}]):
        taken = run_module("aws_journal", {"journal": {"migration": cloud.name(f"place{number}")}, **place})
        assert taken["journal"]["generation"] == 1


@pytest.mark.parametrize("place, words", [
    ({}, "none of instance, cluster and vpc_id is given"),
    ({"instance": "no-such"}, "no-such doesn't exist"),
    ({"cluster": "no-such"}, "no-such doesn't exist"),
])
def test_without_a_vpc_there_is_no_lock(cloud, run_module, place, words):
    refused = run_module("aws_journal", {"journal": {"migration": cloud.name("orders")}, **place})
    assert refused["failed"] and words in refused["msg"]


@pytest.mark.parametrize("journal", [{"migration": "Orders_1"}, {"migration": "orders", "owner": "me"}, {}])
def test_a_wrong_name_and_an_unknown_key_are_refused(run_module, journal):
    assert run_module("aws_journal", {"journal": journal, "vpc_id": "vpc-1"})["failed"]


# Waiting for it, with a clock that the test turns

class Clock:
    def __init__(self, at_each_sleep=lambda: None):
        self.elapsed, self.begin, self.at_each_sleep = 0.0, datetime.now(timezone.utc), at_each_sleep

    def sleep(self, seconds):
        self.elapsed += seconds
        self.at_each_sleep()

    def queue(self, timeout):
        return locks.Queue(
            timeout=timeout, now=lambda: self.begin + timedelta(seconds=self.elapsed), clock=lambda: self.elapsed,
            sleep=self.sleep,
        )


def test_r33_it_waits_until_the_lease_has_lapsed(cloud, held):
    clock = Clock()
    family, taken_over = locks.acquire(cloud.ec2, held["migration"], cloud.vpc, "me@here#2", clock.queue(75))
    assert taken_over and family.newest.number == 2
    assert 55 <= clock.elapsed <= 61


def test_r33_it_waits_until_the_lock_is_given_back(cloud, held, renew):
    clock = Clock(at_each_sleep=lambda: clock.elapsed == 3 and renew(held, state="released"))
    family, taken_over = locks.acquire(cloud.ec2, held["migration"], cloud.vpc, "me@here#2", clock.queue(75))
    assert not taken_over and family.newest.number == 2
    assert clock.elapsed == 3


def test_r33_a_holder_that_renews_meanwhile_is_alive_and_the_wait_ends_at_once(cloud, held, renew):
    clock = Clock(at_each_sleep=lambda: clock.elapsed == 3 and renew(held))
    with pytest.raises(RdsError, match="it was renewed just now, so that run is alive") as refused:
        locks.acquire(cloud.ec2, held["migration"], cloud.vpc, "me@here#2", clock.queue(75))
    assert refused.value.code == "held" and held["holder"] in refused.value.message
    assert clock.elapsed <= 4


def test_r33_a_wait_that_is_too_short_ends_with_the_holders_name(cloud, held):
    clock = Clock()
    with pytest.raises(RdsError, match="waited 5 s"):
        locks.acquire(cloud.ec2, held["migration"], cloud.vpc, "me@here#2", clock.queue(5))
    assert clock.elapsed == 5


def test_r33_a_lease_taken_by_another_in_the_last_moment_is_noticed_after_the_renewal(cloud, held):
    """Ours had lapsed when we looked: whoever took it over then must win."""
    lapse(cloud, held["group_id"], held["holder"])
    lock = locks.Lock(cloud.ec2, held)

    class Slow:
        """An EC2 in which, before our renewal, another run makes the next generation."""

        meta = cloud.ec2.meta

        def __getattr__(self, name):
            if name == "create_tags":
                locks.acquire(cloud.ec2, held["migration"], cloud.vpc, "me@here#2", Clock().queue(0))
            return getattr(cloud.ec2, name)

    lock._ec2 = Slow()
    with pytest.raises(LeaseLost, match="held by me@here#2"):
        lock.guard()


class Late:
    """An EC2 that shows a new group only at the third look, as the real one may."""

    def __init__(self, ec2):
        self.ec2, self.meta, self.hidden, self.looks = ec2, ec2.meta, set(), 0

    def __getattr__(self, name):
        return getattr(self.ec2, name)

    def create_security_group(self, **params):
        answer = self.ec2.create_security_group(**params)
        self.hidden.add(answer["GroupId"])
        return answer

    def describe_security_groups(self, **params):
        found = self.ec2.describe_security_groups(**params)
        self.looks += bool(self.hidden)
        if self.looks < 3:
            found["SecurityGroups"] = [one for one in found["SecurityGroups"] if one["GroupId"] not in self.hidden]
        return found


def test_r33_a_new_lock_that_ec2_doesnt_show_yet_is_waited_for(cloud):
    clock, ec2 = Clock(), Late(cloud.ec2)
    family, _taken_over = locks.acquire(ec2, cloud.name("orders"), cloud.vpc, "me@here#2", clock.queue(0))
    assert clock.elapsed == 2
    document = {
        "migration": family.migration, "generation": 1, "holder": "me@here#2", "group_id": family.newest.group_id,
    }
    assert locks.Lock(ec2, document).guard().newest.group_id == family.newest.group_id


# Holding it

def test_r33_again_only_renews_the_lease(cloud, held, renew):
    before = cloud.tags(held["group_id"])["cloudpg:lease"]
    with cloud.calls() as calls:
        again = renew(held)
    assert (again["changed"], again["journal"]) == (False, held)
    assert calls.operations == ["DescribeSecurityGroups", "CreateTags"]
    assert cloud.tags(held["group_id"])["cloudpg:lease"] > before


def test_r33_a_lapsed_lease_that_nobody_took_is_renewed(cloud, held, renew):
    lapse(cloud, held["group_id"], held["holder"])
    assert renew(held)["journal"] == held


@pytest.mark.parametrize("damage, words", [
    (lambda cloud, held: cloud.ec2.delete_security_group(GroupId=held["group_id"]), "is gone"),
    (lambda cloud, held: cloud.ec2.delete_tags(Resources=[held["group_id"]], Tags=[{"Key": "cloudpg:lease"}]),
     "it was given back, or the tag cloudpg:lease was removed"),
    (lambda cloud, held: write_lease(cloud, held["group_id"], "eve@there#9", ago(-60)), "held by eve@there#9"),
], ids=["the group was deleted", "the tag was stripped", "somebody wrote it over"])
def test_r33_a_lock_that_is_lost_is_never_taken_for_held(cloud, held, renew, damage, words):
    damage(cloud, held)
    with cloud.calls() as calls:
        lost = renew(held, events=[ENTRY])
    assert lost["failed"] and lost["code"] == "lease_lost" and words in lost["msg"]
    assert calls.changes == []


def test_r33_a_lease_that_cannot_be_read_stops_everybody(cloud, held, take, renew):
    cloud.tag(held["group_id"], cloudpg__lease="garbage")
    for result in (renew(held), take(held["migration"], wait_timeout=0)):
        assert result["failed"] and "make sure that no run is active" in result["msg"]


# The journal

def test_r33_an_entry_keeps_its_first_was(held, renew):
    renew(held, events=[ENTRY])
    again = renew(held, events=[{**ENTRY, "was": 5, "now": 1}])
    entry = again["events"]["dns.ttl"]
    assert (entry["object"], entry["was"], entry["now"], entry["by"]) == ("db.example.org", 300, 1, held["holder"])
    assert again["changed"] is False


def test_r33_an_entry_that_says_the_same_is_not_written_again(cloud, held, renew):
    renew(held, events=[ENTRY])
    with cloud.calls() as calls:
        again = renew(held, events=[ENTRY])
    assert calls.changes == ["CreateTags", "CreateTags"], "two renewals of the lease and no entry"
    assert again["events"]["dns.ttl"]["now"] == 5


def test_r33_a_long_value_is_split_over_several_tags_and_read_back(held, renew, info):
    groups = [f"sg-{number:017}" for number in range(40)]
    renew(held, events=[{"id": "source.security_groups", "object": "orders", "was": groups, "now": ["sg-1"]}])
    [seen] = info(held["migration"])["journals"]
    assert seen["events"]["source.security_groups"]["was"] == groups


def test_r33_a_torn_entry_is_refused_and_named(cloud, held, renew, info):
    groups = [f"sg-{number:017}" for number in range(40)]
    renew(held, events=[{"id": "long.one", "object": "orders", "was": groups}])
    part = next(key for key in cloud.tags(held["group_id"]) if key.startswith("cloudpg:event:long.one:1/"))
    cloud.ec2.delete_tags(Resources=[held["group_id"]], Tags=[{"Key": part}])
    for result in (info(held["migration"]), renew(held, events=[ENTRY])):
        assert result["failed"] and "long.one is torn" in result["msg"] and held["group_id"] in result["msg"]


def test_r33_a_full_group_is_refused_before_anything_is_written(cloud, held, renew):
    cloud.tag(held["group_id"], **{f"foreign{number}": "x" for number in range(46)})
    refused = renew(held, events=[{**ENTRY, "was": "long " * 60}])
    assert refused["failed"] and "50 tags" in refused["msg"]
    assert not [key for key in cloud.tags(held["group_id"]) if key.startswith("cloudpg:event:")]


def test_r33_the_journal_goes_on_in_the_next_generation(held, take, renew, info):
    renew(held, events=[ENTRY])
    taken = take(held["migration"], take_over=True)["journal"]
    renew(taken, events=[{**ENTRY, "was": 5, "now": 60}, {"id": "b", "object": "x", "was": None, "now": True}])
    [seen] = info(held["migration"])["journals"]
    assert (seen["events"]["dns.ttl"]["was"], seen["events"]["dns.ttl"]["now"]) == (300, 60)
    assert list(seen["events"]) == ["dns.ttl", "b"]
    assert (seen["generation"], seen["group_ids"]) == (2, [held["group_id"], taken["group_id"]])


# Reading it

def test_info_only_reads_and_knows_nothing_of_a_fresh_migration(cloud, held, info):
    with cloud.calls() as calls:
        [seen] = info(held["migration"])["journals"]
        assert info(cloud.name("fresh"))["journals"] == []
    assert calls.changes == []
    assert (seen["holder"], seen["lapsed"], seen["group_id"]) == (held["holder"], False, held["group_id"])
    assert seen["since"] <= seen["until"]


def test_info_finds_a_migration_whose_source_is_gone(held, info):
    [seen] = info(held["migration"], instance="deleted-meanwhile")["journals"]
    assert seen["group_id"] == held["group_id"]


def test_info_doesnt_guess_between_two_vpcs(cloud, held, info):
    vpc = cloud.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    cloud.ec2.create_security_group(GroupName=f"cloudpg-{held['migration']}-7", Description="x", VpcId=vpc)
    refused = info(held["migration"], instance="deleted-meanwhile")
    assert refused["failed"] and "in several VPCs" in refused["msg"] and vpc in refused["msg"]
    assert info(held["migration"])["journals"][0]["generation"] == 1
    assert info(held["migration"], vpc_id=vpc)["journals"][0]["generation"] == 7


# Who is let in

def ingress(cloud, group_id):
    [group] = cloud.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return sorted(
        (rule["FromPort"], entry["CidrIp"]) for rule in group["IpPermissions"] for entry in rule["IpRanges"]
    )


def test_r18_the_quarantine_lets_in_exactly_the_controllers(cloud, held, renew):
    renew(held, controller_cidrs=["10.1.0.1/32", "10.2.0.0/16"])
    assert ingress(cloud, held["group_id"]) == [(5432, "10.1.0.1/32"), (5432, "10.2.0.0/16")]
    with cloud.calls() as calls:
        renew(held, controller_cidrs=["10.2.0.0/16", "10.1.0.1/32"])
        renew(held)
    assert set(calls.changes) == {"CreateTags"}
    renew(held, controller_cidrs=["10.2.0.0/16"], port=5433)
    assert ingress(cloud, held["group_id"]) == [(5433, "10.2.0.0/16")]
    renew(held, controller_cidrs=[])
    assert ingress(cloud, held["group_id"]) == []


def test_r18_a_rule_that_somebody_added_by_hand_is_removed(cloud, held, renew):
    cloud.ec2.authorize_security_group_ingress(GroupId=held["group_id"], IpPermissions=[
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ])
    renew(held, controller_cidrs=["10.1.0.1/32"])
    assert ingress(cloud, held["group_id"]) == [(5432, "10.1.0.1/32")]


def test_r18_a_new_controller_is_let_through_the_older_generation_too(cloud, held, take, renew):
    renew(held, events=[ENTRY], controller_cidrs=["10.1.0.1/32"])
    taken = take(held["migration"], take_over=True, controller_cidrs=["10.1.0.2/32"])["journal"]
    for group in (held["group_id"], taken["group_id"]):
        assert ingress(cloud, group) == [(5432, "10.1.0.2/32")]


def test_a_network_that_is_none_is_named(held, renew):
    refused = renew(held, controller_cidrs=["10.1.0.1/8"])
    assert refused["failed"] and "controller_cidrs: 10.1.0.1/8 is no network" in refused["msg"]


# Giving it back and clearing away

def test_absent_deletes_what_nothing_uses_and_a_second_time_nothing(cloud, held, renew):
    renew(held, events=[ENTRY])
    with cloud.calls() as calls:
        planned = renew(held, check=True, state="absent")
    assert planned["changed"] and calls.changes == []
    removed = renew(held, state="absent")
    assert removed["changed"] and removed["actions"] == planned["actions"]
    assert cloud.groups_of(held["migration"]) == {}
    again = renew({"migration": held["migration"]}, state="absent", vpc_id=cloud.vpc)
    assert (again["changed"], again["kept"]) == (False, [])
    assert renew(held, state="released").get("failed") is None, "the lock went with its group"


def test_absent_keeps_what_is_used_with_the_whole_journal_and_gives_the_lock_back(cloud, shop, held, take, renew, info):
    attach = dict(DBInstanceIdentifier=shop["DBInstanceIdentifier"], ApplyImmediately=True)
    cloud.rds.modify_db_instance(**attach, VpcSecurityGroupIds=[held["group_id"]])
    renew(held, events=[ENTRY])
    taken = take(held["migration"], take_over=True)["journal"]
    renew(taken, events=[{**ENTRY, "now": 60}, {"id": "b", "object": "x", "now": True}])
    removed = renew(taken, state="absent")
    assert removed["changed"]
    assert removed["kept"] == [{
        "group_id": held["group_id"], "group_name": f"cloudpg-{held['migration']}-1",
        "used_by": [f"instance {shop['DBInstanceIdentifier']}"],
    }]
    [seen] = info(held["migration"])["journals"]
    assert (seen["group_ids"], seen["lapsed"]) == ([held["group_id"]], True)
    assert (seen["events"]["dns.ttl"]["was"], seen["events"]["dns.ttl"]["now"]) == (300, 60)
    assert seen["events"]["b"]["now"] is True

    later = take(held["migration"])["journal"]
    again = renew(later, state="absent")
    assert again["changed"] is False, "the run's own lock is no change"
    assert list(cloud.groups_of(held["migration"])) == [f"cloudpg-{held['migration']}-1"]
    cloud.rds.modify_db_instance(**attach, VpcSecurityGroupIds=[cloud.app_group])
    wait_until(lambda: cloud.attached(shop["DBInstanceIdentifier"]) == [cloud.app_group])


def test_absent_is_refused_while_another_run_holds_it(cloud, held, renew):
    refused = renew({"migration": held["migration"]}, state="absent", vpc_id=cloud.vpc)
    assert refused["failed"] and held["holder"] in refused["msg"]
    assert len(cloud.groups_of(held["migration"])) == 1


# Check mode and services that fail

def test_in_check_mode_nothing_is_taken_and_the_lock_is_predicted(cloud, held, take):
    name = cloud.name("fresh")
    with cloud.calls() as calls:
        fresh = take(name, check=True, controller_cidrs=["10.1.0.1/32"], events=[ENTRY])
        other = take(held["migration"], check=True)
    assert calls.changes == []
    for result, migration in ((fresh, name), (other, held["migration"])):
        assert result["changed"] is False
        assert result["journal"] == {"migration": migration, "generation": None, "holder": None, "group_id": None}


@pytest.mark.parametrize("fault, operation, words", [
    ("access_denied", "ec2:CreateSecurityGroup", "IAM action ec2:CreateSecurityGroup"),
    ("access_denied", "rds:DescribeDBInstances", "IAM action rds:DescribeDBInstances"),
    ("expired_token", "ec2:DescribeSecurityGroups", "the session token has expired"),
])
def test_a_service_that_refuses_is_named_with_the_cure(cloud, faults, take, fault, operation, words):
    faults(fault, operation=operation)
    with cloud.calls() as calls:
        refused = take(cloud.name("orders"))
    assert refused["failed"] and words in refused["msg"]
    assert [entry for entry in calls.entries if entry["status"] == 200 and entry["operation"] in calls.changes] == []


@pytest.mark.parametrize("fault", ["throttling", "internal_error", "service_unavailable"])
def test_a_service_that_fails_once_is_asked_again(cloud, faults, take, fault):
    faults(fault, operation="ec2:CreateSecurityGroup", times=1)
    assert take(cloud.name("orders"))["journal"]["generation"] == 1


def test_r33_a_lock_whose_answer_was_lost_is_recognised_as_our_own(cloud, faults, take):
    name = cloud.name("orders")
    faults("drop_response", operation="ec2:CreateSecurityGroup", times=1)
    taken = take(name)
    assert (taken["journal"]["generation"], taken["taken_over"]) == (1, False)
    assert len(cloud.groups_of(name)) == 1
