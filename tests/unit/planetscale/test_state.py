# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases: what is created, changed, left alone and never deleted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.errors import PlanetScaleError
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.state import (
    Seen, Wish, document, in_force, plan_absent, plan_present, predicted, unknown,
)

SIZE = "PS_10_AWS_ARM"


def seen(changes: tuple[dict[str, Any], ...] = (), roles: tuple[dict[str, Any], ...] = (), **facts: Any) -> Seen:
    database = {
        "id": "abc", "name": "orders", "kind": "postgresql", "state": "ready", "default_branch": "main",
        "region": {"slug": "eu-west", "public_ip_addresses": ["192.0.2.1"]}, "branches_count": 1,
        "deletion_protected": False, "created_at": "2026-08-01T00:00:00Z", **facts,
    }
    branch = {"id": "br", "name": "main", "ready": True, "cluster_name": SIZE, "has_replicas": True}
    return Seen(database, branch, changes, roles)


def change(state: str = "completed", **facts: Any) -> dict[str, Any]:
    return {
        "state": state, "cluster_name": SIZE, "replicas": 2, "minimum_storage_bytes": 100,
        "maximum_storage_bytes": 1000, **facts,
    }


def test_s2_a_creation_asks_for_what_was_given_and_nothing_else() -> None:
    wish = Wish("orders", "eu-west", 18, SIZE, 0, 100)
    [step] = plan_present(Seen(), wish).steps
    assert step.args["body"] == {
        "name": "orders", "kind": "postgresql", "region": "eu-west", "major_version": "18", "cluster_size": SIZE,
        "replicas": 0, "storage": {"minimum_storage_bytes": 100},
    }
    assert Wish("orders", cluster_size=SIZE).body() == {"name": "orders", "kind": "postgresql", "cluster_size": SIZE}


@pytest.mark.parametrize(("changes", "wish", "asked"), [
    ((), {}, None),
    ((), {"cluster_size": SIZE}, None),
    ((), {"cluster_size": "PS_20_AWS_ARM"}, {"cluster_size": "PS_20_AWS_ARM"}),
    ((), {"replicas": 3}, None),
    ((), {"replicas": 0}, {"replicas": 0}),
    ((change(),), {"replicas": 3}, {"replicas": 3}),
    ((change(),), {"minimum_storage_bytes": 99}, None),
    ((change(),), {"minimum_storage_bytes": 101}, {"storage": {"minimum_storage_bytes": 101}}),
    ((), {"minimum_storage_bytes": 101}, None),
    ((change(), change("pending", minimum_storage_bytes=200)), {"minimum_storage_bytes": 150}, None),
    ((change(), change("canceled", replicas=5)), {"replicas": 2}, None),
])
def test_s5_only_a_difference_that_is_known_is_asked_for(
    changes: tuple[dict[str, Any], ...], wish: dict[str, Any], asked: dict[str, Any] | None
) -> None:
    plan = plan_present(seen(changes), Wish("orders", **wish))
    assert [step.args["wish"] for step in plan.steps] == ([asked] if asked else [])


def test_what_is_not_known_is_named() -> None:
    wish = Wish("orders", replicas=3, minimum_storage_bytes=100)
    assert unknown(seen(), wish) == ["replicas", "minimum_storage_bytes"]
    assert unknown(seen((change(),)), wish) == []
    assert unknown(Seen(), wish) == []


@pytest.mark.parametrize(("facts", "wish", "said"), [
    ({}, {"region": "us-east"}, "is in region eu-west, not us-east"),
    ({"kind": "mysql"}, {}, "is of kind mysql"),
    ({}, {"replicas": 1}, "1 isn't offered"),
])
def test_what_cannot_be_is_refused(facts: dict[str, Any], wish: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanetScaleError, match=said):
        plan_present(seen(**facts), Wish("orders", **wish))


def test_a_prediction_has_no_id() -> None:
    wish = Wish("orders", cluster_size=SIZE, replicas=2, minimum_storage_bytes=5)
    told = predicted(Seen(), wish, plan_present(Seen(), wish)) or {}
    assert (told["id"], told["predicted"], told["cluster_size"], told["minimum_storage_bytes"]) == (None, True, SIZE, 5)
    assert set(told) == set(document(seen()) or {})


@pytest.mark.parametrize(("given", "options", "said"), [
    (seen(), {"identifier": "other"}, "its id is abc, not other"),
    (seen(deletion_protected=True), {}, "protected"),
    (seen(branches_count=2), {}, "it has 2 branches"),
    (seen(roles=({"name": "app", "default": False},)), {}, "somebody else made: app"),
])
def test_a_database_that_is_not_ours_or_is_in_use_stays(given: Seen, options: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanetScaleError, match=said):
        plan_absent(given, "orders", **{"identifier": "abc", "expected_roles": ["cloudpg-orders"], **options})


def test_the_database_that_was_made_is_deleted() -> None:
    ours = seen(roles=({"name": "postgres", "default": True}, {"name": "cloudpg-orders", "default": False}))
    assert plan_absent(ours, "orders", "abc", ["cloudpg-orders"]).changed
    assert not plan_absent(Seen(), "orders", "abc", []).changed


def test_a_change_that_was_canceled_does_not_count() -> None:
    assert in_force([]) == {}
    assert in_force([change(replicas=3), change("canceled", replicas=9)])["replicas"] == 3
