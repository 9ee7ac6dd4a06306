# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database of about 2 GiB from one server to another, until it is in step with all indexes."""

from __future__ import annotations

from collections.abc import Iterator

from contenders import Contest, has_pgcopydb, play
from report import Measured, race
from stand import DATABASE, Bench

JOBS = 2
PGBENCH_SCALE = 60
EVENTS = 4_000_000
TARGETS = {"plain recipe": 0.35, "pgcopydb": 0.9, "dump and restore": 0.85}
LIMITS = "processor time: both servers and the client share this machine's processors"

EVENTS_TABLE = """
    CREATE TABLE event (
        id bigint PRIMARY KEY, account int NOT NULL, amount numeric(12, 2) NOT NULL, at timestamptz NOT NULL,
        details jsonb NOT NULL, reference uuid NOT NULL
    );
    INSERT INTO event
    SELECT i, i %% 100000, (random() * 100000)::numeric(12, 2), timestamptz '2024-01-01' + i * interval '7 s',
           jsonb_build_object('kind', 'event ' || i %% 17, 'note', md5(i::text), 'tags', ARRAY[i %% 5, i %% 7]),
           gen_random_uuid()
    FROM generate_series(1, %(rows)s) AS i;
    CREATE INDEX event_account ON event (account);
    CREATE INDEX event_at ON event (at);
    CREATE INDEX event_reference ON event (reference);
"""


def fill(bench: Bench, contest: Contest) -> None:
    """The source's data, owned by a role that is no superuser."""
    server = contest.source
    bench.fresh_database(server)
    scale = max(1, round(PGBENCH_SCALE * bench.scale))
    bench.run(
        [server.installation.program("pgbench"), "-i", "-q", "-s", str(scale), bench.uri(server, "owner")]
    )
    connection = server.connect(DATABASE)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE owner")
        cursor.execute(EVENTS_TABLE, {"rows": round(EVENTS * bench.scale)})
        cursor.execute("RESET ROLE")
        cursor.execute("VACUUM (FREEZE, ANALYZE)")
    connection.close()


def measure(bench: Bench) -> Iterator[Measured]:
    source_major, target_major = bench.pair_of_majors()
    contest = Contest(bench, bench.server("source", source_major), bench.server("target", target_major), JOBS)
    bench.say(f"   filling PostgreSQL {source_major}, to be copied to {target_major}")
    fill(bench, contest)
    [(size,)] = contest.source.query(f"SELECT pg_database_size('{DATABASE}')")
    bench.say(f"   {size / 2**30:.2f} GiB with indexes")
    contenders = {
        "ours": contest.ours, "plain recipe": contest.plain_recipe, "dump and restore": contest.dump_and_restore,
    }
    if has_pgcopydb():
        contenders["pgcopydb"] = contest.pgcopydb
    yield race("bulk_copy", play(contest, contenders, bench.rounds), "ours", TARGETS, LIMITS)
