# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""10,000 sequences brought over: all by one module, beside a task for each with community.postgresql."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cloudpg_sandbox.servers import Server
from report import Measured, medians
from stand import DATABASE, SECRET, Bench, BenchError, stopwatch

SEQUENCES = 10_000
# The others are timed over so many, and told as if it had been all: they would take the better part of an hour.
SAMPLE = 100
TIMES = 500
PEER = "one task each"
LIMITS = "starting Python, and reading each sequence from itself on both sides"

USE = "SELECT count(setval(format('s%%s', i), 1000 + i)) FROM generate_series(1, %s) AS i"
UNUSE = "SELECT count(setval(format('s%%s', i), 1, false)) FROM generate_series(1, %s) AS i"
# The values are given to it: reading them would cost it as many tasks more.
PLAYBOOK = [{
    "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [{
        "name": "Set the sequences",
        "community.postgresql.postgresql_query": {
            "login_host": "{{ host }}", "login_user": "migration", "login_password": SECRET, "login_db": DATABASE,
            "query": "SELECT setval('s{{ item }}', {{ 1000 + item }})",
        },
        "loop": "{{ range(1, 1 + (count | int)) | list }}",
    }],
}]


def make(bench: Bench, server: Server, count: int) -> None:
    bench.fresh_database(server)
    connection = server.connect(DATABASE)
    with connection.cursor() as cursor:
        cursor.execute("GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner")
        for first in range(1, count + 1, 1000):
            numbers = range(first, min(first + 1000, count + 1))
            cursor.execute("".join(f"CREATE SEQUENCE s{number};" for number in numbers))
    connection.close()


def task_each(bench: Bench, target: Server, count: int) -> None:
    """A playbook with that many tasks."""
    playbook = bench.scratch("sequences.yml")
    playbook.write_text(json.dumps(PLAYBOOK), encoding="utf-8")
    bench.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(playbook),
         "-e", json.dumps({"host": target.address, "count": count, "ansible_python_interpreter": sys.executable})],
        ANSIBLE_PIPELINING="true", ANSIBLE_LOCALHOST_WARNING="false", ANSIBLE_INVENTORY_UNPARSED_WARNING="false",
    )


def measure(bench: Bench) -> Iterator[Measured]:
    majors = bench.pair_of_majors()
    source, target = (bench.server(name, major) for name, major in zip(("source", "target"), majors))
    count = round(SEQUENCES * bench.scale)
    for server in (source, target):
        make(bench, server, count)
    source.query(USE, [count], dbname=DATABASE)
    sides = {"source": bench.address(source), "target": bench.address(target)}
    rounds = []
    for number in range(bench.rounds):
        target.query(UNUSE, [count], dbname=DATABASE)
        seconds: dict[str, float] = {}
        with stopwatch(seconds, "one"):
            task_each(bench, target, 1)
        with stopwatch(seconds, "sample"):
            task_each(bench, target, 1 + SAMPLE)
        target.query(UNUSE, [count], dbname=DATABASE)
        with stopwatch(seconds, "ours"):
            told = bench.module("pg_sequence_sync", sides)
        if told["counts"]["set"] != count or bench.module("pg_sequence_sync", sides)["changed"]:
            raise BenchError(f"not all sequences were set: {told['counts']}")
        rounds.append({"ours": seconds["ours"], PEER: (seconds["sample"] - seconds["one"]) / SAMPLE * count})
        bench.say(f"   round {number + 1}: " + ", ".join(f"{name} {each:.2f} s" for name, each in rounds[-1].items()))
    middle = medians(rounds)
    factor = middle[PEER] / middle["ours"]
    yield Measured("sequences_10k", factor, "times faster", TIMES, False, middle, rounds, LIMITS)
