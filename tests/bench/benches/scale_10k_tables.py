# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""10,000 empty tables, and 1,000 of them: what each step takes, in seconds and in memory. It may grow linearly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cloudpg_sandbox.servers import Server
from report import Measured, medians
from stand import DATABASE, Bench, BenchError, stopwatch

FEW, MANY = 1_000, 10_000
NAME = "bench"
JOBS = 2
PEER = "pg_dump"
# A dump locks all tables in one transaction.
SETTINGS = {"max_locks_per_transaction": "256"}


def make(bench: Bench, source: Server, target: Server, count: int) -> None:
    bench.fresh_database(target)
    if source.query("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]):
        bench.clean_source(source)  # no database goes while it has a slot
    bench.fresh_database(source)
    for server in (source, target):
        server.query(f"GRANT CREATE ON DATABASE {DATABASE} TO migration", dbname=DATABASE)
        server.query("GRANT CREATE ON SCHEMA public TO owner", dbname=DATABASE)
    connection = source.connect(DATABASE)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE owner")
        for first in range(0, count, 500):
            cursor.execute("".join(
                f"CREATE TABLE t{number} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, other bigint, note text);"
                f"CREATE INDEX ON t{number} (other);" for number in range(first, min(first + 500, count))
            ))
        cursor.execute("RESET ROLE; ANALYZE")
    connection.close()


def steps(bench: Bench, source: Server, target: Server) -> dict[str, tuple[str, dict[str, Any]]]:
    """Module and arguments of each step, in order; some are there only for what comes after them."""
    near, far = bench.address(source), bench.address(target)
    both, named = {"source": near, "target": far}, {"migration": NAME}
    # That of the newer side reads both, where it is there.
    schema = {**both, "bindir": target.installation.bindir}
    slot = f"cloudpg_{NAME}_{DATABASE}"
    return {
        "preflight": ("logical_preflight_info", {**both, **named, "databases": [DATABASE]}),
        "publication": ("pg_publication", {"server": near, **named}),
        "schema": ("pg_schema", {**schema, "sections": ["pre-data"]}),
        "copy": ("pg_copy", {**both, **named, "slot": slot, "max_jobs": JOBS}),
        "follow": ("pg_subscription", {**both, **named, "slot_name": slot, "create_slot": False, "copy_data": False}),
        "schema again": ("pg_schema", {**schema, "sections": ["pre-data", "primary-keys", "post-data"]}),
        "compare": ("pg_compare", {**both, "max_jobs": JOBS}),
        "status": ("logical_info", {**both, **named, "databases": [DATABASE]}),
    }


def play(bench: Bench, source: Server, target: Server, count: int) -> dict[str, float]:
    """Seconds and MiB of each step, by its name and the number of tables."""
    make(bench, source, target, count)
    figures: dict[str, float] = {}
    # Not ours, and a part of what schema takes: so much of its growth is pg_dump's.
    with stopwatch(figures, f"{PEER} s"):
        bench.run([source.installation.program("pg_dump"), "--schema-only", bench.uri(source)])
    for name, (module, arguments) in steps(bench, source, target).items():
        told, seconds, peak = bench.weighed(module, arguments)
        figures[f"{name} s"], figures[f"{name} MiB"] = seconds, peak
        bench.say(f"   {count} tables: {name} {seconds:.2f} s, {peak:.0f} MiB")
        if name == "status":
            seen = told["databases"][0]
            # Nobody is there against whom the target would have to be closed.
            found = [one for one in seen["findings"] if one["id"] != "target-open"]
            if found or seen["subscription"]["tables"]["ready"] != count:
                raise BenchError(f"not all of {count} tables follow: {found or seen['subscription']}")
    return figures


def measure(bench: Bench) -> Iterator[Measured]:
    majors = bench.pair_of_majors()
    source, target = (
        bench.server(f"{name} of many", major, **SETTINGS) for name, major in zip(("source", "target"), majors)
    )
    few, many = round(FEW * bench.scale), round(MANY * bench.scale)
    rounds: list[dict[str, float]] = []
    for _number in range(bench.rounds):
        some, all_of_them = (play(bench, source, target, count) for count in (few, many))
        rounds.append({
            **{f"{name}, {few}": figure for name, figure in some.items()},
            **{f"{name}, {many}": figure for name, figure in all_of_them.items()},
        })
    middle = medians(rounds)
    growth = {name: middle[f"{name}, {many}"] / middle[f"{name}, {few}"] for name in some}
    peer = growth.pop(f"{PEER} s")
    worst = max(growth, key=growth.__getitem__)
    told = (
        f"{worst} grows most: {middle[f'{worst}, {few}']:.2f} to {middle[f'{worst}, {many}']:.2f}; "
        f"{PEER}, which schema runs, takes {peer:.1f} times as long"
    )
    bench.say(f"   {told}")
    large = {name: middle[f"{name}, {many}"] for name in some}
    yield Measured(
        "scale_10k_tables", growth[worst], f"times that of {few:,}", many / few, True, large, rounds, told,
    )
