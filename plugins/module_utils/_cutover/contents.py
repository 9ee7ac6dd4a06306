# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database holds, taken down when a migration comes to it empty, and dropped again when a copy is begun anew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .._journal import Event
from .._pg import journal
from .._pg.connection import Session
from .._pg.errors import PgError
from .._plan import Plan, Step
from . import fence
from .fence_work import hold

PREFIX = "empty."
_SHOWN = 10

# Schemas, and what stands in them by itself; pg_depend says so, and DROP takes what belongs to it along. What is an
# extension's goes with that. `identity` is quoted as SQL wants it.
_CONTENTS = f"""
    WITH schema AS (
        SELECT oid, nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '{journal.SCHEMA}')
    ), found AS (
        SELECT 'pg_namespace'::regclass::oid AS classid, oid AS objid FROM schema
        UNION SELECT d.classid, d.objid FROM pg_depend d JOIN schema s ON s.oid = d.refobjid
        WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
          AND d.classid <> 'pg_default_acl'::regclass
        UNION SELECT 'pg_extension'::regclass::oid, oid FROM pg_extension
    )
    SELECT o.type, o.identity FROM found f, pg_identify_object(f.classid, f.objid, 0) o
    WHERE NOT EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = f.classid AND e.objid = f.objid AND e.objsubid = 0
          AND e.deptype = 'e'
    )
    ORDER BY o.type <> 'schema', o.type <> 'extension', o.type <> 'table', o.type, o.identity
"""
_KINDS = (
    "schema", "extension", "table", "foreign table", "view", "materialized view", "sequence", "function", "procedure",
    "aggregate", "type", "operator", "operator class", "operator family", "collation", "conversion",
    "statistics object", "text search configuration", "text search dictionary", "text search parser",
    "text search template",
)
# ROUTINE takes an aggregate without arguments as it is told.
_CALLED = {
    "function": "ROUTINE", "procedure": "ROUTINE", "aggregate": "ROUTINE", "statistics object": "STATISTICS",
}
_AT_ONCE = 100
# They are there before anybody makes anything.
_AMONG_THE_EMPTY = ("schema", "extension")


def event_id(database: str) -> str:
    return f"{PREFIX}{database}"


def read(session: Session) -> list[str]:
    """What there is, as DROP calls it: ``table public.orders``."""
    return [f"{row['type']} {row['identity']}" for row in session.rows(_CONTENTS)]


def plan(
    where: str, database: str, there: Sequence[str], taken_down: Event | None, closed: bool, final: bool = True,
) -> Plan:
    """What leaves a database as empty as it was found. Pure.

    ``closed`` says whether this migration holds it closed; ``final`` is false where that is still to come (check mode).
    Raises PgError for a database that isn't empty when the migration comes to it, and for one that may be in use.
    """
    if not closed and final:
        raise PgError(
            f"{where}/{database}: this migration doesn't hold it closed, so what is in it may be somebody's. Nothing "
            "was dropped. Cure: close it by pg_quiesce before the first row comes; one that serves stays as it is.",
            code="not_closed",
        )
    if taken_down is None:
        strange = [one for one in there if not one.startswith(_AMONG_THE_EMPTY)]
        if strange:
            more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
            raise PgError(
                f"{where}/{database}: isn't empty, and nothing says that this migration has filled it: "
                f"{', '.join(strange[:_SHOWN])}{more}. Cure: find out whose they are and drop them, or name another "
                "database.", code="not_empty",
            )
        return Plan((Step("take_down", f"take down that {database} is empty", {"there": list(there)}),))
    dropped = [one for one in there if one not in taken_down.was]
    steps = (Step("drop", f"drop {len(dropped)} objects of {database}: {', '.join(dropped[:_SHOWN])}", {
        "objects": dropped,
    }),) if dropped else ()
    return Plan(steps, {"contents": list(there)}, {"contents": [one for one in there if one not in dropped]})


class Contents:
    """A database of a server whose journal is read through ``home``; ``session`` is in the database itself."""

    def __init__(self, home: Session, session: Session, where: str, database: str, lock: Mapping[str, Any]) -> None:
        self.home, self.session, self.where, self.database, self.lock = home, session, where, database, lock

    def plan(self, final: bool) -> Plan:
        """See the function."""
        events = journal.read(self.home, self.lock["migration"])
        closed = self.database in fence.by_database(events.values())
        return plan(
            self.where, self.database, read(self.session), events.get(event_id(self.database)), closed, final
        )

    def take_down(self, there: Collection[str]) -> None:
        """Write what an empty database has, before anything comes."""
        with self.home.transaction():
            self.home.run("SET TRANSACTION READ WRITE")
            hold(self.home, self.lock)
            journal.record(self.home, self.lock["migration"], [
                journal.Entry(event_id(self.database), f"{self.where}/{self.database}", list(there), "taken down"),
            ], self.lock.get("holder"))

    def drop(self, objects: Sequence[str], before_each: Callable[[], None]) -> None:
        """In several transactions: one alone would want more locks than a server has. What went along is gone already.

        ``before_each`` raises when the lock is lost.
        """
        for first in range(0, len(objects), _AT_ONCE):
            before_each()
            with self.session.transaction():
                self.session.run("SET TRANSACTION READ WRITE")
                # No parameters, so that a % in a name stays one.
                self.session.run("; ".join(f"DROP {_if_there(one)} CASCADE" for one in objects[first:first + _AT_ONCE]))


def _if_there(thing: str) -> str:
    """``table public.orders`` as ``table IF EXISTS public.orders``; pg_identify_object has quoted the name. Pure."""
    kind = max((kind for kind in _KINDS if thing.startswith(f"{kind} ")), key=len)
    return f"{_CALLED.get(kind, kind)} IF EXISTS {thing[len(kind) + 1:]}"
