# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Aurora replica clusters of an instance: real standbys, promotion, readers, endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import Cloud, Held

PROMOTED = re.compile(r"promoted read replica cluster to (a )?stand-?alone database cluster", re.IGNORECASE)


@pytest.fixture(scope="module")
def source(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """An instance with some rows; tests take replicas of it, one after the other."""
    name = cloud.name("source")
    cloud.begin_instance(name, BackupRetentionPeriod=7)
    facts = cloud.await_instance(name)
    with cloud.connection(facts["Endpoint"]["Address"]) as cursor:
        cursor.execute("CREATE TABLE orders (id serial PRIMARY KEY, note text)")
        cursor.execute("INSERT INTO orders (note) SELECT 'before' FROM generate_series(1, 100)")
    yield facts
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@pytest.fixture
def replica(cloud: Cloud, source: dict[str, Any]) -> Iterator[str]:
    """A replica cluster with its one member."""
    name = cloud.replica_of(source["DBInstanceIdentifier"])
    yield name
    cloud.drop_cluster(name)


def slots(cloud: Cloud, source: dict[str, Any]) -> list[str]:
    """The replication slots on the source."""
    with cloud.connection(source["Endpoint"]["Address"]) as cursor:
        cursor.execute("SELECT slot_name FROM pg_replication_slots")
        return [row[0] for row in cursor.fetchall()]


def test_r1_r2_a_cluster_has_no_server_before_its_first_instance(cloud: Cloud, source: dict[str, Any]) -> None:
    name = cloud.name("empty")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion=source["EngineVersion"],
        ReplicationSourceIdentifier=source["DBInstanceArn"],
    )
    facts = cloud.await_cluster(name)
    assert facts["DBClusterMembers"] == []
    assert facts["MasterUsername"] == source["MasterUsername"]
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        cloud.value(facts["Endpoint"], "SELECT 1")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.create_db_cluster(
            DBClusterIdentifier=f"{name}-b", Engine="aurora-postgresql", EngineVersion=source["EngineVersion"],
            ReplicationSourceIdentifier=source["DBInstanceArn"], MasterUsername="somebody",
        )
    assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
    cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    wait_until(lambda: name not in cloud.instance(source["DBInstanceIdentifier"])["ReadReplicaDBClusterIdentifiers"])


def test_r7_r8_a_replica_follows_its_source(cloud: Cloud, source: dict[str, Any], replica: str) -> None:
    facts = cloud.cluster(replica)
    assert facts["ReplicationSourceIdentifier"] == source["DBInstanceArn"]
    assert cloud.instance(source["DBInstanceIdentifier"])["ReadReplicaDBClusterIdentifiers"] == [replica]
    assert [member["IsClusterWriter"] for member in facts["DBClusterMembers"]] == [False]
    with cloud.connection(source["Endpoint"]["Address"]) as cursor:
        cursor.execute("INSERT INTO orders (note) VALUES ('while it follows') RETURNING id")
        (number,) = cursor.fetchone()
    for host in (facts["Endpoint"], facts["ReaderEndpoint"]):
        wait_until(lambda: cloud.value(host, f"SELECT count(*) FROM orders WHERE id = {number}") == 1)
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cloud.value(host, "INSERT INTO orders (note) VALUES ('no') RETURNING id")


def test_the_stream_survives_a_reboot_of_the_source_behind_a_closed_group(
    cloud: Cloud, source: dict[str, Any], replica: str
) -> None:
    name, host = source["DBInstanceIdentifier"], source["Endpoint"]["Address"]
    cloud.rds.modify_db_instance(
        DBInstanceIdentifier=name, VpcSecurityGroupIds=[cloud.controllers_group], ApplyImmediately=True
    )
    wait_until(lambda: {one["Status"] for one in cloud.instance(name)["VpcSecurityGroups"]} == {"active"})
    cloud.rds.reboot_db_instance(DBInstanceIdentifier=name)
    cloud.await_instance(name)
    with cloud.connection(host, port=15432) as cursor:
        cursor.execute("INSERT INTO orders (note) VALUES ('after the reboot') RETURNING id")
        (number,) = cursor.fetchone()
    target = cloud.cluster(replica)["Endpoint"]
    wait_until(lambda: cloud.value(target, f"SELECT count(*) FROM orders WHERE id = {number}") == 1)
    cloud.rds.modify_db_instance(DBInstanceIdentifier=name, VpcSecurityGroupIds=[cloud.open_group])
    wait_until(lambda: cloud.reaches(host))


def test_r16_r17_promotion_is_visible_one_way_and_leaves_no_slot(
    cloud: Cloud, source: dict[str, Any], replica: str, held: Held
) -> None:
    assert slots(cloud, source) == [f"rds_{replica.replace('-', '_')}"]

    def look() -> str:
        facts = cloud.cluster(replica)
        return facts["Status"] + (" replica" if facts.get("ReplicationSourceIdentifier") else "")

    with held(replica, "promoting"):
        with held(replica, "promotion-accepted"):
            cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=replica)
            assert look() == "available replica"
        wait_until(lambda: look() != "available replica")
        assert look() == "promoting replica"
    wait_until(lambda: look() != "promoting replica")
    assert look() == "available"
    facts = cloud.cluster(replica)
    assert [member["IsClusterWriter"] for member in facts["DBClusterMembers"]] == [True]
    assert cloud.value(facts["Endpoint"], "INSERT INTO orders (note) VALUES ('yes') RETURNING note") == "yes"
    assert slots(cloud, source) == []
    assert cloud.instance(source["DBInstanceIdentifier"])["ReadReplicaDBClusterIdentifiers"] == []
    events = cloud.rds.describe_events(SourceType="db-cluster", SourceIdentifier=replica, Duration=60)["Events"]
    assert [event["Message"] for event in events if PROMOTED.search(event["Message"])]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=replica)
    assert refused.value.response["Error"]["Code"] == "InvalidDBClusterStateFault"


def test_r8_readers_are_added_after_the_promotion_and_take_over(
    cloud: Cloud, source: dict[str, Any], replica: str, held: Held
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.add_member(replica)
    assert refused.value.response["Error"]["Code"] in ("InvalidDBClusterStateFault", "InvalidParameterCombination")
    cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=replica)
    wait_until(lambda: not cloud.cluster(replica).get("ReplicationSourceIdentifier"))
    reader = cloud.add_member(replica)
    facts = cloud.cluster(replica)
    roles = {member["DBInstanceIdentifier"]: member["IsClusterWriter"] for member in facts["DBClusterMembers"]}
    assert roles[reader] is False and sorted(roles.values()) == [False, True]
    with cloud.connection(facts["Endpoint"]) as cursor:
        cursor.execute("INSERT INTO orders (note) VALUES ('to the reader') RETURNING id")
        (number,) = cursor.fetchone()
    wait_until(lambda: cloud.value(facts["ReaderEndpoint"], f"SELECT count(*) FROM orders WHERE id = {number}") == 1)
    assert cloud.value(facts["ReaderEndpoint"], "SELECT pg_is_in_recovery()") is True
    assert cloud.value(facts["ReaderEndpoint"], "SELECT inet_client_addr()") == "127.0.0.1"
    with held(replica, "failing-over"):
        cloud.rds.failover_db_cluster(DBClusterIdentifier=replica, TargetDBInstanceIdentifier=reader)
        wait_until(lambda: cloud.cluster(replica)["Status"] == "failing-over")
    members = cloud.await_cluster(replica)["DBClusterMembers"]
    assert {one["DBInstanceIdentifier"]: one["IsClusterWriter"] for one in members}[reader] is True
    assert cloud.value(facts["Endpoint"], "SELECT pg_is_in_recovery()") is False
    assert cloud.value(facts["ReaderEndpoint"], "SELECT pg_is_in_recovery()") is True
    writer, (reader,) = reader, [name for name in roles if name != reader]
    cloud.rds.delete_db_instance(DBInstanceIdentifier=writer, SkipFinalSnapshot=True)
    wait_until(lambda: cloud.has_no(writer))
    wait_until(lambda: [m["IsClusterWriter"] for m in cloud.cluster(replica)["DBClusterMembers"]] == [True])
    cloud.await_instance(reader)
    assert cloud.value(facts["Endpoint"], "INSERT INTO orders (note) VALUES ('on') RETURNING note") == "on"


def test_p13_a_deleted_replica_leaves_no_slot(cloud: Cloud, source: dict[str, Any]) -> None:
    name = cloud.replica_of(source["DBInstanceIdentifier"])
    assert slots(cloud, source) == [f"rds_{name.replace('-', '_')}"]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    assert refused.value.response["Error"]["Code"] == "InvalidDBClusterStateFault"
    cloud.drop_cluster(name)
    assert slots(cloud, source) == []
    assert cloud.instance(source["DBInstanceIdentifier"])["ReadReplicaDBClusterIdentifiers"] == []


def test_r16_the_last_instance_of_a_replica_is_kept_until_the_promotion(cloud: Cloud, replica: str) -> None:
    (member,) = [one["DBInstanceIdentifier"] for one in cloud.cluster(replica)["DBClusterMembers"]]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=member, SkipFinalSnapshot=True)
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidDBClusterStateFault"
    assert error["Message"].startswith("Cannot delete the last instance of the read replica DB cluster. Promote")
    assert cloud.instance(member)["DBInstanceStatus"] == "available"


def test_r16_an_instance_of_a_replica_that_never_came_up_can_go(
    cloud: Cloud, source: dict[str, Any], faults: Callable[..., str]
) -> None:
    name = cloud.name("stillborn")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion=source["EngineVersion"],
        ReplicationSourceIdentifier=source["DBInstanceArn"],
    )
    cloud.await_cluster(name)
    faults("refuse_transition", identifier=f"{name}-1", transition="creating", times=1)
    cloud.rds.create_db_instance(
        DBInstanceIdentifier=f"{name}-1", Engine="aurora-postgresql", DBInstanceClass="db.r6g.large",
        DBClusterIdentifier=name,
    )
    wait_until(lambda: cloud.instance(f"{name}-1")["DBInstanceStatus"] == "failed")
    cloud.rds.delete_db_instance(DBInstanceIdentifier=f"{name}-1", SkipFinalSnapshot=True)
    cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    wait_until(lambda: cloud.instance(source["DBInstanceIdentifier"])["ReadReplicaDBClusterIdentifiers"] == [])


def test_a_cluster_is_deleted_while_its_instances_are_on_their_way_out(
    cloud: Cloud, source: dict[str, Any], held: Held
) -> None:
    name = cloud.replica_of(source["DBInstanceIdentifier"])
    (member,) = [one["DBInstanceIdentifier"] for one in cloud.cluster(name)["DBClusterMembers"]]
    cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=name)
    wait_until(lambda: not cloud.cluster(name).get("ReplicationSourceIdentifier"))
    cloud.await_cluster(name)
    with held(member, "deleting"):
        cloud.rds.delete_db_instance(DBInstanceIdentifier=member, SkipFinalSnapshot=True)
        cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
        assert cloud.has_cluster(name) and not cloud.has_no(member)
    wait_until(lambda: not cloud.has_cluster(name))
    assert cloud.has_no(member), "the cluster stays until its instance is gone"


def test_a_refused_promotion_leaves_a_replica(
    cloud: Cloud, source: dict[str, Any], replica: str, faults: Callable[..., str], held: Held
) -> None:
    faults("refuse_transition", identifier=replica, transition="promoting", times=1)
    with held(replica, "promoting"):
        cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=replica)
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            cloud.rds.promote_read_replica_db_cluster(DBClusterIdentifier=replica)
        assert refused.value.response["Error"]["Code"] == "InvalidDBClusterStateFault"
        wait_until(lambda: cloud.cluster(replica)["Status"] == "promoting")
    facts = cloud.await_cluster(replica)
    assert facts["ReplicationSourceIdentifier"] == source["DBInstanceArn"]
    assert cloud.value(facts["Endpoint"], "SELECT pg_is_in_recovery()") is True


@pytest.fixture
def standalone(cloud: Cloud) -> Iterator[str]:
    """A cluster of its own with one row, and its writer."""
    name = cloud.name("aurora")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion="16", MasterUsername="shop_admin",
        MasterUserPassword="a-long-password-of-the-tests-4711", DatabaseName="shop",
        VpcSecurityGroupIds=[cloud.open_group],
    )
    cloud.await_cluster(name)
    cloud.add_member(name)
    with cloud.connection(cloud.cluster(name)["Endpoint"]) as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    yield name
    if cloud.has_cluster(name):
        cloud.drop_cluster(name)


def drop_members(cloud: Cloud, cluster: str) -> None:
    for member in cloud.cluster(cluster)["DBClusterMembers"]:
        cloud.rds.delete_db_instance(DBInstanceIdentifier=member["DBInstanceIdentifier"], SkipFinalSnapshot=True)


def test_a_cluster_keeps_its_data_while_it_has_no_instance(cloud: Cloud, standalone: str) -> None:
    drop_members(cloud, standalone)
    wait_until(lambda: not cloud.cluster(standalone)["DBClusterMembers"])
    cloud.add_member(standalone)
    assert cloud.value(cloud.cluster(standalone)["Endpoint"], "SELECT answer FROM kept") == 42


def test_r22_a_deleted_cluster_leaves_its_final_snapshot(cloud: Cloud, standalone: str) -> None:
    snapshot, resource = f"Final-{'x' * 70}", cloud.cluster(standalone)["DbClusterResourceId"]
    drop_members(cloud, standalone)
    cloud.rds.delete_db_cluster(DBClusterIdentifier=standalone, FinalDBSnapshotIdentifier=snapshot)
    wait_until(lambda: not cloud.has_cluster(standalone))
    (taken,) = cloud.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=snapshot)["DBClusterSnapshots"]
    assert (taken["Status"], taken["PercentProgress"], taken["SnapshotType"]) == ("available", 100, "manual")
    assert (taken["DBClusterIdentifier"], taken["DbClusterResourceId"]) == (standalone, resource)
    assert taken["DBClusterSnapshotIdentifier"] == snapshot.lower()
    listed = cloud.rds.describe_db_cluster_snapshots(DBClusterIdentifier=standalone)["DBClusterSnapshots"]
    assert [one["DBClusterSnapshotArn"] for one in listed] == [taken["DBClusterSnapshotArn"]]
    cloud.rds.add_tags_to_resource(ResourceName=taken["DBClusterSnapshotArn"], Tags=[{"Key": "kept", "Value": "yes"}])
    assert cloud.rds.list_tags_for_resource(ResourceName=taken["DBClusterSnapshotArn"])["TagList"] == [
        {"Key": "kept", "Value": "yes"}
    ]
    cloud.rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=snapshot)
    with pytest.raises(cloud.rds.exceptions.DBClusterSnapshotNotFoundFault):
        cloud.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=snapshot)


def test_a_final_snapshot_whose_name_is_taken_keeps_the_cluster(cloud: Cloud, standalone: str) -> None:
    snapshot, other = cloud.name("final"), cloud.name("other")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=other, Engine="aurora-postgresql", EngineVersion="16", MasterUsername="shop_admin",
        MasterUserPassword="a-long-password-of-the-tests-4711",
    )
    cloud.await_cluster(other)
    cloud.rds.delete_db_cluster(DBClusterIdentifier=other, FinalDBSnapshotIdentifier=snapshot)
    wait_until(lambda: not cloud.has_cluster(other))
    drop_members(cloud, standalone)
    wait_until(lambda: not cloud.cluster(standalone)["DBClusterMembers"])
    with pytest.raises(cloud.rds.exceptions.DBClusterSnapshotAlreadyExistsFault):
        cloud.rds.delete_db_cluster(DBClusterIdentifier=standalone, FinalDBSnapshotIdentifier=snapshot)
    assert cloud.cluster(standalone)["Status"] == "available"


def test_a_cluster_of_its_own_begins_with_a_writer(cloud: Cloud, standalone: str) -> None:
    facts = cloud.cluster(standalone)
    assert [member["IsClusterWriter"] for member in facts["DBClusterMembers"]] == [True]
    assert cloud.value(facts["Endpoint"], "SELECT current_database()") == "shop"
