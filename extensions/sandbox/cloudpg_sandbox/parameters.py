# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS's parameters: the defaults of each family (R25, R26) and what a parameter means to the real server (R27, R28).

`data/parameters.json` is `pg_settings` of real servers (tools/generate_parameters.py); `data/rds_parameters.json` is
what RDS and Aurora make of it: which settings they hide or fix, their own values and formulas, the rds.* parameters,
and on Aurora which belong to the cluster.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
DATA_TYPES = {"bool": "boolean", "integer": "integer", "real": "float", "string": "string", "enum": "list"}
LEVELS = ("instance", "cluster")

# The sandbox decides these itself: they need files, locales or memory that AWS has and this machine may not.
NOT_FOR_THE_SERVER = frozenset(
    """huge_page_size huge_pages lc_messages lc_monetary lc_numeric lc_time log_destination log_filename
    log_rotation_age log_rotation_size min_dynamic_shared_memory shared_buffers ssl ssl_ciphers ssl_ecdh_curve
    ssl_groups ssl_max_protocol_version ssl_min_protocol_version ssl_prefer_server_ciphers ssl_tls13_ciphers
    temp_tablespaces wal_buffers""".split()
)


def _load(name: str) -> Any:
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return json.load(file)


@functools.cache
def _settings() -> dict[str, dict[str, Any]]:
    return {row["name"].lower(): row for row in _load("parameters.json")["settings"]}


@functools.cache
def _rds() -> dict[str, Any]:
    return _load("rds_parameters.json")


def split_family(family: str) -> tuple[str, int]:
    """`aurora-postgresql16` -> (`aurora-postgresql`, 16); ValueError names the families there are."""
    found = re.fullmatch(r"(postgres|aurora-postgresql)(1[2-8])", family)
    if not found:
        raise ValueError(
            f"{family!r} is no family of the sandbox; there are postgres12..18 and aurora-postgresql12..18"
        )
    return found.group(1), int(found.group(2))


def is_formula(value: str) -> bool:
    """Whether a value is computed from the instance class, such as `{DBInstanceClassMemory/32768}`."""
    return "{" in value or bool(re.match(r"(GREATEST|LEAST|SUM)\(", value))


def _offered(row: Mapping[str, Any], aurora: bool) -> bool:
    name, rds = row["name"].lower(), _rds()
    if name in rds["not_offered"] or (aurora and name in rds["not_on_aurora"]):
        return False
    return row["category"] not in rds["not_offered_categories"] or name in rds["offered_developer_options"]


def _as_aws(value: str | None, vartype: str) -> str | None:
    if vartype == "bool" and value is not None:
        return {"on": "1", "off": "0"}[value]
    return value


def _allowed(row: Mapping[str, Any]) -> str | None:
    if row["vartype"] == "bool":
        return "0,1"
    if row["vartype"] == "enum":
        return ",".join(row["enumvals"])
    if "min_val" in row:
        return f"{row['min_val']}-{row['max_val']}"
    return None


def _parameter(name: str, value: str | None, source: str, *, static: bool, fixed: bool, **more: str | None) -> dict:
    entry = {
        "ParameterName": name,
        "ParameterValue": value,
        "Source": source,
        "ApplyType": "static" if static else "dynamic",
        "IsModifiable": not fixed,
        "ApplyMethod": "pending-reboot",
        **more,
    }
    return {key: item for key, item in entry.items() if item not in (None, "")}


def _from_setting(row: Mapping[str, Any], aurora: bool) -> dict[str, Any]:
    name, rds = row["name"].lower(), _rds()
    boot = _as_aws(row.get("boot_val"), row["vartype"])
    values = rds["fixed"] | rds["system_values"] | (rds["aurora_system_values"] if aurora else {})
    of_rds = rds["allowed_values"] | (rds["aurora_allowed_values"] if aurora else {})
    allowed = of_rds.get(name, _allowed(row))
    unit = f"({row['unit']}) " if "unit" in row else ""
    value = values.get(name)
    return _parameter(
        name,
        boot if value is None else value,
        "engine-default" if value is None else "system",
        static=row["context"] == "postmaster",
        fixed=name in rds["fixed"] or (aurora and name in rds["fixed_on_aurora"]),
        # PostgreSQL calls a list of words a string; RDS, which knows the words, checks each alone.
        DataType="list" if allowed and row["vartype"] == "string" else DATA_TYPES[row["vartype"]],
        AllowedValues=allowed,
        Description=unit + row["short_desc"],
    )


def _from_extra(row: Mapping[str, Any], engine: str, major: int) -> dict[str, Any]:
    value = row.get("value")
    since, newer = row.get("value_since", {}).get(engine, (None, None))
    if since and major >= since:
        value = newer
    return _parameter(
        row["name"],
        value,
        "engine-default" if value is None else "system",
        static=row.get("static", False),
        fixed=row.get("fixed", False),
        DataType=row["type"],
        AllowedValues=row.get("allowed", "0,1" if row["type"] == "boolean" else None),
        Description=row["text"],
    )


def _all_parameters(engine: str, major: int, level: str) -> Iterator[dict[str, Any]]:
    aurora = engine != "postgres"
    hidden = set(_rds()["aurora_cluster_only"]) if aurora and level == "instance" else set()
    for name, row in _settings().items():
        if row.get("since", 0) <= major <= row.get("until", major) and _offered(row, aurora) and name not in hidden:
            yield _from_setting(row, aurora)
    for row in _rds()["extra"]:
        if row.get("engine", engine) != engine or major < row.get("since", 0):
            continue
        # On RDS there is one group for everything; a level splits parameters on Aurora only.
        if not aurora or level == "cluster" or row.get("level") != "cluster":
            yield _from_extra(row, engine, major)


@functools.cache
def _defaults(family: str, level: str) -> list[dict[str, Any]]:
    engine, major = split_family(family)
    return sorted(_all_parameters(engine, major, level), key=lambda entry: entry["ParameterName"])


def engine_default_parameters(family: str, level: str = "instance") -> list[dict[str, Any]]:
    """Parameter dicts of a family as DescribeEngineDefault(Cluster)Parameters lists them (R26), sorted by name.

    `level` is `instance` or `cluster`. ValueError for an unknown family or level.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no level; there are {' and '.join(LEVELS)}")
    return copy.deepcopy(_defaults(family, level))


def _libraries(value: str, facts: Mapping[str, Any]) -> str | None:
    wanted = [name.strip() for name in value.split(",") if name.strip()]
    return ",".join(name for name in wanted if name in facts.get("libraries", ())) or None


def to_server_setting(name: str, value: str | None, facts: Mapping[str, Any] | None = None) -> tuple[str, str] | None:
    """What an RDS parameter is on the real server: (setting, value), or None when it doesn't reach the server.

    `facts` is the instance as AWS describes it (EngineVersion counts), plus `libraries`: what the server can preload
    (default nothing). Nothing that would keep the server from starting gets through: formulas, files, memory of a
    machine that isn't this one, and extensions the server hasn't got. RDS's 0 and 1 are what PostgreSQL takes too.
    """
    facts, name = facts or {}, name.lower()
    if name == "rds.logical_replication":
        return "wal_level", "logical" if value in ("1", "on", "true") else "replica"
    if value in (None, "") or is_formula(value):
        return None
    if name == "shared_preload_libraries":
        libraries = _libraries(value, facts)
        return (name, libraries) if libraries else None
    if "." in name:
        return (name, value) if name.split(".")[0] in facts.get("libraries", ()) else None
    row = _settings().get(name)
    major = int(str(facts.get("EngineVersion", 16)).split(".", maxsplit=1)[0])
    if row is None or not row.get("since", 0) <= major <= row.get("until", major):
        return None
    if name in NOT_FOR_THE_SERVER or name in _rds()["fixed"] or not _offered(row, aurora=False):
        return None
    return row["name"], value
