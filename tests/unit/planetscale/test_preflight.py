# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of a move to PlanetScale: each check by what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudpg.migration.plugins.filter.planetscale_findings import planetscale_findings
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.preflight import raises

GIB = 1 << 30
OFFERS = {
    "databases": [],
    "regions": [
        {"slug": "us-east", "enabled": True, "default": True, "import_addresses": ["192.0.2.1"]},
        {"slug": "eu-west", "enabled": True, "default": False, "import_addresses": ["192.0.2.2", "192.0.2.3"]},
        {"slug": "mars", "enabled": False, "default": False, "import_addresses": []},
    ],
    "sizes": [{"name": "PS_10"}, {"name": "PS_80"}],
}
TARGET = {"database": "shop", "region": "eu-west", "major_version": 18, "cluster_size": "PS_10"}
DATABASE = {
    "region": "eu-west", "minimum_storage_bytes": 10 * GIB, "maximum_storage_bytes": 100 * GIB, "restrictions": [],
}
WANTED = {"max_worker_processes": "10"}


def found(
    target: dict[str, Any] | None = None, database: dict[str, Any] | None = None, major: int = 16,
    extensions: tuple[str, ...] = ("plpgsql",), bytes_needed: int = 20 * GIB, let_in: bool = True,
    branch: dict[str, Any] | None = None,
) -> list[tuple[str, str, str]]:
    """Id, severity and fact of each finding."""
    source = {
        "version_num": major * 10000 + 4, "databases": [{"extensions": [{"name": name} for name in extensions]}],
    }
    offers = {**OFFERS, "databases": [database] if database else []}
    seen = {"pgconf": {}, "parameters": {}, "extensions": [], **(branch or {})} if database else {}
    findings = planetscale_findings(
        offers, {**TARGET, **(target or {})}, source, seen, WANTED, bytes_needed, let_in
    )
    assert all(one["reason"] and one["cure"] and not one["acknowledgeable"] == (one["severity"] == "blocker")
               for one in findings)
    return [(one["id"], one["severity"], one["fact"]) for one in findings]


def test_nothing_is_found_where_nothing_stands_in_the_way() -> None:
    assert found() == found(database=DATABASE) == found({"region": None}) == []


@pytest.mark.parametrize(("wanted", "source", "ids"), [
    (18, 18, []), (17, 16, []), (None, 18, []), (16, 16, ["planetscale-major"]), (17, 18, ["planetscale-major"]),
    (19, 18, ["planetscale-major"]), (None, 19, ["planetscale-major"]),
])
def test_s9_there_are_two_majors_and_none_may_be_older_than_the_source(
    wanted: int | None, source: int, ids: list[str]
) -> None:
    assert found({"major_version": wanted}, major=source) == [(name, "blocker", "S9") for name in ids]


@pytest.mark.parametrize(("target", "database", "ids"), [
    ({"region": "moon"}, None, ["planetscale-region"]),
    ({"region": "mars"}, None, ["planetscale-region"]),
    ({"cluster_size": "PS_9000"}, None, ["planetscale-size"]),
    ({"cluster_size": None}, None, ["planetscale-size"]),
    ({"cluster_size": None}, DATABASE, []),
    ({"region": "us-east"}, DATABASE, ["planetscale-region"]),
    ({"region": None}, DATABASE, []),
])
def test_s2_what_is_asked_for_has_to_be_offered_and_to_be_what_is_there(
    target: dict[str, Any], database: dict[str, Any] | None, ids: list[str]
) -> None:
    assert found(target, database) == [(name, "blocker", "S2") for name in ids]


@pytest.mark.parametrize(("target", "database", "ids"), [
    ({"maximum_storage_bytes": 19 * GIB}, None, ["planetscale-storage"]),
    ({"maximum_storage_bytes": 20 * GIB}, None, []),
    ({}, {**DATABASE, "maximum_storage_bytes": 19 * GIB}, ["planetscale-storage"]),
    ({"maximum_storage_bytes": 30 * GIB}, {**DATABASE, "maximum_storage_bytes": 19 * GIB}, []),
    ({}, {**DATABASE, "minimum_storage_bytes": None, "maximum_storage_bytes": None}, ["planetscale-storage-unknown"]),
])
def test_s11_the_storage_has_to_be_allowed_to_grow_to_what_the_copy_needs(
    target: dict[str, Any], database: dict[str, Any] | None, ids: list[str]
) -> None:
    assert [(name, fact) for name, _severity, fact in found(target, database)] == [(name, "S11") for name in ids]


@pytest.mark.parametrize(("now", "restart", "ids"), [
    ("4", True, ["planetscale-restart"]), ("4", False, []), ("12", True, []), ("10", True, []),
])
def test_s12_a_database_that_is_there_is_restarted_for_its_parameters(now: str, restart: bool, ids: list[str]) -> None:
    branch = {"pgconf": {"max_worker_processes": now}, "parameters": {"max_worker_processes": {"restart": restart}}}
    assert found(database=DATABASE, branch=branch) == [(name, "warning", "S12") for name in ids]


@pytest.mark.parametrize(("now", "wanted", "changes"), [
    ("4", "10", True), ("10", "10", False), ("12", "10", False), ("replica", "logical", True),
    ("logical", "logical", False),
])
def test_s12_a_number_that_is_higher_already_stays(now: str, wanted: str, changes: bool) -> None:
    assert raises(now, wanted) is changes


def extension(name: str, available: bool = True, loader: str = "create_extension", why: str = "") -> dict[str, Any]:
    return {"name": name, "available": available, "loader": loader, "unavailable_reason": why}


@pytest.mark.parametrize(("uses", "offered", "expected"), [
    (["postgis"], None, [("planetscale-extensions-unknown", "warning", "S6")]),
    (["plpgsql", "aws_s3", "pg_cron"], None, []),
    (["citext"], [extension("citext")], []),
    (["postgis"], [extension("citext")], [("planetscale-extension", "blocker", "S6")]),
    (["postgis"], [extension("postgis", False, why="not on this size")], [("planetscale-extension", "blocker", "S6")]),
    (["timescaledb"], [extension("timescaledb", loader="shared_preload_libraries")],
     [("planetscale-extension-loads", "warning", "S6")]),
    (["rds_tools"], [], []),
])
def test_s6_s14_every_extension_that_travels_has_to_be_there(
    uses: list[str], offered: list[dict[str, Any]] | None, expected: list[tuple[str, str, str]]
) -> None:
    database = None if offered is None else DATABASE
    assert found(database=database, extensions=tuple(uses), branch={"extensions": offered}) == expected


def test_s13_who_lets_the_imports_in_is_said_where_the_migration_does_not() -> None:
    assert found(let_in=False) == [("planetscale-imports", "warning", "S13")]


def test_s6_a_database_that_lets_in_some_networks_only_is_said() -> None:
    closed = {**DATABASE, "restrictions": [{"cidrs": ["198.51.100.0/24"]}]}
    assert found(database=closed) == [("planetscale-restricted", "warning", "S6")]
