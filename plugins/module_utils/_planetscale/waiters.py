# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for PlanetScale: a database, a role, a change request."""

from __future__ import annotations

from typing import Any

from .._patience import Patience, Sight
from .api import Api, Branch
from .errors import PlanetScaleError
from .state import OPEN_CHANGES


def database_ready(api: Api, name: str, patience: Patience) -> Branch:
    """Until the database and its default branch are ready; returns the branch (S2)."""

    def look() -> Sight:
        database = api.database(name)
        if database is None:
            raise PlanetScaleError(
                f"database {name} is gone. Cure: find out in PlanetScale's audit log who deleted it.", code="gone"
            )
        branch = api.branch(name, database["default_branch"])
        ready = database["state"] == "ready" and branch is not None and bool(branch.facts["ready"])
        return Sight(ready, f"database {name} is {database['state']}", branch)

    return patience.until(look, f"database {name} to be ready")


def database_gone(api: Api, name: str, patience: Patience) -> None:
    def look() -> Sight:
        return Sight(api.database(name) is None, f"database {name} is still there")

    patience.until(look, f"database {name} to be gone")


def role_ready(branch: Branch, identifier: str, patience: Patience) -> dict[str, Any]:
    """Until a role can log in (S4)."""

    def look() -> Sight:
        role = branch.role(identifier)
        return Sight(bool(role["ready"]), f"role {role['name']} isn't ready", role)

    return patience.until(look, f"role {identifier} to be ready")


def change_done(branch: Branch, identifier: str, patience: Patience) -> dict[str, Any]:
    """Until a change request is completed; one that was canceled is an error (S5)."""

    def look() -> Sight:
        change = branch.change(identifier)
        if change["state"] == "canceled":
            raise PlanetScaleError(
                f"{branch.about}: change request {identifier} was canceled. Cure: look at the branch's changes in "
                "PlanetScale's dashboard, mend what they name, then run again.",
                code="canceled",
            )
        return Sight(change["state"] == "completed", f"change request {identifier} is {change['state']}", change)

    return patience.until(look, f"{branch.about}: change request {identifier} to be completed")


def changes_done(branch: Branch, patience: Patience) -> None:
    """Until no change request is under way; whoever asked for it."""

    def look() -> Sight:
        waiting = [change for change in branch.changes() if change["state"] in OPEN_CHANGES]
        return Sight(not waiting, ", ".join(f"change request {one['id']} is {one['state']}" for one in waiting))

    patience.until(look, f"{branch.about}: its change requests to be completed")
