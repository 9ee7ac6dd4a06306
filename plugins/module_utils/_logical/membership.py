# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables make up a publication, and whether publishing them would break the source (P2 to P5). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .._errors import MigrationError
from .._findings import Finding, blocker
from .identity import look, unlogged
from .selection import Selection, matches, named
from .tables import FULL, PARTITIONED, Table, leaves_of

REFUSE, SKIP, ONLY = "refuse", "skip", "only"
# Older publications take no partitioned table.
ROOTS_SINCE = 130000


@dataclass(frozen=True)
class Filter:
    """The filter of a table's rows as the server writes it, and the columns it looks at."""

    where: str
    columns: frozenset[str]


def roots(
    tables: Sequence[Table], selection: Selection, via_root: bool, where: str, version_num: int = ROOTS_SINCE
) -> list[Table]:
    """The tables to name: a partitioned table stands for its partitions, unless one of them is left out (P5).

    With a partitioned table its partitions are left out too, but for those that are named. Raises MigrationError for a
    partition that is left out of a table which is published by its root. Before 13 partitions can only be named one by
    one.
    """
    excluded = {table.oid for table in tables if matches(table.name, selection.exclude)}
    meant = [
        table for table in selection.of(tables, "tables", where)
        if table.logged and (table.name in selection.names or not excluded & set(table.ancestors))
    ]
    chosen = {table.oid for table in meant}
    out = [table for table in tables if table.ancestors and table.oid in excluded]
    split = {oid for table in out for oid in table.ancestors if oid in chosen}
    if split and via_root:
        torn = sorted(table.name for table in out if split & set(table.ancestors))
        raise MigrationError(
            f"{where}: {named(torn)} can't be left out of a table that is published via its root (P5). "
            "Cure: exclude the whole table, or give publish_via_partition_root=false."
        )
    if version_num < ROOTS_SINCE:
        split |= {table.oid for table in meant if table.kind == PARTITIONED}
    kept = chosen - split
    whole = [table for table in meant if table.oid not in split and not kept & set(table.ancestors)]
    leaves = [
        table for table in tables
        if table.kind != PARTITIONED and split & set(table.ancestors) and table.logged
        and not excluded & {table.oid, *table.ancestors} and not kept & {table.oid, *table.ancestors}
    ]
    return sorted(whole + leaves, key=lambda table: table.name)


def _whose_identity_counts(tables: Sequence[Table], member: Table, via_root: bool) -> list[Table]:
    """The partitions, and under its root's name the root too: the stream says the root's key (P5)."""
    return leaves_of(tables, [member]) + ([member] if via_root and member.kind == PARTITIONED else [])


def sort_out(
    tables: Sequence[Table], members: Iterable[Table], policy: str, via_root: bool
) -> tuple[list[Table], list[Table]]:
    """Those to publish, and those left out for having (or, with ``only``, not lacking) a usable identity."""
    within = _grouped(tables)
    taken, left = [], []
    for member in members:
        usable = all(one.usable for one in _whose_identity_counts(within.get(member.oid, [member]), member, via_root))
        fits = policy == REFUSE or usable is (policy == SKIP)
        (taken if fits else left).append(member)
    return taken, left


def _grouped(tables: Iterable[Table]) -> dict[int, list[Table]]:
    """Each table's own family: itself and what hangs below it."""
    families: dict[int, list[Table]] = {}
    for table in tables:
        for oid in (table.oid, *table.ancestors):
            families.setdefault(oid, []).append(table)
    return families


def check(
    tables: Sequence[Table], members: Iterable[Table], needy: bool, via_root: bool,
    filters: Mapping[str, Filter], columns: Mapping[str, Sequence[str]],
) -> list[Finding]:
    """What publishing would break on the source, or on the target (P2 to P5)."""
    within = _grouped(tables)
    findings = []
    for member in members:
        if member.kind == PARTITIONED and member.name in filters and not via_root:
            findings.append(blocker(
                "filter-of-partitioned-table", member.name, "rows of a partitioned table can be filtered only when it "
                "is published via its root", "give publish_via_partition_root=true, or name its partitions", "P5",
            ))
        family = within.get(member.oid, [member])
        findings += [unlogged(one) for one in family if not one.logged]
        if needy:
            for one in _whose_identity_counts(family, member, via_root):
                findings += look(one) + _beyond_identity(one, filters.get(member.name), columns.get(member.name))
    return findings


def _beyond_identity(table: Table, filtered: Filter | None, columns: Sequence[str] | None) -> list[Finding]:
    """UPDATE and DELETE fail on the source too when filter or columns don't go with the identity."""
    if not table.usable:
        return []
    key = set(table.key.columns) if table.key else None
    findings = []
    if filtered and key is not None and not filtered.columns <= key:
        findings.append(blocker(
            "filter-beyond-identity", table.name, f"its filter looks at {', '.join(sorted(filtered.columns - key))}, "
            "which is not in the replica identity: UPDATE and DELETE would fail on the source",
            "filter by columns of the identity, choose an identity that has them, or publish only inserts", "P2",
        ))
    if columns and (key is None or not key <= set(columns)):
        lacking = "all columns" if key is None or table.identity == FULL else ", ".join(sorted(key - set(columns)))
        findings.append(blocker(
            "columns-lack-identity", table.name, f"its columns lack {lacking} of the replica identity: UPDATE and "
            "DELETE would fail on the source", "add them to columns, or publish only inserts", "P2",
        ))
    return findings
