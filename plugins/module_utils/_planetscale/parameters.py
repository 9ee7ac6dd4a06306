# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameters of a branch, and the least its storage may be: what has to be asked for (S5). Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from .._plan import Plan, Step
from .errors import PlanetScaleError

Values = Mapping[str, str]
NAMESPACE = "pgconf"
_ON, _OFF = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


class Known:
    """The parameters of one namespace, as the API lists them."""

    def __init__(self, listed: Sequence[Mapping[str, Any]]) -> None:
        self._by_name = {one["name"]: one for one in listed if one["namespace"] == NAMESPACE}

    def facts(self, name: str) -> Mapping[str, Any]:
        """What the API says of a parameter; PlanetScaleError with the names that are alike."""
        if name not in self._by_name:
            alike = ", ".join(difflib.get_close_matches(name, self._by_name, 3)) or "planetscale_parameters_info's"
            raise PlanetScaleError(f"pgconf: there is no parameter {name}. Cure: give one of {alike}.")
        return self._by_name[name]

    def value(self, name: str) -> str:
        facts = self.facts(name)
        value = facts["value"]
        return str(facts["default_value"] if value in (None, "") else value)

    def values(self, names: Sequence[str] = ()) -> dict[str, str]:
        """The values in force, of all parameters where none is named."""
        return {name: self.value(name) for name in (names or sorted(self._by_name))}

    def same(self, name: str, one: str, other: str) -> bool:
        """Whether two values of a parameter mean the same."""
        if self.facts(name)["parameter_type"] == "boolean":
            return _switch(one) == _switch(other)
        return _number(one) == _number(other)

    def check(self, name: str, wanted: str) -> None:
        """Refuse what PlanetScale would refuse, before anything is asked for."""
        facts = self.facts(name)
        if facts["immutable"]:
            raise PlanetScaleError(f"pgconf: {name} can't be changed at PlanetScale. Cure: leave it out.")
        number, least, most = _number(wanted), facts["min"], facts["max"]
        bounded = facts["parameter_type"] in ("integer", "float", "seconds") and (least or most)
        if bounded and not (isinstance(number, (int, float)) and (least or 0) <= number <= (most or number)):
            raise PlanetScaleError(
                f"pgconf: {name} is a number from {least} to {most}, not {wanted}. Cure: give one in between."
            )


def _switch(value: str) -> str:
    lower = value.lower()
    return "on" if lower in _ON else "off" if lower in _OFF else lower


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def plan_present(known: Known, wanted: Values, storage_now: int | None, storage: int | None, raise_only: bool) -> Plan:
    """Ask for the values that differ; with ``raise_only`` a number is never lowered. Storage only grows.

    ``storage_now`` is None where the API doesn't tell, which is until the first change: it is looked at after that.
    """
    before, after = {}, {}
    for name, value in wanted.items():
        known.check(name, value)
        current = known.value(name)
        if known.same(name, current, value) or raise_only and _lower(value, current):
            continue
        before[name], after[name] = current, value
    grows = storage is not None and storage_now is not None and storage > storage_now
    plan = _plan(before, after, storage_now if grows else None, storage if grows else None)
    if storage is None or storage_now is not None or not plan.changed:
        return plan
    later = Step("grow", f"raise minimum_storage_bytes to {storage}, if it is lower", {"least": storage})
    return Plan((*plan.steps, later), plan.before, plan.after)


def _lower(value: str, current: str) -> bool:
    wanted, now = _number(value), _number(current)
    return isinstance(wanted, (int, float)) and isinstance(now, (int, float)) and wanted < now


def plan_restored(known: Known, made: Values, was: Values) -> tuple[Plan, list[str]]:
    """Put the values of ``was`` back, but for those that are no longer as they were ``made``; they are named."""
    before, after, left = {}, {}, []
    for name, value in was.items():
        current = known.value(name)
        if known.same(name, current, value):
            continue
        if name in made and not known.same(name, current, made[name]):
            left.append(name)
            continue
        before[name], after[name] = current, value
    return _plan(before, after, None, None), left


def _plan(before: dict[str, Any], after: dict[str, Any], storage_now: int | None, storage: int | None) -> Plan:
    wish: dict[str, Any] = {}
    told = [f"{name} from {before[name]} to {value}" for name, value in after.items()]
    if after:
        wish["parameters"] = {NAMESPACE: dict(after)}
    if storage is not None:
        wish["storage"] = {"minimum_storage_bytes": storage}
        told.append(f"minimum_storage_bytes from {storage_now} to {storage}")
        before, after = ({**before, "minimum_storage_bytes": storage_now}, {**after, "minimum_storage_bytes": storage})
    if not wish:
        return Plan()
    return Plan((Step("ask", f"change {'; '.join(told)}", {"wish": wish}),), before, after)
