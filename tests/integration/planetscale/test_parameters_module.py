# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules planetscale_parameters and *_info."""

from __future__ import annotations

from typing import Any

import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import DATABASES, GIB, SIZE, wish


def set_once(cloud: Any, shop: str) -> None:
    """Leave the parameters as they are from the beginning."""
    cloud.sandbox.planetscale("PATCH", f"{DATABASES}/{shop}/branches/main/changes", {
        "parameters": {"pgconf": {"max_worker_processes": "4", "work_mem": "4MB"}},
    })
    wait_until(lambda: not cloud.call("GET", f"{DATABASES}/{shop}")["config_changing"])


def test_s12_workers_are_raised_for_the_import_and_put_back(cloud: Any, run_module: Any, shop: str) -> None:
    set_once(cloud, shop)
    made = {"max_worker_processes": 10}
    args = {"database": shop, "pgconf": made, "raise_only": True}
    before = run_module("planetscale_parameters_info", {"database": shop, "names": ["max_worker_processes"]})
    assert before["pgconf"] == {"max_worker_processes": "4"}
    assert before["parameters"]["max_worker_processes"]["restart"]
    since = cloud.sandbox.mark()
    assert run_module("planetscale_parameters", args, check=True)["changed"]
    assert cloud.changes(since) == []
    raised = run_module("planetscale_parameters", args, diff=True)
    assert raised["diff"] == {"before": {"max_worker_processes": "4"}, "after": {"max_worker_processes": "10"}}
    assert (raised["was"], raised["now"]) == ({"max_worker_processes": "4"}, {"max_worker_processes": "10"})
    assert not run_module("planetscale_parameters", args)["changed"]
    lower = {**args, "pgconf": {"max_worker_processes": 8}}
    assert not run_module("planetscale_parameters", lower)["changed"]
    back = {"database": shop, "state": "restored", "pgconf": made, "was": before["pgconf"]}
    assert run_module("planetscale_parameters", back)["now"] == before["pgconf"]
    assert not run_module("planetscale_parameters", back)["changed"]


def test_what_somebody_else_has_changed_meanwhile_is_not_put_back(cloud: Any, run_module: Any, shop: str) -> None:
    cloud.change(shop, parameters={"pgconf": {"work_mem": "77MB"}})
    result = run_module("planetscale_parameters", {
        "database": shop, "state": "restored", "pgconf": {"work_mem": "64MB"}, "was": {"work_mem": "4MB"},
    })
    assert (result["changed"], result["left"]) == (False, ["work_mem"])
    set_once(cloud, shop)


def test_s11_storage_grows_with_the_first_change_of_a_parameter(cloud: Any, run_module: Any, fresh: str) -> None:
    run_module("planetscale_database", wish(fresh))
    alone = run_module("planetscale_parameters", {"database": fresh, "minimum_storage_bytes": 30 * GIB})
    assert not alone["changed"] and "doesn't tell the storage" in str(alone["warnings"])
    args = {"database": fresh, "pgconf": {"max_worker_processes": "10"}, "minimum_storage_bytes": 30 * GIB}
    assert run_module("planetscale_parameters", args)["minimum_storage_bytes"] == 30 * GIB
    assert not run_module("planetscale_parameters", args)["changed"]
    less = {"database": fresh, "minimum_storage_bytes": 25 * GIB}
    assert not run_module("planetscale_parameters", less)["changed"]


@pytest.mark.parametrize(("pgconf", "said"), [
    ({"max_worker_process": 10}, "max_worker_processes"),
    ({"fsync": "off"}, "can't be changed at PlanetScale"),
    ({"max_connections": 1}, "a number from 25 to 10000"),
    ({"work_mem": "plenty"}, "must be a size"),
])
def test_s5_a_parameter_that_cannot_be_set_is_named(
    run_module: Any, shop: str, pgconf: dict[str, Any], said: str
) -> None:
    result = run_module("planetscale_parameters", {"database": shop, "pgconf": pgconf})
    assert result["failed"] and said in result["msg"]


def test_s5_a_change_that_is_canceled_is_an_error(cloud: Any, run_module: Any, shop: str, faults: Any) -> None:
    set_once(cloud, shop)
    faults("refuse_transition", identifier=shop, transition="modifying", times=1)
    args = {"database": shop, "pgconf": {"work_mem": "9MB"}}
    result = run_module("planetscale_parameters", args)
    assert result["failed"] and result["code"] == "canceled"
    assert run_module("planetscale_parameters", args)["changed"]
    set_once(cloud, shop)


def test_s5_a_slow_change_is_waited_for_by_the_next_run(cloud: Any, run_module: Any, shop: str, faults: Any) -> None:
    set_once(cloud, shop)
    faults("slow_transition", identifier=shop, transition="modifying", factor=100_000)
    args = {"database": shop, "pgconf": {"work_mem": "10MB"}, "wait_timeout": 1}
    assert "change request" in run_module("planetscale_parameters", args)["msg"]
    assert run_module("planetscale_parameters_info", {"database": shop})["changes_under_way"][0]["state"] == "pending"
    cloud.sandbox.control("DELETE", "faults")
    run_module("planetscale_parameters", {**args, "wait_timeout": 30})
    assert run_module("planetscale_parameters_info", {"database": shop, "names": ["work_mem"]})["pgconf"] == {
        "work_mem": "10MB",
    }
    set_once(cloud, shop)


def test_s6_extensions_are_listed_when_asked_for(run_module: Any, shop: str) -> None:
    result = run_module("planetscale_parameters_info", {"database": shop, "names": ["work_mem"], "extensions": True})
    assert {"name": "pg_cron", "available": False, "unavailable_reason": "The sandbox doesn't have it",
            "loader": "shared_preload_libraries"} in result["extensions"]
    assert set(result["pgconf"]) == {"work_mem"}


def test_s2_s13_offers_have_sizes_and_import_addresses(run_module: Any, cloud: Any, shop: str) -> None:
    entry = cloud.call("POST", f"{DATABASES}/{shop}/cidrs", {"cidrs": ["127.0.0.0/8"]})
    result = run_module("planetscale_database_info", {"offers": True, "region": "eu-west"})
    assert SIZE in [one["name"] for one in result["sizes"]]
    assert all(region["import_addresses"] for region in result["regions"])
    assert shop in [one["name"] for one in result["databases"]]
    [one] = run_module("planetscale_database_info", {"name": shop})["databases"]
    assert one["restrictions"] == [{"cidrs": ["127.0.0.0/8"], "role": "", "schema": "", "description": None}]
    cloud.call("DELETE", f"{DATABASES}/{shop}/cidrs/{entry['id']}")
    assert run_module("planetscale_database_info", {"name": "none"})["databases"] == []
