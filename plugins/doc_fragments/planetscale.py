# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that speak to PlanetScale have in common."""

    DOCUMENTATION = r"""
options:
  organization:
    description:
      - The name of the organization.
      - Left out, it is that of the environment variables E(PLANETSCALE_ORGANIZATION) or E(PLANETSCALE_ORG).
    type: str
  service_token_id:
    description:
      - The id of a service token.
      - Left out, it is that of the environment variable E(PLANETSCALE_SERVICE_TOKEN_ID).
    type: str
  service_token:
    description:
      - The service token itself. The collection's documentation on permissions says what it must be allowed to do.
      - Left out, it is that of the environment variable E(PLANETSCALE_SERVICE_TOKEN).
    type: str
  api_url:
    description:
      - The address of the API. C(http) is accepted for an API on this machine only, since the token goes with each
        call.
      - Left out, the environment variable E(PLANETSCALE_API_URL) may say another.
    type: str
    default: https://api.planetscale.com/v1
attributes:
  action_group:
    description: Use C(group/cloudpg.migration.planetscale) in C(module_defaults) for the options that say who asks.
    support: full
    membership:
      - cloudpg.migration.planetscale
notes:
  - A call that is throttled, or fails inside the service, is tried six times. A pause is what the service asks for,
    else a growing one, and never more than a minute.
  - A creation that failed inside the service is not repeated blindly; the module looks whether it has happened.
"""

    WAIT = r"""
options:
  wait:
    description: Whether to wait until PlanetScale has done what was asked.
    type: bool
    default: true
  wait_timeout:
    description: How long to wait, in seconds. A change request that was canceled ends the wait at once.
    type: int
    default: 3600
"""

    BRANCH = r"""
options:
  database:
    description:
      - The name of the database.
      - In check mode it need not be there yet.
    type: str
    required: true
  branch:
    description: The name of the branch. Left out, it is the database's default branch.
    type: str
"""
