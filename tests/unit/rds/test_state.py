"""What AWS's documents mean."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import state

from .builders import ARN, NOW, cluster, groups, instance, member, promoted_cluster


@pytest.mark.parametrize("facts, answer", [
    ({"StorageEncrypted": True}, True),
    ({"StorageEncrypted": False}, False),
    ({}, False),
    ({"StorageEncrypted": False, "KmsKeyId": "arn:aws:kms:…"}, True),
    ({"StorageEncrypted": True, "StorageEncryptionType": "sse-kms"}, True),
    ({"StorageEncrypted": False, "StorageEncryptionType": "sse-rds"}, False),
    ({"StorageEncrypted": False, "StorageEncryptionType": "none"}, False),
])
def test_r4_encryption_is_judged_by_the_key_and_its_type(facts, answer):
    assert state.encrypted(instance(**facts)) is answer


def offered(*versions, status="available"):
    return [
        {
            "EngineVersion": version, "DBParameterGroupFamily": f"aurora-postgresql{version.split('.')[0]}",
            "Status": status,
        }
        for version in versions
    ]


@pytest.mark.parametrize("source, versions, allowed", [
    ("16.4", ["16.3", "16.4", "16.6"], ["16.4", "16.6"]),
    ("16.9", ["16.10", "16.9", "16.4"], ["16.9", "16.10"]),
    ("16.5", ["16.4", "16.6", "16.8"], ["16.6", "16.8"]),
    ("16.4", ["15.12", "17.4"], []),
    ("16.4", [], []),
    ("16.4-R2", ["16.4", "16.3"], ["16.4"]),
    ("16.4", ["16.4-limitless", "16.8"], ["16.8"]),
])
def test_r5_versions_of_the_same_major_with_an_equal_or_higher_minor_compared_as_numbers(source, versions, allowed):
    assert state.allowed_versions(source, offered(*versions)) == allowed


def test_r5_a_version_that_is_no_longer_available_is_none():
    assert state.allowed_versions("16.4", offered("16.6", status="deprecated") + offered("16.8")) == ["16.8"]


@pytest.mark.parametrize("facts, answer", [
    ({}, True),
    ({"ReplicationSourceIdentifier": ""}, False),
    ({"ReplicationSourceIdentifier": None}, False),
])
def test_r7_a_replica_is_one_while_it_names_a_source(facts, answer):
    assert state.is_replica(cluster(**facts)) is answer


@pytest.mark.parametrize("source, answer", [
    ("orders", True), (f"{ARN}:db:orders", True), (instance("orders"), True), ("orders-2", False), ("shop", False),
])
def test_r7_the_source_is_compared_by_name_and_by_arn(source, answer):
    assert state.replicates(cluster(), source) is answer
    assert not state.replicates(promoted_cluster(), source)


@pytest.mark.parametrize("attached, wanted, answer", [
    (groups("sg-1"), ["sg-1"], True),
    (groups("sg-1", "sg-2"), ["sg-2", "sg-1"], True),
    (groups("sg-1", status="adding"), ["sg-1"], False),
    (groups("sg-1") + groups("sg-2", status="removing"), ["sg-1"], False),
    (groups("sg-2"), ["sg-1"], False),
    ([], ["sg-1"], False),
])
def test_r18_groups_are_in_force_when_exactly_they_are_attached_and_active(attached, wanted, answer):
    assert state.groups_in_force({"VpcSecurityGroups": attached}, wanted) is answer


def test_r18_a_group_on_its_way_out_is_none_of_the_groups():
    assert state.security_groups({"VpcSecurityGroups": groups("sg-b", "sg-a") + groups("sg-c", status="removing")}) == [
        "sg-a", "sg-b"
    ]


PROMOTED = {"Message": "Promoted Read Replica cluster to a stand-alone database cluster.", "Date": NOW}


@pytest.mark.parametrize("message, answer", [
    ("Promoted Read Replica cluster to a stand-alone database cluster.", True),
    ("promoted read replica cluster to standalone database cluster", True),
    ("PROMOTED READ REPLICA CLUSTER TO A STANDALONE DATABASE CLUSTER", True),
    ("Promoting read replica cluster", False),
    ("Promoted Read Replica instance to a stand-alone database instance", False),
])
def test_r16_the_event_is_matched_without_case_and_in_both_spellings(message, answer):
    assert bool(state.promotion_events([{"Message": message}])) is answer


@pytest.mark.parametrize("facts, events, lacks", [
    ({}, [PROMOTED], []),
    ({"Status": "promoting"}, [PROMOTED], ["status is promoting"]),
    ({"ReplicationSourceIdentifier": "x"}, [PROMOTED], ["still replicates from x"]),
    ({"DBClusterMembers": []}, [PROMOTED], ["it has no writer"]),
    ({}, [], ["no event says that it was promoted"]),
    ({"ClusterCreateTime": NOW - timedelta(days=20)}, [], []),
])
def test_r16_a_promotion_is_done_when_all_four_signs_are_there(facts, events, lacks):
    assert state.promotion_lacks(promoted_cluster(**facts), events, NOW) == lacks


@pytest.mark.parametrize("found, members, phase", [
    (None, [], "absent"),
    (cluster(Status="creating"), [], "creating_cluster"),
    (cluster(Status="creating", ReplicationSourceIdentifier=""), [], "creating_cluster"),
    (cluster(), [], "no_instance"),
    (cluster(), [member("another")], "no_instance"),
    (cluster(), [member(DBInstanceStatus="creating")], "creating_instance"),
    (cluster(), [member()], "replica"),
    (cluster(Status="promoting"), [member()], "promoting"),
    (promoted_cluster(), [member()], "promoted"),
    (cluster(Status="deleting"), [member()], "deleting"),
    (cluster(Status="migration-failed"), [], "failed"),
    (cluster(), [member(DBInstanceStatus="storage-full")], "failed"),
])
def test_the_phase_follows_from_what_is_there(found, members, phase):
    assert state.phase(found, members, "orders-aurora-1") == phase


def test_a_cluster_becomes_a_document_with_its_members():
    found = cluster(
        Endpoint="10.0.0.1", Port=5432, DBClusterParameterGroup="orders-cluster",
        DBClusterMembers=[{
            "DBInstanceIdentifier": "orders-aurora-1", "IsClusterWriter": True,
            "DBClusterParameterGroupStatus": "in-sync",
        }],
    )
    groups_of_member = [{"DBParameterGroupName": "orders-instance", "ParameterApplyStatus": "pending-reboot"}]
    document = state.cluster_document(found, [
        member(Endpoint={"Address": "10.0.0.1", "Port": 5432}, DBParameterGroups=groups_of_member)
    ])
    assert document["endpoint"] == "10.0.0.1"
    assert document["is_replica"] and document["replication_source"] == f"{ARN}:db:orders"
    assert document["tags"] == {"cloudpg:migration": "orders"}
    assert document["members"] == [{
        "identifier": "orders-aurora-1", "class": "db.r6g.large", "status": "available", "is_writer": True,
        "address": "10.0.0.1", "port": 5432, "parameter_group": "orders-instance",
        "parameter_apply_status": "pending-reboot", "cluster_parameter_apply_status": "in-sync",
    }]
    assert document["predicted"] is False


@pytest.mark.parametrize("text, iso", [
    ("2026-03-02T12:00:00Z", "2026-03-02T12:00:00+00:00"),
    ("2026-03-02T12:00", "2026-03-02T12:00:00+00:00"),
    ("2026-03-02T13:00:00.500+01:00", "2026-03-02T12:00:00.500000+00:00"),
])
def test_a_moment_without_an_offset_is_utc(text, iso):
    assert state.iso(state.moment_of(text)) == iso
