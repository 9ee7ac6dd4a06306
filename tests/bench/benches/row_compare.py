# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing every row of two servers: bytes a second, beside counting the rows and beside reading them out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from report import Measured, medians
from stand import DATABASE, Bench, stopwatch

JOBS = 2
ROWS = 3_000_000
MIB = 2**20
# A comparison has to write every value as text, as COPY does, but sends none of it: it should be no slower than that.
LIMITS = "writing each value as text takes most of the time; count(*) writes none"

TABLE = """
    CREATE TABLE mixed (
        id bigint PRIMARY KEY, amount numeric(12, 2) NOT NULL, at timestamptz NOT NULL, document jsonb, token uuid,
        note text
    );
    INSERT INTO mixed
    SELECT i, (i %% 99999) / 7.0, timestamptz '2024-01-01' + i * interval '3 s',
           jsonb_build_object('n', i, 'hash', md5(i::text)), md5(i::text)::uuid,
           CASE WHEN i %% 10 > 0 THEN repeat(md5(i::text), 2) END
    FROM generate_series(1, %(rows)s) AS i;
"""
READ_OUT = """
import psycopg2, sys
class Nothing:
    def write(self, block): pass
with psycopg2.connect(sys.argv[1]).cursor() as cursor:
    cursor.copy_expert("COPY mixed TO STDOUT", Nothing())
"""


def measure(bench: Bench) -> Iterator[Measured]:
    majors = bench.pair_of_majors()
    servers = [bench.server(name, major) for name, major in zip(("source", "target"), majors)]
    for server in servers:
        bench.fresh_database(server)
        connection = server.connect(DATABASE)
        with connection.cursor() as cursor:
            cursor.execute("GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner")
            cursor.execute(TABLE, {"rows": round(ROWS * bench.scale)})
            cursor.execute("RESET ROLE")
            cursor.execute("VACUUM (FREEZE, ANALYZE)")
            cursor.execute("SELECT pg_relation_size('mixed')")
            size = cursor.fetchone()[0]
        connection.close()
    bench.say(f"   a table of {size / 2**30:.2f} GiB on each side, PostgreSQL {majors[0]} and {majors[1]}")

    def on_both(work: Callable[..., object]) -> None:
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(work, servers))

    def compare() -> None:
        bench.module("pg_compare", {
            "source": bench.address(servers[0]), "target": bench.address(servers[1]), "objects": [], "max_jobs": JOBS,
        })

    def read_out(server) -> None:
        subprocess.run([sys.executable, "-c", READ_OUT, bench.uri(server)], check=True)

    contenders = {
        "ours": compare,
        "count(*)": lambda: on_both(lambda server: server.query("SELECT count(*) FROM mixed", dbname=DATABASE)),
        "COPY TO STDOUT": lambda: on_both(read_out),
    }
    rounds = []
    for number in range(bench.rounds):
        seconds: dict[str, float] = {}
        for name, contender in contenders.items():
            with stopwatch(seconds, name):
                contender()
        rounds.append({name: len(servers) * size / MIB / each for name, each in seconds.items()})
        told = ", ".join(f"{name} {rate:.0f} MiB/s" for name, rate in rounds[-1].items())
        bench.say(f"   round {number + 1}: {told}")
    rates = medians(rounds)
    value, target = rates.pop("ours"), rates["COPY TO STDOUT"]
    told = f"{value / target:.2f} of reading out, {value / rates['count(*)']:.3f} of counting; {LIMITS}"
    yield Measured("row_compare", value, "MiB/s", target, False, rates, rounds, told)
