# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the main() of every module that speaks to PostgreSQL alone has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ._errors import MigrationError


def run(
    body: Callable[[Mapping[str, Any], bool], dict[str, Any]], argument_spec: dict[str, Any], **settings: Any
) -> None:
    """Run a module: ``body(params, check_mode)`` returns its result, and raises MigrationError for a person to read.

    A result that doesn't say ``changed`` is that of a module which only reads.
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **settings)
    try:
        result = body(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code)
    module.exit_json(**{"changed": False, **result})
