# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameters: what is asked for, what is put back, what is left."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.errors import PlanetScaleError
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.parameters import (
    Known, plan_present, plan_restored,
)


def one(name: str, kind: str, value: str | None, **facts: Any) -> dict[str, Any]:
    return {
        "name": name, "namespace": "pgconf", "parameter_type": kind, "value": value, "default_value": "4",
        "immutable": False, "min": 0, "max": 100, **facts,
    }


KNOWN = Known([
    one("max_worker_processes", "integer", None),
    one("autovacuum", "boolean", "on"),
    one("work_mem", "bytes", "8MB", min=0, max=0),
    one("fsync", "boolean", "on", immutable=True),
    one("pool_size", "integer", "20", namespace="pgbouncer"),
])


@pytest.mark.parametrize(("wanted", "raise_only", "asked"), [
    ({"max_worker_processes": "10"}, False, {"max_worker_processes": "10"}),
    ({"max_worker_processes": "4"}, False, {}),
    ({"max_worker_processes": "4.0"}, False, {}),
    ({"max_worker_processes": "3"}, False, {"max_worker_processes": "3"}),
    ({"max_worker_processes": "3"}, True, {}),
    ({"autovacuum": "True"}, False, {}),
    ({"autovacuum": "off"}, True, {"autovacuum": "off"}),
    ({"work_mem": "16MB", "max_worker_processes": "4"}, False, {"work_mem": "16MB"}),
])
def test_s5_a_difference_is_asked_for(wanted: dict[str, str], raise_only: bool, asked: dict[str, str]) -> None:
    plan = plan_present(KNOWN, wanted, None, None, raise_only)
    assert [step.args["wish"] for step in plan.steps] == ([{"parameters": {"pgconf": asked}}] if asked else [])


@pytest.mark.parametrize(("now", "wanted", "steps"), [
    (100, 99, []), (100, 100, []), (100, 101, ["ask"]), (None, 101, []), (100, None, []),
])
def test_s11_storage_only_grows(now: int | None, wanted: int | None, steps: list[str]) -> None:
    assert [step.op for step in plan_present(KNOWN, {}, now, wanted, False).steps] == steps


def test_s11_storage_that_is_not_known_is_looked_at_after_a_change() -> None:
    plan = plan_present(KNOWN, {"max_worker_processes": "10"}, None, 101, False)
    assert [step.op for step in plan.steps] == ["ask", "grow"]


@pytest.mark.parametrize(("wanted", "said"), [
    ({"max_worker_proceses": "10"}, "Cure: give one of max_worker_processes"),
    ({"pool_size": "10"}, "there is no parameter pool_size"),
    ({"fsync": "off"}, "can't be changed"),
    ({"max_worker_processes": "101"}, "a number from 0 to 100, not 101"),
    ({"max_worker_processes": "many"}, "not many"),
])
def test_what_would_be_refused_is_not_asked_for(wanted: dict[str, str], said: str) -> None:
    with pytest.raises(PlanetScaleError, match=said):
        plan_present(KNOWN, wanted, None, None, False)


@pytest.mark.parametrize(("made", "was", "asked", "left"), [
    ({"work_mem": "8MB"}, {"work_mem": "4MB"}, {"work_mem": "4MB"}, []),
    ({"work_mem": "16MB"}, {"work_mem": "4MB"}, {}, ["work_mem"]),
    ({"work_mem": "16MB"}, {"work_mem": "8MB"}, {}, []),
    ({}, {"work_mem": "4MB"}, {"work_mem": "4MB"}, []),
])
def test_s12_what_the_migration_has_set_is_put_back(
    made: dict[str, str], was: dict[str, str], asked: dict[str, str], left: list[str]
) -> None:
    plan, found = plan_restored(KNOWN, made, was)
    assert ([dict(step.args["wish"]["parameters"]["pgconf"]) for step in plan.steps], found) == (
        [asked] if asked else [], left
    )
