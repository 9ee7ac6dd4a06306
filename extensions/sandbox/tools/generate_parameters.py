# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes `cloudpg_sandbox/data/parameters.json` from the `pg_settings` of the real servers on this machine.

Usage: python extensions/sandbox/tools/generate_parameters.py

The boot values come from the server itself: `pg_settings.boot_val` is what applies when nothing is set, while
`postgres --describe-config` prints something else for several of them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from cloudpg_sandbox.installations import Account, Installations  # noqa: E402  the package is not installed

OUTPUT = os.path.join(os.path.dirname(HERE), "cloudpg_sandbox", "data", "parameters.json")
MAJORS = (16, 18)
# The majors there is no server of at hand; what PostgreSQL 12 had and 16 no longer has is left out.
INTRODUCED = {
    13: """autovacuum_vacuum_insert_scale_factor autovacuum_vacuum_insert_threshold backtrace_functions
        enable_incremental_sort hash_mem_multiplier log_min_duration_sample log_parameter_max_length
        log_parameter_max_length_on_error log_statement_sample_rate logical_decoding_work_mem
        maintenance_io_concurrency max_slot_wal_keep_size wal_keep_size wal_receiver_create_temp_slot
        wal_skip_threshold""",
    14: """client_connection_check_interval compute_query_id default_toast_compression enable_async_append
        enable_memoize huge_page_size idle_session_timeout log_recovery_conflict_waits min_dynamic_shared_memory
        recovery_init_sync_method remove_temp_files_after_crash ssl_crl_dir track_wal_io_timing
        vacuum_failsafe_age vacuum_multixact_failsafe_age""",
    15: """archive_library log_startup_progress_interval recovery_prefetch recursive_worktable_factor
        stats_fetch_consistency wal_decode_buffer_size""",
    16: """createrole_self_grant debug_io_direct debug_logical_replication_streaming debug_parallel_query
        enable_presorted_aggregate gss_accept_delegation icu_validation_level
        max_parallel_apply_workers_per_subscription reserved_connections scram_iterations send_abort_for_crash
        send_abort_for_kill vacuum_buffer_usage_limit""",
    18: """autovacuum_vacuum_max_threshold autovacuum_worker_slots enable_distinct_reordering
        enable_self_join_elimination extension_control_path file_copy_method idle_replication_slot_timeout
        io_max_combine_limit io_max_concurrency io_method io_workers log_lock_failures
        max_active_replication_origins md5_password_warnings oauth_validator_libraries ssl_groups
        ssl_tls13_ciphers track_cost_delay_timing vacuum_max_eager_freeze_failure_rate vacuum_truncate""",
}
COLUMNS = "name, unit, category, short_desc, context, vartype, min_val, max_val, enumvals, boot_val"


def settings_of(installations: Installations, major: int) -> dict[str, dict]:
    """`pg_settings` of a fresh server, by name, without running one: single-user mode is enough for a COPY."""
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o777)
        data_dir = os.path.join(work, "data")
        shutil.copytree(installations.template(major), data_dir)
        os.chmod(data_dir, 0o700)
        for directory, _names, files in os.walk(data_dir):
            for path in (directory, *(os.path.join(directory, file) for file in files)):
                installations.account.own(path)
        target = os.path.join(work, "settings.json")
        installations.run(
            [installations.get(major).program("postgres"), "--single", "-D", data_dir, "postgres"],
            input=f"COPY (SELECT jsonb_agg(s) FROM (SELECT {COLUMNS} FROM pg_settings) s) TO '{target}'\n",
        )
        with open(target, encoding="utf-8") as file:
            # COPY's text format doubles the backslashes.
            rows = json.loads(file.read().replace("\\\\", "\\"))
    return {row["name"]: {key: value for key, value in row.items() if value is not None} for row in rows}


def merged_settings(installations: Installations) -> list[dict]:
    """The settings of all majors, each with the first (`since`) and last (`until`) major that has it."""
    base, *later = MAJORS
    merged = settings_of(installations, base)
    for major in later:
        newer = settings_of(installations, major)
        for name in merged.keys() - newer.keys():
            merged[name]["until"] = base
        for name in newer.keys() - merged.keys():
            merged[name] = newer[name] | {"since": base + 1}
    for major, names in INTRODUCED.items():
        for name in names.split():
            merged[name]["since"] = major
    return [row for _name, row in sorted(merged.items()) if row["context"] != "internal"]


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        os.chmod(cache, 0o755)
        installations = Installations(cache, Account.for_servers())
        version = installations.get(MAJORS[0]).version
        rows = merged_settings(installations)
    lines = ",\n".join("  " + json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    os.makedirs(os.path.dirname(OUTPUT), exist_ok=True)
    with open(OUTPUT, "w", encoding="utf-8") as file:
        file.write(f'{{"server_version": "{version}", "settings": [\n{lines}\n]}}\n')
    print(f"{len(rows)} settings of PostgreSQL {version} and later majors -> {OUTPUT}")


if __name__ == "__main__":
    main()
