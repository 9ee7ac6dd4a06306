# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only SQL tells of the source: what a physical copy leaves behind, and what would keep the fence unproven."""

from __future__ import annotations

from collections.abc import Iterator

from ..._findings import Finding, blocker, warning
from .facts import Facts

# Slots of AWS's own replicas, and of this collection.
_KNOWN_SLOTS = ("rds_", "cloudpg_")
# What RDS has and Aurora hasn't, where AWS's own list of Aurora's extensions couldn't be had.
RDS_ONLY = frozenset({"pg_transport", "plrust"})
SHOWN = 5


def _shown(names: list[str], count: int) -> str:
    more = f" and {count - SHOWN} more" if count > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _size(count: float | None) -> str:
    return "an unknown amount" if count is None else f"{count / 1024 ** 2:.0f} MiB"


def login(facts: Facts) -> Iterator[Finding]:
    if facts.server is None:
        yield blocker(
            "server-not-read", facts.source_name,
            "no login: nobody looked for unlogged tables, slots, subscriptions, prepared transactions or extensions",
            "give a login in migration_source.postgres, or look yourself and acknowledge this", "R9",
            acknowledgeable=True,
        )
        return
    if facts.server["in_recovery"]:
        yield blocker(
            "server-is-standby", facts.source_name, "the host that is given answers as a standby",
            "correct migration_source.postgres.host", "P17",
        )
    if not facts.server["login"]["monitor"]:
        yield blocker(
            "login-lacks-monitor", facts.server["login"]["name"],
            "without pg_monitor other sessions are hidden from it, and the fence can never be proven",
            f"GRANT pg_monitor TO {facts.server['login']['name']}", "P52", acknowledgeable=True,
        )


def unlogged_tables(facts: Facts) -> Iterator[Finding]:
    for database in facts.server["databases"]:
        if database["unlogged_table_count"]:
            named = _shown(database["unlogged_tables"], database["unlogged_table_count"])
            yield blocker(
                "unlogged-tables", database["name"], f"a physical copy leaves unlogged tables empty: {named}",
                "ALTER TABLE … SET LOGGED (it locks and rewrites), or acknowledge that they may be empty", "R9",
                acknowledgeable=True,
            )


def slots(facts: Facts) -> Iterator[Finding]:
    for slot in facts.server["slots"]:
        if slot["name"].startswith(_KNOWN_SLOTS):
            continue
        kept = _size(slot["retained_bytes"])
        if slot["type"] == "logical":
            yield warning(
                "foreign-slot", slot["name"],
                f"a logical slot{'' if slot['active'] else ' that nobody reads'}: it doesn't travel, keeps {kept} of "
                "WAL and hides the replica's lag in CloudWatch",
                "drop it if nobody needs it; else plan how its reader goes on at the target", "R14",
            )
        elif not slot["active"]:
            yield warning(
                "foreign-slot", slot["name"],
                f"a slot that nobody reads: it keeps {kept} of WAL and hides the replica's lag in CloudWatch",
                "drop it if nobody needs it", "R14",
            )


def subscriptions(facts: Facts) -> Iterator[Finding]:
    for database in facts.server["databases"]:
        for row in database["subscriptions"]:
            if row["enabled"]:
                yield warning(
                    "source-subscribes", f"{database['name']}.{row['name']}",
                    "it goes on writing behind the fence, so the cutover will not find the source quiet",
                    "disable it before the cutover, and plan how it goes on at the target", "R19",
                )


def prepared_transactions(facts: Facts) -> Iterator[Finding]:
    count = facts.server["prepared_transaction_count"]
    if count:
        yield warning(
            "prepared-transactions", facts.source_name, f"{count} may still commit behind the fence",
            "COMMIT PREPARED or ROLLBACK PREPARED before the cutover", "P52",
        )


def extensions(facts: Facts) -> Iterator[Finding]:
    for database in facts.server["databases"]:
        for row in database["extensions"]:
            known = facts.aurora_extensions
            lacking = row["name"] in RDS_ONLY if known is None else row["name"] not in known
            if lacking and row["name"] != "plpgsql":
                yield warning(
                    "extension-not-on-aurora", f"{database['name']}.{row['name']}",
                    "Aurora doesn't have this extension", "drop it, or see that nothing needs it at the target", "P49",
                )


ALWAYS = (login,)
CHECKS = (unlogged_tables, slots, subscriptions, prepared_transactions, extensions)
