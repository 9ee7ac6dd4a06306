# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading and changing parameter groups: the calls, which differ by level in their names only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import api
from .errors import RdsError
from .parameter_groups import Group
from .parameters import CLUSTER, Defaults, user_values
from .state import aws_tags

_WORD = {CLUSTER: "db_cluster_parameter_group", "instance": "db_parameter_group"}
_KEY = {CLUSTER: "DBClusterParameterGroupName", "instance": "DBParameterGroupName"}
_EXISTS = {"DBParameterGroupAlreadyExists", "DBParameterGroupAlreadyExistsFault"}


def _about(level: str, name: str) -> str:
    return f"cluster parameter group {name}" if level == CLUSTER else f"parameter group {name}"


def defaults_of(rds: Any, family: str) -> Defaults:
    """What groups of the family start with, at both levels."""
    return Defaults.of(
        api.describe_default_cluster_parameters(rds, family), api.describe_default_parameters(rds, family)
    )


def source_values(rds: Any, instance: Mapping[str, Any]) -> dict[str, str]:
    """What a person has set in the groups of an RDS instance, by name."""
    values: dict[str, str] = {}
    for group in instance.get("DBParameterGroups", []):
        values |= user_values(api.describe_parameters(rds, group["DBParameterGroupName"], "user"))
    return values


def read(rds: Any, level: str, name: str) -> Group | None:
    """A group with its values and tags, or None."""
    describe = api.describe_cluster_parameter_group if level == CLUSTER else api.describe_parameter_group
    found = describe(rds, name)
    if found is None:
        return None
    listing = api.describe_cluster_parameters if level == CLUSTER else api.describe_parameters
    arn = found["DBClusterParameterGroupArn" if level == CLUSTER else "DBParameterGroupArn"]
    tags = api.call(rds, "list_tags_for_resource", arn, ResourceName=arn)["TagList"]
    return Group(
        level, found[_KEY[level]], arn, found["DBParameterGroupFamily"], user_values(listing(rds, name, "user")),
        {tag["Key"]: tag.get("Value", "") for tag in tags},
    )


def operations(
    rds: Any, description: str = "Translated from RDS by cloudpg.migration"
) -> dict[str, Callable[..., None]]:
    """The operations that the steps of a plan name."""

    def create(level: str, name: str, family: str, tags: Mapping[str, str]) -> None:
        """One that is there already is no error: a retried call may have made it, and its tags say whose it is."""
        try:
            api.call(
                rds, f"create_{_WORD[level]}", _about(level, name), **{_KEY[level]: name},
                DBParameterGroupFamily=family, Description=description,
                Tags=aws_tags(tags),
            )
        except RdsError as error:
            made = read(rds, level, name) if error.code in _EXISTS else None
            if made is None or (made.family, dict(made.tags)) != (family, dict(tags)):
                raise

    def change(verb: str) -> Callable[..., None]:
        def apply(level: str, name: str, parameters: Sequence[Mapping[str, Any]]) -> None:
            api.call(
                rds, f"{verb}_{_WORD[level]}", _about(level, name), **{_KEY[level]: name},
                Parameters=[dict(parameter) for parameter in parameters],
            )

        return apply

    def delete(level: str, name: str) -> None:
        try:
            api.call(rds, f"delete_{_WORD[level]}", _about(level, name), **{_KEY[level]: name})
        except RdsError as error:
            if error.code not in api.GROUP_MISSING:
                raise

    return {
        "create": create, "set": change("modify"), "reset": change("reset"), "delete": delete,
        "tag": lambda arn, tags: api.add_tags(rds, arn, tags),
        "untag": lambda arn, keys: api.remove_tags(rds, arn, keys),
    }
