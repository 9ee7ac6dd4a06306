# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the main() of every module that speaks to PlanetScale has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback

from ._errors import MigrationError
from ._planetscale.api import DEFAULT_URL, Access, Api
from ._planetscale.errors import PlanetScaleError

ACCESS = {
    "organization": {"type": "str", "fallback": (env_fallback, ["PLANETSCALE_ORGANIZATION", "PLANETSCALE_ORG"])},
    "service_token_id": {
        "type": "str", "fallback": (env_fallback, ["PLANETSCALE_SERVICE_TOKEN_ID"]), "no_log": False,
    },
    "service_token": {"type": "str", "fallback": (env_fallback, ["PLANETSCALE_SERVICE_TOKEN"]), "no_log": True},
    "api_url": {"type": "str", "default": DEFAULT_URL, "fallback": (env_fallback, ["PLANETSCALE_API_URL"])},
}
WAIT = {"wait": {"type": "bool", "default": True}, "wait_timeout": {"type": "int", "default": 3600}}


def access_of(params: dict[str, Any]) -> Access:
    """Who asks; PlanetScaleError names what neither an option nor the environment says."""
    names = ("organization", "service_token_id", "service_token")
    for name in names:
        if not params[name]:
            raise PlanetScaleError(f"{name} is missing. Cure: give it, or set PLANETSCALE_{name.upper()}.")
    return Access(params["api_url"], *(params[name] for name in names))


def run(
    body: Callable[[AnsibleModule, Api], dict[str, Any]], argument_spec: dict[str, Any], **settings: Any
) -> None:
    """Run a module: ``body`` returns its result, and raises MigrationError for what a person is to read."""
    module = AnsibleModule(argument_spec={**ACCESS, **argument_spec}, supports_check_mode=True, **settings)
    try:
        result = body(module, Api(access_of(module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, code=error.code)
    module.exit_json(**result)
