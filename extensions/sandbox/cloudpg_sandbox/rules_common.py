# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules stand on: the error answer, identifiers, and checks that several operations share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import catalogue

Params = Mapping[str, Any]

IDENTIFIER_PARAMETERS = {
    "instance": "DBInstanceIdentifier",
    "cluster": "DBClusterIdentifier",
    "snapshot": "DBSnapshotIdentifier",
    "cluster snapshot": "DBClusterSnapshotIdentifier",
}
LONGEST_IDENTIFIER = {
    "DBSnapshotIdentifier": 255, "DBClusterSnapshotIdentifier": 255, "FinalDBSnapshotIdentifier": 255,
}


class ApiError(Exception):
    """An error answer: the service's code, its message and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def combination(message: str) -> ApiError:
    return ApiError("InvalidParameterCombination", message)


def value(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)


def instance_state(message: str) -> ApiError:
    return ApiError("InvalidDBInstanceState", message)


def cluster_state(message: str) -> ApiError:
    return ApiError("InvalidDBClusterStateFault", message)


def given(params: Params, name: str) -> bool:
    return params.get(name) is not None


def check_identifier(name: str | None, kind: str) -> None:
    """R22: 1 to 63 letters, digits and hyphens, a letter first, no `--`, no hyphen at the end (snapshots: 255).

    `kind` is `instance`, `cluster`, `snapshot`, `cluster snapshot` or the parameter's own name.
    """
    parameter = IDENTIFIER_PARAMETERS.get(kind, kind)
    if not name:
        raise value(f"The parameter {parameter} must be provided and must not be blank.")
    longest = LONGEST_IDENTIFIER.get(parameter, 63)
    if len(name) > longest:
        raise value(
            f"The parameter {parameter} is not a valid identifier because it is longer than {longest} characters."
        )
    if not re.fullmatch(r"[A-Za-z](-?[A-Za-z0-9])*", name):
        raise value(
            f"The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain"
            " only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive"
            " hyphens."
        )


def subnet_group(resource: Mapping[str, Any]) -> str:
    """The subnet group's name: an instance describes the group, a cluster only names it."""
    group = resource.get("DBSubnetGroup") or "default"
    return group if isinstance(group, str) else group["DBSubnetGroupName"]


def check_orderable(engine: str, version: str, db_class: str | None) -> None:
    """R5: the class can be ordered for that version."""
    if not catalogue.orderable_options(engine, version, db_class or "none"):
        raise combination(
            "RDS does not support creating a DB instance with the following combination:"
            f" DBInstanceClass={db_class}, Engine={engine}, EngineVersion={version}, LicenseModel={catalogue.LICENSE}."
            " For supported combinations of instance class and database engine version, see the documentation."
        )
