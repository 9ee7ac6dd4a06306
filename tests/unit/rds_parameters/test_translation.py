# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RDS's parameters on Aurora."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import parameters
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError


def parameter(name, value=None, allowed=None, modifiable=True, kind="integer", apply="dynamic"):
    document = {"ParameterName": name, "IsModifiable": modifiable, "DataType": kind, "ApplyType": apply}
    return {
        **document, **({"ParameterValue": value} if value is not None else {}),
        **({"AllowedValues": allowed} if allowed else {}),
    }


BOTH = [
    parameter("work_mem", "4096", "64-2147483647"),
    parameter("random_page_cost", "4", "0-1.79769e+308", kind="float"),
    parameter("log_min_duration_statement", "-1", "-1-2147483647"),
    parameter("log_statement", "none", "none,ddl,mod,all", kind="list"),
    parameter("max_connections", "LEAST({DBInstanceClassMemory/9531392},5000)", "6-262143", apply="static"),
    parameter("shared_buffers", "SUM({DBInstanceClassMemory/12038},-50003)", "16-1073741823", apply="static"),
    parameter("shared_preload_libraries", "pg_stat_statements", "pg_cron,pg_stat_statements,pgaudit", kind="list",
              apply="static"),
    parameter("max_wal_size", "1024", modifiable=False),
    parameter("application_name"),
]
CLUSTER = [
    *BOTH,
    parameter("rds.logical_replication", "0", "0,1", kind="boolean", apply="static"),
    parameter("autovacuum", "1", "0,1", kind="boolean"),
    parameter("jit", "1", "0,1", kind="boolean", modifiable=False),
]
INSTANCE = [
    *BOTH,
    parameter("jit", "1", "0,1", kind="boolean"),
    parameter("log_connections", "0", "0,1", kind="boolean"),
]
DEFAULTS = parameters.Defaults.of(CLUSTER, INSTANCE)


def translated(name, value, **more):
    return parameters.translate({name: value}, DEFAULTS, **more)


@pytest.mark.parametrize("name, value", [
    ("work_mem", "65536"), ("random_page_cost", "1.1"), ("log_min_duration_statement", "250"),
    ("log_statement", "ddl"), ("autovacuum", "0"), ("application_name", "anything"),
])
def test_r26_what_the_cluster_may_have_goes_to_the_cluster(name, value):
    made = translated(name, value)
    assert (made.cluster, made.instance, made.not_on_aurora, made.review) == ({name: value}, {}, (), ())


@pytest.mark.parametrize("name, value", [("jit", "0"), ("log_connections", "1")])
def test_r26_the_rest_goes_to_the_instance(name, value):
    made = translated(name, value)
    assert (made.cluster, made.instance) == ({}, {name: value})


@pytest.mark.parametrize("name, value, reason", [
    ("max_wal_size", "4096", "Aurora fixes it"),
    ("checkpoint_timeout", "900", "Aurora doesn't have it"),
    ("work_mem", "63", "Aurora allows 64-2147483647"),
    ("log_statement", "some", "Aurora allows none,ddl,mod,all"),
])
def test_r26_what_aurora_has_not_is_reported(name, value, reason):
    made = translated(name, value)
    assert made.not_on_aurora == ({"name": name, "value": value, "reason": reason},)
    assert (made.cluster, made.instance) == ({}, {})


@pytest.mark.parametrize("name, value", [
    ("work_mem", "4096"), ("random_page_cost", "4.0"), ("autovacuum", "on"), ("autovacuum", "true"),
    ("shared_preload_libraries", "pg_stat_statements"),
])
def test_r26_what_is_the_default_already_is_skipped(name, value):
    made = translated(name, value)
    assert [row["name"] for row in made.skipped] == [name]
    assert (made.cluster, made.review) == ({}, ())


@pytest.mark.parametrize("name, value, carried", [
    ("shared_buffers", "{DBInstanceClassMemory/32768}", None),
    ("shared_buffers", "1048576", None),
    ("max_connections", "LEAST({DBInstanceClassMemory/4000000},9000)", None),
    ("max_connections", "800", "800"),
    ("work_mem", "GREATEST({DBInstanceClassMemory/10000},64)", None),
    ("shared_preload_libraries", "pg_cron,pg_stat_statements", "pg_cron,pg_stat_statements"),
    ("shared_preload_libraries", "pg_cron, pg_transport", "pg_cron"),
    ("shared_preload_libraries", "pg_transport", None),
])
def test_r26_what_was_made_for_the_old_instance_is_for_review(name, value, carried):
    made = translated(name, value)
    assert made.cluster == ({} if carried is None else {name: carried})
    assert [(row["name"], row["value"], row["carried"]) for row in made.review] == [(name, value, carried is not None)]
    assert made.not_on_aurora == ()


def test_r26_a_library_that_aurora_has_not_is_named():
    assert translated("shared_preload_libraries", "pg_transport,pg_cron").review[0]["reason"] == (
        "Aurora doesn't have pg_transport"
    )


def test_r28_logical_replication_is_the_clusters_on_aurora():
    assert translated("rds.logical_replication", "1").cluster == {"rds.logical_replication": "1"}


def test_what_is_excluded_is_not_even_mentioned():
    made = parameters.translate({"work_mem": "65536", "max_wal_size": "1"}, DEFAULTS, ["work_mem", "max_wal_size"])
    assert made == parameters.Translation()


@pytest.mark.parametrize("documents, values", [
    ([{"ParameterName": "a", "ParameterValue": "1", "Source": "user"}], {"a": "1"}),
    ([{"ParameterName": "a", "ParameterValue": "1", "Source": "system"}], {}),
    ([{"ParameterName": "a", "Source": "user"}], {}),
])
def test_only_what_a_person_has_set_is_translated(documents, values):
    assert parameters.user_values(documents) == values


@pytest.mark.parametrize("one, other, equal", [
    ("1", "on", True), ("off", "0", True), ("TRUE", "1", True), ("1", "0", False), ("1.10", "1.1", True),
    ("10", "1", False), ("a", "A", False), (None, None, True), (None, "1", False), ("1e3", "1000", True),
])
def test_values_mean_the_same_in_several_spellings(one, other, equal):
    assert parameters.same(one, other) is equal


@pytest.mark.parametrize("allowed, value, kind, fits", [
    (None, "anything", "string", True),
    ("0,1", "on", "boolean", True),
    ("0-100", "100", "integer", True),
    ("0-100", "101", "integer", False),
    ("-1-100", "-1", "integer", True),
    ("-1,10-20", "-1", "integer", True),
    ("-1,10-20", "5", "integer", False),
    ("0-1.5", "1.25", "float", True),
    ("0-1.79769e+308", "1e300", "float", True),
    ("a,b", "a,b", "list", True),
    ("a,b", "a,c", "list", False),
    ("a,b", "a,b", "string", False),
    ("0-100", "{DBInstanceClassMemory/2}", "integer", True),
    ("0-100", "many", "integer", False),
])
def test_allowed_values_are_ranges_and_words(allowed, value, kind, fits):
    assert parameters.allows({"AllowedValues": allowed, "DataType": kind}, value) is fits


def test_what_is_asked_for_by_name_has_the_last_word():
    made = parameters.translate(
        {"work_mem": "65536", "shared_buffers": "1", "jit": "0", "max_wal_size": "9"}, DEFAULTS
    )
    made = parameters.with_extras(made, DEFAULTS, {"shared_buffers": 2048, "autovacuum": True}, {"work_mem": "8192"})
    assert made.cluster == {"shared_buffers": "2048", "autovacuum": "1"}
    assert made.instance == {"jit": "0", "work_mem": "8192"}
    assert made.review == ()
    assert [row["name"] for row in made.not_on_aurora] == ["max_wal_size"]


@pytest.mark.parametrize("cluster, instance, said", [
    ({"no_such": "1"}, {}, "extra_cluster_parameters: no_such cannot be set at the cluster on Aurora. Cure: leave it"),
    ({"jit": "0"}, {}, "Cure: give it in extra_instance_parameters"),
    ({}, {"autovacuum": "0"}, "Cure: give it in extra_cluster_parameters"),
    ({"work_mem": "1"}, {}, "extra_cluster_parameters: work_mem cannot be 1. Cure: one of 64-2147483647"),
])
def test_what_is_asked_for_and_cannot_be_is_an_error(cluster, instance, said):
    with pytest.raises(RdsError) as caught:
        parameters.with_extras(parameters.Translation(), DEFAULTS, cluster, instance)
    assert said in caught.value.message
