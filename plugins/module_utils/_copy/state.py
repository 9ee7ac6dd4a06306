# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run has to do, from what the ledger, the source and the target say (P55, P56). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .._logical.selection import named
from .._pg.errors import PgError
from . import ledger
from .ledger import Standing


@dataclass(frozen=True)
class Decision:
    """``copy`` is copied by us, ``leave`` is left to the subscription, ``enter`` has come in by it, ``entering`` does.

    ``begin`` starts a run: with a slot of its own when following. ``drop`` is an earlier run's slot, worth nothing now.
    """

    copy: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()
    enter: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    entering: frozenset[str] = frozenset()
    begin: bool = False
    drop: bool = False
    over: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing will be left for the subscription."""
        return not self.left


def decide(
    standing: Standing, chosen: Collection[str], slot: str | None, slot_state: Mapping[str, Any] | None,
    alive: bool, subscribed: Mapping[str, bool],
) -> Decision:
    """``alive``: the run's snapshot is still kept, by this very process. ``subscribed``: the tables of a subscription
    on the slot, and whether each is in step (``r``). ``slot`` None: nothing follows the copy.

    Raises PgError where no way leads on.
    """
    kept = standing.named(ledger.COPIED, ledger.ENTERED)
    left = standing.named(ledger.LEFT)
    if standing.state == ledger.DONE:
        return Decision(kept=frozenset(kept), over=True)
    if alive:
        return Decision(copy=frozenset(standing.named(ledger.PLANNED)), kept=frozenset(kept))
    if not kept and not left:
        _refuse_foreign(standing, slot, slot_state)
        return Decision(copy=frozenset(chosen), begin=True, drop=slot_state is not None)
    todo = frozenset(chosen) - kept - left
    if slot is None:
        return Decision(copy=todo, kept=frozenset(kept), begin=bool(todo))
    _refuse_lost(standing, slot, slot_state, kept)
    enter = frozenset(name for name in left if subscribed.get(name))
    return Decision(
        leave=todo, enter=enter, kept=frozenset(kept) | enter, left=(frozenset(left) | todo) - enter,
        entering=frozenset(left & set(subscribed)) - enter,
    )


def _refuse_foreign(standing: Standing, slot: str | None, slot_state: Mapping[str, Any] | None) -> None:
    if slot_state is None:
        return
    if slot_state["active"]:
        raise PgError(
            f"slot {slot} is in use by pid {slot_state['active_pid']}, though nothing was copied for it. Cure: disable "
            "the subscription that uses it, or name another slot.", code="slot_in_use"
        )
    if not standing.run or standing.slot != slot:
        raise PgError(
            f"there is a slot {slot} already, and the target's ledger doesn't know it. Cure: if nothing needs it, drop "
            "it with pg_drop_replication_slot; else name another slot.", code="slot_exists"
        )


def _refuse_lost(standing: Standing, slot: str, slot_state: Mapping[str, Any] | None, kept: Collection[str]) -> None:
    state = "gone" if slot_state is None else slot_state["wal_status"]
    if standing.slot != slot:
        raise PgError(
            f"the copy was begun with slot {standing.slot or '(none)'}, not with {slot}. Cure: name that one, or start "
            "over with state=absent.", code="slot_differs"
        )
    if state in ("gone", "lost"):
        raise PgError(
            f"slot {slot} is {state} (P14): {len(kept)} tables are copied ({named(sorted(kept))}), and what changed in "
            "them since can't be had any more. Cure: run with state=absent, empty these tables, then copy again.",
            code="slot_lost",
        )
