# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong at PlanetScale, said to a person: the operation, the object, the reason and the cure."""

from __future__ import annotations

from .._errors import MigrationError

TOO_MANY = 429
# The accesses of a service token that an operation asks for, as PlanetScale's own description names them.
ACCESSES = {
    "list_regions_for_organization": "read_organization",
    "list_cluster_size_skus": "read_organization",
    "list_databases": "read_database",
    "get_database": "read_database",
    "create_database": "create_databases",
    "delete_database": "delete_database",
    "list_database_postgres_cidrs": "read_database",
    "get_branch": "read_branch",
    "list_branch_change_requests": "read_branch",
    "get_branch_change_request": "read_branch",
    "update_branch_change_request": "write_database",
    "list_parameters": "read_branch",
    "list_extensions": "read_branch",
    "list_roles": "read_branch",
    "get_role": "read_branch",
    "create_role": "create_production_branch_password or, for a development branch, create_branch_password",
    "reset_role": "delete_production_branch_password or, for a development branch, delete_branch_password",
    "delete_role": "delete_production_branch_password or, for a development branch, delete_branch_password",
}


class PlanetScaleError(MigrationError):
    """An answer of PlanetScale that ends the work; ``code`` is the service's own, ``status`` HTTP's."""

    def __init__(self, message: str, *, code: str | None = None, status: int = 0) -> None:
        super().__init__(message, code=code)
        self.status = status


class OutcomeUnknown(PlanetScaleError):
    """A call that must not be repeated blindly may have been carried out, or not."""


def _cure(operation: str, status: int, said: str) -> tuple[str, str]:
    if status == 401:
        return "PlanetScale does not accept the token", "check service_token_id and service_token (S1)"
    if status == 403:
        access = ACCESSES.get(operation, operation)
        return "the token lacks an access", f"give the service token the access {access}"
    if status == 404:
        return said, "check the name and the organization; PlanetScale also hides what the token has no access to"
    if status == TOO_MANY:
        return "throttled until the retries ran out", "run fewer hosts at a time (serial, forks), then run again"
    if status >= 500:
        return f"the service failed: {said}", "look at PlanetScale's status page, then run again"
    return said, "mend what the service complains about, then run again"


def from_answer(operation: str, about: str, status: int, code: str | None, said: str | None) -> PlanetScaleError:
    """The error for an answer with an error's status. Pure."""
    told = (said or "no reason was given").strip().rstrip(".")
    reason, cure = _cure(operation, status, told)
    named = code or str(status)
    message = f"{about}: {operation} failed: {reason} ({named}). Cure: {cure}."
    return PlanetScaleError(message, code=named, status=status)


def no_answer(operation: str, about: str, reason: str) -> PlanetScaleError:
    """The error for a call that got no answer at all."""
    return PlanetScaleError(
        f"{about}: {operation} had no answer: {reason}. Cure: check api_url and the network's way to PlanetScale.",
        code="no_answer",
    )
