"""From what is there to nothing: what the removal of an Aurora replica plans, and what it does when AWS objects."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import groups, removal
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Family, Generation
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.removal import Standing
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.replica import Seen, Wish

from .builders import cluster, groups as attached, instance, member, promoted_cluster

WISH = Wish(migration="orders", source="orders", cluster="orders-aurora", instance="orders-aurora-1")
SKIP = {"skip_final_snapshot": True}
SOURCE = instance()


def wish(**changes):
    return replace(WISH, **changes)


def seen(*members, promoted=False, **facts):
    """A cluster with instances in these states."""
    found = (promoted_cluster if promoted else cluster)(**facts)
    return Seen(SOURCE, found, tuple(
        member(f"orders-aurora-{number}", DBInstanceStatus=status) for number, status in enumerate(members, 1)
    ))


MADE = seen("available")
PROMOTED = seen("available", promoted=True)
PROMOTING = seen("available", Status="promoting")


def ops(plan):
    return [step.op for step in plan.steps]


@pytest.mark.parametrize("found, changes, expected", [
    (Seen(SOURCE), {}, []),
    (MADE, {}, ["promote", "delete_instance", "delete_cluster"]),
    (seen("storage-optimization"), {}, ["promote", "delete_instance", "delete_cluster"]),
    (seen("deleting", "available"), {}, ["promote", "delete_instance", "delete_cluster"]),
    (seen("available", "failed"), {}, ["promote", "delete_instance", "delete_instance", "delete_cluster"]),
    (seen("creating"), {}, ["delete_instance", "delete_cluster"]),
    (seen("failed"), {}, ["delete_instance", "delete_cluster"]),
    (seen("available", Status="migration-failed"), {}, ["delete_instance", "delete_cluster"]),
    (seen("deleting"), {}, ["delete_cluster"]),
    (seen(), {}, ["delete_cluster"]),
    (seen(Status="creating"), {}, ["delete_cluster"]),
    (seen(Status="creating", ReplicationSourceIdentifier=""), {}, ["delete_cluster"]),
    (seen(Status="migration-failed"), {}, ["delete_cluster"]),
    (PROMOTING, SKIP, ["delete_instance", "delete_cluster"]),
    (
        seen("available", Status="promoting", ReplicationSourceIdentifier=""), SKIP,
        ["delete_instance", "delete_cluster"],
    ),
    (PROMOTED, SKIP, ["delete_instance", "delete_cluster"]),
    (seen("deleting", promoted=True), SKIP, ["delete_cluster"]),
    (seen("deleting", promoted=True, Status="deleting"), {}, []),
    (seen("deleting", Status="deleting"), {}, []),
    (
        seen("available", DeletionProtection=True), {"deletion_protection": False},
        ["protect", "promote", "delete_instance", "delete_cluster"],
    ),
])
def test_r16_a_replica_is_promoted_before_its_instances_and_itself_are_deleted(found, changes, expected):
    plan = removal.plan_absent(found, wish(**changes))
    assert ops(plan) == expected
    assert plan.after["cluster"] is None


@pytest.mark.parametrize("found, sentences", [
    (MADE, [
        "promote cluster orders-aurora, closed: AWS may keep the last instance of a replica",
        "delete instance orders-aurora-1 of cluster orders-aurora once it is promoted",
        "delete cluster orders-aurora without a snapshot",
    ]),
    (PROMOTING, [
        "delete instance orders-aurora-1 of cluster orders-aurora once its promotion, which is under way, has ended",
        "delete cluster orders-aurora without a snapshot",
    ]),
    (seen("creating"), [
        "delete instance orders-aurora-1 of cluster orders-aurora; should AWS keep it, promote the cluster first",
        "delete cluster orders-aurora without a snapshot",
    ]),
    (PROMOTED, [
        "delete instance orders-aurora-1 of cluster orders-aurora", "delete cluster orders-aurora without a snapshot",
    ]),
])
def test_r16_the_steps_say_that_it_is_promoted(found, sentences):
    assert [step.sentence for step in removal.plan_absent(found, wish(**SKIP)).steps] == sentences


@pytest.mark.parametrize("found, expected", [
    (MADE, ["promote"]), (PROMOTING, []), (PROMOTED, ["delete_instance", "delete_cluster"]),
    (seen("creating"), ["delete_instance", "delete_cluster"]),
])
def test_without_waiting_a_promotion_is_begun_and_the_rest_is_for_a_second_call(found, expected):
    plan = removal.plan_absent(found, wish(whole=False, **SKIP))
    assert ops(plan) == expected
    assert (plan.after["cluster"] is None) is (len(expected) == 2)


# A replica must be closed

@pytest.mark.parametrize("found, refused", [
    (MADE, True), (seen("creating"), True), (seen("failed"), False), (seen(), False), (PROMOTING, False),
    (PROMOTED, False),
], ids=["replica", "perhaps a promotion", "no promotion", "no instance", "promoting already", "promoted already"])
def test_r19_what_is_to_be_promoted_must_be_closed(found, refused):
    standing = Standing(open_by=["sg-app", "sg-web"])
    if refused:
        with pytest.raises(RdsError, match="open by sg-app, sg-web.*Cure: close it with rds_quiesce"):
            removal.plan_absent(found, wish(**SKIP), standing)
    else:
        assert removal.plan_absent(found, wish(**SKIP), standing).changed


def test_r19_in_check_mode_the_plan_says_that_it_would_be_closed_first():
    plan = removal.plan_absent(MADE, WISH, Standing(open_by=["sg-app"]), may_be_open=True)
    assert plan.steps[0].sentence.startswith("promote cluster orders-aurora, once it is closed (it is open by sg-app)")


def ec2(**rules):
    """Just enough of EC2: groups by id with the networks they let in."""
    found = [
        {"GroupId": f"sg-{name}", "GroupName": name, "IpPermissions": [
            {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": cidr} for cidr in cidrs]},
        ] if cidrs else []}
        for name, cidrs in rules.items()
    ]

    def describe_security_groups(Filters):
        [wanted] = [each["Values"] for each in Filters]
        return {"SecurityGroups": [group for group in found if group["GroupId"] in wanted]}

    meta = SimpleNamespace(method_to_api_mapping={"describe_security_groups": "DescribeSecurityGroups"})
    return SimpleNamespace(meta=meta, describe_security_groups=describe_security_groups)


FAMILY = Family("orders", (
    Generation(1, "sg-old", "cloudpg-orders-1", "vpc-1", {}), Generation(2, "sg-lock", "cloudpg-orders-2", "vpc-1", {}),
))
EC2 = ec2(lock=["10.0.0.1/32"], app=["10.0.0.0/8"], empty=[])


@pytest.mark.parametrize("names, expected", [
    (["sg-lock"], []), (["sg-old"], []), (["sg-lock", "sg-old"], []), (["sg-empty"], []), (["sg-lock", "sg-empty"], []),
    (["sg-app"], ["sg-app"]), (["sg-lock", "sg-app"], ["sg-app"]), (["sg-unseen"], ["sg-unseen"]),
    ([], ["groups that AWS doesn't name"]),
])
def test_r19_closed_is_behind_groups_of_the_migration_or_without_ingress(names, expected):
    found = cluster(VpcSecurityGroups=attached(*names))
    assert removal.open_by(EC2, found, FAMILY) == expected


def test_a_group_that_lets_other_groups_in_is_open():
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-web"}]}
    assert groups.rules_of({"IpPermissions": [permission]})


# What a cluster of its own may hold

DEAD, OPENED = Standing(dead=True), Standing(opened_at="2026-03-01T10:00:00+00:00")


@pytest.mark.parametrize("found", [PROMOTED, PROMOTING], ids=["promoted", "promoting"])
@pytest.mark.parametrize("changes, standing, words", [
    ({}, Standing(), "name a final_snapshot, or give skip_final_snapshot"),
    (SKIP, Standing(), None),
    ({}, DEAD, None),
    (SKIP, DEAD, None),
    ({}, replace(DEAD, open_by=["sg-app"]), "name a final_snapshot, or give skip_final_snapshot"),
    ({}, OPENED, "was opened at 2026-03-01.*Cure: name a final_snapshot"),
    (SKIP, OPENED, "was opened at 2026-03-01.*Cure: name a final_snapshot"),
    (SKIP, replace(OPENED, dead=True), "was opened at 2026-03-01"),
])
def test_r19_what_was_promoted_goes_without_a_snapshot_only_if_it_never_served(found, changes, standing, words):
    if words:
        with pytest.raises(RdsError, match=words):
            removal.plan_absent(found, wish(**changes), standing)
    else:
        plan = removal.plan_absent(found, wish(**changes), standing)
        assert plan.steps[-1].args == {"identifier": "orders-aurora", "final_snapshot": None}


@pytest.mark.parametrize("found, snapshot", [
    (PROMOTED, "orders-last"), (PROMOTING, "orders-last"), (MADE, None), (seen(Status="creating"), None),
], ids=["promoted", "promoting", "replica", "creating"])
@pytest.mark.parametrize("standing", [Standing(), DEAD, OPENED], ids=["nothing known", "dead", "opened"])
def test_a_last_snapshot_is_taken_of_what_was_promoted_and_of_no_replica(found, snapshot, standing):
    plan = removal.plan_absent(found, wish(final_snapshot="orders-last"), standing)
    assert plan.steps[-1].args["final_snapshot"] == snapshot


@pytest.mark.parametrize("found", [MADE, PROMOTED], ids=["replica", "promoted"])
def test_a_protected_cluster_is_deleted_only_when_the_protection_is_lifted_expressly(found):
    protected = replace(found, cluster={**found.cluster, "DeletionProtection": True})
    with pytest.raises(RdsError, match="deletion_protection: false"):
        removal.plan_absent(protected, wish(**SKIP))
    assert ops(removal.plan_absent(protected, wish(deletion_protection=False, **SKIP)))[0] == "protect"
