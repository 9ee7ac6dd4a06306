# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check of the preflight: what makes it speak, and what leaves it silent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._findings import BLOCKER, WARNING
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.tables import Table
from ansible_collections.cloudpg.migration.plugins.module_utils._logical_preflight import (
    checks, servers, sources, targets
)
from ansible_collections.cloudpg.migration.plugins.module_utils._logical_preflight.facts import (
    NAMED_EACH, Database, Facts, each
)

GIB = 1024 ** 3
LOGIN = {
    "name": "migration", "superuser": False, "administrator": False, "replication": True, "monitor": True,
    "bypassrls": False, "replication_logins": True,
}
SETTINGS = {
    "wal_level": "logical", "max_replication_slots": "10", "max_wal_senders": "10", "max_worker_processes": "16",
    "max_logical_replication_workers": "8", "max_slot_wal_keep_size": "-1",
}
SERVER = {
    "version_num": 170005, "in_recovery": False, "login": LOGIN, "settings": SETTINGS, "slots": [],
    "prepared_transactions": [], "long_transactions": [], "shared_preload_libraries": [],
    "more": {"origins": [], "senders": 0, "workers": 0, "createdb": True, "member_of": ["pg_create_subscription"],
             "available_extensions": {"hstore": "1.8"}},
}
ROWS = {
    "size_bytes": GIB, "encoding": "UTF8", "collate": "C", "ctype": "C", "collation_mismatches": [],
    "extensions": [{"name": "hstore", "version": "1.8", "travels": True}], "event_triggers": [], "large_objects": 0,
    "subscriptions": [], "cron_jobs_readable": True, "cron_jobs_active": None, "unlogged": [], "foreign_tables": [],
    "materialized_views": [], "generated": [], "generated_keys": [], "hidden_by_policies": [], "not_readable": [],
    "not_owned": [], "may_create": True, "always_triggers": [], "foreign_keys": [],
}
THERE = {**ROWS, "available_extensions": {"hstore": "1.8"}, "ours": False, "with_rows": []}
SHOP = Database("shop", ROWS, THERE, (Table(1, "public.a", "public"), Table(2, "public.b", "public")))
FACTS = Facts("orders", SERVER, SERVER, (SHOP,))


def of(side, **more):
    """Facts with one server otherwise; settings and ``more`` are completed."""
    server = getattr(FACTS, side)
    for key in ("settings", "more", "login"):
        if key in more:
            more[key] = {**server[key], **more[key]}
    return replace(FACTS, **{side: {**server, **more}})


def db(**more):
    return replace(FACTS, databases=(replace(SHOP, source={**ROWS, **more}),))


def there(**more):
    return replace(FACTS, databases=(replace(SHOP, target={**THERE, **more}),))


def slot(name, active=False, status="reserved"):
    return of("source", slots=[{"name": name, "active": active, "wal_status": status, "retained_bytes": GIB}])


def subscriptions(name, enabled=True):
    return [{"name": name, "enabled": enabled}]


def speaks(check, facts):
    if check in servers.CHECKS:
        return list(check(facts))
    return [finding for database in facts.databases for finding in check(database, facts)]


MANY = replace(FACTS, databases=tuple(replace(SHOP, name=f"shop{number}") for number in range(11)))

CASES = [
    # check, facts, id, severity, fact
    (servers.versions, of("source", version_num=110022), "source-too-old", BLOCKER, "P26"),
    (servers.versions, of("source", version_num=130014), "source-without-streaming", WARNING, "P53"),
    (servers.versions, of("target", version_num=160004), "target-older", BLOCKER, "P37"),
    (servers.versions, of("target", version_num=140004), "no-disable-on-error", WARNING, "P26"),
    (servers.versions, of("source", version_num=150004), "no-origin-filter", WARNING, "P25"),
    (servers.versions, of("source", version_num=160004), "slot-lost-on-failover", WARNING, "P24"),
    (servers.recovery, of("source", in_recovery=True), "source-is-standby", BLOCKER, "P17"),
    (servers.recovery, of("target", in_recovery=True), "target-is-standby", BLOCKER, "P17"),
    (servers.wal_level, of("source", settings={"wal_level": "replica"}), "wal-level", BLOCKER, "P9"),
    (servers.wal_level, of("target", settings={"wal_level": "replica"}), "target-wal-level", WARNING, "P25"),
    (servers.logins, of("source", login={"monitor": False}), "login-lacks-monitor", BLOCKER, "P52"),
    (servers.logins, of("source", login={"replication": False}), "login-lacks-replication", BLOCKER, "P9"),
    (servers.logins, of("target", more={"member_of": []}), "login-cannot-subscribe", BLOCKER, "P23"),
    (servers.logins, of("target", version_num=150004), "login-cannot-subscribe", BLOCKER, "P23"),
    (servers.logins, of("target", login={"monitor": False}), "target-login-lacks-monitor", WARNING, "P18"),
    (servers.way_back, of("source", more={"member_of": []}), "way-back-login-cannot-subscribe", BLOCKER, "P25"),
    (servers.way_back, of("source", version_num=150004), "way-back-login-cannot-subscribe", BLOCKER, "P25"),
    (servers.way_back, of("target", login={"replication": False}), "way-back-login-lacks-replication", BLOCKER, "P25"),
    (servers.own_logins, replace(of("source", login={"replication_logins": False}), own_login=True),
     "replication-login-shared", WARNING, "P23"),
    (servers.own_logins, replace(of("target", login={"replication_logins": False}), own_back_login=True),
     "way-back-replication-login-shared", WARNING, "P23"),
    (servers.room, MANY, "source-slots", BLOCKER, "P13"),
    (servers.room, MANY, "source-walsenders", BLOCKER, "P28"),
    (servers.room, MANY, "target-origins", BLOCKER, "P15"),
    (servers.room, MANY, "target-workers", BLOCKER, "P28"),
    (servers.room, MANY, "way-back-slots", WARNING, "P25"),
    (servers.room, of("source", more={"senders": 10}), "source-walsenders", BLOCKER, "P28"),
    (servers.room, of("target", more={"origins": [f"o{number}" for number in range(10)]}), "target-origins", BLOCKER,
     "P15"),
    (servers.room, of("target", settings={"max_active_replication_origins": "0"}), "target-origins", BLOCKER, "P15"),
    (servers.room, of("target", settings={"max_worker_processes": "8"}), "target-worker-processes", WARNING, "P28"),
    (servers.room, of("source", settings={"max_wal_senders": None}), "source-walsenders-unknown", WARNING, "P28"),
    (servers.slots, slot("other"), "orphan-slot", WARNING, "P13"),
    (servers.slots, slot("cloudpg_orders", status="lost"), "slot-lost", BLOCKER, "P14"),
    (servers.slots, slot("cloudpg_orders_shop", True, "unreserved"), "slot-lost", BLOCKER, "P14"),
    (servers.slots, of("source", settings={"max_slot_wal_keep_size": "0"}), "slot-may-be-lost", WARNING, "P14"),
    (servers.transactions, of("source", prepared_transactions=[
        {"database": "shop", "gid": "x", "age_seconds": 5.0},
    ]), "prepared-transaction", BLOCKER, "P9"),
    (servers.transactions, of("source", long_transactions=[
        {"database": "shop", "pid": 1, "user": "app", "application_name": "", "state": "active", "age_seconds": 99.0},
    ]), "long-transaction", WARNING, "P36"),
    (servers.size, db(size_bytes=500 * GIB), "long-snapshot", WARNING, "P46"),
    (sources.nothing, replace(FACTS, databases=(replace(SHOP, tables=()),)), "no-tables", WARNING, ""),
    (sources.unlogged, db(unlogged=["public.a"]), "unlogged-table", BLOCKER, "P1"),
    (sources.large_objects, db(large_objects=3), "large-objects", BLOCKER, "P1"),
    (sources.kinds, db(foreign_tables=["public.f"]), "foreign-table", WARNING, "P1"),
    (sources.kinds, db(materialized_views=["public.m"]), "materialized-view", WARNING, "P45"),
    (sources.generated, db(generated=["public.a"]), "generated-columns", WARNING, "P21"),
    (sources.generated, db(generated_keys=["public.a"]), "generated-column-in-key", BLOCKER, "P21"),
    (sources.row_security, db(hidden_by_policies=["public.a"]), "row-security", BLOCKER, "P41"),
    (sources.rights, db(not_readable=["public.a"]), "table-not-readable", BLOCKER, "P48"),
    (sources.rights, db(not_owned=["public.a"]), "table-not-owned", BLOCKER, "P5"),
    (sources.rights, db(may_create=False), "database-create", BLOCKER, "P5"),
    (sources.triggers, db(always_triggers=["public.a.t"]), "trigger-fires-on-apply", WARNING, "P8"),
    (sources.triggers, db(event_triggers=["e"]), "event-trigger", WARNING, "P39"),
    (sources.foreign_keys, db(foreign_keys=[{"name": "public.a.fk", "table": "public.a", "other": "public.z"}]),
     "foreign-key-leaves-selection", WARNING, "P6"),
    (sources.extensions, db(extensions=[{"name": "postgis", "version": "3.4", "travels": True}]), "extension-missing",
     BLOCKER, "P49"),
    (sources.extensions, db(extensions=[{"name": "hstore", "version": "1.10", "travels": True}]), "extension-older",
     WARNING, "P49"),
    (sources.extensions, db(extensions=[{"name": "aws_s3", "version": "1.1", "travels": False}]), "extension-stays",
     WARNING, "P49"),
    (sources.jobs, db(cron_jobs_active=2), "cron-jobs", WARNING, "P44"),
    (sources.jobs, db(cron_jobs_readable=False), "cron-jobs-hidden", WARNING, "P44"),
    (sources.jobs, db(extensions=[{"name": "pg_partman", "version": "5", "travels": True}]), "partman", WARNING, "P44"),
    (sources.subscriber, db(subscriptions=subscriptions("erp")), "source-subscribes", WARNING, "P57"),
    (sources.collations, db(collation_mismatches=["default"]), "collation-changed", WARNING, "P42"),
    (targets.there, replace(FACTS, databases=(replace(SHOP, target=None),)), "database-missing", BLOCKER, "P57"),
    (targets.rights, there(may_create=False), "target-database-create", BLOCKER, "P23"),
    (targets.empty, there(with_rows=["public.a"]), "target-not-empty", BLOCKER, "P55"),
    (targets.triggers, there(always_triggers=["public.a.t"]), "target-trigger-fires-on-apply", WARNING, "P8"),
    (targets.subscriptions, there(subscriptions=subscriptions("erp")), "target-subscribes", WARNING, "P7"),
    (targets.jobs, there(cron_jobs_active=1), "target-cron-jobs", WARNING, "P44"),
    (targets.text, db(encoding="SQL_ASCII"), "source-encoding", WARNING, "P57"),
    (targets.text, db(encoding="LATIN1"), "encoding-differs", WARNING, "P57"),
    (targets.text, there(encoding="LATIN1"), "encoding-narrower", BLOCKER, "P57"),
    (targets.text, there(collate="de_DE"), "collation-differs", WARNING, "P42"),
]


@pytest.mark.parametrize(
    ("check", "facts", "id", "severity", "fact"), CASES,
    ids=[f"{fact.lower()}-{id}".lstrip("-") for *_facts, id, _severity, fact in CASES],
)
def test_a_check_speaks_with_object_reason_cure_and_fact(check, facts, id, severity, fact):
    found = [finding for finding in speaks(check, facts) if finding.id == id]
    assert found, [finding.id for finding in speaks(check, facts)]
    assert {(finding.severity, finding.fact) for finding in found} == {(severity, fact)}
    assert all(finding.object and finding.reason and finding.cure for finding in found)


def test_two_servers_that_have_all_it_needs_raise_no_finding():
    assert checks.findings(FACTS) == []


def test_every_check_that_is_there_is_proven_to_speak():
    every = {*servers.CHECKS, *sources.CHECKS, *targets.CHECKS} - {sources.identities}
    assert every == {case[0] for case in CASES}


SILENT = [
    (servers.versions, of("target", version_num=170010)),
    (servers.versions, replace(of("target", version_num=180001), target=None)),
    (servers.wal_level, replace(of("target", settings={"wal_level": "replica"}), way_back=False)),
    (servers.logins, of("target", version_num=150004, more={"member_of": ["rds_superuser"]})),
    (servers.way_back, replace(of("source", more={"member_of": []}), way_back=False)),
    (servers.way_back, of("source", version_num=130004, more={"member_of": ["rds_superuser"]})),
    (servers.logins, of("target", login={"superuser": True}, more={"member_of": []})),
    (servers.room, of("target", more={"origins": ["cloudpg_orders"] * 10})),
    (servers.slots, slot("other", active=True)),
    (servers.slots, slot("cloudpg_orders")),
    (servers.transactions, of("source", long_transactions=None)),
    (sources.generated, replace(db(generated=["public.a"]), source={**SERVER, "version_num": 180001})),
    (sources.foreign_keys, db(foreign_keys=[{"name": "x", "table": "public.a", "other": "public.b"}])),
    (sources.foreign_keys, db(foreign_keys=[{"name": "x", "table": "public.y", "other": "public.z"}])),
    (sources.extensions, db(extensions=[{"name": "hstore", "version": "1.7", "travels": True}])),
    (sources.subscriber, db(subscriptions=subscriptions("cloudpg_orders_back"))),
    (sources.subscriber, db(subscriptions=subscriptions("erp", enabled=False))),
    (targets.there, replace(FACTS, target=None, databases=(replace(SHOP, target=None),))),
    (targets.there, replace(FACTS, create_databases=True, databases=(replace(SHOP, target=None),))),
    (targets.empty, there(with_rows=["public.a"], ours=True)),
    (targets.empty, there(with_rows=["public.unchosen"])),
    (targets.text, there(encoding="SQL_ASCII")),
]


@pytest.mark.parametrize(("check", "facts"), SILENT)
def test_a_check_is_silent_where_nothing_is_wrong(check, facts):
    assert speaks(check, facts) == []


def test_blockers_come_first():
    facts = replace(of("source", version_num=160004, in_recovery=True), databases=db(large_objects=1).databases)
    severities = [finding.severity for finding in checks.findings(facts)]
    assert severities == sorted(severities) and {BLOCKER, WARNING} == set(severities)


def test_many_objects_of_a_kind_are_counted_and_keep_their_id():
    found = speaks(sources.unlogged, db(unlogged=[f"public.t{number}" for number in range(NAMED_EACH + 7)]))
    assert len(found) == NAMED_EACH + 1 and found[-1].object == "shop/and 7 more"
    assert {finding.id for finding in found} == {"unlogged-table"}
    assert list(each("shop", [], lambda name: None)) == []
