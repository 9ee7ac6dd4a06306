# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the main() of every module that speaks to AWS has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.common import set_collection_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ._errors import MigrationError
from ._journal import JOURNAL

__all__ = ["JOURNAL", "VERSION", "WAIT", "run"]

# galaxy.yml's; AWS sees it in the User-Agent.
VERSION = "1.0.0"
WAIT = {"wait": {"type": "bool", "default": True}, "wait_timeout": {"type": "int", "default": 3600}}


def run(body: Callable[[AnsibleAWSModule], dict[str, Any]], argument_spec: dict[str, Any], **settings: Any) -> None:
    """Run a module: ``body`` returns its result, and raises MigrationError for what a person is to read."""
    set_collection_info(collection_name="cloudpg.migration", collection_version=VERSION)
    module = AnsibleAWSModule(argument_spec=argument_spec, supports_check_mode=True, **settings)
    try:
        result = body(module)
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code)
    module.exit_json(**result)
