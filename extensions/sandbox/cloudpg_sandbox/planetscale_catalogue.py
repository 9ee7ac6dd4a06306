# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PlanetScale's API offers: its operations under their published names, regions, sizes, parameters, roles."""

from __future__ import annotations

from typing import Any, NamedTuple

PREFIX = "/planetscale/v1"
TOKEN_ID = "sandboxtokenid"
TOKEN = "pscale_tkn_sandbox-token-that-opens-nothing-at-all-4577"
ORGANIZATION = "sandbox"
# Seconds that a client which was throttled is asked to wait.
RETRY_AFTER = 1

_DATABASE = "/organizations/{organization}/databases/{database}"
_BRANCH = f"{_DATABASE}/branches/{{branch}}"
# Operation (as the API's description names it) -> method and path.
OPERATIONS: dict[str, tuple[str, str]] = {
    "list_public_regions": ("GET", "/regions"),
    "get_organization": ("GET", "/organizations/{organization}"),
    "list_regions_for_organization": ("GET", "/organizations/{organization}/regions"),
    "list_cluster_size_skus": ("GET", "/organizations/{organization}/cluster-size-skus"),
    "list_databases": ("GET", "/organizations/{organization}/databases"),
    "create_database": ("POST", "/organizations/{organization}/databases"),
    "get_database": ("GET", _DATABASE),
    "update_database_settings": ("PATCH", _DATABASE),
    "delete_database": ("DELETE", _DATABASE),
    "list_database_regions": ("GET", f"{_DATABASE}/regions"),
    "list_database_postgres_cidrs": ("GET", f"{_DATABASE}/cidrs"),
    "create_database_postgres_cidr": ("POST", f"{_DATABASE}/cidrs"),
    "get_database_postgres_cidr": ("GET", f"{_DATABASE}/cidrs/{{id}}"),
    "update_database_postgres_cidr": ("PATCH", f"{_DATABASE}/cidrs/{{id}}"),
    "delete_database_postgres_cidr": ("DELETE", f"{_DATABASE}/cidrs/{{id}}"),
    "list_branches": ("GET", f"{_DATABASE}/branches"),
    "create_branch": ("POST", f"{_DATABASE}/branches"),
    "get_branch": ("GET", _BRANCH),
    "delete_branch": ("DELETE", _BRANCH),
    "list_branch_change_requests": ("GET", f"{_BRANCH}/changes"),
    "update_branch_change_request": ("PATCH", f"{_BRANCH}/changes"),
    "get_branch_change_request": ("GET", f"{_BRANCH}/changes/{{id}}"),
    "list_parameters": ("GET", f"{_BRANCH}/parameters"),
    "list_extensions": ("GET", f"{_BRANCH}/extensions"),
    "list_roles": ("GET", f"{_BRANCH}/roles"),
    "create_role": ("POST", f"{_BRANCH}/roles"),
    "get_default_role": ("GET", f"{_BRANCH}/roles/default"),
    "reset_default_role": ("POST", f"{_BRANCH}/roles/reset-default"),
    "get_role": ("GET", f"{_BRANCH}/roles/{{id}}"),
    "update_role": ("PATCH", f"{_BRANCH}/roles/{{id}}"),
    "delete_role": ("DELETE", f"{_BRANCH}/roles/{{id}}"),
    "reset_role": ("POST", f"{_BRANCH}/roles/{{id}}/reset"),
    "reassign_role_objects": ("POST", f"{_BRANCH}/roles/{{id}}/reassign"),
}

MAJORS = ("17", "18")
SIZES = ("PS_5", "PS_10", "PS_20", "PS_40", "PS_80", "PS_160", "PS_320")
PROCESSORS = dict(zip(SIZES, ("1/16", "1/8", "1/4", "1/2", "1", "2", "4"), strict=True))
LEAST_STORAGE = 10 << 30
MOST_STORAGE = 64 << 40
INHERITABLE = (
    "pg_checkpoint", "pg_create_subscription", "pg_maintain", "pg_monitor", "pg_read_all_data", "pg_read_all_settings",
    "pg_read_all_stats", "pg_signal_backend", "pg_stat_scan_tables", "pg_use_reserved_connections",
    "pg_write_all_data", "postgres",
)


def region(slug: str, name: str, location: str, default: bool = False) -> dict[str, Any]:
    """A region as the API shows it. Imports come from this machine (S13)."""
    return {
        "id": f"{slug.replace('-', '')}0000"[:12], "provider": "AWS", "enabled": True,
        "public_ip_addresses": ["127.0.0.1"], "display_name": f"AWS {name}", "location": location, "slug": slug,
        "current_default": default, "mysql_supported": False, "postgresql_supported": True,
    }


REGIONS = {
    one["slug"]: one for one in (
        region("us-east", "us-east-1", "Ashburn, Virginia", default=True),
        region("eu-west", "eu-west-1", "Dublin, Ireland"),
        region("eu-central", "eu-central-1", "Frankfurt, Germany"),
    )
}


def sku(size: str, architecture: str) -> dict[str, Any]:
    """A cluster size as the API shows it."""
    number = int(size.removeprefix("PS_"))
    return {
        "name": f"{size}_AWS_{architecture}", "display_name": size.replace("_", "-"), "cpu": PROCESSORS[size],
        "storage": None, "ram": number * (100 << 20), "metal": False, "enabled": True, "provider": "AWS",
        "default_vtgate": "VTG_5", "default_vtgate_rate": None, "replica_rate": None, "rate": None,
        "sort_order": number, "architecture": {"X86": "x86_64", "ARM": "aarch64"}[architecture],
        "development": number <= 10, "production": True,
    }


SKUS = {one["name"]: one for one in (sku(size, kind) for size in SIZES for kind in ("ARM", "X86"))}


class Parameter(NamedTuple):
    """A parameter of a branch; a number's bounds are the server's own."""

    name: str
    default: str
    kind: str
    restart: bool = False
    namespace: str = "pgconf"
    immutable: bool = False
    options: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None


# PlanetScale's defaults where they are known (S12), else PostgreSQL's.
PARAMETERS = {
    one.name: one for one in (
        Parameter("autovacuum", "on", "boolean"),
        Parameter("checkpoint_timeout", "300", "seconds", least=30, most=86_400),
        Parameter("fsync", "on", "boolean", immutable=True),
        Parameter("hot_standby_feedback", "on", "boolean"),
        Parameter("idle_in_transaction_session_timeout", "0", "integer", least=0, most=2_147_483_647),
        Parameter("lock_timeout", "0", "integer", least=0, most=2_147_483_647),
        Parameter("maintenance_work_mem", "64MB", "bytes"),
        Parameter("max_connections", "100", "integer", restart=True, least=25, most=10_000),
        Parameter("max_logical_replication_workers", "4", "integer", restart=True, least=0, most=262_143),
        Parameter("max_parallel_maintenance_workers", "2", "integer", least=0, most=1_024),
        Parameter("max_replication_slots", "10", "integer", restart=True, least=0, most=262_143),
        Parameter("max_slot_wal_keep_size", "-1", "integer", least=-1, most=2_147_483_647),
        Parameter("max_sync_workers_per_subscription", "2", "integer", least=0, most=262_143),
        Parameter("max_wal_senders", "10", "integer", restart=True, least=0, most=262_143),
        Parameter("max_wal_size", "1GB", "bytes"),
        Parameter("max_worker_processes", "4", "integer", restart=True, least=1, most=262_143),
        Parameter("session_replication_role", "origin", "select", options=("origin", "replica", "local")),
        Parameter("statement_timeout", "0", "integer", least=0, most=2_147_483_647),
        Parameter("sync_replication_slots", "off", "boolean"),
        Parameter("wal_level", "replica", "select", restart=True, options=("replica", "logical")),
        Parameter("wal_sender_timeout", "60000", "integer", least=0, most=2_147_483_647),
        Parameter("work_mem", "4MB", "bytes"),
        Parameter("default_pool_size", "20", "integer", namespace="pgbouncer", least=1, most=10_000),
        Parameter("logical_slot_name", "", "string", namespace="patroni"),
    )
}
