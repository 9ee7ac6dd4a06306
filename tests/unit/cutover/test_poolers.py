# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of migration_traffic as the cutover takes them."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.filter.cutover_poolers import cutover_poolers

ADMIN = {"host": "pooler"}
TRAFFIC = [
    {"kind": "pgbouncer", "admin": ADMIN, "config": "/a.ini", "port": 5432, "user": "app"},
    {"kind": "hook", "tasks": "lead.yml"},
    {"kind": "pgbouncer", "admin": ADMIN, "config": "/b.ini", "pause_timeout": 3},
]


def test_s8_a_login_gets_the_end_that_its_name_has_over_there_and_loses_it_on_the_way_back():
    there = cutover_poolers(TRAFFIC, 20, ".b1")
    assert there == [
        {"pause_timeout": 20, "admin": ADMIN, "config": "/a.ini", "port": 5432, "user": "app.b1"},
        {"pause_timeout": 3, "admin": ADMIN, "config": "/b.ini"},
    ]
    assert [entry.get("user") for entry in cutover_poolers(TRAFFIC)] == ["app", None]
