# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would make a copy fail, or lose something without a word: found before anything is done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from .._findings import BLOCKER, Finding, blocker, warning
from .._logical.selection import named
from .._pg.errors import PgError
from .catalogue import Table
from .throttle import Limits


def of_table(source: Table, target: Table | None) -> Iterator[Finding]:
    """What stands against copying one table's rows."""
    name = source.name
    if source.policies:
        yield blocker(
            "source-row-security", name, "a policy would hide rows from this login without an error (P41)",
            "log in as the table's owner (without FORCE ROW LEVEL SECURITY), or with BYPASSRLS", "P41",
        )
    if not source.readable:
        yield blocker("source-not-readable", name, "the login may not read it",
                      f"grant USAGE on the schema and SELECT on {name}")
    if target is None:
        yield blocker("target-table-missing", name, "the target has no such table",
                      "restore the schema's pre-data section first (pg_schema)", "P38")
        return
    if not target.owned:
        yield blocker("target-not-owned", name, "the login isn't a member of the owner on the target",
                      "grant the owner's role to the login: TRUNCATE and CREATE INDEX need it")
    if target.policies:
        yield blocker("target-row-security", name, "COPY can't write past the target's row security (P41)",
                      "enable row security after the copy, with the schema's post-data section", "P41")
    if target.keys_in_force:
        yield blocker("target-foreign-keys", name, "foreign keys are in force on the target while it is filled",
                      "restore only the pre-data section before the copy; it makes the foreign keys itself", "P38")
    if target.triggers:
        yield blocker("target-triggers", name, f"triggers would fire on the target: {named(target.triggers)}",
                      "restore only the pre-data section before the copy, the triggers after it", "P38")
    yield from _columns(source, target)


def _columns(source: Table, target: Table) -> Iterator[Finding]:
    theirs = {column.name: column for column in target.columns}
    for column in source.columns:
        other = theirs.get(column.name)
        if other is None and not column.generated:
            yield blocker("target-column-missing", f"{source.name}.{column.name}", "the target's table lacks it",
                          "make the tables alike (P50: was there DDL?)", "P50")
        elif other is not None and other.generated and not column.generated:
            yield blocker("target-column-generated", f"{source.name}.{column.name}",
                          "it is generated on the target only: the source's values would be lost",
                          "make the target's column a plain one", "P21")


def unlogged(tables: Iterable[Table]) -> Iterator[Finding]:
    for table in tables:
        if table.persistence == "u" and table.holds_rows:
            yield warning("unlogged-table", table.name, "an unlogged table is neither followed nor copied (P1)",
                          "copy it by hand once nothing writes any more, or fill it anew", "P1")


def large_objects(count: int) -> Iterator[Finding]:
    if count:
        yield warning("large-objects", "pg_largeobject", f"{count} large objects are neither followed nor copied (P1)",
                      "carry them over once nothing writes any more (pg_dump --large-objects)", "P1")


def encodings(source: str, target: str) -> Iterator[Finding]:
    if source == "SQL_ASCII" != target:
        yield warning("source-encoding", source, f"text of any encoding may be in it, which the target ({target}) "
                      "checks: the copy fails at the first that is wrong", "find and mend such rows first", "P57")


def load(limits: Limits, sees_all: bool, replicas: int) -> Iterator[Finding]:
    """A limit on what the login can't see would never hold."""
    if sees_all:
        return
    cure = "GRANT pg_monitor to the login of the source"
    for option, limit in (("busy_sessions", limits.busy_sessions), ("storage_sessions", limits.storage_sessions)):
        if limit:
            yield blocker("source-sessions-hidden", f"throttle.{option}", "without pg_monitor the login doesn't see "
                          "what other sessions do, and would never back off", f"{cure}, or set {option} to 0")
    if limits.replica_lag and replicas:
        yield warning("source-replicas-hidden", "throttle.replica_lag", f"without pg_monitor the login doesn't see how "
                      f"far the source's {replicas} replicas are behind, and never backs off for them", cure)


def not_empty(tables: Iterable[str]) -> Iterator[Finding]:
    for name in tables:
        yield blocker("target-not-empty", name, "it has rows on the target, and they aren't from this copy (P55)",
                      f"find out whose they are; TRUNCATE {name} on the target if nobody needs them", "P55")


def publication(
    name: str, published: Collection[str] | None, chosen: Collection[str], parents: Mapping[str, str]
) -> Iterator[Finding]:
    """What is copied and what is published must be the same (P10, P11). ``published`` None: no such publication."""
    if published is None:
        yield blocker("publication-missing", name, "it isn't there: changes since the slot would be lost (P10)",
                      "make the publication before the copy (pg_publication)", "P10")
        return

    def is_published(table: str | None) -> bool:
        return table is not None and (table in published or is_published(parents.get(table)))

    covered = set()
    for table in sorted(chosen):
        if not is_published(table):
            yield blocker("table-not-published", table, f"publication {name} leaves it out: it would never be followed",
                          "publish it, or exclude it from the copy", "P11")
        while table is not None:
            covered.add(table)
            table = parents.get(table)
    for table in sorted(set(published) - covered):
        yield warning("published-not-copied", table, f"publication {name} has it, but it isn't copied: the target "
                      "would have only what changes from now on", "copy it, or take it out of the publication", "P11")


def refuse(findings: Iterable[Finding]) -> None:
    """Raises PgError that names the first blockers."""
    against = [finding for finding in findings if finding.severity == BLOCKER]
    if against:
        told = named([f"{one.object}: {one.reason}. Cure: {one.cure}" for one in against], 5)
        raise PgError(f"{len(against)} things stand against the copy: {told}.", code=against[0].id)
