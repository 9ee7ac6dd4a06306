# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases closed, emptied of sessions, proven to be at rest, and opened again, each with its line in the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._journal import Event, check_name
from .._pg import journal, lease
from .._pg.connection import Session
from .._pg.errors import PgError
from .._pg.hold import insist
from .._plan import Plan
from . import fence, names, proof
from .fence import Change, Door, Grant

_POLL = 0.003
# Seconds a backend may take to start.
_STARTS = 2.0

# What the default is where no ACL is stored, is asked of the server.
_DOORS = f"""
    SELECT d.datname AS name, pg_get_userbyid(d.datdba) AS owner, pg_has_role(d.datdba, 'USAGE') AS owned,
           (SELECT json_agg(json_build_array(
                CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, pg_get_userbyid(a.grantor),
                a.is_grantable))
            FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
            WHERE a.privilege_type = 'CONNECT') AS grants,
           (SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) c
            WHERE s.setdatabase = d.oid AND s.setrole = 0 AND c LIKE '{fence.READ_ONLY}=%%') AS read_only,
           (SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) c
            WHERE s.setdatabase = d.oid AND s.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
              AND c LIKE '{fence.READ_ONLY}=%%') AS login_read_only
    FROM pg_database d WHERE d.datname = ANY (%s) ORDER BY 1
"""

# Superusers aren't kept out by privileges; the proof has to find them.
_STILL_ABLE = """
    SELECT r.rolname AS role, d.datname AS database FROM pg_roles r, pg_database d
    WHERE d.datname = ANY (%s) AND r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> ALL (%s)
      AND has_database_privilege(r.oid, d.oid, 'CONNECT')
    ORDER BY 1, 2
"""

# A backend that passed the check of CONNECT holds this lock until the views show it. So it is looked for here first:
# whoever let go of it by now is in the view that is read next.
_STARTING = """
    SELECT array(
        SELECT pid FROM pg_locks
        WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND mode = 'RowExclusiveLock'
          AND pid IS NOT NULL AND pid <> pg_backend_pid()
          AND objid IN (SELECT oid FROM pg_database WHERE datname = ANY (%(databases)s))
    ) AS starting,
    array(SELECT gid FROM pg_prepared_xacts WHERE database = ANY (%(databases)s) ORDER BY prepared) AS prepared
"""

_ACTIVITY = """
    SELECT a.pid, a.usename AS user, a.datname AS database, a.application_name, a.client_addr::text, a.backend_type,
           a.state, a.backend_start AS since, a.pid = pg_backend_pid() AS own,
           NOT coalesce(r.rolsuper, true)
           AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')) AS endable
    FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid ORDER BY a.backend_start
"""

_SENDERS = """
    SELECT s.active_pid AS pid, w.usename AS login FROM pg_replication_slots s
    LEFT JOIN pg_stat_replication w ON w.pid = s.active_pid
    WHERE s.slot_name = ANY (%s) AND s.active_pid IS NOT NULL
"""
_WORKERS = "SELECT pid FROM pg_stat_subscription WHERE subname = ANY (%s) AND pid IS NOT NULL"
_END = "SELECT count(pg_terminate_backend(pid)) FROM unnest(%s::int[]) pid"


class Fence:
    """The fence of some databases of one server. ``home`` is the session in the database that holds the journal.

    ``own`` are pids of further sessions of this run. Times are seconds.
    """

    def __init__(
        self, home: Session, where: str, lock: Mapping[str, Any], databases: Sequence[str], keep: Collection[str] = (),
        own: Collection[int] = (), clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.home, self.where, self.databases, self.lock = home, where, list(databases), lock
        self.migration = lock["migration"]
        self.keep, self.own, self._clock, self._sleep = set(keep), set(own), clock, sleep
        self.login = home.value("SELECT current_user")
        self._entering: set[int] | None = None  # of those found on their way in since, who still are

    def doors(self) -> list[Door]:
        """The databases as they are; raises PgError for one that isn't there."""
        rows = self.home.rows(_DOORS, (self.databases,))
        missing = sorted(set(self.databases) - {row["name"] for row in rows})
        if missing:
            raise PgError(f"{self.home.where}: no database {', '.join(missing)}. Cure: correct databases.")
        return [
            Door(row["name"], row["owner"], tuple(Grant(*grant) for grant in row["grants"] or ()), row["read_only"],
                 row["login_read_only"], row["owned"]) for row in rows
        ]

    def events(self) -> dict[str, Event]:
        """What the journal of this server knows to be closed, by database."""
        return fence.by_database(journal.read(self.home, self.migration, fence.PREFIX).values())

    def kept(self) -> set[str]:
        """Who goes on connecting: the login itself, those asked for, and those who fetch the migration's changes.

        Both sides are asked to keep the same logins, and one that a server doesn't have can't be let in there.
        """
        rows = self.home.rows(_SENDERS, (names.slots(self.migration, self.databases),))
        return {
            self.login, *self._there(self.keep), *self.fetching(), *(row["login"] for row in rows if row["login"]),
        }

    def fetching(self) -> set[str]:
        """The replication logins that the migration has made here: they come back, whoever is connected now (P29)."""
        return self._there(names.logins(self.migration, self.databases))

    def _there(self, roles: Iterable[str]) -> set[str]:
        rows = self.home.rows("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(roles),))
        return {row["rolname"] for row in rows}

    def spared(self) -> set[int]:
        """The pids of this run, of the migration's walsenders and of its apply workers (P29)."""
        senders = self.home.rows(_SENDERS, (names.slots(self.migration, self.databases),))
        workers = self.home.rows(_WORKERS, (list(names.subscriptions(self.migration)),))
        return {self.home.value("SELECT pg_backend_pid()"), *self.own, *(row["pid"] for row in [*senders, *workers])}

    def look(self, spared: Collection[int]) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
        """The verdict, and the sessions that have to end for it.

        Whoever wasn't on his way in at the first look behind the fence came after the REVOKE and is refused: with
        clients that try again and again there is always another.
        """
        first = self.home.row(_STARTING, {"databases": self.databases})
        entering = set(first["starting"])
        self._entering = entering if self._entering is None else self._entering & entering
        rows = self.home.rows(_ACTIVITY)
        return (
            proof.verdict(rows, self.databases, spared, first["prepared"], sorted(self._entering)),
            proof.to_end(rows, self.databases, spared),
        )

    def plan_close(self, ending: int = 0) -> Plan:
        """What closing would do."""
        fetching = self.fetching()
        own = {name: fetching.intersection(names.logins(self.migration, [name])) for name in self.databases}
        return fence.plan_close(self.doors(), self.kept() - fetching, ending, own)

    def preflight(self) -> None:
        """Raise PgError for what would make the fence fail: to be asked while nobody is held up yet."""
        fence.obstacles(self.doors(), self.login)
        deadline = self._clock() + _STARTS
        while True:
            seen, ending = self.look(self.spared())
            # A backend that is just starting hides what it is from everybody.
            if seen["readable"] or self._clock() >= deadline:
                break
            self._sleep(_POLL)
        if not seen["readable"] or seen["prepared_transaction_count"]:
            raise PgError(f"{self.home.where}: {'; '.join(seen['reasons'])}.")
        self._endable(ending)

    def _endable(self, ending: Iterable[Mapping[str, Any]]) -> None:
        stubborn = [row for row in ending if not row["endable"]]
        if stubborn:
            one = stubborn[0]
            raise PgError(
                f"{self.home.where}: {self.login} may not end {len(stubborn)} sessions, the first pid {one['pid']} "
                f"({one['backend_type']}, user {one['user']}, {one['application_name']}). Cure: GRANT "
                f"pg_signal_backend TO {self.login}, or end it yourself; a superuser's ends by a superuser's hand only."
            )

    def close(self, changes: Sequence[Change]) -> None:
        """One transaction: the privileges, the defaults and the journal; nothing of it when anybody is still let in."""
        own = self.fetching()
        was = {door.name: door.as_dict(without=own) for door in self.doors()}
        kept = sorted(self.kept())
        with self.home.transaction():
            self.home.run("SET TRANSACTION READ WRITE")
            hold(self.home, self.lock)
            journal.record(self.home, self.migration, [
                journal.Entry(fence.event_id(one.database, self.where), f"{self.where}/{one.database}",
                              was[one.database], {"database": one.database, "kept": kept}) for one in changes
            ], self.lock.get("holder"))
            self._change(changes)
            able = self.home.rows(_STILL_ABLE, ([one.database for one in changes], kept))
            if able:
                raise PgError(
                    f"{self.home.where}: {able[0]['role']} may still connect to {able[0]['database']} after the "
                    f"REVOKE, as {len(able)} logins in all (P31). Cure: take them out of the role through which they "
                    f"may, {' or '.join(kept)}, or name them in keep."
                )

    def _change(self, changes: Iterable[Change]) -> None:
        """All in one round trip."""
        self._entering = None
        parts = []
        for one in changes:
            database = sql.Identifier(one.database)
            for role, grantable in one.grant:
                option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
                parts.append(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, _role(role)) + option)
            parts += [
                sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(database, _role(role)) for role in one.revoke
            ]
            parts.append(sql.SQL("ALTER DATABASE {} ").format(database) + _setting(one.read_only))
            parts.append(sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(sql.Identifier(self.login), database)
                         + _setting(one.login_read_only))
        if parts:
            self.home.run(sql.SQL("; ").join(parts))

    def empty(self, deadline: float) -> dict[str, Any]:
        """End who is left and wait until all are really gone (P17); the proof, or PgError at the deadline (P52)."""
        spared = self.spared()
        while True:
            seen, ending = self.look(spared)
            if seen["proven"]:
                return seen
            self._endable(ending)
            if self._clock() >= deadline:
                raise PgError(f"{self.home.where}: the fence isn't proven: {'; '.join(seen['reasons'])} (P52).")
            if ending:
                self.home.run(_END, ([row["pid"] for row in ending],))
            self._sleep(_POLL)

    def plan_open(self) -> Plan:
        """What opening would do, by the journal."""
        roles = {row["rolname"] for row in self.home.rows("SELECT rolname FROM pg_roles")}
        return fence.plan_open(self.doors(), self.events(), roles, self.fetching())

    def open(self, changes: Sequence[Change], ids: Sequence[str]) -> None:
        """Lift the fence and forget it, in a transaction of its own."""
        with self.home.transaction():
            self.home.run("SET TRANSACTION READ WRITE")
            hold(self.home, self.lock)
            self.lift(changes, ids)

    def lift(self, changes: Sequence[Change], ids: Sequence[str]) -> None:
        """The same inside the caller's transaction."""
        self._change(changes)
        journal.forget(self.home, self.migration, ids)


def lock_of(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """What a module's ``migration`` and ``journal`` stand for; without ``generation`` nothing is held. Pure.

    Raises MigrationError for a bad name, and for a lock that isn't held or is another migration's.
    """
    migration, given = params["migration"], params["journal"]
    check_name(migration)
    if not given or check_mode:
        return {"migration": migration}
    insist(given)
    if given["migration"] != migration:
        raise PgError(f"journal: is of migration {given['migration']}, not of {migration}. Cure: give its own.")
    return dict(given)


def hold(session: Session, lock: Mapping[str, Any]) -> None:
    """Renew the lease inside a transaction (R33); LeaseLost when the lock is another's."""
    if lock.get("generation"):
        lease.renew(session, lock)


def _role(role: str) -> Any:
    return sql.SQL("PUBLIC") if role == fence.PUBLIC else sql.Identifier(role)


def _setting(value: str | None) -> Any:
    name = sql.SQL(fence.READ_ONLY)
    if value is None:
        return sql.SQL("RESET {}").format(name)
    return sql.SQL("SET {} = {}").format(name, sql.Literal(value))
