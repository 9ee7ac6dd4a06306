# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal beside the data: what can't be derived from the real state, written together with the change itself.

It is a table in each database, in a schema that is never published, copied or compared.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

try:
    from psycopg2.extras import Json
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._journal import Event
from .connection import Session

SCHEMA = "cloudpg_migration"
TABLE = f"{SCHEMA}.event"
# Two sessions that make the table at once would fail on each other: the lock ends with the transaction.
_MAKING = 7_263_001

# The catalogue instead of to_regclass or IF NOT EXISTS: those want rights on the schema or the database.
_EXISTS = f"""
    SELECT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = '{SCHEMA}' AND c.relname = 'event'
    )
"""

_MAKE = f"""
    CREATE SCHEMA IF NOT EXISTS {SCHEMA};
    CREATE TABLE IF NOT EXISTS {TABLE} (
        migration text NOT NULL, id text NOT NULL, object text NOT NULL, was jsonb, now jsonb,
        at timestamptz NOT NULL DEFAULT clock_timestamp(), by text NOT NULL, PRIMARY KEY (migration, id)
    )
"""

_RECORD = f"""
    INSERT INTO {TABLE} AS kept (migration, id, object, was, now, by)
    SELECT %(migration)s, e.id, e.object, e.was, e.now, %(by)s
    FROM jsonb_to_recordset(%(entries)s) AS e (id text, object text, was jsonb, now jsonb)
    ON CONFLICT (migration, id) DO UPDATE
    SET object = excluded.object, now = excluded.now, at = excluded.at, by = excluded.by
    WHERE kept.now IS DISTINCT FROM excluded.now
"""

_READ = f"""
    SELECT id, object, was, now, at, by FROM {TABLE} WHERE migration = %(migration)s AND id LIKE %(prefix)s
    ORDER BY at, id
"""


class Entry(NamedTuple):
    """How ``object`` was and what it is made; ``id`` is unique within a migration (``identity.public.items``)."""

    id: str
    object: str
    was: Any
    now: Any


def whoami() -> str:
    """Who writes: ``user@host``, with the process, for a person to find."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}#{os.getpid()}"


def is_there(session: Session) -> bool:
    return session.value(_EXISTS)


def prepare(session: Session) -> None:
    """Make schema and table where they are missing; needs CREATE on the database then."""
    if not is_there(session):
        with_lock = f"SELECT pg_advisory_xact_lock({_MAKING})"
        session.run(f"{with_lock}; {_MAKE}")


def record(session: Session, migration: str, entries: Iterable[Entry], by: str | None = None) -> None:
    """Write all entries in one round trip. Of an id that is there the first ``was`` is kept, ``now`` is taken over.

    Call it inside ``session.transaction()``, together with the change that it describes. Raises PgError.
    """
    rows = [entry._asdict() for entry in entries]
    if rows:
        prepare(session)
        session.run(_RECORD, {"migration": migration, "entries": Json(rows), "by": by or whoami()})


def read(session: Session, migration: str, prefix: str = "") -> dict[str, Event]:
    """The events of a migration by id, oldest first, those whose id begins with ``prefix``; none without a table."""
    if not is_there(session):
        return {}
    like = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return {row["id"]: Event(**row) for row in session.rows(_READ, {"migration": migration, "prefix": like})}


def forget(session: Session, migration: str, ids: Iterable[str]) -> None:
    """Take out what was put back, in the same transaction that puts it back."""
    gone = list(ids)
    if gone and is_there(session):
        session.run(f"DELETE FROM {TABLE} WHERE migration = %s AND id = ANY (%s)", (migration, gone))
