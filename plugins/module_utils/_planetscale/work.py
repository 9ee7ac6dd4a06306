# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying the plans out at PlanetScale: one object a module run, which observes and acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._patience import Patience
from . import passfile, roles, state, waiters
from .api import Api, Branch
from .errors import OutcomeUnknown, PlanetScaleError


def observe(api: Api, name: str, with_roles: bool = False) -> state.Seen:
    """What there is of a database; its roles cost a call more."""
    database = api.database(name)
    if database is None:
        return state.Seen()
    branch = api.branch(name, database["default_branch"])
    if branch is None:
        return state.Seen(database)
    made = branch.roles() if with_roles else []
    return state.Seen(database, branch.facts, branch.changes(), made)


def find_branch(api: Api, database: str, branch: str | None, may_be_missing: bool) -> Branch | None:
    """A database's branch, the default one unless named. None only where it may be missing; else PlanetScaleError."""
    found = api.database(database)
    if found is not None:
        seen = api.branch(database, branch or found["default_branch"])
        if seen is not None:
            return seen
    if may_be_missing:
        return None
    named = f"{database}/{branch}" if branch else database
    raise PlanetScaleError(
        f"database {named} doesn't exist in organization {api.access.organization}, or the token has no access to it. "
        "Cure: make it with planetscale_database, or correct the name.",
        code="not_found",
    )


class DatabaseWork:
    """Creates, changes and deletes a database."""

    def __init__(self, api: Api, name: str, patience: Patience) -> None:
        self.api = api
        self.name = name
        self.patience = patience

    def operations(self) -> dict[str, Any]:
        return {"create": self.create, "ask": self.ask, "delete": self.delete}

    def create(self, body: Mapping[str, Any]) -> None:
        """A creation whose answer was lost has made the database, or not: look. It wasn't there a moment ago."""
        try:
            self.api.create_database(body)
        except OutcomeUnknown:
            if self.api.database(self.name) is None:
                raise

    def ask(self, wish: Mapping[str, Any]) -> None:
        seen = self.api.database(self.name) or {}
        branch = self.api.branch(self.name, seen.get("default_branch", "main"))
        if branch is None:
            raise PlanetScaleError(f"database {self.name} is gone. Cure: run again.", code="gone")
        branch.ask(wish)

    def delete(self, name: str) -> None:
        self.api.delete_database(name)

    def await_present(self) -> None:
        branch = waiters.database_ready(self.api, self.name, self.patience)
        waiters.changes_done(branch, self.patience)

    def await_absent(self) -> None:
        waiters.database_gone(self.api, self.name, self.patience)


class RoleWork:
    """Creates and deletes a login; its password goes into the password file and nowhere else."""

    def __init__(self, branch: Branch, name: str, path: str | None, patience: Patience) -> None:
        self.branch = branch
        self.name = name
        self.path = path
        self.patience = patience

    def operations(self) -> dict[str, Any]:
        return {"create": self.create, "reset": self.reset, "delete": self.delete}

    def create(self, body: Mapping[str, Any]) -> None:
        """A role whose password was lost with the answer, or couldn't be written, is of no use to anybody."""
        try:
            made = self.branch.create_role(body)
        except OutcomeUnknown:
            found = roles.find(self.branch.roles(), self.name)
            if found is None:
                raise
            made = self.branch.reset_role(found["id"])
        try:
            self._write(made)
        except OSError as error:
            self.branch.delete_role(made["id"], None)
            raise PlanetScaleError(
                f"passfile: {self.path} can't be written: {error}. Role {self.name} was deleted again. Cure: mend the "
                "file or its directory, then run again."
            ) from error

    def reset(self, identifier: str) -> None:
        try:
            self._write(self.branch.reset_role(identifier))
        except OSError as error:
            raise PlanetScaleError(
                f"passfile: {self.path} can't be written: {error}. Cure: mend the file or its directory, and run again."
            ) from error

    def _write(self, made: Mapping[str, Any]) -> None:
        text = passfile.read(self.path or "")
        passfile.write(
            self.path or "",
            passfile.with_entry(text, made["access_host_url"], made["username"], made["password"]),
        )

    def delete(self, identifier: str, successor: str | None) -> None:
        role = self.branch.role(identifier)
        self.branch.delete_role(identifier, successor)
        if self.path:
            text = passfile.read(self.path)
            if passfile.has_entry(text, role["access_host_url"], role["username"]):
                passfile.write(
                    self.path, passfile.with_entry(text, role["access_host_url"], role["username"], None)
                )

    def await_present(self) -> Mapping[str, Any]:
        found = roles.find(self.branch.roles(), self.name)
        if found is None:
            raise PlanetScaleError(f"role {self.name} is gone. Cure: find out who deleted it, then run again.")
        return waiters.role_ready(self.branch, found["id"], self.patience)
