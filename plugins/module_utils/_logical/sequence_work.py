# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sequences read, and set, all in one statement each."""

from __future__ import annotations

import json
from collections.abc import Iterable

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.connection import Session
from .selection import OUR_OWN, Selection
from .sequences import Sequence

# Every sequence that is read or set stays locked to the end of its transaction: without a COMMIT in between, ten
# thousand of them use up the server's lock table (max_locks_per_transaction), which is everybody's.
_BATCH = 500

# Only a sequence itself tells last_value and is_called (P32). A UNION ALL over ten thousand of them exceeds
# max_stack_depth, query_to_xml isn't in every build: so the server goes through them, and hands back one text. What
# pg_sequence_last_value says of one that was called is the same (P32), and takes no statement.
_READ = f"""
    DO $do$
    DECLARE
        one record;
        value bigint;
        called boolean;
        found text[] := '{{}}';
    BEGIN
        FOR one IN
            SELECT c.oid, n.nspname, c.relname, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
                   has_sequence_privilege(c.oid, 'UPDATE') AS writable,
                   has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT') AS readable
            FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relpersistence <> 't' AND {OUR_OWN}
            ORDER BY n.nspname, c.relname
        LOOP
            value := NULL;
            IF one.readable THEN
                value := pg_sequence_last_value(one.oid);
                called := value IS NOT NULL;
            END IF;
            IF one.readable AND NOT called THEN
                EXECUTE format('SELECT last_value, is_called FROM %I.%I', one.nspname, one.relname) INTO value, called;
            END IF;
            found := found || json_build_array(
                format('%I.%I', one.nspname, one.relname), one.nspname, one.oid::bigint, value, called,
                one.seqincrement, one.seqmin, one.seqmax, one.seqcycle, one.writable)::text;
            IF cardinality(found) % {_BATCH} = 0 THEN
                COMMIT;
            END IF;
        END LOOP;
        PERFORM set_config('cloudpg.sequences', '[' || array_to_string(found, ',') || ']', false);
    END $do$
"""
_FETCH = "SELECT current_setting('cloudpg.sequences')"

_SET = f"""
    DO $do$
    DECLARE
        given text[];
        done int := 0;
    BEGIN
        FOREACH given SLICE 1 IN ARRAY {{}}::text[] LOOP
            PERFORM setval(given[1]::oid::regclass, given[2]::bigint, given[3]::boolean);
            done := done + 1;
            IF done % {_BATCH} = 0 THEN
                COMMIT;
            END IF;
        END LOOP;
    END $do$
"""


def read(session: Session, selection: Selection = Selection()) -> list[Sequence]:
    """All sequences that are meant, each read from itself; ``last_value`` is None for one the login may not read.

    Needs SELECT on each and USAGE on its schema. Works in a session that has no transaction open.
    """
    session.run(_READ)
    found = [Sequence(*row) for row in json.loads(session.value(_FETCH))]
    return selection.of(found, "sequences", session.where)


def write(session: Session, values: Iterable[tuple[int, int, bool]]) -> None:
    """Set sequences by oid, in one round trip. setval isn't transactional (P32): what was set stays set.

    Needs UPDATE on each. Works in a session that has no transaction open.
    """
    rows = [[str(oid), str(value), "true" if called else "false"] for oid, value, called in values]
    if rows:
        session.run(sql.SQL(_SET).format(sql.Literal(rows)))
