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
from .._cutover import contents
from .._cutover.names import way_back
from .._cutover.turn import SOURCE, TARGET, Turn, turn
from .._findings import Finding, blocker, warning
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
# The catalogues that the journal keeps: of either side, when it began to serve.
CATALOGUES = {SOURCE: "catalogue.", TARGET: "catalogue_of_target."}
_PUBLICATION = "SELECT count(*) > 0 FROM pg_publication WHERE pubname = %s"


# What there is of a migration whose source isn't there yet.
NOTHING: dict[str, Any] = {
    "databases": [], "holder": None, "serves": SOURCE, "halfway": None, "returned": False, "finished": False,
    "closed": [], "opened_at": None, "events": {},
}


def catalogue_event(database: str, side: str = SOURCE) -> str:
    """The id of the journal entry that holds a database's catalogue as it was when that side began to serve (P50)."""
    return f"{CATALOGUES[side]}{database}"


def look(
    source: Mapping[str, Any], target: Mapping[str, Any] | None, migration: str, wanted: Sequence[str], patience: float
) -> dict[str, Any]:
    """What there is of the migration; ``target`` None when it isn't there yet. PgError for what can't be read."""
    with ExitStack() as stack:
        near = stack.enter_context(connect(source))
        far = stack.enter_context(connect(target)) if target else None
        names = [row["name"] for row in server.databases(near, wanted) if wanted or row["name"] not in NOT_USERS]
        there = {row["name"] for row in server.databases(far, ())} if far else set()
        events = {SOURCE: journal.read(near, migration), TARGET: journal.read(far, migration) if far else {}}
        # Without a target the source holds the lock alone.
        held = _holder(far or near, migration)
    whose = turn(events[SOURCE], events[TARGET], names)
    return {
        "databases": [
            _database(source, target if name in there else None, migration, name, events, whose, patience)
            for name in names
        ],
        "holder": held,
        "serves": whose.serves,
        "halfway": whose.halfway,
        "returned": whose.returned,
        "finished": whose.finished,
        "closed": list(whose.closed),
        "opened_at": whose.opened_at,
        "events": {
            name: event.as_dict() for name, event in events[TARGET].items()
            if not name.startswith(tuple(CATALOGUES.values()))
        },
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
    events: Mapping[str, Mapping[str, Event]], whose: Turn, patience: float,
) -> dict[str, Any]:
    with ExitStack() as stack:
        near = stack.enter_context(connect(source, name))
        far = stack.enter_context(connect(target, name)) if target else None
        copied = _copy(far, migration) if far else None
        forward = _way(near, far, migration, name, patience)
        back = _way(far, near, way_back(migration), name, patience)
        serving = near if whose.serves == SOURCE else far
        found = list(open_early(name, copied, whose))
        running, idle = (forward, back) if whose.serves == SOURCE else (back, forward)
        found += running.pop("found")
        found += broken(name, forward, back, idle.pop("found"), whose)
        if serving:
            found += _drift(serving, name, events[TARGET].get(catalogue_event(name, whose.serves)), whose.serves)
    return {
        "name": name,
        "slot": forward["slot"],
        "target": target is not None,
        "publication": forward["publication"],
        "bytes_behind": running["bytes_behind"],
        "copy": copied,
        "catalogue": catalogue_event(name) in events[TARGET],
        "awaits": contents.event_id(name) in events[TARGET] and TARGET in whose.closed,
        "subscription": forward["subscription"],
        "back": back,
        "findings": as_dicts(found),
    }


def _way(
    publisher: Session | None, subscriber: Session | None, migration: str, database: str, patience: float
) -> dict[str, Any]:
    """One direction of one database; ``found`` are its findings. ``bytes_behind`` is null without a slot."""
    own, slot = object_name(migration), slot_name(migration, database)
    subscription, found = _subscription(publisher, subscriber, own, slot, patience)
    positions = publisher.rows(_POSITION, (slot,)) if publisher else []
    return {
        "publication": bool(publisher and publisher.value(_PUBLICATION, (own,))),
        "slot": slot,
        "bytes_behind": next((row["behind"] for row in positions), None),
        "subscription": subscription,
        "found": found,
    }


def _subscription(
    near: Session | None, far: Session | None, own: str, slot: str, patience: float
) -> tuple[dict[str, Any] | None, list[Any]]:
    if far is None or near is None or not subscription_state.readable(far):
        return None, []
    version_num = subscription_state.version(far)
    now = subscription_state.read(far, own, version_num)
    if now is None:
        return None, []
    looks = subscription_state.watch(far, now, version_num, patience)
    publisher = subscription_state.publisher(near, now.publications, now.slot_name or slot, far)
    return health.describe(now, looks[-1], publisher), health.findings(now, looks, publisher, None)


def open_early(name: str, copied: Mapping[str, Any] | None, whose: Turn) -> list[Finding]:
    """Rows are on a target that anybody may write to before its time. Pure."""
    if not copied or whose.serves == TARGET or whose.finished or TARGET in whose.closed:
        return []
    return [blocker(
        "target-open", name, "the target has rows and isn't closed: what somebody writes there stops what comes from "
        "the source, or is lost", "run replicate, which closes it; see who wrote to it", "P29",
    )]


def broken(
    name: str, forward: Mapping[str, Any], back: dict[str, Any], found: Sequence[Finding], whose: Turn
) -> list[Finding]:
    """What is wrong with the way that isn't in use now, and with the way back; it sets ``back["broken"]``. Pure.

    ``found`` are the findings about the idle way. Without the way back going back would lose writes (P25); one that was
    never made isn't missed.
    """
    said = [one.reason for one in found if one.severity == "blocker"]
    if whose.serves == SOURCE:
        back["broken"] = said = _missing(back) + said
        if back["subscription"] and back["subscription"]["enabled"]:
            said.append("its subscription is enabled, and changes would go round in circles")
    else:
        back["broken"] = _missing(back)
        if back["subscription"] and not back["subscription"]["enabled"]:
            back["broken"].append("its subscription is disabled: run cutover again, which turns it on")
        said += _missing(forward)
    findings = [blocker(
        "way-back-broken", name, f"there is no way back without losing writes: {'; '.join(back['broken'])}",
        "run replicate, which makes it anew, or acknowledge it" if whose.serves == SOURCE else
        "mend it; what is written now stays behind", "P25", acknowledgeable=True,
    )] if back["broken"] else []
    if said and whose.serves == TARGET:
        findings.append(warning(
            "way-there-broken", name, f"after a way back the target wouldn't follow again: {'; '.join(said)}",
            "nothing, unless you mean to cut over a second time", "P25",
        ))
    return findings


def _missing(way: Mapping[str, Any]) -> list[str]:
    """What there isn't of a way of which something is there."""
    parts = {
        "it has no publication": way["publication"], "it has no slot": way["bytes_behind"] is not None,
        "it has no subscription": way["subscription"] is not None,
    }
    gone = [part for part, there in parts.items() if not there]
    return gone if len(gone) < len(parts) else []


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


def _drift(session: Session, name: str, kept: Event | None, side: str) -> list[Any]:
    """DDL on the side that serves, since it began to (P50): it isn't replicated, and may stop the apply worker."""
    if kept is None:
        return []
    session.run(canonical.SETTINGS)
    taken = fingerprint.fingerprint(fingerprint.read(session, WATCHED, subscription_state.version(session)))
    try:
        changed = fingerprint.changes(kept.now, taken)
    except PgError as error:
        return [blocker("catalogue-not-compared", name, error.message, "take the catalogue down again", "P50")]
    since = "the migration began" if side == SOURCE else "the cutover"
    other = TARGET if side == SOURCE else SOURCE
    return [
        blocker(
            "catalogue-changed", f"{name}: {one['object']}",
            f"the {side}'s {one['class']} were {one['change']} since {since}; DDL isn't replicated",
            f"make the same change on the {other}, or undo it; then acknowledge it", "P50", acknowledgeable=True,
        )
        for one in changed[:SHOWN]
    ]
