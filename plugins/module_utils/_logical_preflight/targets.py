# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the databases go: what is there already, and whether text means the same there."""

from __future__ import annotations

from collections.abc import Iterator

from .._findings import Finding, blocker, warning
from .facts import Database, Facts, each


def there(database: Database, facts: Facts) -> Iterator[Finding]:
    if facts.target is not None and database.target is None and not facts.create_databases:
        source = database.source
        yield blocker(
            "database-missing", f"target/{database.name}", "the target has no such database",
            f"create it there with encoding {source['encoding']}, collation {source['collate']} and character type "
            f"{source['ctype']} from template0", "P57",
        )


def rights(database: Database, facts: Facts) -> Iterator[Finding]:
    if database.target is not None and not database.target["may_create"]:
        login = facts.target["login"]["name"]
        yield blocker(
            "target-database-create", f"target/{database.name}", f"{login} may not create schemas or a subscription "
            "there",
            f"GRANT CREATE ON DATABASE {database.name} TO {login}", "P23",
        )


def empty(database: Database, facts: Facts) -> Iterator[Finding]:
    """Rows that aren't this migration's would be mixed with the source's, or stand in the way of its keys."""
    if database.target is None or database.target["ours"]:
        return
    chosen = {table.name for table in database.tables}
    filled = [name for name in database.target["with_rows"] if name in chosen]
    yield from each(database.name, filled, lambda name: blocker(
        "target-not-empty", name, "it has rows on the target, and no journal says that this migration brought them",
        "find out whose they are; TRUNCATE it there if nobody needs them", "P55",
    ))


def triggers(database: Database, facts: Facts) -> Iterator[Finding]:
    if database.target is not None:
        yield from each(database.name, database.target["always_triggers"], lambda name: warning(
            "target-trigger-fires-on-apply", name, "it is ENABLE ALWAYS or REPLICA on the target: it fires for each "
            "row that is applied", "disable it there until the cutover, unless that is wanted", "P8",
        ))


def subscriptions(database: Database, facts: Facts) -> Iterator[Finding]:
    if database.target is not None:
        yield from each(database.name, [
            row["name"] for row in database.target["subscriptions"] if row["enabled"] and not facts.is_ours(row["name"])
        ], lambda name: warning(
            "target-subscribes", name, "another subscription writes into the target's database",
            "see that it writes into other tables", "P7",
        ))


def jobs(database: Database, facts: Facts) -> Iterator[Finding]:
    if database.target is not None and database.target["cron_jobs_active"]:
        yield warning(
            "target-cron-jobs", database.name, f"{database.target['cron_jobs_active']} jobs of pg_cron are active on "
            "the target and may write before it is opened", "pause them until after the cutover", "P44",
        )


def text(database: Database, facts: Facts) -> Iterator[Finding]:
    source, target = database.source, database.target
    mine = source["encoding"]
    if mine == "SQL_ASCII":
        yield warning(
            "source-encoding", database.name, "SQL_ASCII checks nothing: text of any encoding may be in it, and the "
            "copy into another encoding ends at the first that is wrong", "find and mend such rows first", "P57",
        )
    if target is None:
        return
    theirs = target["encoding"]
    if mine != theirs and "SQL_ASCII" not in (mine, theirs):
        if theirs == "UTF8":
            yield warning(
                "encoding-differs", database.name, f"text is converted from {mine} to {theirs}: it may get longer "
                "than what counts its bytes allows", "see that nothing relies on bytes of text", "P57",
            )
        else:
            yield blocker(
                "encoding-narrower", database.name, f"the source's {mine} has characters that the target's {theirs} "
                "hasn't",
                "create the target's database with the source's encoding, or UTF8", "P57",
            )
    unlike = [name for name in ("collate", "ctype") if source[name] != target[name]]
    if unlike:
        said = ", ".join(f"{name} {source[name]} there {target[name]}" for name in unlike)
        yield warning(
            "collation-differs", database.name, f"{said}: text sorts otherwise, which ORDER BY, range partitions and "
            "checks notice", "create the target's database with the source's locale, unless this is wanted", "P42",
        )


CHECKS = (there, rights, empty, triggers, subscriptions, jobs, text)
