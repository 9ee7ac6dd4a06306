# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every group of RDS operations stands on: parameters, errors, waiting, paging."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse

from .rds_model import Cluster, Facts, Instance, Region
from .refusal import Refusal
from .rules import ApiError
from .world import World

# The collections whose waiters poll once a minute: their describe calls are held back until a transition has ended.
SLOW_POLLERS = ("amazon.aws/", "community.aws/")
PAGE = 100


def plain(value: Any) -> Any:
    """Parsed request parameters as ordinary dicts and lists with AWS's own names."""
    if hasattr(value, "original_dict"):
        value = value.original_dict()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def filters_of(request: Mapping[str, Any], known: Sequence[str]) -> dict[str, list[str]]:
    """The request's Filters by name; an unknown name is AWS's InvalidParameterValue."""
    found: dict[str, list[str]] = {}
    for one in request.get("Filters") or []:
        if one["Name"] not in known:
            raise ApiError("InvalidParameterValue", f"Unrecognized filter name: {one['Name']}", 400)
        found[one["Name"]] = [str(value) for value in one["Values"]]
    return found


def matches(values: Iterable[str] | None, *candidates: Any) -> bool:
    """Whether a filter lets one of the candidates pass; a filter that wasn't given lets everything pass."""
    if values is None:
        return True
    wanted = {value.lower() for value in values}
    return any(str(candidate).lower() in wanted for candidate in candidates if candidate is not None)


def invalid_combination(message: str) -> ApiError:
    return ApiError("InvalidParameterCombination", message, 400)


def invalid_value(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message, 400)


class RDSOperations(RDSResponse):
    """moto's RDS with the sandbox's own resources; an operation the subclasses don't define is moto's."""

    world: ClassVar[World]

    @property
    def store(self) -> Region:
        """The caller's account and region."""
        return self.world.region(self.current_account, self.region)

    @property
    def request(self) -> Facts:
        """The call's parameters, AWS-cased."""
        return plain(self.params)

    def call_action(self) -> Any:
        """As moto's, with the sandbox's errors answered in AWS's form."""
        try:
            return super().call_action()
        except ApiError as error:
            _status, headers, body = self.serialized(ActionResult(Refusal.of(error)))
            return error.status, headers, body

    def linger(self, resource: Instance | Cluster | None) -> None:
        """Hold a describe call of a slow poller back while the resource is on its way to another state."""
        agent = self.headers.get("User-Agent", "")
        if resource is not None and any(name in agent for name in SLOW_POLLERS):
            self.world.linger(lambda: resource.settled)

    def page(self, name: str, facts: list[Facts]) -> ActionResult:
        """A list answer, paged by MaxRecords and Marker."""
        return ActionResult(self.page_of(name, facts))

    def page_of(self, name: str, facts: list[Facts]) -> Facts:
        """The page that MaxRecords (100 when left out) and Marker ask for; a Marker of its own while there is more."""
        request = self.request
        try:
            start, size = int(request.get("Marker") or 0), int(request.get("MaxRecords") or PAGE)
        except ValueError:
            raise invalid_value("The marker provided is invalid.") from None
        page = {name: facts[start:start + size]}
        return {**page, "Marker": str(start + size)} if start + size < len(facts) else page
