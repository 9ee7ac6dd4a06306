# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: broken
short_description: Variables whose templates fail
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Puts together every variable whose name begins with one of the prefixes, and names those that can't be.
  - Ansible itself reports a template that fails with the lines of the file around it, which may hold a password. This
    says the variable, the place in it and the kind of error, and nothing of the file.
  - A template that needs a variable with one of the prefixes which isn't known yet is let pass; roles have defaults.
options:
  _terms:
    description: The prefixes.
    required: true
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Insist on variables that can be put together
  ansible.builtin.assert:
    that: query('cloudpg.migration.broken', 'migration_', 'traffic_') | length == 0
"""

RETURN = r"""
_raw:
  description: What can't be put together, each as C(migration_source.postgres.host (nowhere is undefined\)).
  type: list
  elements: str
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from ansible.plugins.lookup import LookupBase

UNDEFINED = re.compile(r"'(\w+)' is undefined")


def leaves(name, value) -> Iterator[tuple[str, object]]:
    """Every value within a variable that isn't a container, with its path."""
    if isinstance(value, Mapping):
        for key in value:
            yield from leaves(f"{name}.{key}", value[key])
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for number, item in enumerate(value):
            yield from leaves(f"{name}[{number}]", item)
    else:
        yield name, value


def reason(error: BaseException, prefixes: Sequence[str]) -> str | None:
    """What went wrong, in words that can't hold a part of the value; None when a role may bring what is missing."""
    undefined = UNDEFINED.search(str(error))
    if undefined is None:
        while error.__cause__ is not None:
            error = error.__cause__
        return type(error).__name__
    return None if undefined[1].startswith(tuple(prefixes)) else f"{undefined[1]} is undefined"


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        found = []
        for name in sorted(variables or {}):
            if name.startswith(tuple(terms)):
                found += [f"{where} ({why})" for where, why in self._failing(name, variables[name], terms)]
        return found

    def _failing(self, name, value, prefixes):
        for where, leaf in leaves(name, value):
            try:
                str(self._templar.template(leaf))
            except Exception as error:  # whatever a filter or lookup of the user raises
                why = reason(error, prefixes)
                if why:
                    yield where, why
