# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an RDS instance's parameters are on Aurora (R26). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import RdsError

CLUSTER, INSTANCE = "cluster", "instance"

# Aurora divides an instance's memory otherwise than RDS, so RDS's figure is wrong there whatever its form.
_MEMORY = {"shared_buffers", "effective_cache_size"}
# Carried, and still worth a look: what fitted the old instance may not fit the new one.
_SIZED = {"max_connections"}
_LIBRARIES = "shared_preload_libraries"
_TRUE, _FALSE = {"1", "on", "true", "yes"}, {"0", "off", "false", "no"}
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})-({_NUMBER})", re.IGNORECASE)


@dataclass(frozen=True)
class Translation:
    """Values by name for the two groups, and lists of ``{name, value, reason}`` for a person.

    ``review`` rows also say whether the value was ``carried``. ``skipped`` ones are Aurora's default already.
    """

    cluster: Mapping[str, str] = field(default_factory=dict)
    instance: Mapping[str, str] = field(default_factory=dict)
    not_on_aurora: tuple[Mapping[str, Any], ...] = ()
    skipped: tuple[Mapping[str, Any], ...] = ()
    review: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Defaults:
    """What a family's groups start with: AWS's parameter documents by name, for each level."""

    cluster: Mapping[str, Mapping[str, Any]]
    instance: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, cluster: Iterable[Mapping[str, Any]], instance: Iterable[Mapping[str, Any]]) -> Defaults:
        return cls(*({each["ParameterName"]: each for each in documents} for documents in (cluster, instance)))

    def at(self, level: str) -> Mapping[str, Mapping[str, Any]]:
        return self.cluster if level == CLUSTER else self.instance

    def level_of(self, name: str) -> str | None:
        """Where a parameter can be set on Aurora: at the cluster if possible, else at the instance, else nowhere."""
        return next((level for level in (CLUSTER, INSTANCE) if self.at(level).get(name, {}).get("IsModifiable")), None)


def user_values(documents: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The values a person has set, by name."""
    return {
        each["ParameterName"]: each["ParameterValue"] for each in documents
        if each.get("Source") == "user" and each.get("ParameterValue") is not None
    }


def is_formula(value: str) -> bool:
    """Whether AWS works the value out from the instance class (``{DBInstanceClassMemory/32768}``)."""
    return "{" in value or re.match(r"(GREATEST|LEAST|SUM)\(", value) is not None


def same(one: str | None, other: str | None) -> bool:
    """Whether two values mean the same: ``1`` and ``on``, ``1`` and ``1.0``."""
    if one is None or other is None:
        return one is other
    if one == other:
        return True
    lowered = {one.lower(), other.lower()}
    if lowered <= _TRUE or lowered <= _FALSE:
        return True
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False


def allows(parameter: Mapping[str, Any], value: str) -> bool:
    """Whether a value lies in AllowedValues: ranges (``1-100``) and words, separated by commas. Formulas pass."""
    allowed = parameter.get("AllowedValues")
    if not allowed or is_formula(value):
        return True
    if parameter.get("DataType") == "list":
        return all(_one_allows(allowed, part.strip()) for part in value.split(","))
    return _one_allows(allowed, value)


def _one_allows(allowed: str, value: str) -> bool:
    for part in allowed.split(","):
        span = _RANGE.fullmatch(part.strip())
        if span and re.fullmatch(_NUMBER, value, re.IGNORECASE):
            if Decimal(span[1]) <= Decimal(value) <= Decimal(span[2]):
                return True
        elif not span and same(part.strip(), value):
            return True
    return False


@dataclass
class _Sorting:
    """A translation in the making."""

    defaults: Defaults
    values: dict[str, dict[str, str]] = field(default_factory=lambda: {CLUSTER: {}, INSTANCE: {}})
    not_on_aurora: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: list[Mapping[str, Any]] = field(default_factory=list)
    review: list[Mapping[str, Any]] = field(default_factory=list)

    def look_at(self, name: str, value: str, reason: str, carried: bool) -> None:
        self.review.append({"name": name, "value": value, "reason": reason, "carried": carried})

    def sort(self, name: str, value: str) -> None:
        level = self.defaults.level_of(name)
        if level is None:
            known = name in self.defaults.cluster or name in self.defaults.instance
            reason = "Aurora fixes it" if known else "Aurora doesn't have it"
            self.not_on_aurora.append({"name": name, "value": value, "reason": reason})
            return
        parameter = self.defaults.at(level)[name]
        if same(parameter.get("ParameterValue"), value):
            self.skipped.append({"name": name, "value": value, "reason": "it is Aurora's default"})
        elif name == _LIBRARIES:
            self._libraries(level, parameter, value)
        elif name in _MEMORY:
            self.look_at(name, value, "Aurora divides memory otherwise than RDS: its own default is kept", False)
        elif is_formula(value):
            self.look_at(name, value, "the formula was made for RDS: Aurora's own default is kept", False)
        elif not allows(parameter, value):
            reason = f"Aurora allows {parameter['AllowedValues']}"
            self.not_on_aurora.append({"name": name, "value": value, "reason": reason})
        else:
            self.values[level][name] = value
            if name in _SIZED:
                self.look_at(name, value, "it was chosen for the old instance class", True)

    def _libraries(self, level: str, parameter: Mapping[str, Any], value: str) -> None:
        asked = [name.strip() for name in value.split(",") if name.strip()]
        offered = parameter.get("AllowedValues")
        kept = [name for name in asked if not offered or _one_allows(offered, name)]
        gone = [name for name in asked if name not in kept]
        if kept:
            self.values[level][_LIBRARIES] = ",".join(kept)
        reason = f"Aurora doesn't have {', '.join(gone)}" if gone else "see that each is wanted on Aurora"
        self.look_at(_LIBRARIES, value, reason, bool(kept))


def translate(source: Mapping[str, str], defaults: Defaults, exclude: Iterable[str] = ()) -> Translation:
    """Sort the values a person has set on the source into Aurora's two groups (R26)."""
    sorting, left_out = _Sorting(defaults), set(exclude)
    for name, value in sorted(source.items()):
        if name not in left_out:
            sorting.sort(name, value)
    return Translation(
        sorting.values[CLUSTER], sorting.values[INSTANCE],
        tuple(sorting.not_on_aurora), tuple(sorting.skipped), tuple(sorting.review),
    )


def written(value: Any) -> str:
    """A value of a playbook as AWS writes it: booleans are 1 and 0."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def with_extras(
    translation: Translation, defaults: Defaults, cluster: Mapping[str, Any], instance: Mapping[str, Any]
) -> Translation:
    """The translation with what was asked for by name, which has the last word.

    Raises RdsError for a parameter that cannot be set there, or not to that value.
    """
    extras = {
        level: {name: written(value) for name, value in given.items()}
        for level, given in ((CLUSTER, cluster), (INSTANCE, instance))
    }
    for level, given in extras.items():
        for name, value in given.items():
            _check(defaults, level, name, value)
    named = {*extras[CLUSTER], *extras[INSTANCE]}
    kept = {
        level: {name: value for name, value in getattr(translation, level).items() if name not in named}
        for level in (CLUSTER, INSTANCE)
    }
    return replace(
        translation,
        cluster={**kept[CLUSTER], **extras[CLUSTER]},
        instance={**kept[INSTANCE], **extras[INSTANCE]},
        **{
            rows: tuple(row for row in getattr(translation, rows) if row["name"] not in named)
            for rows in ("not_on_aurora", "skipped", "review")
        },
    )


def _check(defaults: Defaults, level: str, name: str, value: str) -> None:
    option, parameter = f"extra_{level}_parameters", defaults.at(level).get(name)
    if parameter is None or not parameter.get("IsModifiable"):
        elsewhere = defaults.level_of(name)
        cure = f"give it in extra_{elsewhere}_parameters" if elsewhere else "leave it out"
        raise RdsError(f"{option}: {name} cannot be set at the {level} on Aurora. Cure: {cure}.")
    if not allows(parameter, value):
        raise RdsError(f"{option}: {name} cannot be {value}. Cure: one of {parameter['AllowedValues']}.")
