"""From what is there to what is wished for: the plans for an Aurora replica."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import removal, replica
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.replica import Seen, Wish

from .builders import ARN, cluster, instance, member, promoted_cluster, tags

WISH = Wish(
    migration="orders", source="orders", cluster="orders-aurora", instance="orders-aurora-1",
    instance_class="db.r6g.large", security_group_ids=["sg-lock"],
)
NOTHING = Seen(instance())
MADE = Seen(instance(), cluster(), (member(),))
PROMOTED = Seen(instance(), promoted_cluster(), (member(),))


def ops(plan):
    return [step.op for step in plan.steps]


def wish(**changes):
    return replace(WISH, **changes)


# Requests

def test_r1_a_replica_is_asked_for_by_arn_in_the_sources_subnet_group_and_without_what_comes_from_the_source():
    request = replica.cluster_request(instance(), WISH, "16.6")
    assert request == {
        "DBClusterIdentifier": "orders-aurora", "Engine": "aurora-postgresql", "EngineVersion": "16.6",
        "ReplicationSourceIdentifier": f"{ARN}:db:orders", "DBSubnetGroupName": "data",
        "VpcSecurityGroupIds": ["sg-lock"], "Tags": tags(cloudpg__migration="orders"),
    }


def test_r2_the_instance_is_asked_for_without_what_belongs_to_the_cluster():
    request = replica.instance_request(wish(parameter_group="orders-instance", kms_key_id="k", engine_version="16.6"))
    assert request == {
        "DBInstanceIdentifier": "orders-aurora-1", "DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql",
        "DBClusterIdentifier": "orders-aurora", "DBParameterGroupName": "orders-instance",
        "Tags": tags(cloudpg__migration="orders"),
    }


@pytest.mark.parametrize("source, changes, encryption", [
    ({}, {}, {}),
    ({}, {"kms_key_id": "mine", "storage_encrypted": True}, {"StorageEncrypted": True, "KmsKeyId": "mine"}),
    ({}, {"kms_key_id": "mine"}, {"StorageEncrypted": True, "KmsKeyId": "mine"}),
    ({}, {"storage_encrypted": False}, {}),
    (
        {"StorageEncrypted": True, "KmsKeyId": "theirs"}, {}, {"StorageEncrypted": True, "KmsKeyId": "theirs"},
    ),
    (
        {"StorageEncrypted": True, "KmsKeyId": "theirs"}, {"kms_key_id": "mine"},
        {"StorageEncrypted": True, "KmsKeyId": "mine"},
    ),
    ({"StorageEncrypted": False, "StorageEncryptionType": "sse-rds"}, {}, {}),
])
def test_r4_encryption_and_key_are_passed_explicitly(source, changes, encryption):
    request = replica.cluster_request(instance(**source), wish(**changes), "16.6")
    assert {name: request[name] for name in ("StorageEncrypted", "KmsKeyId") if name in request} == encryption


def test_r4_an_unencrypted_replica_of_an_encrypted_source_is_refused():
    with pytest.raises(RdsError, match="leave storage_encrypted out"):
        replica.cluster_request(instance(KmsKeyId="theirs"), wish(storage_encrypted=False), "16.6")


@pytest.mark.parametrize("changes, said", [
    ({"kms_key_id": "mine", "storage_encrypted": False}, "storage_encrypted is false, but kms_key_id is given"),
    ({"kms_key_id": "arn:aws:kms:us-east-1:123456789012:key/far"},
     "a key of us-east-1.* Cure: name a key of eu-west-1"),
])
def test_r4_a_key_that_can_not_be_used_is_refused_before_anything_is_made(changes, said):
    with pytest.raises(RdsError, match=said):
        replica.cluster_request(instance(), wish(**changes), "16.6")


def test_an_instance_without_a_class_is_refused_by_the_options_name():
    with pytest.raises(RdsError, match="instance_class is needed"):
        replica.plan_present(NOTHING, wish(instance_class=None), "16.6")


# Present

@pytest.mark.parametrize("seen, changes, expected", [
    (NOTHING, {}, ["create_cluster", "create_instance"]),
    (NOTHING, {"whole": False}, ["create_cluster"]),
    (Seen(instance(), cluster(Status="creating")), {"whole": False}, []),
    (Seen(instance(), cluster(Status="creating")), {}, ["create_instance"]),
    (Seen(instance(), cluster(Status="creating", ReplicationSourceIdentifier="")), {"whole": False}, []),
    (Seen(instance(), cluster()), {"whole": False}, ["create_instance"]),
    (Seen(instance(), cluster(), (member("another"),)), {}, ["create_instance"]),
    (MADE, {}, []),
    (MADE, {"tags": {"team": "shop"}}, ["tag"]),
    (MADE, {"tags": {}}, []),
    (MADE, {"deletion_protection": True}, ["protect"]),
    (MADE, {"deletion_protection": False}, []),
    (MADE, {"engine_version": "16.8", "security_group_ids": ["sg-other"], "instance_class": "db.t4g.medium"}, []),
    (PROMOTED, {}, []),
    (PROMOTED, {"tags": {"team": "shop"}}, []),
    (Seen(None, promoted_cluster(), (member(),)), {}, []),
])
def test_r2_present_plans_what_is_missing(seen, changes, expected):
    plan = replica.plan_present(seen, wish(**changes), "16.6")
    assert ops(plan) == expected
    assert plan.changed is bool(expected)


def test_tags_are_purged_but_never_the_migrations_and_never_those_of_aws():
    present = tags(cloudpg__migration="orders", old="1", aws__x="2", team="shop")
    seen = Seen(instance(), cluster(TagList=present), (member(),))
    plan = replica.plan_present(seen, wish(tags={"team": "web"}), None)
    assert [(step.op, step.args.get("tags"), step.args.get("keys")) for step in plan.steps] == [
        ("tag", {"team": "web"}, None), ("untag", None, ["old"]),
    ]
    assert ops(replica.plan_present(seen, wish(tags={"team": "web"}, purge_tags=False), None)) == ["tag"]
    assert ops(replica.plan_present(seen, WISH, None)) == []


def test_a_replica_of_the_source_without_our_tag_is_adopted():
    plan = replica.plan_present(Seen(instance(), cluster(TagList=[]), (member(),)), WISH, None)
    assert [step.args["tags"] for step in plan.steps] == [{"cloudpg:migration": "orders"}]


FOREIGN = [
    (cluster(TagList=tags(cloudpg__migration="shop")), "belongs to the migration shop"),
    (cluster(ReplicationSourceIdentifier=f"{ARN}:db:shop"), "replicates from .*:db:shop, not from orders"),
    (cluster(ReplicationSourceIdentifier="", TagList=[]), "is no replica of orders and was not made by"),
]


@pytest.mark.parametrize("found, words", FOREIGN)
@pytest.mark.parametrize("make", [
    lambda seen: replica.plan_present(seen, WISH, None),
    lambda seen: replica.plan_promoted(seen, WISH),
    lambda seen: removal.plan_absent(seen, WISH),
], ids=["present", "promoted", "absent"])
def test_r7_a_cluster_that_is_somebody_elses_is_refused_by_name(make, found, words):
    with pytest.raises(RdsError, match=f"cluster orders-aurora .*{words}"):
        make(Seen(instance(), found, ()))


@pytest.mark.parametrize("seen", [
    Seen(instance(), cluster(Status="migration-failed")),
    Seen(instance(), cluster(), (member(DBInstanceStatus="incompatible-network"),)),
])
@pytest.mark.parametrize("make", [
    lambda seen: replica.plan_present(seen, WISH, None), lambda seen: replica.plan_promoted(seen, WISH),
], ids=["present", "promoted"])
def test_r6_a_failed_thing_is_named_and_nothing_is_planned(make, seen):
    with pytest.raises(RdsError, match="will not become available by itself"):
        make(seen)


# Promoted

@pytest.mark.parametrize("seen, expected", [
    (MADE, ["promote"]),
    (Seen(instance(), cluster(Status="promoting"), (member(),)), []),
    (PROMOTED, []),
])
def test_r16_it_looks_before_it_promotes(seen, expected):
    assert ops(replica.plan_promoted(seen, WISH)) == expected


@pytest.mark.parametrize("seen, words", [
    (NOTHING, "doesn't exist"), (Seen(instance(), cluster()), "has no instance yet"),
])
def test_what_cannot_be_promoted_is_refused_except_in_check_mode(seen, words):
    with pytest.raises(RdsError, match=words):
        replica.plan_promoted(seen, WISH)
    assert ops(replica.plan_promoted(seen, WISH, may_be_missing=True)) == ["promote"]


# Check mode

def test_what_would_be_made_is_returned_with_null_endpoints():
    plan = replica.plan_present(NOTHING, WISH, "16.6")
    document = replica.predicted(NOTHING, plan, WISH)
    assert document["predicted"] is True
    assert (document["identifier"], document["endpoint"], document["is_replica"]) == ("orders-aurora", None, True)
    assert [(one["identifier"], one["address"]) for one in document["members"]] == [("orders-aurora-1", None)]
    assert document["tags"] == {"cloudpg:migration": "orders"}


def test_a_promotion_that_would_be_is_returned_as_no_replica():
    plan = replica.plan_promoted(NOTHING, WISH, may_be_missing=True)
    document = replica.predicted(NOTHING, plan, WISH)
    assert (document["identifier"], document["is_replica"], document["predicted"]) == ("orders-aurora", False, True)
