# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates that fail are named without a word of what stands in or around them."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.cloudpg.migration.plugins.lookup.broken import LookupModule

SECRET = "a-long-secret-that-is-nowhere-shown"


def trusted(value):
    """As an inventory gives it: templates in it are rendered."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def broken(**variables):
    given = trusted(variables)
    templar = Templar(loader=DataLoader(), variables=given)
    return LookupModule(loader=DataLoader(), templar=templar).run(["migration_", "replica_"], variables=given)


@pytest.mark.parametrize("value, said", [
    ({"postgres": {"password": SECRET, "host": "{{ nowhere }}"}}, ["migration_x.postgres.host (nowhere is undefined)"]),
    ("{{ '%s' ~ nowhere }}" % SECRET, ["migration_x (nowhere is undefined)"]),
    ("{{ '%s'.nothing }}" % SECRET, ["migration_x (AnsibleUndefinedVariable)"]),
    ("{{ {}['%s'] }}" % SECRET, ["migration_x (AnsibleUndefinedVariable)"]),
    ("{{ '%s' | from_json }}" % SECRET, ["migration_x (JSONDecodeError)"]),
    ("{{ '%s' }" % SECRET, ["migration_x (TemplateSyntaxError)"]),
    ([1, "{{ 1 // 0 }}", {"a": "{{ nowhere }}"}],
     ["migration_x[1] (ZeroDivisionError)", "migration_x[2].a (nowhere is undefined)"]),
    ("{{ undef('%s') }}" % SECRET, ["migration_x (AnsibleUndefinedVariable)"]),
])
def test_what_fails_is_named_by_its_place_and_kind(value, said):
    found = broken(migration_x=value)
    assert found == said
    assert SECRET not in str(found)


@pytest.mark.parametrize("variables", [
    {"migration_x": "{{ migration_y }}", "migration_y": {"a": 1}},
    {"migration_x": "{{ replica_default_of_a_role }}-final"},
    {"team_x": "{{ nowhere }}"},
    {"migration_x": None, "replica_y": [True, 1, ""]},
])
def test_what_is_whole_is_foreign_or_waits_for_a_roles_default_is_let_pass(variables):
    assert broken(**variables) == []
