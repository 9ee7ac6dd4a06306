# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads RDS's metrics off the real servers, once a second (R12 to R14).

No sample is better than a wrong one: a replica that isn't streaming reports nothing, since a zero that only means
"nothing arrives" would open a gate.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

LOGGER = logging.getLogger("cloudpg_sandbox")
NAMESPACE = "AWS/RDS"
INTERVAL_SECONDS = 1.0
FORGET_SECONDS = 600.0
AT_ONCE = 8

# Every metric with its unit.
UNITS = {
    "AuroraReplicaLag": "Milliseconds",
    "DatabaseConnections": "Count",
    "FreeStorageSpace": "Bytes",
    "OldestReplicationSlotLag": "Bytes",
    "RDSToAuroraPostgreSQLReplicaLag": "Seconds",
    "ReplicaLag": "Seconds",
    "TransactionLogsDiskUsage": "Bytes",
}

# One statement a server and second. A slot that lost its WAL has no restart_lsn and no lag any more (P14).
MEASURE = """
SELECT pg_is_in_recovery(),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> 'rdsadmin'),
       (SELECT sum(size) FROM pg_ls_waldir()),
       (SELECT max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                        ELSE pg_current_wal_lsn() END, restart_lsn)) FROM pg_replication_slots),
       (SELECT status = 'streaming' FROM pg_stat_wal_receiver),
       (SELECT greatest(pg_last_wal_receive_lsn(), latest_end_lsn) <= pg_last_wal_replay_lsn()
          FROM pg_stat_wal_receiver),
       extract(epoch FROM pg_postmaster_start_time()),
       extract(epoch FROM pg_last_xact_replay_timestamp()),
       pg_last_wal_replay_lsn()::text
"""
SWITCH_WAL = "SELECT pg_logical_emit_message(false, 'rds', 'heartbeat'), pg_switch_wal()"


class LiveServer(Protocol):
    """What is measured."""

    identifier: str
    role: str
    cluster_identifier: str | None
    source_identifier: str | None
    data_dir: str | None
    state: str

    def query(self, sql: str) -> list[tuple[Any, ...]]: ...


class Store(Protocol):
    """Where the samples go."""

    faults: Any

    def record(
        self, namespace: str, metric: str, dimensions: dict[str, str], value: float, unit: str, at: float
    ) -> None: ...

    def forget(self, at: float | None = None) -> None: ...


@dataclass(frozen=True)
class Reading:
    """One row of MEASURE; sizes in bytes, times in seconds since 1970, None for what the server doesn't have."""

    in_recovery: bool
    connections: int
    wal_bytes: float | None
    slot_lag: float | None
    streaming: bool | None
    caught_up: bool | None
    started: float
    last_replayed: float | None
    replayed_lsn: str | None


@dataclass
class Progress:
    """What is remembered about a replica between two readings."""

    caught_up_at: float = 0.0
    replayed_lsn: str | None = None
    moved_at: float = 0.0


def lag_seconds(reading: Reading, progress: Progress, at: float, sawtooth: bool = False) -> float | None:
    """How far a replica is behind; None while nothing streams to it.

    What hasn't been replayed is as old as the last moment at which everything had been: the last replayed commit, the
    last reading that was caught up, or the server's start while there was neither. With `sawtooth` an idle source
    counts as lag as on RDS: the time since anything was replayed (R13).
    """
    if reading.replayed_lsn != progress.replayed_lsn:
        progress.replayed_lsn, progress.moved_at = reading.replayed_lsn, at
    if not reading.streaming:
        return None
    if reading.caught_up:
        progress.caught_up_at = at
        return at - progress.moved_at if sawtooth else 0.0
    known = max(reading.last_replayed or 0.0, progress.caught_up_at, reading.started)
    return max(at - known, 0.0)


def until_next(now: float) -> float:
    """Seconds to the middle of the next second: every period of one second gets one sample."""
    return INTERVAL_SECONDS - (now - INTERVAL_SECONDS / 2) % INTERVAL_SECONDS


def dimensions_of(server: LiveServer) -> list[dict[str, str]]:
    """Every set of dimensions a member's metric is filed under; CloudWatch takes each for a metric of its own."""
    found = [{"DBInstanceIdentifier": server.identifier}]
    if server.cluster_identifier:
        found.append({"DBClusterIdentifier": server.cluster_identifier})
    return found


class Sampler(threading.Thread):
    """Samples the live servers until it is stopped; one that doesn't answer leaves a gap and holds up no other."""

    def __init__(self, servers: Callable[[], Iterable[LiveServer]], store: Store) -> None:
        super().__init__(name="sampler", daemon=True)
        self._servers = servers
        self._store = store
        self._stopping = threading.Event()
        self._progress: dict[str, Progress] = {}
        self._switched: dict[str, float] = {}
        self._under_way: dict[str, Future[None]] = {}

    def run(self) -> None:
        # Not waited for at the end: a reading of a server that hangs ends when the server does.
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sampler")
        forgotten = time.monotonic()
        while not self._stopping.wait(until_next(time.time())):
            for server in self._servers():
                before = self._under_way.get(server.identifier)
                if before is None or before.done():
                    self._under_way[server.identifier] = pool.submit(self._try_to_sample, server)
            if time.monotonic() - forgotten > FORGET_SECONDS:
                forgotten = time.monotonic()
                self._store.forget()
        pool.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """End; returns when no new reading begins."""
        self._stopping.set()
        if self.is_alive():
            self.join()

    def _try_to_sample(self, server: LiveServer) -> None:
        try:
            self.sample(server)
        except Exception:  # a server that is just going away fails in many ways; all of them mean: no data
            LOGGER.debug("no metrics of %s", server.identifier, exc_info=True)

    def sample(self, server: LiveServer, at: float | None = None) -> None:
        """Measure one server now and record what it has."""
        if server.state in ("creating", "deleting"):
            return
        # The moment before: a sample that says it is newer than a fence has really been measured behind it.
        moment = time.time() if at is None else at
        reading = Reading(*[_number(value) for value in server.query(MEASURE)[0]])
        for metric, value in self._values(server, reading, moment):
            for dimensions in dimensions_of(server):
                self._store.record(NAMESPACE, metric, dimensions, value, UNITS[metric], moment)
        self._switch_wal(server, reading, moment)

    def _values(self, server: LiveServer, reading: Reading, at: float) -> Iterator[tuple[str, float]]:
        yield "DatabaseConnections", reading.connections
        if server.role == "instance":
            if reading.wal_bytes is not None:
                yield "TransactionLogsDiskUsage", reading.wal_bytes
            if server.data_dir:
                disk = os.statvfs(server.data_dir)
                yield "FreeStorageSpace", disk.f_bavail * disk.f_frsize
            if reading.slot_lag is not None:
                yield "OldestReplicationSlotLag", max(reading.slot_lag, 0)
        lag = self._lag(server, reading, at)
        if lag is not None:
            if server.role == "instance":
                yield "ReplicaLag", lag
            elif server.source_identifier:
                yield "RDSToAuroraPostgreSQLReplicaLag", lag
            else:
                yield "AuroraReplicaLag", lag * 1000

    def _lag(self, server: LiveServer, reading: Reading, at: float) -> float | None:
        if not reading.in_recovery:
            self._progress.pop(server.identifier, None)
            return None
        progress = self._progress.setdefault(server.identifier, Progress())
        sawtooth = bool(server.source_identifier and self._switch_seconds(server.source_identifier))
        return lag_seconds(reading, progress, at, sawtooth)

    def _switch_seconds(self, identifier: str) -> float | None:
        faults = self._store.faults
        return faults.wal_switch(identifier) if faults else None

    def _switch_wal(self, server: LiveServer, reading: Reading, at: float) -> None:
        """Switch WAL on an idle source as RDS does every five minutes (R13), when asked to."""
        if server.role != "instance" or reading.in_recovery:
            return
        seconds = self._switch_seconds(server.identifier)
        if seconds and at - self._switched.get(server.identifier, 0.0) >= seconds:
            self._switched[server.identifier] = at
            server.query(SWITCH_WAL)


def _number(value: Any) -> Any:
    """PostgreSQL's numeric as a float; everything else as it is."""
    return float(value) if type(value).__name__ == "Decimal" else value
