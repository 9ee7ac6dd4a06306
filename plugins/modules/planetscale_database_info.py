# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: planetscale_database_info
short_description: Look at PlanetScale for Postgres databases, regions and sizes
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Says what databases there are, who may reach them, and what regions and sizes a new one can have.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.read_only
  - cloudpg.migration.planetscale
options:
  name:
    description: The name of the one database to look at. Left out, all PostgreSQL databases are listed.
    type: str
  offers:
    description: Whether to list regions and sizes, too.
    type: bool
    default: false
  region:
    description: The region to list the sizes of, with O(offers=true). Left out, they are those of all regions.
    type: str
seealso:
  - module: cloudpg.migration.planetscale_database
"""

EXAMPLES = r"""
- name: What can be had in Europe?
  cloudpg.migration.planetscale_database_info:
    organization: acme
    offers: true
    region: eu-west
  register: there

- name: Look at one database
  cloudpg.migration.planetscale_database_info:
    organization: acme
    name: orders
"""

RETURN = r"""
databases:
  description: >-
    The databases, each as M(cloudpg.migration.planetscale_database) returns it; with O(name), each also with
    C(restrictions), the networks that get in (C(cidrs), C(role), C(schema), C(description)). Without any, everybody
    does.
  type: list
  elements: dict
  returned: always
regions:
  description: >-
    The regions for PostgreSQL, each with C(slug), C(name), C(enabled), C(default) and C(import_addresses). Empty
    without O(offers).
  type: list
  elements: dict
  returned: always
sizes:
  description: The sizes, each with C(name), C(cpu), C(ram) and C(production). Empty without O(offers).
  type: list
  elements: dict
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import state, work
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale_module import run


def look(api, name):
    """The documents of one database, or of none."""
    seen = work.observe(api, name)
    if seen.database is None:
        return []
    shown = ("cidrs", "role", "schema", "description")
    restrictions = [{key: one[key] for key in shown} for one in api.restrictions(name)]
    return [{**state.document(seen), "restrictions": restrictions}]


def body(module, api):
    name, offers = module.params["name"], module.params["offers"]
    if name:
        databases = look(api, name)
    else:
        listed = [one["name"] for one in api.databases() if one["kind"] == "postgresql"]
        databases = [state.document(work.observe(api, one)) for one in listed]
    return {
        "changed": False,
        "databases": databases,
        "regions": [
            {
                "slug": one["slug"], "name": one["display_name"], "enabled": one["enabled"],
                "default": one["current_default"], "import_addresses": one["public_ip_addresses"],
            }
            for one in (api.regions() if offers else []) if one["postgresql_supported"]
        ],
        "sizes": [
            {key: one[key] for key in ("name", "cpu", "ram", "production")}
            for one in (api.sizes(module.params["region"]) if offers else []) if one["enabled"]
        ],
    }


def main():
    run(body, {
        "name": {"type": "str"},
        "offers": {"type": "bool", "default": False},
        "region": {"type": "str"},
    })


if __name__ == "__main__":
    main()
