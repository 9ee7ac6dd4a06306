# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One table with nine tenths of the bytes: beside the processors there are, and over a line with 10 ms of delay."""

from __future__ import annotations

from collections.abc import Iterator

from contenders import Contest, has_pgcopydb, play
from report import Measured, race
from slow_line import SlowLine
from stand import DATABASE, Bench

JOBS = 2
ROWS = 12_000_000
SMALL_ROWS = 1_300_000
DELAY = 0.010
# Over the line everybody may use more, for the processors aren't what is short there.
JOBS_FAR = 4
# What pgcopydb and ours split by: each then has more ranges than jobs.
PARTS = 4
LIMITS = "on two processors one reader, one writer and the client between them fill the machine"
LINE_LIMITS = "a connection carries a window (256 KiB) every 10 ms, and this machine has two processors for all of it"

TABLES = """
    CREATE TABLE big (
        id bigint PRIMARY KEY, customer int NOT NULL, amount numeric(12, 2) NOT NULL, at timestamptz NOT NULL,
        note text NOT NULL
    );
    INSERT INTO big
    SELECT i, i %% 50000, (i %% 99999) / 7.0, timestamptz '2024-01-01' + i * interval '3 s', 'note ' || md5(i::text)
    FROM generate_series(1, %(rows)s) AS i;
    CREATE TABLE small AS SELECT * FROM big WHERE id <= %(few)s;
    ALTER TABLE small ADD PRIMARY KEY (id);
"""


def fill(bench: Bench, contest: Contest, share: float = 1.0) -> int:
    """The source's data; the bytes of the big table."""
    server = contest.source
    bench.fresh_database(server)
    connection = server.connect(DATABASE)
    with connection.cursor() as cursor:
        cursor.execute("GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner")
        scale = bench.scale * share
        cursor.execute(TABLES, {"rows": round(ROWS * scale), "few": round(SMALL_ROWS * scale)})
        cursor.execute("RESET ROLE")
        cursor.execute("VACUUM (FREEZE, ANALYZE)")
        cursor.execute("SELECT pg_table_size('big')")
        size = cursor.fetchone()[0]
    connection.close()
    return size


def measure(bench: Bench) -> Iterator[Measured]:
    source_major, target_major = bench.pair_of_majors()
    source, target = bench.server("source", source_major), bench.server("target", target_major)
    contest = Contest(bench, source, target, JOBS)
    there = has_pgcopydb()
    size = fill(bench, contest)
    bench.say(f"   a table of {size / 2**30:.2f} GiB, PostgreSQL {source_major} to {target_major}")
    split = str(size // PARTS)
    peers = {
        "pgcopydb": contest.pgcopydb,
        "pgcopydb split": lambda: contest.pgcopydb("--split-tables-larger-than", split),
    } if there else {}
    yield race(
        "big_table", play(contest, {"ours": contest.ours, **peers}, bench.rounds), "ours",
        {"pgcopydb": 0.9, "pgcopydb split": 0.9}, LIMITS,
    )
    address = f"{source.address.rsplit('.', 1)[0]}.99"
    with SlowLine(address, source.port, (source.address, source.port), DELAY / 2):
        # A third of the rows: the line is slow.
        size = fill(bench, contest, 1 / 3)
        far = Contest(bench, source, target, JOBS_FAR, through=address)
        bench.say(f"   a table of {size / 2**30:.2f} GiB, over a line with 10 ms there and back")
        yield race(
            "big_table_10ms", play(far, {
                "ours": lambda: far.ours(size // PARTS), **({"pgcopydb": far.pgcopydb} if there else {}),
            }, bench.rounds), "ours", {"pgcopydb": 0.6}, LINE_LIMITS,
        )
