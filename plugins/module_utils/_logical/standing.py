# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A migration by logical replication looked at, database by database, on both sides. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from .._compare import canonical, fingerprint
from .._copy import ledger
from .._findings import blocker
from .._journal import Event, stamp
from .._pg import journal, lease, server
from .._pg.connection import Session, connect
from .._pg.errors import PgError
from . import health, subscription_state
from .results import as_dicts
from .selection import NOT_USERS, SHOWN, object_name, slot_name

# What the migration itself changes isn't drift: publications and replica identities.
WATCHED = tuple(name for name in fingerprint.CLASSES if name not in ("publications", "identities"))
_POSITION = """
    SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::bigint AS behind
    FROM pg_replication_slots WHERE slot_name = %s AND slot_type = 'logical' AND database = current_database()
"""
_PUBLICATION = "SELECT count(*) > 0 FROM pg_publication WHERE pubname = %s"


def catalogue_event(database: str) -> str:
    """The id of the journal entry that holds a database's catalogue as it was at the start (P50)."""
    return f"catalogue.{database}"


def look(
    source: Mapping[str, Any], target: Mapping[str, Any] | None, migration: str, wanted: Sequence[str], patience: float
) -> dict[str, Any]:
    """What there is of the migration; ``target`` None when it isn't there yet. PgError for what can't be read."""
    with ExitStack() as stack:
        near = stack.enter_context(connect(source))
        far = stack.enter_context(connect(target)) if target else None
        names = [row["name"] for row in server.databases(near, wanted) if wanted or row["name"] not in NOT_USERS]
        there = {row["name"] for row in server.databases(far, ())} if far else set()
        events = journal.read(far, migration) if far else {}
        # Without a target the source holds the lock alone.
        held = _holder(far or near, migration)
    return {
        "databases": [
            _database(source, target if name in there else None, migration, name, events, patience) for name in names
        ],
        "holder": held,
        "events": {name: event.as_dict() for name, event in events.items() if not name.startswith("catalogue.")},
    }


def _holder(session: Session, migration: str) -> dict[str, Any] | None:
    """Who holds the migration, by the server's own clock; None when nobody does."""
    _generation, held = lease.read(session, migration)
    if held is None or session.value("SELECT clock_timestamp() > %s::timestamptz", (stamp(held.until),)):
        return None
    return {
        "holder": held.holder, "since": stamp(held.since), "until": stamp(held.until), "generation": held.generation,
    }


def _database(
    source: Mapping[str, Any], target: Mapping[str, Any] | None, migration: str, name: str,
    events: Mapping[str, Event], patience: float,
) -> dict[str, Any]:
    own, slot = object_name(migration), slot_name(migration, name)
    with ExitStack() as stack:
        near = stack.enter_context(connect(source, name))
        far = stack.enter_context(connect(target, name)) if target else None
        seen = {
            "name": name,
            "slot": slot,
            "target": far is not None,
            "publication": near.value(_PUBLICATION, (own,)),
            "bytes_behind": next((row["behind"] for row in near.rows(_POSITION, (slot,))), None),
            "copy": _copy(far, migration) if far else None,
            "catalogue": catalogue_event(name) in events,
        }
        subscription, found = _subscription(near, far, own, slot, patience) if far else (None, [])
        found += _drift(near, name, events.get(catalogue_event(name)))
    return {**seen, "subscription": subscription, "findings": as_dicts(found)}


def _subscription(
    near: Session, far: Session, own: str, slot: str, patience: float
) -> tuple[dict[str, Any] | None, list[Any]]:
    version_num = subscription_state.version(far)
    now = subscription_state.read(far, own, version_num)
    if now is None:
        return None, []
    looks = subscription_state.watch(far, now, version_num, patience)
    publisher = subscription_state.publisher(near, now.publications, now.slot_name or slot, far)
    return health.describe(now, looks[-1], publisher), health.findings(now, looks, publisher, None)


_TABLES = f"""
    SELECT count(*)::int AS tables, count(*) FILTER (WHERE state IN ('copied', 'entered'))::int AS ready,
           array(SELECT name FROM {journal.SCHEMA}.copy_table
                 WHERE migration = %(migration)s AND state = 'left' ORDER BY 1 LIMIT {SHOWN}) AS "left"
    FROM {journal.SCHEMA}.copy_table WHERE migration = %(migration)s
"""


def _copy(far: Session, migration: str) -> dict[str, Any] | None:
    """How far the copy is; None when none was begun. The ledger reads through whatever has ``rows`` and ``value``."""
    if not ledger.is_there(far):
        return None
    found = far.rows(
        f"SELECT state, lsn, progress FROM {journal.SCHEMA}.copy_run WHERE migration = %s", (migration,)
    )
    return {**found[0], **far.row(_TABLES, {"migration": migration})} if found else None


def _drift(near: Session, name: str, kept: Event | None) -> list[Any]:
    """DDL since the start of the migration (P50): it isn't replicated, and may stop the apply worker."""
    if kept is None:
        return []
    near.run(canonical.SETTINGS)
    taken = fingerprint.fingerprint(fingerprint.read(near, WATCHED, subscription_state.version(near)))
    try:
        changed = fingerprint.changes(kept.now, taken)
    except PgError as error:
        return [blocker("catalogue-not-compared", name, error.message, "take the catalogue down again", "P50")]
    return [
        blocker(
            "catalogue-changed", f"{name}: {one['object']}",
            f"the source's {one['class']} were {one['change']} since the migration began; DDL isn't replicated",
            "make the same change on the target, or undo it; then acknowledge it", "P50", acknowledgeable=True,
        )
        for one in changed[:SHOWN]
    ]
