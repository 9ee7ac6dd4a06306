# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operations of PlanetScale's API stand on: finding things, pages, and the organization itself (S1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .planetscale_catalogue import ORGANIZATION, REGIONS, SKUS
from .planetscale_model import Branch, Database, Facts, Restriction, Role, now, stamp
from .rules import ApiError

if TYPE_CHECKING:
    from .world import World

Answer = tuple[Any, int]
PAGE, LARGEST_PAGE = 25, 100
NOTHING: Answer = ("", 204)


def missing(what: str) -> ApiError:
    return ApiError("not_found", f"{what} not found", 404)


class PlanetScaleBase:
    """All databases of the one organization. Methods take the path's parts, the query and the body."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.databases: dict[str, Database] = {}

    def branches(self) -> list[Branch]:
        """Every branch of every database."""
        with self.world.lock:
            return [branch for one in self.databases.values() for branch in one.branches.values()]

    # -- finding -----------------------------------------------------------------------------------------------------

    @staticmethod
    def organization(path: Facts) -> None:
        if path["organization"] != ORGANIZATION:
            raise missing("Organization")

    def database(self, path: Facts) -> Database:
        self.organization(path)
        try:
            return self.databases[path["database"]]
        except KeyError:
            raise missing("Database") from None

    def branch(self, path: Facts) -> Branch:
        for branch in self.database(path).branches.values():
            if path["branch"] in (branch.name, branch.id):
                return branch
        raise missing("Branch")

    def role(self, path: Facts) -> Role:
        try:
            return self.branch(path).roles[path["id"]]
        except KeyError:
            raise missing("Role") from None

    def restriction(self, path: Facts) -> Restriction:
        try:
            return self.database(path).restrictions[path["id"]]
        except KeyError:
            raise missing("Cidr") from None

    @staticmethod
    def page(items: Iterable[Facts], query: Facts, url: str = "", counted: bool = True) -> Answer:
        """A page of a list (S1); pages that aren't there are empty."""
        try:
            number, size = int(query.get("page", 1)), int(query.get("per_page", PAGE))
        except ValueError:
            number = size = 0
        if number < 1 or not 1 <= size <= LARGEST_PAGE:
            raise ApiError("bad_request", f"page and per_page are numbers from 1, per_page at most {LARGEST_PAGE}")
        everything = list(items)
        pages = max(1, math.ceil(len(everything) / size))
        after, before = number + 1 if number < pages else None, number - 1 if number > 1 else None
        total = {"total_count": len(everything), "total_pages": pages} if counted else {}
        return {
            "type": "list", "current_page": number, "per_page": size, "next_page": after,
            "next_page_url": f"{url}?page={after}" if after else None, "prev_page": before,
            "prev_page_url": f"{url}?page={before}" if before else None, **total,
            "data": everything[(number - 1) * size:number * size],
        }, 200

    # -- the organization --------------------------------------------------------------------------------------------

    def get_organization(self, path: Facts, query: Facts, body: Facts) -> Answer:
        self.organization(path)
        return {
            "id": "sandboxorg00", "name": ORGANIZATION, "billing_email": "", "created_at": stamp(now()),
            "updated_at": stamp(now()), "plan": "scaler_pro", "valid_billing_info": True, "sso": False,
            "sso_directory": False, "single_tenancy": False, "managed_tenancy": False, "has_past_due_invoices": False,
            "database_count": len(self.databases), "sso_portal_url": None, "features": {}, "idp_managed_roles": False,
            "invoice_budget_amount": "0", "keyspace_shard_limit": 0, "has_card": True, "payment_info_required": False,
        }, 200

    def list_public_regions(self, path: Facts, query: Facts, body: Facts) -> Answer:
        shown = ("id", "provider", "enabled", "public_ip_addresses", "display_name", "location", "slug")
        return self.page([{key: one[key] for key in shown} for one in REGIONS.values()], query, counted=False)

    def list_regions_for_organization(self, path: Facts, query: Facts, body: Facts) -> Answer:
        self.organization(path)
        return self.page(REGIONS.values(), query, counted=False)

    def list_database_regions(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.page([REGIONS[self.database(path).region]], query, counted=False)

    def list_cluster_size_skus(self, path: Facts, query: Facts, body: Facts) -> Answer:
        self.organization(path)
        return ([] if query.get("engine") == "mysql" else list(SKUS.values())), 200
