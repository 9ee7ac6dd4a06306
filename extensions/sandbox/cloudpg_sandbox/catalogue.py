# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox's RDS has on offer: engine versions, orderable classes and (from `parameters`) parameters.

Answers are plain dicts in AWS's spelling, as boto3 gives them. The minors are those AWS released, gaps included
(Aurora never had 16.5), because a check that compares versions as text only fails on real numbers (R5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .parameters import engine_default_parameters, to_server_setting

__all__ = [
    "engine_default_parameters",
    "engine_versions",
    "orderable_options",
    "resolve_version",
    "to_server_setting",
    "version_key",
]

ENGINES = ("postgres", "aurora-postgresql")
LICENSE = "postgresql-license"
FEATURES = {
    "postgres": ["Lambda", "s3Export", "s3Import"],
    "aurora-postgresql": ["Bedrock", "Comprehend", "Lambda", "s3Export", "s3Import", "SageMaker"],
}
CERTIFICATES = ["rds-ca-rsa2048-g1", "rds-ca-ecc384-g1", "rds-ca-rsa4096-g1"]

# The sandbox's default is the major it has a server for without further ado.
DEFAULT_MAJOR = 16
DEFAULT_MINOR = {12: 22, 13: 22, 14: 19, 15: 14, 16: 11, 17: 7, 18: 3}

AVAILABLE: dict[str, dict[int, list[int]]] = {
    "postgres": {
        12: [22],
        13: [20, 21, 22, 23],
        14: [17, 18, 19, 20, 22, 23],
        15: [7, 8, 10, 12, 13, 14, 15, 17, 18],
        16: [3, 4, 5, 6, 8, 9, 10, 11, 13, 14],
        17: [1, 2, 4, 5, 6, 7, 9, 10],
        18: [1, 3, 4],
    },
    "aurora-postgresql": {
        12: [22],
        13: [20, 21, 22, 23],
        14: [17, 18, 19, 20, 22, 23],
        15: [7, 8, 10, 12, 13, 14, 15, 17, 18],
        16: [3, 4, 6, 8, 9, 10, 11, 13, 14],
        17: [4, 5, 6, 7, 9, 10],
        18: [3, 4],
    },
}
# Still running somewhere, no longer to be created: listed only with IncludeAll.
DEPRECATED: dict[str, dict[int, list[int]]] = {
    "postgres": {12: [19, 20, 21], 13: [15, 16, 18], 14: [12, 13, 15], 15: [5, 6], 16: [1, 2]},
    "aurora-postgresql": {12: [19, 20], 13: [15, 16, 18], 14: [12, 13, 15], 15: [5, 6], 16: [1, 2]},
}

# Minors of all majors come out on the same days; this many minors of a major are older than 17.0.
MINORS_BEFORE_17_0 = {12: 20, 13: 16, 14: 13, 15: 8, 16: 4, 17: 0, 18: -6}

BURSTABLE = ("micro", "small", "medium", "large", "xlarge", "2xlarge")
GRAVITON = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
INTEL = (*GRAVITON, "24xlarge")
# class family -> (sizes, first major that has it)
CLASSES: dict[str, dict[str, tuple[tuple[str, ...], int]]] = {
    "postgres": {
        "db.t3": (BURSTABLE, 12),
        "db.t4g": (BURSTABLE, 12),
        "db.m5": (INTEL, 12),
        "db.m6g": (GRAVITON, 12),
        "db.m6i": (INTEL, 13),
        "db.m7g": (GRAVITON, 13),
        "db.m8g": (GRAVITON, 14),
        "db.r5": (INTEL, 12),
        "db.r6g": (GRAVITON, 12),
        "db.r6i": (INTEL, 13),
        "db.r7g": (GRAVITON, 13),
        "db.r8g": (GRAVITON, 14),
        "db.x2g": (GRAVITON, 12),
    },
    "aurora-postgresql": {
        "db.t3": (("medium", "large"), 12),
        "db.t4g": (("medium", "large"), 12),
        "db.r5": (INTEL, 12),
        "db.r6g": (GRAVITON, 12),
        "db.r6i": (INTEL, 13),
        "db.r7g": (GRAVITON, 13),
        "db.r8g": (GRAVITON, 14),
        "db.x2g": (GRAVITON, 13),
    },
}


def version_key(version: str) -> tuple[int, ...]:
    """A version as numbers: 16.11 is newer than 16.9. ValueError for anything but digits and dots."""
    return tuple(int(part) for part in version.split("."))


def major_of(version: str) -> int:
    return version_key(version)[0]


def family_of(engine: str, version: str) -> str:
    """The parameter group family of a version, such as `aurora-postgresql16`."""
    return f"{engine}{major_of(version)}"


def _versions(engine: str, table: dict[str, dict[int, list[int]]]) -> Iterable[str]:
    return (f"{major}.{minor}" for major, minors in table[engine].items() for minor in minors)


def _released(version: str) -> int:
    major, minor = version_key(version)[:2]
    return minor - MINORS_BEFORE_17_0[major]


def _upgrade_target(engine: str, current: str, target: str) -> dict[str, Any]:
    entry = {
        "Engine": engine,
        "EngineVersion": target,
        "Description": _description(engine, target),
        "AutoUpgrade": False,
        "IsMajorVersionUpgrade": major_of(target) != major_of(current),
    }
    if engine != "postgres":
        entry["SupportedEngineModes"] = ["provisioned"]
    return entry


def _upgrade_targets(engine: str, version: str) -> list[dict[str, Any]]:
    """Newer minors of the same major, and later majors' minors that came out no earlier; never another engine (R5)."""
    targets = [
        candidate
        for candidate in _versions(engine, AVAILABLE)
        if version_key(candidate) > version_key(version) and _released(candidate) >= _released(version)
    ]
    return [_upgrade_target(engine, version, target) for target in targets]


def _description(engine: str, version: str) -> str:
    if engine == "postgres":
        return f"PostgreSQL {version}-R1"
    return f"Aurora PostgreSQL (Compatible with PostgreSQL {version})"


def _engine_version(engine: str, version: str, status: str) -> dict[str, Any]:
    aurora = engine != "postgres"
    return {
        "Engine": engine,
        "EngineVersion": version,
        "MajorEngineVersion": str(major_of(version)),
        "DBParameterGroupFamily": family_of(engine, version),
        "DBEngineDescription": "Aurora (PostgreSQL)" if aurora else "PostgreSQL",
        "DBEngineVersionDescription": _description(engine, version),
        "ValidUpgradeTarget": _upgrade_targets(engine, version),
        "ExportableLogTypes": ["postgresql"] if aurora else ["postgresql", "upgrade"],
        "SupportsLogExportsToCloudwatchLogs": True,
        "SupportsReadReplica": not aurora,
        "SupportedEngineModes": ["provisioned"],
        "SupportedFeatureNames": list(FEATURES[engine]),
        "Status": status,
        "SupportsParallelQuery": False,
        "SupportsGlobalDatabases": aurora,
        "SupportsBabelfish": aurora,
        "SupportsCertificateRotationWithoutRestart": True,
        "SupportedCACertificateIdentifiers": list(CERTIFICATES),
        "TagList": [],
    }


def resolve_version(engine: str, version: str | None = None) -> str | None:
    """The version a create call gets: the default for None, a major's default for `16`; None when there is none."""
    if engine not in AVAILABLE:
        return None
    if not version:
        version = str(DEFAULT_MAJOR)
    if version.isdigit():
        if int(version) not in AVAILABLE[engine]:
            return None
        return f"{version}.{DEFAULT_MINOR[int(version)]}"
    return version if version in _versions(engine, AVAILABLE) else None


def engine_versions(
    engine: str | None = None,
    version: str | None = None,
    family: str | None = None,
    default_only: bool = False,
    include_all: bool = False,
) -> list[dict[str, Any]]:
    """DBEngineVersion dicts, oldest first, as DescribeDBEngineVersions filters them.

    A version may be a major alone (`16`: all its minors). Deprecated ones come only with `include_all`.
    """
    found = []
    for name in ENGINES:
        listed = [(item, "available") for item in _versions(name, AVAILABLE)]
        if include_all:
            listed += [(item, "deprecated") for item in _versions(name, DEPRECATED)]
        for item, status in sorted(listed, key=lambda pair: version_key(pair[0])):
            if engine not in (None, name) or version not in (None, item, str(major_of(item))):
                continue
            if family not in (None, family_of(name, item)):
                continue
            wanted = version or (family.removeprefix(name) if family else None)
            if default_only and item != resolve_version(name, wanted):
                continue
            found.append(_engine_version(name, item, status))
    return found


def _option(engine: str, version: str, db_class: str, region: str) -> dict[str, Any]:
    aurora = engine != "postgres"
    return {
        "Engine": engine,
        "EngineVersion": version,
        "DBInstanceClass": db_class,
        "LicenseModel": LICENSE,
        "AvailabilityZones": [{"Name": f"{region}{letter}"} for letter in "abc"],
        "MultiAZCapable": not aurora,
        "ReadReplicaCapable": not aurora,
        "Vpc": True,
        "SupportsStorageEncryption": True,
        "StorageType": "aurora" if aurora else "gp3",
        "SupportsIops": not aurora,
        "SupportsEnhancedMonitoring": True,
        "SupportsIAMDatabaseAuthentication": True,
        "SupportsPerformanceInsights": True,
        "AvailableProcessorFeatures": [],
        "SupportedEngineModes": ["provisioned"],
        "SupportsStorageAutoscaling": not aurora,
        "SupportsKerberosAuthentication": True,
        "OutpostCapable": False,
        "SupportedActivityStreamModes": ["sync", "async"] if aurora else [],
        "SupportsGlobalDatabases": aurora,
        "SupportsClusters": aurora,
        "SupportedNetworkTypes": ["IPV4", "DUAL"],
    }


def orderable_options(
    engine: str, version: str | None = None, db_class: str | None = None, region: str = "eu-west-1"
) -> list[dict[str, Any]]:
    """OrderableDBInstanceOption dicts of one engine, for one version (or major) and class when named (R5)."""
    return [
        _option(engine, item, f"{family}.{size}", region)
        for item in (_versions(engine, AVAILABLE) if engine in AVAILABLE else ())
        if version in (None, item, str(major_of(item)))
        for family, (sizes, since) in CLASSES[engine].items()
        if major_of(item) >= since
        for size in sizes
        if db_class in (None, f"{family}.{size}")
    ]
