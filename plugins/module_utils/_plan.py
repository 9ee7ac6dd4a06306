# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module would do, as data: the one source of ``changed``, the diff and check mode.

A module observes the real state, a pure function turns it and the wish into a :class:`Plan`, and
:func:`carry_out` performs the steps. Check mode is the same plan, not carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One change of the world.

    ``op`` names the operation in the module's table of operations, ``args`` are its keyword arguments
    (plain data, no secrets) and ``sentence`` says to a person what happens, naming the object.
    """

    op: str
    sentence: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Ordered steps from the state that was observed to the state that was asked for.

    ``before`` and ``after`` are plain data without secrets and make up the diff.
    """

    steps: tuple[Step, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    def result(self) -> dict[str, Any]:
        """The part of a module's return value which every module has in common."""
        return {
            "changed": self.changed,
            "actions": [step.sentence for step in self.steps],
            "diff": {"before": dict(self.before), "after": dict(self.after)},
        }


def carry_out(
    plan: Plan,
    operations: Mapping[str, Callable[..., Any]],
    before_each: Callable[[Step], None] = lambda step: None,
) -> None:
    """Perform the steps in order; ``before_each`` may raise to stop before a step (a lost lease).

    An operation that is missing from the table is a programming error and raises KeyError before
    anything was changed.
    """
    table = [(step, operations[step.op]) for step in plan.steps]
    for step, operation in table:
        before_each(step)
        operation(**step.args)
