# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server tells, as data."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import plain
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.server import _preloaded, rights


def role(*groups, **attributes):
    return {
        "name": "u", "super": False, "replication": False, "bypassrls": False, "createrole": False, "passes_on": None,
        "member_of": groups, **attributes,
    }


@pytest.mark.parametrize("login, may", [
    (role(), set()),
    (role("rds_superuser", "rds_replication", "pg_monitor"), {"administrator", "replication", "monitor"}),
    (role("rds_replication"), {"replication"}),
    (role("pg_read_all_stats"), {"monitor"}),
    (role("pg_read_all_settings"), set()),
    (role(replication=True, bypassrls=True), {"replication", "bypassrls"}),
    (role(super=True), {"superuser", "administrator", "replication", "monitor", "bypassrls", "replication_logins"}),
])
def test_r29_membership_in_rdss_roles_counts_as_the_attribute(login, may):
    told = rights(login, 160000)
    assert {name for name, value in told.items() if value is True} == may


@pytest.mark.parametrize("version_num, attributes, may", [
    (160000, {"createrole": True, "replication": True}, True), (160000, {"createrole": True}, False),
    (160000, {"replication": True}, False), (150000, {"createrole": True, "replication": True}, False),
    (150000, {"super": True}, True), (150000, {"createrole": True, "passes_on": False}, True),
    (160000, {"createrole": True, "passes_on": True}, True), (160000, {"createrole": True, "passes_on": False}, False),
    # What the attribute is on PostgreSQL, the role is on RDS.
    (160000, {"createrole": True, "passes_on": False, "replication": True}, False),
    (150000, {"passes_on": True}, False),
])
def test_p26_r29_who_may_make_logins_that_replicate(version_num, attributes, may):
    assert rights(role(**attributes), version_num)["replication_logins"] is may


@pytest.mark.parametrize("value, libraries", [
    (None, None), ("", []), ("rdsutils,pg_cron", ["rdsutils", "pg_cron"]), ('"a", b ', ["a", "b"]),
])
def test_hidden_libraries_are_not_taken_for_none(value, libraries):
    assert _preloaded(value) == libraries


@pytest.mark.parametrize("value, expected", [
    (Decimal("16777216"), 16777216), (Decimal("0.5"), 0.5), (None, None), ("x", "x"), ([1], [1]),
    (datetime(2026, 1, 4, 23, tzinfo=timezone(timedelta(hours=1))), "2026-01-04T22:00:00.000+00:00"),
])
def test_values_are_made_plain(value, expected):
    made = plain(value)
    assert made == expected and type(made) is type(expected)
