# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameter groups: the API calls, and how a change reaches the servers."""

from __future__ import annotations

import re

from moto.core.responses import ActionResult, EmptyResult

from . import catalogue, instance_work, parameters
from .rds_base import RDSOperations, invalid_combination, invalid_value
from .rds_model import Facts, ParameterGroup
from .rules import ApiError

MOST_IN_A_CALL = 20
NAME = {"instance": "DBParameterGroupName", "cluster": "DBClusterParameterGroupName"}
LIST = {"instance": "DBParameterGroups", "cluster": "DBClusterParameterGroups"}
ONE = {"instance": "DBParameterGroup", "cluster": "DBClusterParameterGroup"}


def value_allowed(parameter: Facts, value: str) -> bool:
    """Whether a value lies in AllowedValues: ranges (`1-100`) and words, separated by commas. Formulas pass."""
    allowed = parameter.get("AllowedValues")
    if not allowed or parameters.is_formula(value):
        return True
    if parameter.get("DataType") == "list":
        return all(one.strip() in allowed.split(",") for one in value.split(",") if one.strip())
    for one in allowed.split(","):
        span = re.fullmatch(r"\s*(-?[\d.]+(?:e[+-]?\d+)?)-(-?[\d.]+(?:e[+-]?\d+)?)\s*", one)
        if span is None:
            if value == one.strip():
                return True
        elif _is_number(value) and float(span.group(1)) <= float(value) <= float(span.group(2)):
            return True
    return False


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value) is not None


class ParameterOperations(RDSOperations):
    """DB and cluster parameter groups, which differ in their names only."""

    # -- groups ----------------------------------------------------------------------------------------------------

    def _create_group(self, level: str) -> ActionResult:
        request = self.request
        name = request[NAME[level]].lower()
        family = request["DBParameterGroupFamily"]
        with self.world.lock:
            if name in self.store.parameter_groups[level]:
                raise ApiError("DBParameterGroupAlreadyExists", f"Parameter group {name} already exists", 400)
            if not catalogue.engine_versions(family=family):
                raise invalid_value(f"ParameterGroupFamily {family} is not a valid parameter group family")
            group = self.store.add_parameter_group(level, name, family, request["Description"])
            group.tags = request.get("Tags", [])
            return ActionResult({ONE[level]: group.facts()})

    def _copy_group(self, level: str, source: str, target: str, description: str) -> ActionResult:
        with self.world.lock:
            original = self.store.parameter_group(level, source.rsplit(":", 1)[-1])
            if target.lower() in self.store.parameter_groups[level]:
                raise ApiError("DBParameterGroupAlreadyExists", f"Parameter group {target} already exists", 400)
            group = self.store.add_parameter_group(level, target.lower(), original.family, description)
            group.values = dict(original.values)
            group.tags = self.request.get("Tags", [])
            return ActionResult({ONE[level]: group.facts()})

    def _describe_groups(self, level: str) -> ActionResult:
        name = self.request.get(NAME[level])
        with self.world.lock:
            groups = self.store.parameter_groups[level]
            found = [self.store.parameter_group(level, name)] if name else list(groups.values())
            return self.page(LIST[level], [group.facts() for group in found])

    def _delete_group(self, level: str) -> ActionResult:
        with self.world.lock:
            group = self.store.parameter_group(level, self.request[NAME[level]])
            if group.default:
                raise ApiError("InvalidDBParameterGroupState", "Default parameter groups can't be deleted.", 400)
            if self._in_use(level, group.name):
                raise ApiError(
                    "InvalidDBParameterGroupState",
                    f"One or more database resources are still members of this parameter group {group.name}, so the"
                    " group cannot be deleted", 400,
                )
            del self.store.parameter_groups[level][group.name]
        return EmptyResult()

    def _in_use(self, level: str, name: str) -> bool:
        attached = level == "cluster" and any(
            cluster.facts["DBClusterParameterGroup"] == name for cluster in self.store.clusters.values()
        )
        return attached or any(True for _user in self.store.users_of(level, name))

    # -- parameters ------------------------------------------------------------------------------------------------

    def _described(self, group: ParameterGroup) -> list[Facts]:
        described = []
        for parameter in parameters.engine_default_parameters(group.family, group.level):
            if parameter["ParameterName"] in group.values:
                value, method = group.values[parameter["ParameterName"]]
                parameter = {**parameter, "ParameterValue": value, "Source": "user", "ApplyMethod": method}
            described.append(parameter)
        return described

    def _describe_parameters(self, level: str) -> ActionResult:
        request = self.request
        with self.world.lock:
            described = self._described(self.store.parameter_group(level, request[NAME[level]]))
        source = request.get("Source")
        return self.page("Parameters", [one for one in described if source in (None, "", one["Source"])])

    def _modify_group(self, level: str) -> ActionResult:
        request = self.request
        with self.world.lock:
            group = self._changeable(level, request[NAME[level]])
            given = request.get("Parameters") or []
            if len(given) > MOST_IN_A_CALL:
                raise invalid_value(f"A maximum of {MOST_IN_A_CALL} parameters can be modified in a single request.")
            known = {one["ParameterName"]: one for one in parameters.engine_default_parameters(group.family, level)}
            for one in given:
                self._check(one, known)
            for one in given:
                group.values[one["ParameterName"]] = (str(one["ParameterValue"]), one["ApplyMethod"])
            at_once = {one["ParameterName"]: one["ParameterValue"] for one in given
                       if one["ApplyMethod"] == "immediate"}
            self._reach_servers(group, at_once)
        return ActionResult({NAME[level]: group.name})

    def _changeable(self, level: str, name: str) -> ParameterGroup:
        group = self.store.parameter_group(level, name)
        if group.default:
            raise ApiError(
                "InvalidDBParameterGroupState" if level == "cluster" else "InvalidParameterValue",
                f"The parameter group {group.name} cannot be modified: default groups can't.", 400,
            )
        return group

    @staticmethod
    def _check(given: Facts, known: dict[str, Facts]) -> None:
        name, value = given["ParameterName"], given.get("ParameterValue")
        parameter = known.get(name)
        if parameter is None:
            raise invalid_value(f"Could not find parameter with name: {name}")
        if not parameter["IsModifiable"]:
            raise invalid_value(f"The parameter {name} cannot be modified.")
        if given.get("ApplyMethod") not in ("immediate", "pending-reboot"):
            raise invalid_value(f"ApplyMethod must be immediate or pending-reboot for {name}.")
        if given["ApplyMethod"] == "immediate" and parameter["ApplyType"] == "static":
            raise invalid_combination(f"cannot use immediate apply method for static parameter {name}")
        if value is None:
            raise invalid_value(f"The parameter {name} has no value.")
        if not value_allowed(parameter, str(value)):
            raise invalid_value(
                f"Invalid parameter value: {value} for: {name} allowed values are: {parameter.get('AllowedValues')}"
            )

    def _reset_group(self, level: str) -> ActionResult:
        request = self.request
        with self.world.lock:
            group = self._changeable(level, request[NAME[level]])
            given = request.get("Parameters") or []
            if request.get("ResetAllParameters", not given):
                names = {name: method for name, (_value, method) in group.values.items()}
            else:
                names = {one["ParameterName"]: one.get("ApplyMethod", "pending-reboot") for one in given}
            known = {one["ParameterName"]: one for one in parameters.engine_default_parameters(group.family, level)}
            for name in names:
                group.values.pop(name, None)
            self._reach_servers(group, {
                name: None for name, method in names.items()
                if method == "immediate" and known.get(name, {}).get("ApplyType") == "dynamic"
            })
        return ActionResult({NAME[level]: group.name})

    def _reach_servers(self, group: ParameterGroup, values: dict[str, str | None]) -> None:
        if values:
            for instance in self.store.users_of(group.level, group.name):
                if not instance.group_changed[group.level]:
                    instance_work.apply_parameters(instance, group.level, values)

    def _engine_defaults(self, level: str) -> ActionResult:
        request = self.request
        try:
            every = parameters.engine_default_parameters(request["DBParameterGroupFamily"], level)
        except ValueError as error:
            raise invalid_value(str(error)) from error
        return ActionResult({"EngineDefaults": {
            "DBParameterGroupFamily": request["DBParameterGroupFamily"], **self.page_of("Parameters", every),
        }})

    # -- the calls by name -----------------------------------------------------------------------------------------

    def create_db_parameter_group(self) -> ActionResult:
        return self._create_group("instance")

    def create_db_cluster_parameter_group(self) -> ActionResult:
        return self._create_group("cluster")

    def copy_db_parameter_group(self) -> ActionResult:
        request = self.request
        return self._copy_group(
            "instance", request["SourceDBParameterGroupIdentifier"], request["TargetDBParameterGroupIdentifier"],
            request["TargetDBParameterGroupDescription"],
        )

    def copy_db_cluster_parameter_group(self) -> ActionResult:
        request = self.request
        return self._copy_group(
            "cluster", request["SourceDBClusterParameterGroupIdentifier"],
            request["TargetDBClusterParameterGroupIdentifier"], request["TargetDBClusterParameterGroupDescription"],
        )

    def describe_db_parameter_groups(self) -> ActionResult:
        return self._describe_groups("instance")

    def describe_db_cluster_parameter_groups(self) -> ActionResult:
        return self._describe_groups("cluster")

    def delete_db_parameter_group(self) -> ActionResult:
        return self._delete_group("instance")

    def delete_db_cluster_parameter_group(self) -> ActionResult:
        return self._delete_group("cluster")

    def describe_db_parameters(self) -> ActionResult:
        return self._describe_parameters("instance")

    def describe_db_cluster_parameters(self) -> ActionResult:
        return self._describe_parameters("cluster")

    def modify_db_parameter_group(self) -> ActionResult:
        return self._modify_group("instance")

    def modify_db_cluster_parameter_group(self) -> ActionResult:
        return self._modify_group("cluster")

    def reset_db_parameter_group(self) -> ActionResult:
        return self._reset_group("instance")

    def reset_db_cluster_parameter_group(self) -> ActionResult:
        return self._reset_group("cluster")

    def describe_engine_default_parameters(self) -> ActionResult:
        return self._engine_defaults("instance")

    def describe_engine_default_cluster_parameters(self) -> ActionResult:
        return self._engine_defaults("cluster")
