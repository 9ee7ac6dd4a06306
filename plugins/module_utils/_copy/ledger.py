# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has been copied, kept on the target in one transaction with the rows themselves (P55)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

try:
    from psycopg2.extras import Json
except ImportError:
    pass  # dial() says that psycopg2 is missing

from .._pg import journal
from .._pg.errors import PgError
from .sessions import Wire

SCHEMA = journal.SCHEMA
# Of a table: to be copied by this run; here, and built on; to come in by the subscription (P56); came in by it.
PLANNED, COPIED, LEFT, ENTERED = "planned", "copied", "left", "entered"
# Of a run: begun; over for all tables.
COPYING, DONE = "copying", "done"
# One copy of a migration at a time in a database.
_LOCK = 7_263_002
# Two sessions that make the tables at once would fail on each other: the lock ends with the transaction.
_MAKING = 7_263_001
_POLL = 0.5

_MAKE = f"""
    CREATE SCHEMA IF NOT EXISTS {SCHEMA};
    CREATE TABLE IF NOT EXISTS {SCHEMA}.copy_run (
        migration text PRIMARY KEY, run int NOT NULL, state text NOT NULL, slot text, lsn text, by text NOT NULL,
        began timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz,
        at timestamptz NOT NULL DEFAULT clock_timestamp(), progress jsonb
    );
    CREATE TABLE IF NOT EXISTS {SCHEMA}.copy_table (
        migration text, name text, run int NOT NULL, state text NOT NULL, rows bigint, bytes bigint, seconds real,
        at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (migration, name)
    );
    CREATE TABLE IF NOT EXISTS {SCHEMA}.copy_range (
        migration text, name text, run int, first bigint, rows bigint NOT NULL, bytes bigint NOT NULL,
        PRIMARY KEY (migration, name, run, first)
    )
"""
_THERE = f"""
    SELECT count(*) = 3 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = '{SCHEMA}' AND c.relname IN ('copy_run', 'copy_table', 'copy_range')
"""


@dataclass(frozen=True)
class Standing:
    """What the ledger says: the run (0: none), and each table's state."""

    run: int = 0
    state: str | None = None
    slot: str | None = None
    lsn: str | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0

    def named(self, *states: str) -> set[str]:
        return {name for name, state in self.tables.items() if state in states}


def is_there(wire: Wire) -> bool:
    return wire.value(_THERE)


def prepare(wire: Wire) -> None:
    """Make schema and tables where they are missing; needs CREATE on the database then."""
    if not is_there(wire):
        wire.run(f"BEGIN; SELECT pg_advisory_xact_lock({_MAKING}); {_MAKE}; COMMIT")


def read(wire: Wire, migration: str) -> Standing:
    if not is_there(wire):
        return Standing()
    found = wire.rows(f"SELECT run, state, slot, lsn FROM {SCHEMA}.copy_run WHERE migration = %s", (migration,))
    if not found:
        return Standing()
    tables = wire.rows(f"SELECT name, state, rows FROM {SCHEMA}.copy_table WHERE migration = %s", (migration,))
    return Standing(
        found[0]["run"], found[0]["state"], found[0]["slot"], found[0]["lsn"],
        {row["name"]: row["state"] for row in tables}, sum(row["rows"] or 0 for row in tables),
    )


def lock(wire: Wire, migration: str, patience: float = 0.0) -> None:
    """Hold the copy of this migration for as long as the session lives; raises PgError naming who has it.

    ``patience`` is how many seconds another may take to notice that he has lost the migration.
    """
    deadline = time.monotonic() + patience
    while not wire.value("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK, migration)):
        if time.monotonic() >= deadline:
            raise _held(wire, migration)
        time.sleep(_POLL)


def _held(wire: Wire, migration: str) -> PgError:
    holder = wire.rows(
        "SELECT a.pid, a.usename, a.client_addr::text, a.backend_start"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = hashtext(%s)::oid AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())", (_LOCK, migration),
    )
    who = (
        f"backend {holder[0]['pid']} of {holder[0]['usename']} from {holder[0]['client_addr']}, there since "
        f"{holder[0]['backend_start']}" if holder else "another session"
    )
    return PgError(
        f"{wire.where}: another run is copying for migration {migration}: {who}. Cure: wait for it, or end it with "
        "pg_terminate_backend.", code="copy_held"
    )


def begin(wire: Wire, migration: str, slot: str | None, tables: Iterable[str]) -> int:
    """A new run over these tables, nothing of which counts as copied any more; its number."""
    parameters = {"migration": migration, "slot": slot, "by": journal.whoami(), "names": list(tables)}
    wire.run("BEGIN")
    wire.run(f"DELETE FROM {SCHEMA}.copy_range WHERE migration = %(migration)s", parameters)
    wire.run(f"DELETE FROM {SCHEMA}.copy_table WHERE migration = %(migration)s AND state = 'planned'", parameters)
    run = wire.value(
        f"INSERT INTO {SCHEMA}.copy_run AS r (migration, run, state, slot, by)"
        " VALUES (%(migration)s, 1, 'copying', %(slot)s, %(by)s) ON CONFLICT (migration) DO UPDATE"
        " SET run = r.run + 1, state = 'copying', slot = excluded.slot, by = excluded.by, ended = NULL, lsn = NULL,"
        " progress = NULL, began = clock_timestamp(), at = clock_timestamp() RETURNING run", parameters,
    )
    wire.run(
        f"INSERT INTO {SCHEMA}.copy_table (migration, name, run, state)"
        " SELECT %(migration)s, name, %(run)s, 'planned' FROM unnest(%(names)s::text[]) AS t (name)"
        " ON CONFLICT (migration, name) DO UPDATE SET run = excluded.run, state = 'planned', rows = NULL",
        {**parameters, "run": run},
    )
    wire.run("COMMIT")
    return run


def found_point(wire: Wire, migration: str, lsn: str) -> None:
    """The consistent point of the run's slot."""
    wire.run(f"UPDATE {SCHEMA}.copy_run SET lsn = %s WHERE migration = %s", (lsn, migration))


def is_copied(wire: Wire, migration: str, run: int, table: str) -> bool:
    """Whether a table is here already; locks its row. Raises PgError when the run isn't the newest any more."""
    found = wire.rows(
        f"SELECT state FROM {SCHEMA}.copy_table WHERE migration = %s AND name = %s AND run = %s FOR UPDATE",
        (migration, table, run),
    )
    if not found or found[0]["state"] not in (PLANNED, COPIED):
        raise PgError(f"{wire.where}: {table} isn't this run's to copy any more: another one has taken over.")
    return found[0]["state"] == COPIED


def copied(wire: Wire, migration: str, table: str, rows: int, moved: int, seconds: float) -> None:
    """Call it in the transaction that brings the rows (P55)."""
    wire.run(
        f"UPDATE {SCHEMA}.copy_table SET state = 'copied', rows = %s, bytes = %s, seconds = %s, at = clock_timestamp()"
        " WHERE migration = %s AND name = %s", (rows, moved, seconds, migration, table),
    )


def range_is_copied(wire: Wire, migration: str, run: int, table: str, first: int) -> bool:
    return wire.value(
        f"SELECT EXISTS (SELECT FROM {SCHEMA}.copy_range WHERE migration = %s AND name = %s AND run = %s"
        " AND first = %s)", (migration, table, run, first),
    )


def range_copied(wire: Wire, migration: str, run: int, table: str, first: int, rows: int, moved: int) -> None:
    """Call it in the transaction that brings the rows (P55)."""
    wire.run(f"INSERT INTO {SCHEMA}.copy_range VALUES (%s, %s, %s, %s, %s, %s)",
             (migration, table, run, first, rows, moved))


def ranges_total(wire: Wire, migration: str, run: int, table: str) -> tuple[int, int]:
    """Rows and bytes of all ranges of a table."""
    row = wire.row(
        f"SELECT coalesce(sum(rows), 0)::bigint AS rows, coalesce(sum(bytes), 0)::bigint AS bytes"
        f" FROM {SCHEMA}.copy_range WHERE migration = %s AND name = %s AND run = %s", (migration, table, run),
    )
    return row["rows"], row["bytes"]


def leave(wire: Wire, migration: str, table: str) -> None:
    """Empty a table that isn't finished and leave it to the subscription (P56), in one transaction."""
    wire.run("BEGIN")
    wire.run(f"TRUNCATE ONLY {table}")
    wire.run(
        f"INSERT INTO {SCHEMA}.copy_table (migration, name, run, state)"
        f" SELECT %(migration)s, %(name)s, run, 'left' FROM {SCHEMA}.copy_run WHERE migration = %(migration)s"
        " ON CONFLICT (migration, name) DO UPDATE SET state = 'left', rows = NULL, at = clock_timestamp()",
        {"migration": migration, "name": table},
    )
    wire.run("COMMIT")


def entered(wire: Wire, migration: str, tables: Iterable[str]) -> None:
    """These came in by the subscription."""
    wire.run(
        f"UPDATE {SCHEMA}.copy_table SET state = 'entered', at = clock_timestamp()"
        " WHERE migration = %s AND name = ANY (%s) AND state = 'left'", (migration, list(tables)),
    )


def tell(wire: Wire, migration: str, progress: Mapping[str, Any]) -> None:
    """Progress, for whoever looks."""
    wire.run(f"UPDATE {SCHEMA}.copy_run SET progress = %s, at = clock_timestamp() WHERE migration = %s",
             (Json(dict(progress)), migration))


def end(wire: Wire, migration: str) -> None:
    """The run is over for all its tables. Synchronous: what the workers committed before is on disk with it."""
    wire.run("SET synchronous_commit = on")
    wire.run(
        f"UPDATE {SCHEMA}.copy_run SET state = 'done', ended = clock_timestamp(), at = clock_timestamp()"
        " WHERE migration = %s", (migration,),
    )


def forget(wire: Wire, migration: str) -> None:
    """Nothing was ever copied for this migration."""
    if is_there(wire):
        wire.run("BEGIN")
        for table in ("copy_range", "copy_table", "copy_run"):
            wire.run(f"DELETE FROM {SCHEMA}.{table} WHERE migration = %s", (migration,))
        wire.run("COMMIT")
