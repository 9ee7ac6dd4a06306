# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal and the lock of a migration on AWS: security groups ``cloudpg-<migration>-<generation>`` (R33).

Making a group is atomic and its name is unique in a VPC: that is the lock. Its tags carry the lease and the journal.
A lock is never taken again, only followed by the next generation; so a run that was merely asleep finds a newer
generation than its own and stops.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from .._errors import LeaseLost
from .._journal import (
    EVENT_TAG, FREE, LEASE, LEASE_TAG, TAKEN, Event, Lease, Queue, event_tags, events_from_tags, lease_from_tags,
    lease_tag, merge, stamp, standing, utc_now,
)
from . import groups
from .errors import RdsError
from .state import MIGRATION_TAG, tags_of

KEEP_ALIVE = timedelta(seconds=20)
TAGS_ON_A_GROUP = 50
POLL = 1.0
RACES = 10
READS = ("Describe", "List")
CURE = ". Nothing more was changed. Cure: run again; it goes on from the real state."
VISIBLE = 30


@dataclass(frozen=True)
class Generation:
    """One security group of a migration and what it says."""

    number: int
    group_id: str
    name: str
    vpc_id: str
    tags: Mapping[str, str]
    rules: frozenset[groups.Rule] = frozenset()

    @property
    def lease(self) -> Lease | None:
        """Raises RdsError for a lease that cannot be read: it may be a living one."""
        try:
            return lease_from_tags(self.number, self.tags)
        except ValueError as error:
            raise RdsError(
                f"security group {self.group_id} ({self.name}): its tag {LEASE_TAG} cannot be read: {error}. "
                "Cure: make sure that no run is active, then delete that tag."
            ) from error

    @property
    def events(self) -> list[Event]:
        """Raises RdsError when a part is missing: an original that is half known must not be put back."""
        try:
            return events_from_tags(self.tags)
        except (ValueError, KeyError) as error:
            raise RdsError(
                f"security group {self.group_id} ({self.name}): {error}. "
                "Cure: find the lost tag in CloudTrail (CreateTags) and write it again, or delete what is left of it."
            ) from error


@dataclass(frozen=True)
class Family:
    """All generations of one migration, oldest first."""

    migration: str
    generations: tuple[Generation, ...] = ()

    @property
    def newest(self) -> Generation | None:
        return self.generations[-1] if self.generations else None

    @property
    def group_ids(self) -> list[str]:
        return [generation.group_id for generation in self.generations]

    @property
    def events(self) -> dict[str, Event]:
        """Of all generations by id: the first ``was`` and the last ``now`` count."""
        return merge(event for generation in self.generations for event in generation.events)


def family_of(migration: str, found: Sequence[Mapping[str, Any]], vpc_id: str | None = None) -> Family:
    """The migration's groups among those found. A group of migration ``a-1`` is none of migration ``a``. Pure."""
    pattern = re.compile(rf"cloudpg-{re.escape(migration)}-(\d+)")
    generations = [
        Generation(
            int(match[1]), group["GroupId"], group["GroupName"], group.get("VpcId", ""), tags_of(group),
            frozenset(groups.rules_of(group)),
        )
        for group in found
        if (match := pattern.fullmatch(group["GroupName"])) and vpc_id in (None, group.get("VpcId"))
    ]
    return Family(migration, tuple(sorted(generations, key=lambda generation: generation.number)))


def read(ec2: Any, migration: str, vpc_id: str | None = None, group_id: str | None = None) -> Family:
    """The family in one VPC, which is named or is that of a group.

    Without either, and when the group is gone, the name must be in use in one VPC only.
    """
    found = groups.find(ec2, f"cloudpg-{migration}-*")
    everywhere = family_of(migration, found)
    if vpc_id is None and group_id is not None:
        vpc_id = next((each.vpc_id for each in everywhere.generations if each.group_id == group_id), None)
    if vpc_id is None:
        places = sorted({each.vpc_id for each in everywhere.generations})
        if len(places) > 1:
            raise RdsError(
                f"migration {migration} has groups in several VPCs ({', '.join(places)}). "
                "Cure: name the one that is meant in vpc_id."
            )
        return everywhere
    return family_of(migration, found, vpc_id)


def _held_by(migration: str, lease: Lease, why: str, cure: str) -> RdsError:
    return RdsError(
        f"migration {migration} is held by {lease.holder} since {stamp(lease.since)}, its lease runs until "
        f"{stamp(lease.until)} (generation {lease.generation}): {why}. Cure: {cure}.",
        code="held",
    )


def acquire(ec2: Any, migration: str, vpc_id: str, holder: str, queue: Queue) -> tuple[Family, bool]:
    """Take the lock by making the next generation; returns the family and whether another's lease was taken over.

    Waits for another's lease to lapse or to be given back. Raises RdsError (code ``held``) when it doesn't in time,
    and at once when its holder renews it meanwhile: that holder lives.
    """
    started, seen, take_over, races = queue.clock(), None, queue.take_over, 0
    lapsed_over = False
    while True:
        family = read(ec2, migration, vpc_id)
        lease = family.newest.lease if family.newest else None
        if lease and lease.holder == holder:
            return family, lapsed_over  # made by a call whose answer was lost
        if take_over or standing(lease, holder, queue.now()) == FREE:
            lapsed_over = lease is not None
            made = _make_next(ec2, family, vpc_id, holder, queue.now())
            if made:
                _await_visible(ec2, made, holder, queue)
                return made, lapsed_over
            # Another run was quicker, and that one lives: look again, but don't take from it what it has just got.
            take_over, races = False, races + 1
            if races > RACES:
                raise RdsError(
                    f"migration {migration}: the next generation's group exists and cannot be seen. "
                    "Cure: allow ec2:DescribeSecurityGroups for every group of the VPC."
                )
            queue.sleep(POLL)
            continue
        if seen and lease.holder == seen.holder and lease.until > seen.until:
            raise _held_by(migration, lease, "it was renewed just now, so that run is alive", "wait for its end")
        seen = lease
        if queue.clock() - started >= queue.timeout:
            raise _held_by(
                migration, lease, f"waited {queue.timeout:.0f} s",
                "wait for its end; if that run is known to be dead, give take_over: true",
            )
        queue.sleep(POLL)


def _make_next(ec2: Any, family: Family, vpc_id: str, holder: str, now: datetime) -> Family | None:
    """The family with one generation more, or None when somebody else made it first."""
    number = family.newest.number + 1 if family.newest else 1
    name = f"cloudpg-{family.migration}-{number}"
    tags = {
        "Name": name, MIGRATION_TAG: family.migration, **lease_tag(Lease(number, holder, now, now + LEASE)),
    }
    try:
        group_id = groups.create(
            ec2, name, vpc_id, f"Lock, journal and quarantine of the migration {family.migration}", tags
        )
    except RdsError as error:
        if error.code == groups.DUPLICATE:
            return None
        raise
    return replace(family, generations=(*family.generations, Generation(number, group_id, name, vpc_id, tags)))


def _await_visible(ec2: Any, made: Family, holder: str, queue: Queue) -> None:
    """EC2 may show a new group and its tags only after a while; until then it would pass for a lock that is lost."""
    for _attempt in range(VISIBLE):
        newest = read(ec2, made.migration, made.newest.vpc_id).newest
        if newest and (newest.number > made.newest.number or newest.lease and newest.lease.holder == holder):
            return
        queue.sleep(POLL)
    raise RdsError(
        f"migration {made.migration}: the new group {made.newest.group_id} is not seen after {VISIBLE * POLL:.0f} s. "
        "Cure: allow ec2:DescribeSecurityGroups for every group of the VPC, then run again."
    )


class Lock:
    """The lock one run holds, by what ``aws_journal`` handed out. Every method may raise LeaseLost."""

    def __init__(self, ec2: Any, journal: Mapping[str, Any], now: Callable[[], datetime] = utc_now) -> None:
        if not (journal.get("generation") and journal.get("holder") and journal.get("group_id")):
            raise RdsError(
                f"journal: migration {journal['migration']} is not held: generation, holder and group_id are needed. "
                "Cure: take the lock with aws_journal (state: held) and pass on the journal it returns."
            )
        self._ec2, self._now = ec2, now
        self._migration, self._holder = journal["migration"], journal["holder"]
        self._generation, self._group_id = journal["generation"], journal["group_id"]
        lock = f"the lock of {self._holder} (generation {self._generation})"
        self._lost = f"migration {self._migration}: {lock} is lost: "
        self._kept_at: datetime | None = None

    def cover(self, client: Any) -> Any:
        """The client, through which no change is sent any more once the lease has run out.

        Between a guard and its change there may be retries, a network that is away, a machine that sleeps: by then
        another run may rightly hold the migration.
        """
        client.meta.events.register("before-send", self._in_time)
        return client

    def _in_time(self, event_name: str, **_request: Any) -> None:
        operation = event_name.rpartition(".")[2]
        if operation.startswith(READS) or (self._kept_at and self._now() < self._kept_at + LEASE):
            return
        raise LeaseLost(f"{self._lost}its lease ran out before {operation} could be sent{CURE}", code="lease_lost")

    def _look(self) -> Family:
        """The family, of which our group is the newest and names us; else LeaseLost."""
        family = read(self._ec2, self._migration, group_id=self._group_id)
        newest = family.newest
        lost, cure = self._lost, CURE
        if newest is None:
            raise LeaseLost(f"{lost}its group {self._group_id} is gone{cure}", code="lease_lost")
        lease = newest.lease
        if newest.group_id != self._group_id or (lease and lease.holder != self._holder):
            held = f"held by {lease.holder} since {stamp(lease.since)}" if lease else "taken over and given back since"
            raise LeaseLost(f"{lost}{held} (generation {newest.number}){cure}", code="lease_lost")
        if lease is None:
            raise LeaseLost(f"{lost}it was given back, or the tag {LEASE_TAG} was removed{cure}", code="lease_lost")
        return family

    def events(self) -> dict[str, Event]:
        """The journal as it is now."""
        return self._look().events

    def guard(self, step: Any = None) -> Family:
        """To be called before each change: the lock is ours, and its lease is renewed."""
        family = self._look()
        now, lease = self._now(), family.newest.lease
        groups.tag(self._ec2, self._group_id, lease_tag(replace(lease, until=now + LEASE)))
        if lease.lapsed(now):
            # It was free to be taken until this moment: whoever did was perhaps quicker than the renewal.
            family = self._look()
        self._kept_at = now
        return family

    def keep_alive(self) -> None:
        """To be called while waiting: renews the lease every 20 s."""
        if self._kept_at is None or self._now() - self._kept_at >= KEEP_ALIVE:
            self.guard()

    def record(self, id: str, object: str, was: Any, now: Any, *, anew: bool = False) -> None:
        """Write a journal entry. The first ``was`` is kept, unless ``anew`` says that the old change was undone."""
        family = self.guard()
        known = family.events.get(id)
        if known and not anew:
            was = known.was
        if known and (known.object, known.was, known.now) == (object, was, now):
            return
        if known and anew:
            forget(self._ec2, family, id)
        event = Event(id, object, was, now, stamp(self._now()), self._holder)
        write(self._ec2, family.newest, event)

    def release(self) -> None:
        """Give the lock back. The journal stays."""
        self._look()
        groups.tag(self._ec2, self._group_id, {LEASE_TAG: ""})


def write(ec2: Any, generation: Generation, event: Event) -> None:
    """Write one entry into one group. Raises RdsError before anything is written when it doesn't fit any more."""
    tags = event_tags(event)
    if len(generation.tags.keys() | tags.keys()) > TAGS_ON_A_GROUP:
        raise RdsError(
            f"security group {generation.group_id} ({generation.name}): the journal entry {event.id} doesn't fit: "
            f"a group has {TAGS_ON_A_GROUP} tags. Cure: remove foreign tags, or take the lock again (a new group)."
        )
    groups.tag(ec2, generation.group_id, tags)


def forget(ec2: Any, family: Family, event_id: str) -> None:
    """Remove an entry from every generation."""
    for generation in family.generations:
        keys = [key for key in generation.tags if key.startswith(f"{EVENT_TAG}{event_id}:")]
        if keys:
            groups.untag(ec2, generation.group_id, keys)


def standing_of(family: Family, holder: str | None, now: datetime) -> None:
    """Raise RdsError (code ``held``) when a living other holds the migration."""
    lease = family.newest.lease if family.newest else None
    if standing(lease, holder, now) == TAKEN:
        raise _held_by(family.migration, lease, "it is in use", "wait for its end, or release it there")
