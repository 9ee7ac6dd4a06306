# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects are meant."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical.selection import (
    Selection, first, matches, named, object_name,
)


@dataclass(frozen=True)
class Thing:
    name: str
    schema: str


THINGS = [Thing("public.a", "public"), Thing("public.b", "public"), Thing('audit."B?"', "audit")]


@pytest.mark.parametrize("patterns, taken", [
    ([], False), (["public.a"], True), (["public.*"], True), (["*"], True), (["*.a"], True), (["p*c.a"], True),
    (["public.?"], False), (["Public.a"], False), (["public."], False), (["public.[a]"], False), (["ublic.a*"], False),
])
def test_only_the_star_is_special(patterns, taken):
    assert matches("public.a", patterns) is taken


@pytest.mark.parametrize("selection, names", [
    (Selection(), ["public.a", "public.b", 'audit."B?"']),
    (Selection(["public.a"]), ["public.a"]),
    (Selection(schemas=["audit"]), ['audit."B?"']),
    (Selection(["public.a"], schemas=["audit"]), ["public.a", 'audit."B?"']),
    (Selection(exclude=["public.*"]), ['audit."B?"']),
    (Selection(["public.a"], ["*.a"]), []),
])
def test_names_and_schemas_add_up_and_exclusion_counts_most(selection, names):
    assert [thing.name for thing in selection.of(THINGS, "tables", "here")] == names


@pytest.mark.parametrize("selection, told", [
    (Selection(["public.A"]), "tables names public.A"), (Selection(schemas=["Public"]), "schemas names Public"),
])
def test_what_is_not_there_does_not_go_unnoticed(selection, told):
    with pytest.raises(MigrationError, match=told):
        selection.of(THINGS, "tables", "here")


def test_results_are_bounded():
    assert named(list("abcde")) == "a, b, c and 2 more" and named(["a"]) == "a"
    assert len(first([{}] * 500)) == 100
    assert object_name("orders-eu") == "cloudpg_orders_eu"
