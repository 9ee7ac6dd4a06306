# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module planetscale_database, against the sandbox's real API."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import DATABASES, GIB, SIZE, wish


def test_s2_a_database_is_made_once(cloud: Any, run_module: Any, fresh: str) -> None:
    since = cloud.sandbox.mark()
    predicted = run_module("planetscale_database", wish(fresh), check=True, diff=True)
    assert predicted["changed"] and predicted["database"]["predicted"]
    assert predicted["database"]["id"] is None
    assert predicted["diff"]["after"]["minimum_storage_bytes"] == 20 * GIB
    assert cloud.changes(since) == []
    made = run_module("planetscale_database", wish(fresh))
    assert made["changed"] and made["database"]["ready"]
    assert made["actions"] == predicted["actions"]
    assert (made["database"]["region"], made["database"]["import_addresses"]) == ("eu-west", ["127.0.0.1"])
    assert cloud.changes(since) == ["create_database"]
    for check in (True, False):
        again = run_module("planetscale_database", wish(fresh), check=check)
        assert (again["changed"], again["database"]) == (False, made["database"])
    assert cloud.changes(since) == ["create_database"]


def test_s5_drift_of_a_database_is_mended_and_storage_only_grows(cloud: Any, run_module: Any, fresh: str) -> None:
    made = run_module("planetscale_database", wish(fresh))
    assert made["database"]["minimum_storage_bytes"] is None
    bigger = wish(fresh, cluster_size="PS_20_AWS_X86", replicas=2)
    assert run_module("planetscale_database", bigger, check=True)["changed"]
    changed = run_module("planetscale_database", bigger, diff=True)
    assert changed["diff"] == {
        "before": {"cluster_size": SIZE, "replicas": 0}, "after": {"cluster_size": "PS_20_AWS_X86", "replicas": 2},
    }
    assert changed["database"]["minimum_storage_bytes"] == 20 * GIB
    assert changed["database"]["changes_under_way"] == 0
    grown = run_module("planetscale_database", {**bigger, "minimum_storage_bytes": 50 * GIB})
    assert (grown["changed"], grown["database"]["minimum_storage_bytes"]) == (True, 50 * GIB)
    kept = run_module("planetscale_database", bigger)
    assert (kept["changed"], kept["database"]["minimum_storage_bytes"]) == (False, 50 * GIB)


def test_what_the_api_does_not_tell_is_left_alone_with_a_warning(run_module: Any, shop: str) -> None:
    result = run_module("planetscale_database", {"name": shop, "minimum_storage_bytes": 99 * GIB})
    assert not result["changed"]
    assert "minimum_storage_bytes" in str(result["warnings"])


@pytest.mark.parametrize(("options", "said"), [
    ({"replicas": 1}, "0, or 2 or more"),
    ({"cluster_size": None}, "cluster_size isn't given"),
    ({"cluster_size": "PS_10"}, "PS_10 is not available"),
    ({"region": "moon"}, "Region moon"),
    ({"major_version": 16}, "must be one of: 17, 18"),
])
def test_a_database_that_cannot_be_had_is_refused(
    cloud: Any, run_module: Any, fresh: str, options: dict[str, Any], said: str
) -> None:
    result = run_module("planetscale_database", wish(fresh, **options))
    assert result["failed"] and said in result["msg"]
    assert cloud.refused("GET", f"{DATABASES}/{fresh}")[0] == 404


def test_a_database_is_never_moved(run_module: Any, shop: str) -> None:
    result = run_module("planetscale_database", {"name": shop, "region": "eu-central"})
    assert "is in region us-east, not eu-central" in result["msg"] and "Cure:" in result["msg"]


def test_only_the_database_that_was_made_is_deleted_and_only_while_nobody_uses_it(
    cloud: Any, run_module: Any, fresh: str
) -> None:
    made = run_module("planetscale_database", wish(fresh))["database"]
    gone = {"name": fresh, "state": "absent", "id": made["id"]}
    assert "state is absent but all of the following are missing: id" in run_module(
        "planetscale_database", {"name": fresh, "state": "absent"}
    )["msg"]
    assert "it isn't the one that was made" in run_module("planetscale_database", {**gone, "id": "another"})["msg"]
    cloud.make_role(fresh, "somebody")
    refused = run_module("planetscale_database", gone)
    assert "roles that somebody else made: somebody" in refused["msg"] and refused["code"] == "not_ours"
    ours = {**gone, "expected_roles": ["somebody"]}
    assert run_module("planetscale_database", ours, check=True)["changed"]
    assert cloud.call("GET", f"{DATABASES}/{fresh}")["id"] == made["id"]
    assert run_module("planetscale_database", ours)["changed"]
    assert cloud.refused("GET", f"{DATABASES}/{fresh}")[0] == 404
    assert not run_module("planetscale_database", ours)["changed"]


def test_a_slow_database_ends_in_a_wait_that_can_be_gone_on_with(
    run_module: Any, cloud: Any, fresh: str, faults: Any
) -> None:
    faults("slow_transition", identifier=fresh, transition="creating", factor=100_000)
    result = run_module("planetscale_database", wish(fresh, wait_timeout=1))
    assert "last seen: database" in result["msg"] and "is pending" in result["msg"]
    assert run_module("planetscale_database", wish(fresh, wait=False))["database"]["state"] == "pending"
    cloud.sandbox.control("DELETE", "faults")
    assert run_module("planetscale_database", wish(fresh))["database"]["ready"]


def test_a_creation_whose_answer_was_lost_is_not_repeated(cloud: Any, run_module: Any, fresh: str, faults: Any) -> None:
    faults("drop_response", operation="planetscale:create_database", times=1)
    since = cloud.sandbox.mark()
    made = run_module("planetscale_database", wish(fresh))
    assert made["changed"] and made["database"]["ready"]
    assert cloud.changes(since).count("create_database") == 1
