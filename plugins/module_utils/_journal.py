# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal and the lease, as pure data: who holds a migration, and what was changed for its sake.

Where they are kept differs by path (tags of a security group, or a table); what they say does not.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ._errors import MigrationError

LEASE = timedelta(seconds=60)

# The option of every module that changes something for a migration: what the taking of the lock has returned.
JOURNAL = {
    "type": "dict",
    "required": True,
    "options": {
        "migration": {"type": "str", "required": True},
        "generation": {"type": "int"},
        "holder": {"type": "str"},
        "group_id": {"type": "str"},
    },
}

HOLDER_LENGTH = 180
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def check_name(migration: str) -> None:
    """Raise MigrationError for what can't be part of a security group's or a slot's name."""
    if not _NAME.fullmatch(migration):
        raise MigrationError(
            f"journal.migration: {migration!r} cannot be the name of a migration. "
            "Cure: lower-case letters, digits and single hyphens."
        )


def holder_name(user: str, host: str, token: str, job: str = "") -> str:
    """``user@host#token job 17``: names a run for a person, and tells any two runs apart. Fits into the lease's tag."""
    name, mark, work = f"{user}@{host}", f"#{token}", f" job {job}" if job else ""
    room = HOLDER_LENGTH - len(mark)
    work = work[:room // 2]
    return name[:room - len(work)] + mark + work


def holder_of_this_run(job: str = "") -> str:
    """A holder's name that no other run has."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return holder_name(user, platform.node() or "unknown", secrets.token_hex(4), job)


@dataclass(frozen=True)
class Event:
    """One thing that cannot be derived from the real state: how ``object`` was before it was changed.

    ``id`` is unique within a migration (``source.security_groups``); writing an id a second time keeps the
    first ``was``, so that a rerun never takes the temporary value for the original.
    """

    id: str
    object: str
    was: Any
    now: Any
    at: str
    by: str

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "object": self.object, "was": self.was, "now": self.now, "at": self.at, "by": self.by}


@dataclass(frozen=True)
class Lease:
    """Who holds a generation of a migration, since and until when (UTC). ``until`` in the past: lapsed."""

    generation: int
    holder: str
    since: datetime
    until: datetime

    def lapsed(self, now: datetime) -> bool:
        return self.until <= now


@dataclass(frozen=True)
class Queue:
    """How to wait for a lock that another run holds. ``timeout`` in seconds; ``now`` tells a lease's end on AWS."""

    take_over: bool = False
    timeout: float = 0.0
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


HELD, FREE, TAKEN = "held", "free", "taken"


def standing(lease: Lease | None, holder: str | None, now: datetime) -> str:
    """``held`` by ``holder`` itself, ``free`` (none yet, or lapsed), or ``taken`` by a living other."""
    if lease is None:
        return FREE
    if holder is not None and lease.holder == holder:
        return HELD
    return FREE if lease.lapsed(now) else TAKEN


def merge(events: Iterable[Event]) -> dict[str, Event]:
    """Events by id; of several with one id the first ``was`` and the last ``now`` count."""
    merged: dict[str, Event] = {}
    for event in events:
        first = merged.get(event.id)
        merged[event.id] = event if first is None else Event(
            event.id, event.object, first.was, event.now, event.at, event.by
        )
    return merged


TAG_VALUE_LENGTH = 256
LEASE_TAG = "cloudpg:lease"
EVENT_TAG = "cloudpg:event:"


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def event_tags(event: Event) -> dict[str, str]:
    """Tags that carry one event, split where a value would pass the 256 characters of a tag (R33)."""
    text = json.dumps(
        {"o": event.object, "w": event.was, "n": event.now, "t": event.at, "b": event.by}, separators=(",", ":")
    )
    parts = [text[at:at + TAG_VALUE_LENGTH] for at in range(0, len(text), TAG_VALUE_LENGTH)]
    return {f"{EVENT_TAG}{event.id}:{number}/{len(parts)}": part for number, part in enumerate(parts)}


def events_from_tags(tags: Mapping[str, str]) -> list[Event]:
    """The events in a group's tags, oldest first. Raises ValueError for one of which a part is missing.

    A rewritten event may leave parts of its longer past behind: of several whole versions the youngest counts.
    """
    versions: dict[str, dict[int, dict[int, str]]] = {}
    for key, value in tags.items():
        if key.startswith(EVENT_TAG):
            name, place = key[len(EVENT_TAG):].rsplit(":", 1)
            number, total = (int(text) for text in place.split("/"))
            versions.setdefault(name, {}).setdefault(total, {})[number] = value
    events = []
    for name, by_total in versions.items():
        whole = [parts for total, parts in by_total.items() if len(parts) == total]
        if not whole:
            raise ValueError(f"journal entry {name} is torn: a part of it is missing")
        texts = ("".join(parts[number] for number in sorted(parts)) for parts in whole)
        data = max((json.loads(text) for text in texts), key=lambda entry: entry["t"])
        events.append(Event(name, data["o"], data["w"], data["n"], data["t"], data["b"]))
    return sorted(events, key=lambda event: event.at)


def lease_tag(lease: Lease) -> dict[str, str]:
    return {LEASE_TAG: f"{stamp(lease.since)} {stamp(lease.until)} {lease.holder}"[:TAG_VALUE_LENGTH]}


def lease_from_tags(generation: int, tags: Mapping[str, str]) -> Lease | None:
    """The lease in a group's tags, or None when it was given back."""
    text = tags.get(LEASE_TAG, "")
    if not text:
        return None
    since, until, holder = text.split(" ", 2)
    return Lease(generation, holder, datetime.fromisoformat(since), datetime.fromisoformat(until))
