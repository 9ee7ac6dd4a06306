# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a subscription fares: what is found when the target, and the source where it can be read, are looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._findings import Finding, blocker, warning
from .selection import SHOWN, first, named
from .subscription import Publisher, Subscription

READY = "r"
# So many looks at one and the same worker show that it stays.
STEADY = 3


@dataclass(frozen=True)
class Look:
    """One look at the target: the apply worker's pid, the errors counted (None before 15), states of tables."""

    worker: Mapping[str, Any] | None
    errors: Mapping[str, int] | None
    tables: Mapping[str, str] = field(default_factory=dict)
    sync_workers: int = 0
    workers_busy: int = 0
    workers_allowed: int = 0
    leaked_origins: tuple[str, ...] = ()

    @property
    def pid(self) -> int | None:
        return self.worker["pid"] if self.worker else None

    @property
    def error_count(self) -> int:
        return sum((self.errors or {}).values())


def decided(now: Subscription, looks: Sequence[Look]) -> bool:
    """Whether another look would tell nothing new: a crash loop shows only between two (P18)."""
    last = looks[-1]
    if not now.enabled:
        return True
    if last.pid is None:
        return False
    same = {(one.pid, one.error_count) for one in looks[-STEADY:]} == {(last.pid, last.error_count)}
    return last.error_count == 0 or (len(looks) >= STEADY and same)


def silently_off(now: Subscription | None, look: Look) -> bool:
    """Whether disable_on_error has ended it (P19)."""
    return bool(
        now and not now.enabled and now.options.get("disable_on_error") == "true" and look.error_count
    )


def findings(now: Subscription, looks: Sequence[Look], publisher: Publisher | None, why: str | None) -> list[Finding]:
    """Everything that is wrong with it (P11, P14, P15, P18, P19)."""
    last = looks[-1]
    found = _running(now, looks)
    if last.leaked_origins:
        found.append(warning(
            "replication-origins-leaked", named(last.leaked_origins), f"{len(last.leaked_origins)} replication origins "
            "belong to no subscription and use up slots", "drop them (pg_replication_origin_drop) as superuser", "P15",
        ))
    if publisher is None:
        return found + ([warning(
            "source-unreadable", now.name, why or "the source can't be read", "look at the source: its slot and the "
            "tables it publishes are unknown", "P11",
        )] if why else [])
    return found + _slot(now, publisher) + _relations(now, last, publisher)


def _running(now: Subscription, looks: Sequence[Look]) -> list[Finding]:
    last = looks[-1]
    counted = ", ".join(f"{name} {count}" for name, count in (last.errors or {}).items() if count)
    if silently_off(now, last):
        return [blocker(
            "subscription-silently-off", now.name, f"PostgreSQL has disabled it after an error ({counted}): nothing is "
            "replicated", "find the error in the target's log, mend it, then enable it again", "P19",
            acknowledgeable=True,
        )]
    if not now.enabled:
        return []
    if not decided(now, looks):
        if last.error_count > looks[0].error_count or len({one.pid for one in looks} - {None}) > 1:
            return [blocker(
                "worker-crash-looping", now.name,
                f"it is enabled, and its worker ends again and again ({counted or 'errors uncounted'})",
                "find the error in the target's log and mend it", "P18",
            )]
        full = last.workers_busy >= last.workers_allowed
        return [blocker(
            "worker-missing", now.name, "it is enabled, and no worker runs" + (
                f": {last.workers_busy} of {last.workers_allowed} logical workers are busy" if full else ""),
            "raise max_logical_replication_workers" if full else "find the reason in the target's log",
            "P28" if full else "P18",
        )]
    if last.error_count:
        return [warning(
            "errors-in-the-past", now.name, f"its worker runs, and errors were counted ({counted})",
            "see in the target's log whether they are mended", "P18",
        )]
    return []


def _slot(now: Subscription, publisher: Publisher) -> list[Finding]:
    slot = publisher.slot
    if now.slot_name is None:
        return [warning("slot-none", now.name, "it has no slot", "give it one, or drop it", "P12")]
    if slot is None:
        return [blocker(
            "slot-missing", now.slot_name, "the source has no such slot: no resume is possible",
            "copy the data again, with a new subscription", "P14",
        )]
    if slot["wal_status"] in ("lost", "unreserved"):
        return [blocker(
            "slot-lost", now.slot_name, f"the slot is {slot['wal_status']}: the source has dropped WAL that is needed, "
            "and no resume is possible", "copy the data again, with a new subscription, and raise "
            "max_slot_wal_keep_size", "P14",
        )]
    return []


def _relations(now: Subscription, last: Look, publisher: Publisher) -> list[Finding]:
    found = []
    if publisher.missing_publications:
        found.append(blocker(
            "publication-missing", named(publisher.missing_publications), "the source has no such publication any more",
            "create it again and copy the data again, for changes since are lost", "P10",
        ))
    for here, there, where, what in (
        (publisher.tables, last.tables.keys(), "published and not subscribed to", "their changes are dropped silently"),
        (last.tables.keys(), publisher.tables, "subscribed to and not published", "nothing comes for them"),
    ):
        apart = sorted(set(here) - set(there))
        if apart:
            found.append(blocker(
                "relation-sets-apart", now.name, f"{len(apart)} tables are {where}, {what}: {named(apart)}",
                "refresh the subscription (refresh=with_data)", "P11",
            ))
    return found


def connection_hidden(now: Subscription) -> Finding:
    """The catalogue hides the connection, and the journal doesn't know it: another has made the subscription (P23)."""
    return warning(
        "connection-hidden", now.name, "the login may not see its connection, so it is left as it is",
        "look at it as superuser, or drop the subscription and make it again by this module", "P23",
    )


def describe(now: Subscription, look: Look, publisher: Publisher | None) -> dict[str, Any]:
    """The subscription and its state for a result; what couldn't be read is None, never zero."""
    states: dict[str, int] = {}
    for state in look.tables.values():
        states[state] = states.get(state, 0) + 1
    waiting = sorted(name for name, state in look.tables.items() if state != READY)
    subscribed = set(look.tables)
    return {
        **now.as_dict(),
        "owner": now.owner,
        "tables": {"count": len(subscribed), "ready": states.get(READY, 0), "states": states},
        "not_ready": first([{"table": name, "state": look.tables[name]} for name in waiting]),
        "worker": look.worker,
        "sync_workers": look.sync_workers,
        "errors": look.errors,
        "slot": dict(publisher.slot) if publisher and publisher.slot else None,
        "relations": {
            "published": len(publisher.tables),
            "not_subscribed": sorted(publisher.tables - subscribed)[:SHOWN],
            "not_published": sorted(subscribed - publisher.tables)[:SHOWN],
        } if publisher else None,
    }
