# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox's RDS has on offer, and what its parameters mean to a real server."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from cloudpg_sandbox import catalogue
from cloudpg_sandbox.configuration import NOT_LOWER_ON_STANDBY
from cloudpg_sandbox.parameters import is_formula

RDS = botocore.session.get_session().get_service_model("rds")


def members_of(shape: str) -> set[str]:
    return set(RDS.shape_for(shape).members)


def versions(**options: Any) -> list[str]:
    return [entry["EngineVersion"] for entry in catalogue.engine_versions(**options)]


# -- versions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["postgres", "aurora-postgresql"])
def test_r5_versions_come_sorted_as_numbers(engine: str) -> None:
    found = versions(engine=engine)
    assert found == sorted(found, key=catalogue.version_key)
    assert found.index("16.9") < found.index("16.10") < found.index("16.11")
    assert {catalogue.major_of(version) for version in found} == set(range(12, 19))


def test_r5_aurora_lacks_minors_that_rds_has() -> None:
    assert set(versions(engine="postgres")) - set(versions(engine="aurora-postgresql")) >= {"16.5", "17.2"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"engine": "postgres", "version": "16.9"}, ["16.9"]),
        ({"engine": "postgres", "version": "16.99"}, []),
        ({"engine": "mysql"}, []),
        ({"engine": "aurora-postgresql", "family": "aurora-postgresql12"}, ["12.22"]),
        ({"engine": "postgres", "family": "aurora-postgresql16"}, []),
        ({"engine": "postgres", "default_only": True}, ["16.11"]),
        ({"engine": "postgres", "family": "postgres15", "default_only": True}, ["15.14"]),
        ({"engine": "aurora-postgresql", "version": "17", "default_only": True}, ["17.7"]),
    ],
)
def test_versions_are_filtered_as_the_service_does(options: dict, expected: list[str]) -> None:
    assert versions(**options) == expected


def test_r5_a_deprecated_version_is_listed_only_when_all_are_asked_for() -> None:
    assert "16.1" not in versions(engine="postgres")
    (entry,) = catalogue.engine_versions("postgres", version="16.1", include_all=True)
    assert entry["Status"] == "deprecated"
    assert all(entry["Status"] == "available" for entry in catalogue.engine_versions())


@pytest.mark.parametrize("engine", ["postgres", "aurora-postgresql"])
def test_r5_upgrade_targets_are_newer_and_of_the_same_engine(engine: str) -> None:
    for entry in catalogue.engine_versions(engine, include_all=True):
        for target in entry["ValidUpgradeTarget"]:
            ours, theirs = (catalogue.version_key(item["EngineVersion"]) for item in (entry, target))
            assert theirs > ours
            assert target["Engine"] == engine
            assert target["IsMajorVersionUpgrade"] == (theirs[0] > ours[0])


def test_an_upgrade_never_goes_to_an_older_release_of_a_later_major() -> None:
    (entry,) = catalogue.engine_versions("postgres", version="16.9")
    targets = [target["EngineVersion"] for target in entry["ValidUpgradeTarget"]]
    assert "17.5" in targets and "17.4" not in targets


@pytest.mark.parametrize(
    ("engine", "asked", "version"),
    [
        ("postgres", None, "16.11"),
        ("postgres", "15", "15.14"),
        ("postgres", "16.5", "16.5"),
        ("aurora-postgresql", "16.5", None),
        ("aurora-postgresql", "11", None),
        ("postgres", "16.1", None),
        ("mysql", "8.0", None),
    ],
)
def test_a_create_call_gets_a_full_version(engine: str, asked: str | None, version: str | None) -> None:
    assert catalogue.resolve_version(engine, asked) == version


# -- classes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "version", "db_class", "there"),
    [
        ("postgres", "16.9", "db.m6g.large", True),
        ("aurora-postgresql", "16.9", "db.m6g.large", False),
        ("aurora-postgresql", "16.9", "db.r6g.large", True),
        ("aurora-postgresql", "16.9", "db.t4g.medium", True),
        ("aurora-postgresql", "16.9", "db.t4g.micro", False),
        ("aurora-postgresql", "12.22", "db.r7g.large", False),
        ("aurora-postgresql", "16.5", "db.r6g.large", False),
        ("mysql", "8.0", "db.r6g.large", False),
    ],
)
def test_r5_a_class_depends_on_engine_and_version(engine: str, version: str, db_class: str, there: bool) -> None:
    options = catalogue.orderable_options(engine, version, db_class)
    assert [option["DBInstanceClass"] for option in options] == [db_class] * there


def test_zones_are_the_region_s() -> None:
    (option,) = catalogue.orderable_options("postgres", "16.9", "db.r6g.large", region="us-east-2")
    assert [zone["Name"] for zone in option["AvailabilityZones"]] == ["us-east-2a", "us-east-2b", "us-east-2c"]


def test_answers_have_only_fields_the_service_has() -> None:
    assert set(catalogue.engine_versions("postgres", "16.9")[0]) <= members_of("DBEngineVersion")
    (option,) = catalogue.orderable_options("postgres", "16.9", "db.r6g.large")
    assert set(option) <= members_of("OrderableDBInstanceOption")
    for parameter in catalogue.engine_default_parameters("aurora-postgresql16", "cluster"):
        assert set(parameter) <= members_of("Parameter")


# -- parameters -----------------------------------------------------------------------------------------------------


def parameters(family: str, level: str = "instance") -> dict[str, dict[str, Any]]:
    return {entry["ParameterName"]: entry for entry in catalogue.engine_default_parameters(family, level)}


def test_a_default_is_the_server_s_own_boot_value() -> None:
    assert parameters("postgres16")["work_mem"] == {
        "ParameterName": "work_mem",
        "ParameterValue": "4096",
        "Source": "engine-default",
        "ApplyType": "dynamic",
        "DataType": "integer",
        "AllowedValues": "64-2147483647",
        "IsModifiable": True,
        "ApplyMethod": "pending-reboot",
        "Description": "(kB) Sets the maximum memory to be used for query workspaces.",
    }


@pytest.mark.parametrize(
    ("family", "name", "value"),
    [
        ("postgres16", "shared_buffers", "{DBInstanceClassMemory/32768}"),
        ("aurora-postgresql16", "shared_buffers", "SUM({DBInstanceClassMemory/12038},-50003)"),
        ("postgres16", "max_connections", "LEAST({DBInstanceClassMemory/9531392},5000)"),
        ("postgres16", "effective_cache_size", "{DBInstanceClassMemory/16384}"),
    ],
)
def test_r26_what_depends_on_the_class_is_a_formula(family: str, name: str, value: str) -> None:
    assert parameters(family)[name]["ParameterValue"] == value
    assert is_formula(value)


@pytest.mark.parametrize("value", ["65536", "GREATEST", "on", '"$user", public'])
def test_r26_other_values_are_no_formulas(value: str) -> None:
    assert not is_formula(value)


@pytest.mark.parametrize(
    ("name", "on_rds", "on_cluster", "on_member"),
    [
        ("rds.logical_replication", True, True, False),
        ("rds.force_ssl", True, True, False),
        ("autovacuum_naptime", True, True, False),
        ("timezone", True, True, False),
        ("max_replication_slots", True, True, False),
        ("wal_sender_timeout", True, True, False),
        ("synchronous_commit", True, True, False),
        ("work_mem", True, True, True),
        ("log_min_duration_statement", True, True, True),
        ("statement_timeout", True, True, True),
        ("shared_preload_libraries", True, True, True),
        ("rds.log_retention_period", True, True, True),
        ("full_page_writes", True, False, False),
        ("checkpoint_timeout", True, False, False),
        ("max_wal_size", True, False, False),
        ("archive_timeout", True, False, False),
        ("wal_compression", True, False, False),
        ("apg_ccm_enabled", False, True, False),
        ("apg_plan_mgmt.capture_plan_baselines", False, True, True),
        ("wal_level", False, False, False),
        ("primary_conninfo", False, False, False),
        ("zero_damaged_pages", False, False, False),
    ],
)
def test_r26_on_aurora_a_parameter_has_its_level_or_none(
    name: str, on_rds: bool, on_cluster: bool, on_member: bool
) -> None:
    assert (
        name in parameters("postgres16"),
        name in parameters("aurora-postgresql16", "cluster"),
        name in parameters("aurora-postgresql16", "instance"),
    ) == (on_rds, on_cluster, on_member)


def test_r26_the_instance_level_is_a_part_of_the_cluster_level() -> None:
    assert set(parameters("aurora-postgresql16")) < set(parameters("aurora-postgresql16", "cluster"))


@pytest.mark.parametrize(("family", "level"), [("postgres16", "instance"), ("aurora-postgresql16", "cluster")])
def test_r28_logical_replication_is_static(family: str, level: str) -> None:
    entry = parameters(family, level)["rds.logical_replication"]
    assert (entry["ApplyType"], entry["ParameterValue"], entry["IsModifiable"]) == ("static", "0", True)


@pytest.mark.parametrize(("name", "apply_type"), [("max_connections", "static"), ("work_mem", "dynamic")])
def test_r25_what_the_server_reads_at_its_start_is_static(name: str, apply_type: str) -> None:
    assert parameters("postgres16")[name]["ApplyType"] == apply_type


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "listen_addresses", "data_directory", "rds.extensions"])
def test_r25_what_rds_keeps_to_itself_is_not_modifiable(name: str) -> None:
    assert parameters("postgres16")[name]["IsModifiable"] is False


@pytest.mark.parametrize(
    ("family", "name", "there"),
    [
        ("postgres12", "idle_session_timeout", False),
        ("postgres14", "idle_session_timeout", True),
        ("postgres16", "old_snapshot_threshold", True),
        ("postgres17", "old_snapshot_threshold", False),
        ("postgres16", "transaction_timeout", False),
        ("postgres17", "transaction_timeout", True),
        ("postgres17", "io_method", False),
        ("postgres18", "io_method", True),
    ],
)
def test_a_family_has_its_major_s_settings(family: str, name: str, there: bool) -> None:
    assert (name in parameters(family)) is there


@pytest.mark.parametrize(("family", "value"), [("postgres14", "0"), ("postgres15", "1"), ("aurora-postgresql16", "0")])
def test_ssl_is_forced_from_some_major_on(family: str, value: str) -> None:
    level = "cluster" if family.startswith("aurora") else "instance"
    assert parameters(family, level)["rds.force_ssl"]["ParameterValue"] == value


@pytest.mark.parametrize(
    ("family", "level"), [("postgres11", "instance"), ("mysql8.0", "instance"), ("postgres16", "x")]
)
def test_an_unknown_family_or_level_is_an_error(family: str, level: str) -> None:
    with pytest.raises(ValueError, match="there are"):
        catalogue.engine_default_parameters(family, level)


def test_an_answer_is_the_caller_s_own() -> None:
    catalogue.engine_default_parameters("postgres16")[0]["ParameterValue"] = "spoilt"
    assert all(entry.get("ParameterValue") != "spoilt" for entry in catalogue.engine_default_parameters("postgres16"))


# -- to the server --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [
        ("rds.logical_replication", "1", ("wal_level", "logical")),
        ("rds.logical_replication", "0", ("wal_level", "replica")),
        ("rds.force_ssl", "1", None),
        ("work_mem", "65536", ("work_mem", "65536")),
        ("timezone", "Europe/Paris", ("TimeZone", "Europe/Paris")),
        ("autovacuum", "0", ("autovacuum", "0")),
        ("shared_buffers", "{DBInstanceClassMemory/32768}", None),
        ("shared_buffers", "1048576", None),
        ("max_connections", "LEAST({DBInstanceClassMemory/9531392},5000)", None),
        ("max_connections", "500", ("max_connections", "500")),
        ("shared_preload_libraries", "pg_stat_statements,pg_cron", None),
        ("shared_preload_libraries", "pg_cron, vector", ("shared_preload_libraries", "vector")),
        ("cron.database_name", "shop", None),
        ("vector.anything", "1", ("vector.anything", "1")),
        ("data_directory", "/rdsdbdata/db", None),
        ("listen_addresses", "*", None),
        ("lc_messages", "de_DE.UTF-8", None),
        ("fsync", "0", None),
        ("wal_level", "minimal", None),
        ("apg_ccm_enabled", "1", None),
        ("io_method", "worker", None),
        ("no_such_thing", "1", None),
        ("work_mem", None, None),
        ("work_mem", "", None),
    ],
)
def test_r27_what_reaches_the_real_server(name: str, value: str | None, setting: tuple[str, str] | None) -> None:
    assert catalogue.to_server_setting(name, value, {"EngineVersion": "16.9", "libraries": {"vector"}}) == setting


def test_a_setting_of_a_later_major_reaches_that_major_only() -> None:
    for version, expected in (("17.5", None), ("18.3", ("io_method", "worker"))):
        assert catalogue.to_server_setting("io_method", "worker", {"EngineVersion": version}) == expected


def test_what_a_standby_needs_as_much_of_can_be_set() -> None:
    assert all(catalogue.to_server_setting(name, "100", {}) == (name, "100") for name in NOT_LOWER_ON_STANDBY)
