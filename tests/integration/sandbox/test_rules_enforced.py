# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What RDS refuses is refused by the running sandbox, with the service's code and status, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cloudpg_sandbox.stage import DB_CLASS, PASSWORD, Stage
from cloudpg_sandbox.testing import Sandbox


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox) -> Iterator[Stage]:
    """An instance with a replica cluster, and one without."""
    made = Stage(sandbox, "rules")
    made.make_instance("fed", EngineVersion="16.9")
    made.make_instance("free", EngineVersion="16.10")
    made.make_replica("fed", "aurora")
    yield made
    made.clear()


def refused(call: Any, **options: Any) -> tuple[str, int]:
    """The error's code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**options)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def replica_of_free(stage: Stage, **changes: Any) -> dict[str, Any]:
    wanted = {
        "DBClusterIdentifier": "rules-refused",
        "Engine": "aurora-postgresql",
        "EngineVersion": "16.10",
        "ReplicationSourceIdentifier": stage.instance("free")["DBInstanceArn"],
    }
    return wanted | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ReplicationSourceIdentifier": "rules-free"}, "InvalidParameterValue"),
        ({"MasterUsername": "shop"}, "InvalidParameterCombination"),
        ({"MasterUserPassword": PASSWORD}, "InvalidParameterCombination"),
        ({"DatabaseName": "shop"}, "InvalidParameterCombination"),
        ({"DBSubnetGroupName": "elsewhere"}, "InvalidParameterCombination"),
    ],
    ids=["identifier", "user", "password", "database", "subnet group"],
)
def test_r1_a_wrong_replica_is_refused_and_no_zombie_stays(stage: Stage, changes: dict, code: str) -> None:
    assert refused(stage.rds.create_db_cluster, **replica_of_free(stage, **changes)) == (code, 400)
    assert refused(stage.rds.describe_db_clusters, DBClusterIdentifier="rules-refused") == (
        "DBClusterNotFoundFault",
        404,
    )
    assert stage.instance("free").get("ReadReplicaDBClusterIdentifiers", []) == []


@pytest.mark.parametrize("version", ["16.9", "15.10", "17.7", "16.12"])
def test_r3_r5_a_version_that_does_not_fit_is_refused(stage: Stage, version: str) -> None:
    wanted = replica_of_free(stage, EngineVersion=version)
    assert refused(stage.rds.create_db_cluster, **wanted) == ("InvalidParameterCombination", 400)


def test_r3_a_second_aurora_replica_is_refused(stage: Stage) -> None:
    source = stage.instance("fed")["DBInstanceArn"]
    wanted = replica_of_free(stage, ReplicationSourceIdentifier=source)
    assert refused(stage.rds.create_db_cluster, **wanted) == ("InvalidDBInstanceState", 400)


def test_r4_an_unencrypted_source_needs_the_key_named(stage: Stage) -> None:
    wanted = replica_of_free(stage, StorageEncrypted=True)
    assert refused(stage.rds.create_db_cluster, **wanted) == ("InvalidParameterCombination", 400)


@pytest.mark.parametrize(
    "changes",
    [
        {"EngineVersion": "16.9"},
        {"StorageEncrypted": True},
        {"BackupRetentionPeriod": 3},
        {"DBInstanceClass": "db.m6g.large"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_r2_what_belongs_to_the_cluster_is_refused_on_a_member(stage: Stage, changes: dict) -> None:
    wanted = {
        "DBInstanceIdentifier": "rules-aurora-2",
        "DBClusterIdentifier": "rules-aurora",
        "DBInstanceClass": DB_CLASS,
        "Engine": "aurora-postgresql",
    }
    assert refused(stage.rds.create_db_instance, **wanted | changes) == ("InvalidParameterCombination", 400)


def test_r8_a_second_reader_is_refused_before_the_promotion(stage: Stage) -> None:
    call = {
        "DBInstanceIdentifier": "rules-aurora-2",
        "DBClusterIdentifier": "rules-aurora",
        "DBInstanceClass": DB_CLASS,
        "Engine": "aurora-postgresql",
    }
    assert refused(stage.rds.create_db_instance, **call) == ("InvalidDBClusterStateFault", 400)


def test_r5_versions_and_classes_can_be_looked_up(stage: Stage) -> None:
    listed = stage.rds.describe_db_engine_versions(
        Engine="aurora-postgresql", Filters=[{"Name": "status", "Values": ["available"]}]
    )["DBEngineVersions"]
    fitting = {one["EngineVersion"] for one in listed if one["DBParameterGroupFamily"] == "aurora-postgresql16"}
    assert {"16.9", "16.10", "16.11"} <= fitting
    assert "16.5" not in fitting
    options = stage.rds.describe_orderable_db_instance_options(
        Engine="aurora-postgresql", EngineVersion="16.11", DBInstanceClass=DB_CLASS
    )["OrderableDBInstanceOptions"]
    assert [option["DBInstanceClass"] for option in options] == [DB_CLASS]


def test_r7_both_sides_say_that_one_is_a_replica_of_the_other(stage: Stage) -> None:
    assert stage.cluster("aurora")["ReplicationSourceIdentifier"] == stage.instance("fed")["DBInstanceArn"]
    assert stage.instance("fed")["ReadReplicaDBClusterIdentifiers"] == ["rules-aurora"]


def test_r16_only_a_replica_is_promoted(stage: Stage) -> None:
    stage.make_cluster("alone")
    promote = stage.rds.promote_read_replica_db_cluster
    assert refused(promote, DBClusterIdentifier="rules-alone") == ("InvalidDBClusterStateFault", 400)
    assert refused(promote, DBClusterIdentifier="rules-missing") == ("DBClusterNotFoundFault", 404)


def test_r18_an_instance_keeps_one_security_group(stage: Stage) -> None:
    before = stage.instance("free")["VpcSecurityGroups"]
    call = {"DBInstanceIdentifier": "rules-free", "VpcSecurityGroupIds": [""], "ApplyImmediately": True}
    assert refused(stage.rds.modify_db_instance, **call) == ("InvalidParameterValue", 400)
    assert stage.instance("free")["VpcSecurityGroups"] == before


def test_r18_an_instance_that_reboots_is_not_rebooted_again(stage: Stage) -> None:
    stage.rds.reboot_db_instance(DBInstanceIdentifier="rules-free")
    assert refused(stage.rds.reboot_db_instance, DBInstanceIdentifier="rules-free") == ("InvalidDBInstanceState", 400)
    stage.instance_available("free")


@pytest.mark.parametrize("name", ["1st", "a--b", "ends-", "under_score", "a" * 64])
def test_r22_an_identifier_that_is_not_valid_is_refused(stage: Stage, name: str) -> None:
    wanted = replica_of_free(stage, DBClusterIdentifier=name)
    assert refused(stage.rds.create_db_cluster, **wanted) == ("InvalidParameterValue", 400)


@pytest.mark.parametrize(
    ("operation", "options", "code"),
    [
        (
            "delete_db_instance",
            {"DBInstanceIdentifier": "rules-fed", "SkipFinalSnapshot": True},
            "InvalidDBInstanceState",
        ),
        ("delete_db_instance", {"DBInstanceIdentifier": "rules-free"}, "InvalidParameterCombination"),
        (
            "delete_db_cluster",
            {"DBClusterIdentifier": "rules-aurora", "SkipFinalSnapshot": True},
            "InvalidDBClusterStateFault",
        ),
    ],
    ids=["source of a replica", "no word on the data", "cluster with instances"],
)
def test_a_deletion_that_would_lose_something_is_refused(
    stage: Stage, operation: str, options: dict, code: str
) -> None:
    assert refused(getattr(stage.rds, operation), **options) == (code, 400)
