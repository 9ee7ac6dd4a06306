# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: door
short_description: The role behind a migration path
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Turns the name of a path into the role that goes it, and makes sure that the role has the door that is asked for.
  - A bare name is a role of this collection; a name with two dots is a role of any installed collection.
options:
  _terms:
    description: The path, and the verb whose door is wanted.
    required: true
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Which role goes this path
  ansible.builtin.debug:
    msg: "{{ lookup('cloudpg.migration.door', 'replica', 'status') }}"
"""

RETURN = r"""
_raw:
  description: The role's fully qualified name.
  type: list
  elements: str
"""

from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.collection_loader._collection_finder import _get_collection_role_path

OURS = "cloudpg.migration"
VERBS = ("preflight", "replicate", "cutover", "rollback", "finish", "status")


def has_doors(role: Path) -> bool:
    return all((role / "tasks" / f"{verb}.yml").is_file() for verb in VERBS)


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        path, verb = terms
        if not path:
            raise AnsibleError(
                f"migration_path isn't set: name the path of this migration, one of {', '.join(self._known())}, "
                "or the FQCN of a role with the six doors."
            )
        name = path if path.count(".") >= 2 else f"{OURS}.{path}"
        found = _get_collection_role_path(name)
        if not found:
            raise AnsibleError(
                f'migration_path is "{path}", and there is no such path. This collection goes '
                f"{', '.join(self._known())}; another one's role is named in full, as in my.collection.role. "
                "Nothing was changed."
            )
        if not (Path(found[1]) / "tasks" / f"{verb}.yml").is_file():
            raise AnsibleError(
                f'migration_path is "{path}", but the role {name} has no tasks/{verb}.yml: a path has the six doors '
                f"{', '.join(VERBS)}. Nothing was changed."
            )
        return [name]

    @staticmethod
    def _known() -> list[str]:
        """The paths of this collection: those of its roles which have the six doors."""
        base = Path(_get_collection_role_path(f"{OURS}.migration")[1]).parent
        return sorted(role.name for role in base.iterdir() if role.name != "migration" and has_doors(role))
