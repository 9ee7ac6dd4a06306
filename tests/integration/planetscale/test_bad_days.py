# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules while PlanetScale throttles, fails, refuses, or isn't there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("fault", ["throttling", "internal_error", "service_unavailable", "drop_response"])
def test_s1_what_may_pass_is_tried_again(run_module: Any, shop: str, faults: Any, fault: str) -> None:
    faults(fault, operation="planetscale:get_database", times=2)
    result = run_module("planetscale_database_info", {"name": shop})
    assert [one["name"] for one in result["databases"]] == [shop]


@pytest.mark.parametrize(("fault", "operation", "said"), [
    ("access_denied", "create_role", "give the service token the access create_production_branch_password"),
    ("access_denied", "list_roles", "the access read_branch"),
    ("expired_token", "get_database", "check service_token_id and service_token"),
])
def test_s1_what_is_refused_is_named_with_its_cure(
    run_module: Any, shop: str, faults: Any, tmp_path: Path, fault: str, operation: str, said: str
) -> None:
    faults(fault, operation=f"planetscale:{operation}")
    result = run_module("planetscale_role", {"database": shop, "name": "nobody", "passfile": str(tmp_path / "pgpass")})
    assert result["failed"] and said in result["msg"]
    assert not (tmp_path / "pgpass").exists()


@pytest.mark.parametrize(("options", "said"), [
    ({"service_token": "a-wrong-token-of-the-tests-4711"}, "does not accept the token"),
    ({"organization": "nobody"}, "hides what the token has no access to"),
    ({"api_url": "http://127.0.0.1:9/v1"}, "had no answer"),
    ({"api_url": "http://api.example.com/v1"}, "in the clear"),
    ({"api_url": "somewhere"}, "is no URL"),
])
def test_s1_a_wrong_way_in_is_named(
    run_module: Any, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import api

    monkeypatch.setattr(api, "TRIES", 1)
    result = run_module("planetscale_database_info", options)
    assert result["failed"] and said in result["msg"]
    assert "a-wrong-token-of-the-tests-4711" not in json.dumps(result)


def test_without_a_token_the_module_says_which_option_is_missing(run_module: Any) -> None:
    result = run_module("planetscale_database_info", {}, without=("PLANETSCALE_SERVICE_TOKEN",))
    assert result["failed"] and "service_token is missing. Cure:" in result["msg"]
