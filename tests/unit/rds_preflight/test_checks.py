# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check of the preflight: what makes it speak, and what leaves it silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._findings import BLOCKER, WARNING
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import metrics
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.metrics import Sample
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.parameters import Translation
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.preflight import (
    checks, dependents, server, source, target
)
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.preflight.facts import Facts

GIB = 1024 ** 3
NOW = datetime(2026, 1, 7, 12, 0, tzinfo=timezone.utc)  # a Wednesday
ARN = "arn:aws:rds:eu-west-1:123456789012:"

SOURCE = {
    "DBInstanceIdentifier": "orders-rds", "DBInstanceArn": f"{ARN}db:orders-rds", "Engine": "postgres",
    "EngineVersion": "16.4", "DBInstanceStatus": "available", "BackupRetentionPeriod": 7, "AllocatedStorage": 100,
    "StorageEncrypted": True, "KmsKeyId": "key", "PreferredMaintenanceWindow": "mon:03:00-mon:03:30",
    "DBParameterGroups": [{"DBParameterGroupName": "tuned", "ParameterApplyStatus": "in-sync"}],
    "OptionGroupMemberships": [{"OptionGroupName": "default:postgres-16"}],
    "DBSubnetGroup": {"DBSubnetGroupName": "net", "VpcId": "vpc-1", "Subnets": [
        {"SubnetAvailabilityZone": {"Name": "eu-west-1a"}}, {"SubnetAvailabilityZone": {"Name": "eu-west-1b"}},
    ]},
}
DATABASE = {
    "name": "shop", "unlogged_tables": [], "unlogged_table_count": 0, "subscriptions": [],
    "extensions": [{"name": "plpgsql"}, {"name": "hstore"}],
    "cron_jobs": None, "cron_jobs_active": None, "cron_jobs_readable": True,
}
SERVER = {
    "in_recovery": False, "login": {"name": "migration", "monitor": True}, "slots": [], "databases": [DATABASE],
    "prepared_transaction_count": 0,
}


def sample(minutes_ago, value):
    return Sample(NOW - timedelta(minutes=minutes_ago), value, value, "Bytes")


FACTS = Facts(
    now=NOW, migration="orders", source_name="orders-rds", cluster_name="orders-aurora",
    instance_name="orders-aurora-1", instance_class="db.r6g.large", region="eu-west-1", max_outage=120, source=SOURCE,
    allowed=("16.4", "16.6"), version="16.4", orderable=True, parameters=Translation(),
    libraries=("pg_stat_statements",), aurora_extensions=frozenset({"hstore"}), server=SERVER,
    samples={
        metrics.FREE_SPACE: [sample(10, 50 * GIB), sample(5, 50 * GIB)],
        metrics.LOG_SIZE: [sample(10, GIB), sample(5, GIB)],
    },
)


def of_source(**more):
    return replace(FACTS, source={**SOURCE, **more})


def of_server(**more):
    return replace(FACTS, server={**SERVER, **more})


def of_database(**more):
    return of_server(databases=[{**DATABASE, **more}])


def slot(name, kind="logical", active=True, kept=GIB):
    return of_server(slots=[{"name": name, "type": kind, "active": active, "retained_bytes": kept}])


def of_cluster(migration=None, follows=None, **more):
    tags = [{"Key": "cloudpg:migration", "Value": migration}] if migration else []
    return replace(FACTS, cluster={
        "DBClusterIdentifier": "orders-aurora", "TagList": tags, "ReplicationSourceIdentifier": follows, **more,
    })


def samples(**series):
    names = {"free": metrics.FREE_SPACE, "log": metrics.LOG_SIZE, "slot": metrics.SLOT_LAG}
    return replace(FACTS, samples={names[name]: found for name, found in series.items()})


PREPARED = of_server(prepared_transaction_count=2)
SUBSCRIBED = {"subscriptions": [{"name": "erp", "enabled": True}]}
CRON = {"cron_jobs": 3, "cron_jobs_active": 2}
WITH_CRON = ("pg_cron", "pg_stat_statements")
BAD_NAMES = ["-a", "a-", "a--b", "1a", "a_b", "", "a" * 64]

# check, facts, the ids and objects that are found
CASES = [
    (source.missing, FACTS, []),
    (source.missing, replace(FACTS, source=None), [("source-missing", "orders-rds")]),
    (source.engine, FACTS, []),
    (source.engine, of_source(Engine="aurora-postgresql"), [("source-engine", "orders-rds")]),
    (source.status, FACTS, []),
    (source.status, of_source(DBInstanceStatus="modifying"), [("source-not-available", "orders-rds")]),
    (source.backups, FACTS, []),
    (source.backups, of_source(BackupRetentionPeriod=0), [("source-backups-off", "orders-rds")]),
    (source.is_replica, FACTS, []),
    (source.is_replica, of_source(ReadReplicaSourceDBInstanceIdentifier="main"), [("source-is-replica", "orders-rds")]),
    (source.other_aurora_replicas, FACTS, []),
    (source.other_aurora_replicas, of_source(ReadReplicaDBClusterIdentifiers=["orders-aurora"]), []),
    (source.other_aurora_replicas, of_source(ReadReplicaDBClusterIdentifiers=[f"{ARN}cluster:orders-aurora"]), []),
    (source.other_aurora_replicas, of_source(ReadReplicaDBClusterIdentifiers=["other"]),
     [("source-has-aurora-replica", "other")]),
    (source.cross_region_replicas, FACTS, []),
    (source.cross_region_replicas, of_source(ReadReplicaDBInstanceIdentifiers=["near", f"{ARN}db:near"]), []),
    (source.cross_region_replicas, of_source(ReadReplicaDBInstanceIdentifiers=["arn:aws:rds:us-east-1:1:db:far"]),
     [("source-has-cross-region-replica", "arn:aws:rds:us-east-1:1:db:far")]),
    (source.key, FACTS, []),
    (source.key, of_source(KmsKeyId=None), [("source-key-unnamed", "orders-rds")]),
    (source.key, of_source(KmsKeyId=None, StorageEncrypted=False), [("source-unencrypted", "orders-rds")]),
    (source.key, of_source(KmsKeyId=None, StorageEncrypted=False, StorageEncryptionType="sse-rds"), []),
    (source.key, replace(of_source(KmsKeyId=None, StorageEncrypted=False), kms_key_id="key"), []),
    (target.own_key, FACTS, []),
    (target.own_key, replace(FACTS, kms_key_id="alias/ours"), []),
    (target.own_key, replace(FACTS, kms_key_id="arn:aws:kms:eu-west-1:123456789012:key/ours"), []),
    (target.own_key, replace(FACTS, kms_key_id="arn:aws:kms:us-east-1:123456789012:key/far"),
     [("key-elsewhere", "arn:aws:kms:us-east-1:123456789012:key/far")]),
    (target.own_key, replace(FACTS, kms_key_id="arn:aws:kms:eu-west-1:210987654321:key/theirs"),
     [("key-foreign", "arn:aws:kms:eu-west-1:210987654321:key/theirs")]),
    (source.key, of_source(StorageEncrypted=False, StorageEncryptionType="sse-kms"), []),
    (source.maintenance_window, FACTS, []),
    (source.maintenance_window, of_source(PreferredMaintenanceWindow="thu:03:00-thu:03:30"),
     [("maintenance-window-near", "orders-rds")]),
    (source.pending, FACTS, []),
    (source.pending, of_source(PendingModifiedValues={"DBInstanceClass": "db.r6g.large"}),
     [("source-changes-pending", "orders-rds")]),
    (source.pending, of_source(DBParameterGroups=[{"DBParameterGroupName": "tuned",
                                                   "ParameterApplyStatus": "pending-reboot"}]),
     [("source-parameters-pending", "tuned")]),
    (source.cron, FACTS, []),
    (source.cron, replace(FACTS, server=None), []),
    (source.cron, replace(FACTS, libraries=WITH_CRON), []),
    (source.cron, replace(FACTS, libraries=WITH_CRON, server=None), [("cron-without-login", "orders-rds")]),
    (source.cron, replace(of_database(**CRON), libraries=WITH_CRON), [("cron-jobs-active", "shop")]),
    (source.cron, replace(of_database(cron_jobs=3, cron_jobs_active=0), libraries=WITH_CRON), []),
    (source.cron, replace(of_database(cron_jobs_readable=False), libraries=WITH_CRON), [("cron-jobs-hidden", "shop")]),
    (source.libraries_unknown, FACTS, []),
    (source.libraries_unknown, replace(FACTS, libraries=()), []),
    (source.libraries_unknown, replace(FACTS, libraries=None), [("libraries-unknown", "orders-rds")]),

    (target.names, FACTS, []),
    (target.names, replace(FACTS, cluster_name="A" * 63, instance_name="i"), []),
    *((target.names, replace(FACTS, cluster_name=name), [("identifier-invalid", name)]) for name in BAD_NAMES),
    (target.names, replace(FACTS, cluster_name="a" * 62, instance_name="a" * 62 + "-1"),
     [("identifier-invalid", "a" * 62 + "-1")]),
    (target.outage, FACTS, []),
    (target.outage, replace(FACTS, max_outage=0), [("max-outage-unset", "orders-rds")]),
    (target.outage, replace(FACTS, server=None), [("max-outage-short", "orders-rds")]),
    (target.outage, replace(FACTS, server=None, max_outage=600), []),
    (target.version, FACTS, []),
    (target.version, replace(FACTS, engine_version="16.6"), []),
    (target.version, replace(FACTS, allowed=(), version=None), [("source-version-unsupported", "16.4")]),
    (target.version, replace(FACTS, engine_version="16.3"), [("engine-version-not-allowed", "16.3")]),
    (target.version, replace(FACTS, engine_version="15.8"), [("engine-major-differs", "15.8")]),
    (target.instance_class, FACTS, []),
    (target.instance_class, replace(FACTS, orderable=None, version=None), []),
    (target.instance_class, replace(FACTS, orderable=False), [("class-not-orderable", "db.r6g.large")]),
    (target.cluster, FACTS, []),
    (target.cluster, of_cluster("orders", SOURCE["DBInstanceArn"]), []),
    (target.cluster, of_cluster("orders"), []),
    (target.cluster, of_cluster(None, SOURCE["DBInstanceArn"]), []),
    (target.cluster, of_cluster(), [("target-exists", "orders-aurora")]),
    (target.cluster, of_cluster(None, f"{ARN}db:other"), [("target-exists", "orders-aurora")]),
    (target.cluster, of_cluster("billing", SOURCE["DBInstanceArn"]), [("target-exists", "orders-aurora")]),
    (target.instance, FACTS, []),
    (target.instance, replace(FACTS, instance={"DBClusterIdentifier": "orders-aurora"}), []),
    (target.instance, replace(FACTS, instance={}), [("target-instance-exists", "orders-aurora-1")]),
    (target.security_groups, FACTS, []),
    (target.security_groups, replace(FACTS, security_group_ids=["sg-1"], group_vpcs={"sg-1": "vpc-1"}), []),
    (target.security_groups, replace(FACTS, security_group_ids=["sg-1"]), [("security-group-missing", "sg-1")]),
    (target.security_groups, replace(FACTS, security_group_ids=["sg-1"], group_vpcs={"sg-1": "vpc-2"}),
     [("security-group-elsewhere", "sg-1")]),
    (target.zones, FACTS, []),
    (target.zones, of_source(DBSubnetGroup={"DBSubnetGroupName": "net"}), []),
    (target.zones, of_source(DBSubnetGroup={"DBSubnetGroupName": "net", "Subnets": [
        {"SubnetAvailabilityZone": {"Name": "eu-west-1a"}}, {"SubnetAvailabilityZone": {"Name": "eu-west-1a"}},
    ]}), [("subnet-group-one-zone", "net")]),

    (server.login, FACTS, []),
    (server.login, replace(FACTS, server=None), [("server-not-read", "orders-rds")]),
    (server.login, of_server(in_recovery=True), [("server-is-standby", "orders-rds")]),
    (server.login, of_server(login={"name": "plain", "monitor": False}), [("login-lacks-monitor", "plain")]),
    (server.unlogged_tables, FACTS, []),
    (server.unlogged_tables, of_database(unlogged_tables=["public.cache"], unlogged_table_count=1),
     [("unlogged-tables", "shop")]),
    (server.slots, FACTS, []),
    (server.slots, slot("rds_eu_west_1_db_1", "physical"), []),
    (server.slots, slot("rds_eu_west_1_db_1", "physical", active=False), []),
    (server.slots, slot("cloudpg_orders"), []),
    (server.slots, slot("standby", "physical"), []),
    (server.slots, slot("standby", "physical", active=False), [("foreign-slot", "standby")]),
    (server.slots, slot("debezium"), [("foreign-slot", "debezium")]),
    (server.slots, slot("debezium", active=False, kept=None), [("foreign-slot", "debezium")]),
    (server.subscriptions, FACTS, []),
    (server.subscriptions, of_database(subscriptions=[{"name": "erp", "enabled": False}]), []),
    (server.subscriptions, of_database(**SUBSCRIBED), [("source-subscribes", "shop.erp")]),
    (server.prepared_transactions, FACTS, []),
    (server.prepared_transactions, PREPARED, [("prepared-transactions", "orders-rds")]),
    (server.extensions, FACTS, []),
    (server.extensions, of_database(extensions=[{"name": "plrust"}]), [("extension-not-on-aurora", "shop.plrust")]),
    (server.extensions, replace(FACTS, aurora_extensions=frozenset()), [("extension-not-on-aurora", "shop.hstore")]),
    (server.extensions, replace(FACTS, aurora_extensions=None), []),
    (server.extensions, replace(of_database(extensions=[{"name": "plrust"}]), aurora_extensions=None),
     [("extension-not-on-aurora", "shop.plrust")]),

    (dependents.alarms, FACTS, []),
    (dependents.alarms, replace(FACTS, alarms=None), []),
    (dependents.alarms, replace(FACTS, alarms=["cpu"]), [("alarms", "orders-rds")]),
    (dependents.proxies, FACTS, []),
    (dependents.proxies, replace(FACTS, proxies=["door"]), [("rds-proxy", "door")]),
    (dependents.unasked, FACTS, []),
    (dependents.unasked, replace(FACTS, unknown={"alarms": "denied", "proxies": "denied"}),
     [("alarms-unknown", "orders-rds"), ("proxies-unknown", "orders-rds")]),
    (dependents.parameters, FACTS, []),
    (dependents.parameters, replace(FACTS, parameters=None), []),
    (dependents.parameters, replace(FACTS, parameters=Translation(
        not_on_aurora=({"name": "max_wal_size", "value": "1", "reason": "r"},),
        review=({"name": "max_connections", "value": "1", "reason": "r", "carried": True},),
    )), [("parameter-not-on-aurora", "max_wal_size"), ("parameter-review", "max_connections")]),
    (dependents.storage, FACTS, []),
    (dependents.storage, samples(), [("free-storage-unknown", "orders-rds")]),
    (dependents.storage, samples(free=[sample(31, 50 * GIB)], log=[sample(5, 0)]),
     [("free-storage-unknown", "orders-rds")]),
    (dependents.storage, samples(free=[sample(5, 50 * GIB)], log=[sample(31, 0)]),
     [("wal-growth-unknown", "orders-rds")]),
    (dependents.storage, samples(log=[sample(5, 0)]), [("free-storage-unknown", "orders-rds")]),
    (dependents.storage, samples(free=[sample(5, 50 * GIB)]), [("wal-growth-unknown", "orders-rds")]),
    (dependents.storage, samples(free=[sample(5, 9 * GIB)], log=[sample(5, 0)]), [("free-storage-low", "orders-rds")]),
    # 3 GiB an hour: 50 GiB last 17 h, 80 GiB last 27 h.
    (dependents.storage, samples(free=[sample(5, 50 * GIB)], log=[sample(60, 0), sample(0, 3 * GIB)]),
     [("storage-fills", "orders-rds")]),
    (dependents.storage, samples(free=[sample(5, 80 * GIB)], log=[sample(60, 0), sample(0, 3 * GIB)]), []),
    (dependents.storage, samples(free=[sample(5, 50 * GIB)], log=[sample(60, 3 * GIB), sample(0, 0)]), []),
    (dependents.storage, samples(
        free=[sample(5, 50 * GIB)], log=[sample(60, 0), sample(0, 0)], slot=[sample(60, 0), sample(0, 3 * GIB)],
    ), [("storage-fills", "orders-rds")]),
]


def name_of(number, check, facts, found):
    """``r3-backups-17``; a case in which nothing is found has no fact to name."""
    facts_named = sorted({finding.fact.lower() for finding in check(facts)})
    return "-".join([*facts_named, check.__name__, str(number)])


@pytest.mark.parametrize(
    "check, facts, found", CASES, ids=[name_of(number, *case) for number, case in enumerate(CASES)]
)
def test_a_check_speaks_when_it_has_to_and_is_silent_otherwise(check, facts, found):
    assert [(finding.id, finding.object) for finding in check(facts)] == found


DEPENDENTS = {
    "role-associations": {"AssociatedRoles": [{"RoleArn": "arn:aws:iam::1:role/import", "FeatureName": "s3Import"}]},
    "option-group": {"OptionGroupMemberships": [{"OptionGroupName": "special"}]},
    "read-replicas": {"ReadReplicaDBInstanceIdentifiers": ["near"]},
    "managed-secret": {"MasterUserSecret": {"SecretArn": "arn:aws:secretsmanager:eu-west-1:1:secret:s"}},
    "enhanced-monitoring": {"MonitoringInterval": 60},
    "performance-insights": {"PerformanceInsightsEnabled": True},
    "log-exports": {"EnabledCloudwatchLogsExports": ["postgresql"]},
    "iam-authentication": {"IAMDatabaseAuthenticationEnabled": True},
    "domain": {"DomainMemberships": [{"Domain": "d-1"}]},
    "deletion-protection": {"DeletionProtection": True},
    "multi-az": {"MultiAZ": True},
    "tags": {"TagList": [{"Key": "team", "Value": "a"}]},
}


def test_r10_a_plain_source_has_no_dependents():
    assert list(dependents.dependents(FACTS)) == []


@pytest.mark.parametrize("name", [one.id for one in dependents.DEPENDENTS])
def test_r10_what_a_copy_does_not_carry_is_named(name):
    [finding] = dependents.dependents(of_source(**DEPENDENTS[name]))
    assert (finding.id, finding.severity, finding.fact[:1]) == (name, WARNING, "R")


@pytest.mark.parametrize("off", [
    {"TagList": [{"Key": "aws:cloudformation:stack-name", "Value": "s"}]}, {"MonitoringInterval": 0},
    {"ReadReplicaDBInstanceIdentifiers": ["arn:aws:rds:us-east-1:1:db:far"]}, {"MasterUserSecret": None},
])
def test_r10_what_is_off_is_not_named(off):
    assert list(dependents.dependents(of_source(**off))) == []


def test_every_check_is_in_the_table_of_cases():
    tabled = {*checks.ALWAYS, *checks.OF_SOURCE, *checks.OF_SERVER} - {dependents.dependents}
    spoken = {check for check, _facts, found in CASES if found}
    silent = {check for check, _facts, found in CASES if not found}
    assert tabled <= spoken and tabled <= silent


def test_a_good_source_has_no_finding():
    assert checks.findings(FACTS) == []


@pytest.mark.parametrize("facts, ids", [
    (replace(FACTS, source=None), ["source-missing"]),
    (replace(FACTS, source=None, server=None, max_outage=600), ["server-not-read", "source-missing"]),
    (replace(of_source(BackupRetentionPeriod=0, MultiAZ=True), engine_version="16.3"),
     ["engine-version-not-allowed", "source-backups-off", "multi-az"]),
])
def test_blockers_come_first_and_nothing_is_asked_of_a_source_that_is_not_there(facts, ids):
    found = checks.findings(facts)
    assert sorted(finding.id for finding in found if finding.severity == BLOCKER) == [
        name for name in ids if name != "multi-az"
    ]
    assert sorted(ids) == sorted(finding.id for finding in found)
    assert [finding.severity for finding in found] == sorted(finding.severity for finding in found)


@pytest.mark.parametrize("facts, name, acknowledgeable", [
    (of_source(BackupRetentionPeriod=0), "source-backups-off", False),
    (replace(FACTS, libraries=WITH_CRON, server=None), "cron-without-login", False),
    (replace(of_database(**CRON), libraries=WITH_CRON), "cron-jobs-active", False),
    (replace(FACTS, server=None), "server-not-read", True),
    (of_database(unlogged_tables=["a.b"], unlogged_table_count=1), "unlogged-tables", True),
    (replace(FACTS, max_outage=0), "max-outage-unset", True),
])
def test_what_is_about_correctness_cannot_be_acknowledged(facts, name, acknowledgeable):
    [finding] = [finding for finding in checks.findings(facts) if finding.id == name]
    assert finding.acknowledgeable is acknowledgeable


def test_every_finding_names_reason_and_cure():
    for check, facts, _found in CASES:
        for finding in check(facts):
            assert finding.reason and finding.cure and finding.id == finding.id.lower()


def test_a_long_list_of_tables_is_shortened():
    names = [f"s.t{number}" for number in range(100)]
    [finding] = server.unlogged_tables(of_database(unlogged_tables=names, unlogged_table_count=250))
    assert "s.t4 and 245 more" in finding.reason and "s.t5" not in finding.reason
