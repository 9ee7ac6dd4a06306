# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in the source's databases and doesn't go, or not without help."""

from __future__ import annotations

from collections.abc import Iterator

from .._findings import Finding, blocker, warning
from .facts import Database, Facts, each


def nothing(database: Database, facts: Facts) -> Iterator[Finding]:
    if not database.tables:
        yield warning(
            "no-tables", database.name, "there are no tables to move", "correct databases, tables or schemas"
        )


def unlogged(database: Database, facts: Facts) -> Iterator[Finding]:
    yield from each(database.name, database.source["unlogged"], lambda name: blocker(
        "unlogged-table", name, "what isn't logged isn't replicated: its rows stay behind",
        "ALTER TABLE … SET LOGGED (ACCESS EXCLUSIVE while it is rewritten, P51), or acknowledge that it may be empty",
        "P1", acknowledgeable=True,
    ))


def large_objects(database: Database, facts: Facts) -> Iterator[Finding]:
    count = database.source["large_objects"]
    if count:
        yield blocker(
            "large-objects", database.name, f"{count} large objects are neither copied nor followed",
            "carry them over when the source has come to rest, and acknowledge this; a rollback loses them again "
            "(P58)",
            "P1", acknowledgeable=True,
        )


def kinds(database: Database, facts: Facts) -> Iterator[Finding]:
    yield from each(database.name, database.source["foreign_tables"], lambda name: warning(
        "foreign-table", name, "its rows are on another server; the target must reach that server, with its own user "
        "mapping", "see that it can, or leave the table out", "P1",
    ))
    yield from each(database.name, database.source["materialized_views"], lambda name: warning(
        "materialized-view", name, "it isn't replicated: on the target it is as old as its last REFRESH there",
        "REFRESH it after the copy and before the traffic comes", "P45",
    ))


def identities(database: Database, facts: Facts) -> Iterator[Finding]:
    yield from database.identities


def generated(database: Database, facts: Facts) -> Iterator[Finding]:
    if facts.majors[0] >= 18:
        return
    yield from each(database.name, database.source["generated_keys"], lambda name: blocker(
        "generated-column-in-key", name, "stored generated columns aren't published before 18: a row can't be found "
        "by a key that has one", "take another key as replica identity", "P21",
    ))
    yield from each(database.name, database.source["generated"], lambda name: warning(
        "generated-columns", name, "stored generated columns aren't published before 18: the target computes them "
        "itself",
        "see that the expression is the same there and gives the same (locale, extensions)", "P21",
    ))


def row_security(database: Database, facts: Facts) -> Iterator[Finding]:
    yield from each(database.name, database.source["hidden_by_policies"], lambda name: blocker(
        "row-security", name, f"a policy hides rows from {facts.source['login']['name']}: they wouldn't be copied",
        "log in as a member of the table's owner (without FORCE ROW LEVEL SECURITY), or with BYPASSRLS", "P41",
    ))


def rights(database: Database, facts: Facts) -> Iterator[Finding]:
    login = facts.source["login"]["name"]
    yield from each(database.name, database.source["not_readable"], lambda name: blocker(
        "table-not-readable", name, f"{login} may not read it", "GRANT USAGE on its schema and SELECT on it to "
        f"{login}",
        "P48",
    ))
    yield from each(database.name, database.source["not_owned"], lambda name: blocker(
        "table-not-owned", name, f"{login} isn't a member of its owner, so it can't publish it",
        f"grant the owner's role to {login}", "P5",
    ))
    if not database.source["may_create"]:
        yield blocker(
            "database-create", f"source/{database.name}", f"{login} may not create a publication or the journal there",
            f"GRANT CREATE ON DATABASE {database.name} TO {login}", "P5",
        )


def triggers(database: Database, facts: Facts) -> Iterator[Finding]:
    yield from each(database.name, database.source["always_triggers"], lambda name: warning(
        "trigger-fires-on-apply", name, "ENABLE ALWAYS and ENABLE REPLICA triggers fire on the target too, for rows "
        "that have been through them on the source already",
        "make it an ordinary one on the target until the cutover, if what it does must not happen twice", "P8",
    ))
    yield from each(database.name, database.source["event_triggers"], lambda name: warning(
        "event-trigger", name, "it fires on DDL of the target too, that of the migration included",
        "create it there after the copy", "P39",
    ))


def foreign_keys(database: Database, facts: Facts) -> Iterator[Finding]:
    chosen = {table.name for table in database.tables}
    crossing = sorted({
        row["name"] for row in database.source["foreign_keys"] if (row["table"] in chosen) != (row["other"] in chosen)
    })
    yield from each(database.name, crossing, lambda name: warning(
        "foreign-key-leaves-selection", name, "it ties a table that moves to one that stays: TRUNCATE fails on "
        "apply, and the constraint can't hold on the target", "move both tables, or leave the constraint out", "P6",
    ))


def extensions(database: Database, facts: Facts) -> Iterator[Finding]:
    there = database.target["available_extensions"] if database.target is not None else None
    if there is None and facts.target is not None:
        there = facts.target["more"]["available_extensions"]
    for row in database.source["extensions"]:
        name = f"{database.name}/{row['name']}"
        if row["travels"] is False:
            yield warning(
                "extension-stays", name, "an extension of the service, or one that writes on its own: it isn't taken "
                "along",
                "see that nothing needs it on the target, or install it there yourself", "P49",
            )
        elif there is not None and row["name"] not in there:
            yield blocker(
                "extension-missing", name, "the target's server doesn't have this extension",
                "install it there, or drop it on the source", "P49",
            )
        elif there is not None and _version(there[row["name"]]) < _version(row["version"]):
            yield warning(
                "extension-older", name, f"the source has {row['version']}, the target offers {there[row['name']]}",
                "update the target's, or see that what the newer one has isn't used", "P49",
            )
        if row["name"] in PRELOADED and facts.target is not None and row["travels"] is not False:
            loaded = facts.target["shared_preload_libraries"]
            if loaded is not None and PRELOADED[row["name"]] not in loaded:
                yield warning(
                    "extension-not-preloaded", name, f"{PRELOADED[row['name']]} isn't in the target's "
                    "shared_preload_libraries", "add it and restart the target before its schema is restored", "P49",
                )


# Extensions that work only when their library is loaded at the start.
PRELOADED = {
    "auto_explain": "auto_explain", "pg_cron": "pg_cron", "pg_hint_plan": "pg_hint_plan",
    "pg_stat_statements": "pg_stat_statements", "pgaudit": "pgaudit", "timescaledb": "timescaledb",
}


def _version(text: str) -> tuple[int, ...]:
    """A version as numbers; what isn't one counts as nothing."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def jobs(database: Database, facts: Facts) -> Iterator[Finding]:
    if not database.source["cron_jobs_readable"]:
        yield warning(
            "cron-jobs-hidden", database.name, "a policy hides jobs of other users, and nobody knows what they do",
            "log in as a member of the owner of cron.job", "P44",
        )
    elif database.source["cron_jobs_active"]:
        yield warning(
            "cron-jobs", database.name, f"{database.source['cron_jobs_active']} jobs of pg_cron write on their own, "
            "or do DDL,"
            " which isn't replicated", "pause those that do DDL; make them again on the target after the cutover",
            "P44",
        )
    if any(row["name"] == "pg_partman" for row in database.source["extensions"]):
        yield warning(
            "partman", database.name, "pg_partman makes and drops partitions, which is DDL and isn't replicated",
            "make enough partitions ahead and pause its maintenance on both sides", "P44",
        )


def subscriber(database: Database, facts: Facts) -> Iterator[Finding]:
    yield from each(database.name, [
        row["name"] for row in database.source["subscriptions"] if row["enabled"] and not facts.is_ours(row["name"])
    ], lambda name: warning(
        "source-subscribes", name, "the source is itself a subscriber: it goes on writing behind a fence, and from "
        "16 rows with an origin may be filtered", "plan how this stream goes on at the target, and disable it for "
        "the cutover",
        "P57",
    ))


def collations(database: Database, facts: Facts) -> Iterator[Finding]:
    mismatched = database.source["collation_mismatches"]
    if mismatched:
        yield warning(
            "collation-changed", database.name, f"collations {', '.join(mismatched[:5])} sort by another version "
            "than their indexes were built with: equal keys may have got in, which the target will refuse",
            "REINDEX on the source and mend what it finds, before the copy", "P42",
        )


CHECKS = (
    nothing, unlogged, large_objects, kinds, identities, generated, row_security, rights, triggers, foreign_keys,
    extensions, jobs, subscriber, collations,
)
