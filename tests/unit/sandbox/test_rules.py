# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox's RDS refuses, and with which error."""

from __future__ import annotations

import gzip
import inspect
import json
import re
from pathlib import Path
from typing import Any

import botocore
import pytest
from cloudpg_sandbox import rules, rules_changes, rules_common, rules_creation
from cloudpg_sandbox.rules import ApiError

ARN = "arn:aws:rds:eu-west-1:123456789012:db:orders"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0123"


def an_instance(**changes: Any) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": "orders",
        "DBInstanceArn": ARN,
        "DBInstanceStatus": "available",
        "DBInstanceClass": "db.r6g.large",
        "Engine": "postgres",
        "EngineVersion": "16.9",
        "BackupRetentionPeriod": 7,
        "StorageEncrypted": False,
        "DBSubnetGroup": {"DBSubnetGroupName": "private"},
        "ReadReplicaDBInstanceIdentifiers": [],
        "ReadReplicaDBClusterIdentifiers": [],
    } | changes


def a_member(**changes: Any) -> dict[str, Any]:
    return an_instance(DBClusterIdentifier="orders-aurora", Engine="aurora-postgresql") | changes


def a_replica(**changes: Any) -> dict[str, Any]:
    return {
        "DBClusterIdentifier": "orders-aurora",
        "Status": "available",
        "Engine": "aurora-postgresql",
        "EngineVersion": "16.9",
        "DBSubnetGroup": "private",
        "ReplicationSourceIdentifier": ARN,
        "DBClusterMembers": [],
    } | changes


def creation(**changes: Any) -> dict[str, Any]:
    return {
        "DBClusterIdentifier": "orders-aurora",
        "Engine": "aurora-postgresql",
        "EngineVersion": "16.9",
        "ReplicationSourceIdentifier": ARN,
        "DBSubnetGroupName": "private",
        "VpcSecurityGroupIds": ["sg-1"],
    } | changes


def membership(**changes: Any) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": "orders-aurora-1",
        "DBClusterIdentifier": "orders-aurora",
        "DBInstanceClass": "db.r6g.large",
        "Engine": "aurora-postgresql",
    } | changes


def refused(check: Any, *arguments: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        check(*arguments)
    return caught.value


# -- R1: how a replica cluster is asked for -------------------------------------------------------------------------


def test_r1_a_replica_cluster_is_accepted_with_the_source_s_arn_and_subnet_group() -> None:
    assert rules.check_create_replica_cluster(creation(), an_instance(), []) is None


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("MasterUsername", "postgres", "Cannot specify user name for instance cluster replication cluster"),
        ("MasterUserPassword", "long-secret", "Cannot specify password for instance cluster replication cluster"),
        ("DatabaseName", "orders", "Cannot specify database name for instance cluster replication cluster"),
    ],
)
def test_r1_what_comes_from_the_source_is_refused(parameter: str, value: str, words: str) -> None:
    error = refused(rules.check_create_replica_cluster, creation(**{parameter: value}), an_instance(), [])
    assert (error.code, error.message, error.status) == ("InvalidParameterCombination", words, 400)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"ReplicationSourceIdentifier": "orders"}, "InvalidParameterValue", "ARN"),
        ({"DBSubnetGroupName": "public"}, "InvalidParameterCombination", "subnet group public"),
        ({"DBSubnetGroupName": None}, "InvalidParameterCombination", "subnet group default"),
        ({"Engine": "aurora-mysql"}, "InvalidParameterValue", "aurora-mysql"),
    ],
)
def test_r1_a_wrong_call_is_refused(changes: dict, code: str, words: str) -> None:
    error = refused(rules.check_create_replica_cluster, creation(**changes), an_instance(), [])
    assert error.code == code
    assert words in error.message


def test_r1_an_unknown_source_is_not_found() -> None:
    error = refused(rules.check_create_replica_cluster, creation(), None, [])
    assert (error.code, error.status) == ("DBInstanceNotFound", 404)


def test_a_cluster_s_name_can_be_taken() -> None:
    error = refused(
        rules.check_create_replica_cluster,
        creation(DBClusterIdentifier="Orders-Aurora"),
        an_instance(),
        [a_replica(ReplicationSourceIdentifier=None)],
    )
    assert error.code == "DBClusterAlreadyExistsFault"


# -- R2, R8: the replica's one instance -----------------------------------------------------------------------------


def test_r2_a_member_needs_no_more_than_a_class() -> None:
    assert rules.check_create_cluster_member(membership(), a_replica()) is None


@pytest.mark.parametrize(
    ("parameter", "value", "what"),
    [
        ("EngineVersion", "16.9", "engine version"),
        ("VpcSecurityGroupIds", ["sg-1"], "vpc security group"),
        ("StorageEncrypted", True, "storage encryption"),
        ("KmsKeyId", KEY, "KMS key"),
        ("BackupRetentionPeriod", 7, "backup retention period"),
        ("PreferredBackupWindow", "01:00-02:00", "backup window"),
        ("MasterUserPassword", "long-secret", "master user password"),
        ("DBName", "orders", "database name"),
    ],
)
def test_r2_what_belongs_to_the_cluster_is_refused_on_a_member(parameter: str, value: Any, what: str) -> None:
    error = refused(rules.check_create_cluster_member, membership(**{parameter: value}), a_replica())
    assert error.code == "InvalidParameterCombination"
    assert (
        error.message == f"The requested DB Instance will be a member of a DB Cluster. Set {what} for the DB Cluster."
    )


@pytest.mark.parametrize("status", ["creating", "promoting", "modifying", "migrating"])
def test_r2_the_cluster_must_be_available_first(status: str) -> None:
    error = refused(rules.check_create_cluster_member, membership(), a_replica(Status=status))
    assert error.code == "InvalidDBClusterStateFault"


def test_r2_a_member_of_a_cluster_that_is_not_there() -> None:
    error = refused(rules.check_create_cluster_member, membership(), None)
    assert (error.code, error.status) == ("DBClusterNotFoundFault", 404)


def test_r2_the_engine_is_the_cluster_s() -> None:
    error = refused(rules.check_create_cluster_member, membership(Engine="postgres"), a_replica())
    assert "(postgres) doesn't match the engine name of your DB cluster (aurora-postgresql)" in error.message


@pytest.mark.parametrize(
    ("source", "accepted"),
    [(ARN, False), (None, True), ("", True)],
    ids=["replica", "promoted, key missing", "promoted, key empty"],
)
def test_r8_a_replica_cluster_has_one_reader_until_its_promotion(source: str | None, accepted: bool) -> None:
    cluster = a_replica(ReplicationSourceIdentifier=source, DBClusterMembers=[{"DBInstanceIdentifier": "one"}])
    if accepted:
        assert rules.check_create_cluster_member(membership(), cluster) is None
    else:
        assert refused(rules.check_create_cluster_member, membership(), cluster).code == "InvalidDBClusterStateFault"


# -- R3, R5: versions, Regions, other replicas ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "replica"), [("16.9", "16.9"), ("16.9", "16.11"), ("16.5", "16.6"), ("15.8", "15.10"), ("16.3", "16")]
)
def test_r3_the_same_or_a_newer_minor_compared_as_numbers(source: str, replica: str) -> None:
    instance = an_instance(EngineVersion=source)
    assert rules.check_create_replica_cluster(creation(EngineVersion=replica), instance, []) is None


@pytest.mark.parametrize(
    ("source", "replica"),
    [("16.11", "16.9"), ("16.10", "16.9"), ("15.10", "15.8"), ("15.10", "16.11"), ("17.5", "16.11")],
)
def test_r3_an_older_minor_or_another_major_is_refused(source: str, replica: str) -> None:
    instance = an_instance(EngineVersion=source)
    error = refused(rules.check_create_replica_cluster, creation(EngineVersion=replica), instance, [])
    assert error.code == "InvalidParameterCombination"
    assert source in error.message and replica in error.message


@pytest.mark.parametrize("version", ["16.5", "16.2", "16.99", "nonsense", "42"])
def test_r5_a_version_aurora_does_not_have_is_refused(version: str) -> None:
    error = refused(rules.check_create_replica_cluster, creation(EngineVersion=version), an_instance(), [])
    assert (error.code, error.message) == (
        "InvalidParameterCombination",
        f"Cannot find version {version} for aurora-postgresql",
    )


@pytest.mark.parametrize("db_class", ["db.m6g.large", "db.t4g.micro", "db.nonsense", None])
def test_r5_a_class_that_cannot_be_ordered_is_refused(db_class: str | None) -> None:
    error = refused(rules.check_create_cluster_member, membership(DBInstanceClass=db_class), a_replica())
    assert error.code == "InvalidParameterCombination"
    assert f"DBInstanceClass={db_class}, Engine=aurora-postgresql, EngineVersion=16.9" in error.message


@pytest.mark.parametrize(
    ("source", "clusters", "code"),
    [
        ({"BackupRetentionPeriod": 0}, [], "InvalidDBInstanceState"),
        ({"DBInstanceStatus": "modifying"}, [], "InvalidDBInstanceState"),
        ({"ReadReplicaDBClusterIdentifiers": ["other"]}, [], "InvalidDBInstanceState"),
        ({}, [a_replica(DBClusterIdentifier="other")], "InvalidDBInstanceState"),
        ({"ReadReplicaDBInstanceIdentifiers": [ARN.replace("west", "central")]}, [], "InvalidDBInstanceState"),
        ({"DBInstanceArn": ARN.replace("eu-west-1", "us-east-1")}, [], "InvalidParameterValue"),
        ({"DBInstanceArn": ARN.replace("123456789012", "210987654321")}, [], "InvalidParameterValue"),
        ({"Engine": "aurora-postgresql", "DBClusterIdentifier": "other"}, [], "InvalidParameterCombination"),
    ],
    ids=[
        "no backups",
        "not available",
        "has one",
        "has one, by cluster",
        "cross-Region",
        "Region",
        "account",
        "engine",
    ],
)
def test_r3_a_source_that_cannot_feed_a_replica_is_refused(source: dict, clusters: list, code: str) -> None:
    assert refused(rules.check_create_replica_cluster, creation(), an_instance(**source), clusters).code == code


def test_r3_a_replica_in_the_same_region_is_in_nobody_s_way() -> None:
    source = an_instance(ReadReplicaDBInstanceIdentifiers=["orders-reader", ARN])
    assert rules.check_create_replica_cluster(creation(), source, []) is None


# -- R4: encryption -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "asked", "words"),
    [
        ({}, {}, None),
        ({"StorageEncrypted": True, "KmsKeyId": KEY}, {"StorageEncrypted": True}, None),
        ({"StorageEncrypted": True, "KmsKeyId": KEY}, {"StorageEncrypted": True, "KmsKeyId": KEY}, None),
        ({}, {"StorageEncrypted": True, "KmsKeyId": KEY}, None),
        ({"StorageEncrypted": False, "StorageEncryptionType": "sse-rds"}, {}, None),
        ({"StorageEncrypted": True, "KmsKeyId": KEY}, {}, "unencrypted read replica from encrypted source"),
        ({"KmsKeyId": KEY}, {"StorageEncrypted": False}, "unencrypted read replica from encrypted source"),
        ({}, {"StorageEncrypted": True}, "kmsKeyId should be explicitly specified"),
        ({}, {"KmsKeyId": KEY}, "StorageEncrypted is not set"),
    ],
)
def test_r4_encryption_is_never_lost_and_its_key_is_named(source: dict, asked: dict, words: str | None) -> None:
    arguments = (creation(**asked), an_instance(**source), [])
    if words is None:
        assert rules.check_create_replica_cluster(*arguments) is None
    else:
        error = refused(rules.check_create_replica_cluster, *arguments)
        assert error.code == "InvalidParameterCombination"
        assert words in error.message


# -- R7, R16: promotion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cluster",
    [
        a_replica(ReplicationSourceIdentifier="", DBClusterMembers=["one"]),
        {
            key: value
            for key, value in a_replica(DBClusterMembers=["one"]).items()
            if key != "ReplicationSourceIdentifier"
        },
        a_replica(Status="promoting", DBClusterMembers=["one"]),
        a_replica(DBClusterMembers=[]),
    ],
    ids=["promoted, key empty", "promoted, key missing", "promoting", "no instance"],
)
def test_r16_only_an_available_replica_is_promoted(cluster: dict) -> None:
    assert refused(rules.check_promote, cluster).code == "InvalidDBClusterStateFault"


def test_r16_an_available_replica_with_its_reader_is_promoted() -> None:
    assert rules.check_promote(a_replica(DBClusterMembers=[{"DBInstanceIdentifier": "one"}])) is None


def test_r16_a_missing_cluster() -> None:
    assert refused(rules.check_promote, None).code == "DBClusterNotFoundFault"


# -- R18: modify and reboot -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [[], [""], [None]])
def test_r18_an_instance_keeps_one_security_group(groups: list) -> None:
    error = refused(rules.check_modify_instance, {"VpcSecurityGroupIds": groups}, an_instance())
    assert error.code == "InvalidParameterValue"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"VpcSecurityGroupIds": ["sg-quarantine"], "ApplyImmediately": True},
        {"AutoMinorVersionUpgrade": False},
        {"EngineVersion": "16.11"},
        {"EngineVersion": "16.9"},
        {"EngineVersion": "17.6", "AllowMajorVersionUpgrade": True},
        {"DBInstanceClass": "db.r7g.xlarge"},
    ],
)
def test_a_modification_that_is_accepted(params: dict) -> None:
    assert rules.check_modify_instance(params, an_instance()) is None


@pytest.mark.parametrize(
    ("params", "instance", "code", "words"),
    [
        ({}, {"DBInstanceStatus": "rebooting"}, "InvalidDBInstanceState", "available state"),
        ({"EngineVersion": "16.8"}, {}, "InvalidParameterCombination", "Cannot upgrade postgres from 16.9 to 16.8"),
        ({"EngineVersion": "17.4"}, {}, "InvalidParameterCombination", "Cannot upgrade postgres from 16.9 to 17.4"),
        ({"EngineVersion": "16.7"}, {}, "InvalidParameterCombination", "Cannot find version 16.7 for postgres"),
        ({"EngineVersion": "17.6"}, {}, "InvalidParameterCombination", "AllowMajorVersionUpgrade"),
        ({"DBInstanceClass": "db.r99.large"}, {}, "InvalidParameterCombination", "db.r99.large"),
        ({"NewDBInstanceIdentifier": "1st"}, {}, "InvalidParameterValue", "NewDBInstanceIdentifier"),
        (
            {"BackupRetentionPeriod": 0},
            {"ReadReplicaDBClusterIdentifiers": ["orders-aurora"]},
            "InvalidDBInstanceState",
            "read replicas",
        ),
    ],
)
def test_a_modification_that_is_refused(params: dict, instance: dict, code: str, words: str) -> None:
    error = refused(rules.check_modify_instance, params, an_instance(**instance))
    assert error.code == code
    assert words in error.message


@pytest.mark.parametrize(
    ("parameter", "value", "what"),
    [
        ("VpcSecurityGroupIds", ["sg-1"], "vpc security groups"),
        ("MasterUserPassword", "long-secret", "master user password"),
        ("BackupRetentionPeriod", 1, "backup retention"),
        ("EngineVersion", "16.11", "the DB engine version"),
    ],
)
def test_r2_what_belongs_to_the_cluster_is_modified_there(parameter: str, value: Any, what: str) -> None:
    error = refused(rules.check_modify_instance, {parameter: value}, a_member())
    assert error.message == (
        f"The specified DB Instance is a member of a cluster. Modify {what} for the DB Cluster using the"
        " ModifyDbCluster API"
    )


@pytest.mark.parametrize("status", ["rebooting", "modifying", "creating", "backing-up", "stopped"])
def test_r18_only_an_available_instance_is_rebooted(status: str) -> None:
    error = refused(rules.check_reboot, an_instance(DBInstanceStatus=status))
    assert (error.code, error.message) == ("InvalidDBInstanceState", "Database instance is not in available state.")


def test_a_forced_failover_needs_multi_az() -> None:
    assert rules.check_reboot(an_instance(MultiAZ=True), {"ForceFailover": True}) is None
    assert rules.check_reboot(an_instance(), {"ForceFailover": False}) is None
    assert refused(rules.check_reboot, an_instance(), {"ForceFailover": True}).code == "InvalidParameterCombination"


# -- deletion -------------------------------------------------------------------------------------------------------

SKIP = {"SkipFinalSnapshot": True}
ALONE = [{"DBInstanceIdentifier": "orders-aurora-1"}]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."),
        ({"SkipFinalSnapshot": False}, "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."),
        (
            {"SkipFinalSnapshot": True, "FinalDBSnapshotIdentifier": "last"},
            "You cannot specify both FinalDBSnapshotIdentifier and SkipFinalSnapshot",
        ),
    ],
)
def test_a_deletion_says_what_becomes_of_the_data(params: dict, words: str) -> None:
    for check, resource in (
        (rules.check_delete_instance, an_instance()),
        (rules.check_delete_cluster, a_replica()),
    ):
        error = refused(check, params, resource)
        assert (error.code, error.message) == ("InvalidParameterCombination", words)


@pytest.mark.parametrize("params", [SKIP, {"FinalDBSnapshotIdentifier": "last"}])
def test_a_deletion_that_is_accepted(params: dict) -> None:
    assert rules.check_delete_instance(params, an_instance()) is None
    assert rules.check_delete_cluster(params, a_replica()) is None


def test_what_is_protected_is_not_deleted() -> None:
    instance = refused(rules.check_delete_instance, SKIP, an_instance(DeletionProtection=True))
    cluster = refused(rules.check_delete_cluster, SKIP, a_replica(DeletionProtection=True))
    assert instance.message == (
        "Cannot delete protected DB Instance, please disable deletion protection and try again."
    )
    assert cluster.message == "Cannot delete protected Cluster, please disable deletion protection and try again."


def test_r7_a_source_is_not_deleted_while_it_has_an_aurora_replica() -> None:
    source = an_instance(ReadReplicaDBClusterIdentifiers=["orders-aurora"])
    error = refused(rules.check_delete_instance, SKIP, source)
    assert error.code == "InvalidDBInstanceState"
    assert "orders-aurora" in error.message


def test_a_cluster_with_instances_is_not_deleted() -> None:
    error = refused(rules.check_delete_cluster, SKIP, a_replica(DBClusterMembers=ALONE))
    assert (error.code, error.message) == (
        "InvalidDBClusterStateFault",
        "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
    )


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    assert refused(rules.check_delete_instance, SKIP, an_instance(DBInstanceStatus="deleting")).code == (
        "InvalidDBInstanceState"
    )
    assert refused(rules.check_delete_cluster, SKIP, a_replica(Status="deleting")).code == "InvalidDBClusterStateFault"


def test_a_member_has_no_final_snapshot_of_its_own() -> None:
    assert rules.check_delete_instance({}, a_member()) is None
    error = refused(rules.check_delete_instance, {"FinalDBSnapshotIdentifier": "last"}, a_member())
    assert error.message == "FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance"


@pytest.mark.parametrize(
    ("cluster", "accepted"),
    [
        (a_replica(DBClusterMembers=ALONE), False),
        (a_replica(DBClusterMembers=ALONE, ReplicationSourceIdentifier=""), True),
        (a_replica(DBClusterMembers=[*ALONE, *ALONE]), True),
        (None, True),
    ],
    ids=["replica's last", "promoted", "one of two", "cluster unknown"],
)
def test_r16_the_last_instance_of_a_replica_goes_only_after_its_promotion(cluster: dict | None, accepted: bool) -> None:
    if accepted:
        assert rules.check_delete_instance(SKIP, a_member(), cluster) is None
    else:
        error = refused(rules.check_delete_instance, SKIP, a_member(), cluster)
        assert error.code == "InvalidDBClusterStateFault"
        assert "Cannot delete the last instance of the read replica DB cluster." in error.message


def test_r16_a_last_instance_that_never_came_up_goes_without_a_promotion() -> None:
    replica = a_replica(DBClusterMembers=ALONE)
    assert rules.check_delete_instance(SKIP, a_member(DBInstanceStatus="failed"), replica) is None
    for status in ("creating", "available", "rebooting"):
        error = refused(rules.check_delete_instance, SKIP, a_member(DBInstanceStatus=status), replica)
        assert error.code == "InvalidDBClusterStateFault", status


# -- R22: identifiers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "orders", "Orders-2", "a" * 63, "a-b-c"])
def test_r22_an_identifier_that_is_valid(name: str) -> None:
    assert rules.check_identifier(name, "instance") is None


@pytest.mark.parametrize(
    "name", ["", None, "1orders", "-orders", "orders-", "a--b", "a_b", "ä", "a.b", "a" * 64, "a\n"]
)
def test_r22_an_identifier_that_is_not(name: str | None) -> None:
    error = refused(rules.check_identifier, name, "cluster")
    assert error.code == "InvalidParameterValue"
    assert "DBClusterIdentifier" in error.message


def test_r22_a_snapshot_s_identifier_may_be_longer() -> None:
    assert rules.check_identifier("a" * 255, "snapshot") is None
    assert refused(rules.check_identifier, "a" * 256, "snapshot").code == "InvalidParameterValue"


# -- the codes ------------------------------------------------------------------------------------------------------

COMMON_CODES = {"InvalidParameterCombination", "InvalidParameterValue"}


def test_every_code_is_one_the_service_has() -> None:
    model = Path(botocore.__file__).parent / "data" / "rds" / "2014-10-31" / "service-2.json.gz"
    shapes = json.loads(gzip.decompress(model.read_bytes()))["shapes"].values()
    service = {shape["error"].get("code") for shape in shapes if shape.get("exception") and "error" in shape}
    source = "".join(inspect.getsource(module) for module in (rules_changes, rules_common, rules_creation))
    used = set(re.findall(r'ApiError\(\s*"(\w+)"', source))
    assert len(used) >= 5
    assert used <= service | COMMON_CODES
