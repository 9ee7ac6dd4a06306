# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server's postgresql.conf and pg_hba.conf say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# The directory keeps PostgreSQL's own durability semantics except for the disk flush: a crash of the machine isn't
# part of the rehearsal, a crash of the server is, and that needs no fsync.
BASE_SETTINGS = {
    "fsync": "off",
    # In the data directory, not in /dev/shm: what a server that was killed leaves goes with its directory.
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "wal_level": "replica",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_worker_processes": "16",
    "max_logical_replication_workers": "8",
    "max_sync_workers_per_subscription": "4",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "wal_retrieve_retry_interval": "200ms",
    "wal_receiver_status_interval": "1s",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_connections": "off",
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
}
# A standby refuses to start when one of these is lower than on its source.
NOT_LOWER_ON_STANDBY = (
    "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
    "max_locks_per_transaction",
)


def quoted(value: str) -> str:
    """A value as postgresql.conf wants it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def not_lower(settings: Mapping[str, str], source: Mapping[str, str]) -> dict[str, str]:
    """A standby's settings, raised to its source's where it wouldn't start with less."""
    raised = {
        name: str(max(int(source[name]), int(settings.get(name, 0)))) for name in NOT_LOWER_ON_STANDBY if name in source
    }
    return {**settings, **raised}


def conf_lines(settings: Mapping[str, str]) -> list[str]:
    """postgresql.conf."""
    return [f"{name} = {quoted(value)}" for name, value in sorted(settings.items())]


def hba_lines(superuser: str, networks: Iterable[str]) -> list[str]:
    """pg_hba.conf: the sandbox over the socket, then whom the security groups let in."""
    return [
        "local all all trust",
        "local replication all trust",
        f"host all {superuser} all reject",
        f"host {superuser} all all reject",
        *(f"host all all {network} scram-sha-256" for network in networks),
    ]
