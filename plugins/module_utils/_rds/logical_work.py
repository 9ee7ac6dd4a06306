# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at logical replication of an instance or a cluster, and changing it (R27, R28)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._journal import Event, stamp
from .._pg.connection import connect
from .._pg.errors import PgError
from . import api, parameter_work, reboots, waiters
from .errors import RdsError
from .journal import Lock
from .logical_replication import BUILT_IN, SWITCH, Member, Order, Seen, in_force
from .parameters import CLUSTER, same
from .parameter_groups import Group
from .state import moment_of
from .waiters import Patience, Sight

_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"
_SLOTS = """
    SELECT slot_name AS name, database FROM pg_replication_slots
    WHERE slot_type = 'logical' AND NOT temporary ORDER BY slot_name
"""


def running(server: Mapping[str, Any] | None) -> dict[str, str] | None:
    """What the server itself says, or None without a login. Raises PgError."""
    if server is None:
        return None
    with connect(server) as session:
        rows = session.rows(_SETTINGS, [["wal_level", *BUILT_IN]])
    return {row["name"]: row["setting"] for row in rows}


_WITHOUT = "a server that has a logical slot doesn't start without logical replication"


def slots_left(order: Order, server: Mapping[str, Any] | None) -> list[str]:
    """The server's logical slots, for a person. Raises RdsError where nobody can look."""
    if server is None:
        raise RdsError(
            f"{order.door}: whether a logical slot is left can't be told without a login, and {_WITHOUT}. Nothing was "
            "changed. Cure: give server."
        )
    with connect(server) as session:
        return [f"{row['name']} (database {row['database']})" for row in session.rows(_SLOTS)]


def _users(rds: Any, order: Order, name: str) -> list[str]:
    """Who else has a group, as ``instance orders``."""
    if order.level == CLUSTER:
        found = [
            f"cluster {cluster['DBClusterIdentifier']}" for cluster in api.describe_clusters(rds)
            if cluster.get("DBClusterParameterGroup") == name
        ]
    else:
        found = [
            f"instance {instance['DBInstanceIdentifier']}" for instance in api.describe_instances(rds)
            for group in instance.get("DBParameterGroups", []) if group["DBParameterGroupName"] == name
        ]
    return [one for one in found if one != str(order.door)]


@dataclass(frozen=True)
class Work:
    """One look after the other, and the operations that the steps name. ``lock`` is None in check mode."""

    rds: Any
    order: Order
    lock: Lock | None
    patience: Patience
    now: Callable[[], datetime]
    server: Mapping[str, Any] | None = None

    @property
    def door(self) -> Any:
        return self.order.door

    # Looking

    def describe(self) -> dict[str, Any] | None:
        describe = api.describe_instance if self.door.kind == "instance" else api.describe_cluster
        return describe(self.rds, self.door.identifier)

    def seen(self, document: Mapping[str, Any], entry: Event | None) -> Seen:
        """The whole of it. Raises RdsError for a member of a cluster, whose parameter is the cluster's (R28)."""
        name, members = self._group_and_members(document)
        listing = api.describe_cluster_parameters if self.order.level == CLUSTER else api.describe_parameters
        own = parameter_work.read(self.rds, self.order.level, self.order.own)
        replicas = [
            *document.get("ReadReplicaDBInstanceIdentifiers", []), *document.get("ReadReplicaDBClusterIdentifiers", []),
        ]
        return Seen(
            self._group(name), listing(self.rds, name), members, own, running(self.server),
            self._restarted(members, entry), self.others(name), replicas,
        )

    def _group_and_members(self, document: Mapping[str, Any]) -> tuple[str, list[Member]]:
        if self.door.kind == "cluster":
            return document["DBClusterParameterGroup"], [
                Member(each["DBInstanceIdentifier"], bool(each.get("IsClusterWriter")),
                       each.get("DBClusterParameterGroupStatus") or "unknown")
                for each in document.get("DBClusterMembers", [])
            ]
        if document.get("DBClusterIdentifier"):
            raise RdsError(
                f"{self.door} belongs to the cluster {document['DBClusterIdentifier']}, whose parameter group decides. "
                "Cure: name the cluster."
            )
        [group, *_more] = document["DBParameterGroups"]
        status = group.get("ParameterApplyStatus") or "unknown"
        return group["DBParameterGroupName"], [Member(document["DBInstanceIdentifier"], True, status)]

    def _group(self, name: str) -> Group:
        group = parameter_work.read(self.rds, self.order.level, name)
        if group is None:
            raise RdsError(f"{self.door}: its parameter group {name} can't be found. Cure: look at it in the console.")
        return group

    def original(self, entry: Event | None) -> Group | None:
        """The group it had, when the journal knows it and it is still there."""
        return parameter_work.read(self.rds, self.order.level, entry.was) if entry and entry.was else None

    def others(self, name: str) -> list[str]:
        """Who else uses a group; of a default group that is of no interest."""
        return [] if name.startswith("default.") else _users(self.rds, self.order, name)

    def _restarted(self, members: list[Member], entry: Event | None) -> bool:
        if not entry or not entry.now or entry.now.get("rebooted"):
            return False
        changed = moment_of(entry.at)
        until = max(self.now(), changed)
        return bool(members) and all(
            reboots.restarted_since(self.rds, member.identifier, changed, until) for member in members
        )

    # Changing

    def operations(self) -> dict[str, Callable[..., None]]:
        made = parameter_work.operations(self.rds, f"Logical replication of {self.door}, by cloudpg.migration")
        return {**made, "insist": self.insist, "renew": self.renew, "attach": self.attach, "reboot": self.reboot}

    def insist(self, slots: Sequence[str]) -> None:
        """The first step where slots are left. In check mode an earlier task may be about to drop them."""
        raise RdsError(
            f"{self.door}: it has the logical slots {', '.join(slots)}, and {_WITHOUT}. Nothing was changed. Cure: "
            "drop them once nothing needs them (pg_drop_replication_slot), then run again."
        )

    def _record(self, group: str, rebooted: str | None, was: str | None = None) -> None:
        """``was`` is given when a group is taken off that was not the migration's: that one is the original."""
        known = self.lock.events().get(self.door.event)
        original = was or (known.was if known else None)
        self.lock.record(
            self.door.event, self.door.identifier, original, {"group": group, "rebooted": rebooted},
            anew=bool(known) and known.was != original,
        )

    def renew(self, group: str) -> None:
        self._record(group, None)

    def attach(self, group: str, was: str) -> None:
        """The journal has the old group before the change. What the new one is to say, AWS says that it says."""
        self._available()
        if group == self.order.own:
            self.patience.until(self._written, f"parameter group {group} to say what was set in it")
        self._record(group, None, None if was == self.order.own else was)
        name = "DBClusterParameterGroupName" if self.order.level == CLUSTER else "DBParameterGroupName"
        modify = api.modify_cluster if self.door.kind == "cluster" else api.modify_instance
        modify(self.rds, self.door.identifier, **{name: group})
        self.patience.until(lambda: self._attached(group), f"{self.door} to have the parameter group {group}")

    def _attached(self, group: str) -> Sight:
        document = self.describe()
        status = waiters.living(self.door.kind, self.door.identifier, document, ())
        name, members = self._group_and_members(document)
        applying = any(member.status == "applying" for member in members)
        ready = status == "available" or status in waiters.READY
        return Sight(name == group and not applying and ready, f"{self.door} is {status} with {name}", document)

    def reboot(self, identifier: str) -> None:
        self._available()
        reboots.reboot(self.rds, identifier, self.patience, self.lock.guard, self.now)

    def note_reboot(self) -> None:
        """Once all members are back: from now on AWS's word for the group counts."""
        document = self.patience.until(self._in_sync, f"the parameter group of {self.door} to be in force")
        entry = self.lock.events().get(self.door.event)
        name, _members = self._group_and_members(document)
        if entry and entry.now and entry.now.get("group") == name:
            self._record(name, stamp(self.now()))

    def _in_sync(self) -> Sight:
        document = self.describe()
        waiters.living(self.door.kind, self.door.identifier, document, ())
        _name, members = self._group_and_members(document)
        late = [f"{member.identifier} is {member.status}" for member in members if member.status != "in-sync"]
        return Sight(not late, ", ".join(late), document)

    def prove(self, entry: Callable[[], Event | None]) -> Seen:
        """On, by AWS's word and the server's. Raises WaitTimeout; a server that isn't back yet is waited for."""
        def look() -> Sight:
            try:
                seen = self.seen(self.describe() or {}, entry())
            except PgError as error:
                return Sight(False, error.message)
            level = (seen.running or {}).get("wal_level")
            if level is not None and level != "logical" and all(each.status == "in-sync" for each in seen.members):
                raise RdsError(
                    f"{self.door}: its parameter group {seen.group.name} is in force by AWS's word, but the server's "
                    f"wal_level is {level}. Cure: make sure that server is the address of {self.door}, then run again: "
                    "it is rebooted again."
                )
            return Sight(in_force(seen, entry()), f"{self.door}: its group {seen.group.name} is not in force", seen)

        return self.patience.until(look, f"logical replication of {self.door} to be in force")

    def _available(self) -> None:
        sight = waiters.instance_sight if self.door.kind == "instance" else waiters.cluster_sight
        self.patience.until(lambda: sight(self.rds, self.door.identifier), f"{self.door} to be available")

    def _written(self) -> Sight:
        group = parameter_work.read(self.rds, self.order.level, self.order.own)
        written = group is not None and same(group.values.get(SWITCH), "1")
        return Sight(written, f"{self.order.own} doesn't say {SWITCH}=1 yet")
