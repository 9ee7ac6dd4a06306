# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of a migration beside its data: a row that names its holder, with a lease by the server's own clock.

A takeover raises the generation, so that a run that was only asleep finds its own generation gone and stops (R33).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from .._errors import LeaseLost
from .._journal import FREE, LEASE, Lease, Queue, stamp, standing
from .connection import Session
from .errors import PgError
from .journal import SCHEMA, is_there, prepare

TABLE = f"{SCHEMA}.lease"
POLL = 1.0

_MAKE = f"""
    CREATE TABLE IF NOT EXISTS {TABLE} (
        migration text PRIMARY KEY, generation integer NOT NULL, holder text, since timestamptz, until timestamptz
    );
    INSERT INTO {TABLE} VALUES (%(migration)s, 0) ON CONFLICT DO NOTHING
"""
_READ = f"SELECT generation, holder, since, until FROM {TABLE} WHERE migration = %(migration)s"
_EXISTS = f"""
    SELECT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = '{SCHEMA}' AND c.relname = 'lease'
    )
"""
# clock_timestamp(): a transaction that waited for the row began in the past.
_TAKE = f"""
    UPDATE {TABLE} SET generation = %(generation)s, holder = %(holder)s, since = clock_timestamp(),
           until = clock_timestamp() + make_interval(secs => {LEASE.total_seconds():.0f})
    WHERE migration = %(migration)s
"""
_OURS = "migration = %(migration)s AND generation = %(generation)s AND holder = %(holder)s"
_RENEW = f"""
    UPDATE {TABLE} SET until = clock_timestamp() + make_interval(secs => {LEASE.total_seconds():.0f})
    WHERE {_OURS} RETURNING generation
"""
_RELEASE = f"UPDATE {TABLE} SET holder = NULL, since = NULL, until = NULL WHERE {_OURS} RETURNING generation"


def _lease(row: Mapping[str, Any]) -> Lease | None:
    if row["holder"] is None:
        return None
    since, until = (datetime.fromisoformat(row[name]) for name in ("since", "until"))
    return Lease(row["generation"], row["holder"], since, until)


def read(session: Session, migration: str) -> tuple[int, Lease | None]:
    """The newest generation (0: never held) and who holds it. Reads only."""
    if not session.value(_EXISTS):
        return 0, None
    rows = session.rows(_READ, {"migration": migration})
    return (rows[0]["generation"], _lease(rows[0])) if rows else (0, None)


def acquire(session: Session, migration: str, holder: str, queue: Queue, at_least: int = 0) -> tuple[Lease, bool]:
    """Take the lock with the next generation, ``at_least`` that; returns it and whether another's was taken over.

    Waits for another's lease to lapse or to be given back. Raises PgError (code ``held``) when it doesn't in time,
    and at once when its holder renews it meanwhile: that holder lives.
    """
    with session.transaction():
        prepare(session)
        session.run(_MAKE, {"migration": migration})
    started, seen = queue.clock(), None
    while True:
        taken, other = _try(session, migration, holder, queue.take_over, at_least)
        if taken:
            return taken, other is not None
        if seen and other.holder == seen.holder and other.until > seen.until:
            raise held_by(session.where, migration, other, "it was renewed just now, so that run is alive")
        seen = other
        if queue.clock() - started >= queue.timeout:
            raise held_by(session.where, migration, other, f"waited {queue.timeout:.0f} s")
        queue.sleep(POLL)


def _try(
    session: Session, migration: str, holder: str, take_over: bool, at_least: int
) -> tuple[Lease | None, Lease | None]:
    """The lease if it could be had, and the other's that is or was in the way. One transaction, row locked."""
    with session.transaction():
        row = session.row(f"{_READ} FOR UPDATE", {"migration": migration})
        other = _lease(row)
        now = datetime.fromisoformat(session.value("SELECT clock_timestamp()"))
        if not take_over and standing(other, holder, now) != FREE:
            return None, other
        wish = {"migration": migration, "holder": holder, "generation": max(row["generation"] + 1, at_least)}
        session.run(_TAKE, wish)
        return _lease(session.row(_READ, {"migration": migration})), other


def held_by(where: str, migration: str, lease: Lease, why: str) -> PgError:
    """Another run holds it: who, since when and until when."""
    return PgError(
        f"migration {migration} on {where} is held by {lease.holder} since {stamp(lease.since)}, its lease runs until"
        f" {stamp(lease.until)} ({why}). Cure: wait for its end; if that run is known to be dead, give"
        " take_over: true (migration_take_over in the roles).",
        code="held",
    )


def renew(session: Session, journal: Mapping[str, Any]) -> None:
    """Renew the lease of who holds it; before each change, inside its transaction where there is one (R33).

    Raises LeaseLost when another run has taken the migration over, or it was given back.
    """
    if session.value(_EXISTS) and session.rows(_RENEW, journal):
        return
    _generation, lease = read(session, journal["migration"])
    whose = f"held by {lease.holder} since {stamp(lease.since)}" if lease else "given back"
    raise LeaseLost(
        f"migration {journal['migration']} on {session.where}: the lock of {journal['holder']} (generation"
        f" {journal['generation']}) is lost: it is {whose}. Nothing more was changed. Cure: run again; it goes on"
        " from the real state.",
        code="lease_lost",
    )


def release(session: Session, journal: Mapping[str, Any]) -> None:
    """Give the lock back, which is done already where the journal was cleared; LeaseLost when it is another's."""
    if read(session, journal["migration"])[0] and not session.rows(_RELEASE, journal):
        renew(session, journal)


def clear(session: Session, migration: str, but: Collection[str] = ()) -> bool:
    """Drop the journal when nothing is left in it, of other migrations or of the ids ``but``; returns whether it was
    there."""
    if not is_there(session) and not session.value(_EXISTS):
        return False
    with session.transaction():
        prepare(session)
        session.run(_MAKE, {"migration": migration})
        session.run(f"DELETE FROM {TABLE} WHERE migration = %s", (migration,))
        session.run(f"DELETE FROM {SCHEMA}.event WHERE migration = %s AND id <> ALL (%s)", (migration, list(but)))
        left = session.value(f"SELECT (SELECT count(*) FROM {SCHEMA}.event) + (SELECT count(*) FROM {TABLE})")
        if not left:
            session.run(f"DROP SCHEMA {SCHEMA} CASCADE")
    return True
