# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a publication, made out of a module's options and the tables that are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import MigrationError
from .._findings import Finding, warning
from .._pg import journal
from .._pg.connection import Session
from .membership import REFUSE, Filter, check, roots, sort_out
from .publication import NEEDY, Member, Publication, options, too_old
from .publication_work import as_the_server_writes
from .selection import Selection, named
from .tables import Table

TABLES, SCHEMAS, ALL = "tables", "schemas", "all"


@dataclass(frozen=True)
class Wanted:
    """The options that say what is published, named as the module names them."""

    scope: str
    tables: Sequence[str]
    schemas: Sequence[str]
    exclude: Sequence[str]
    row_filters: Mapping[str, str]
    columns: Mapping[str, Collection[str]]
    publish: Sequence[str]
    publish_via_partition_root: bool
    publish_generated_columns: str | None
    without_identity: str

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Wanted:
        """From a module's parameters; raises MigrationError for options that don't go together."""
        wanted = cls(**{name: params[name] for name in cls.__dataclass_fields__})
        if wanted.scope != TABLES:
            against = ["exclude", "without_identity"]
            against += ["tables", "schemas", "row_filters", "columns"] if wanted.scope == ALL else []
            given = [name for name in against if getattr(wanted, name) not in ([], {}, REFUSE)]
            if given:
                raise MigrationError(
                    f"scope={wanted.scope} can't be narrowed by {', '.join(given)} (P5). Cure: give scope=tables."
                )
        if wanted.scope == SCHEMAS and not wanted.schemas:
            raise MigrationError("scope=schemas needs schemas. Cure: name at least one.")
        if not wanted.publish:
            raise MigrationError("publish is empty: nothing would be published. Cure: name at least one operation.")
        for table, columns in wanted.columns.items():
            if not isinstance(columns, list) or not columns:
                raise MigrationError(f"columns: those of {table} are no list of names. Cure: give one, or none at all.")
        return wanted


@dataclass(frozen=True)
class Made:
    """What came out: the wish, what there is to say about it, and the tables that were left out."""

    wish: Publication
    findings: list[Finding]
    left_out: list[str]


def wish_of(wanted: Wanted, name: str, tables: Sequence[Table], session: Session, version_num: int) -> Made:
    """The publication that is asked for. Raises MigrationError where that can't be one on this server."""
    for option in ("row_filters", "columns"):
        if getattr(wanted, option) and version_num < 150000:
            raise too_old(option, 15, version_num)
    if wanted.scope == SCHEMAS and version_num < 150000:
        raise too_old("scope=schemas", 15, version_num)
    via_root = wanted.publish_via_partition_root
    made_options = options(wanted.publish, via_root, wanted.publish_generated_columns, version_num)
    needy = bool(NEEDY & set(wanted.publish))
    if wanted.scope == ALL:
        public = Publication(name, everything=True, options=made_options)
        return Made(public, check(tables, tables, needy, via_root, {}, {}) + _journal_too(session, name), [])
    listed, covered, left = _covered(wanted, tables, session.where, version_num)
    strangers = sorted({*wanted.row_filters, *wanted.columns} - {table.name for table in listed})
    if strangers:
        raise MigrationError(
            f"{session.where}: row_filters or columns name {named(strangers)}, which is not published by that name. "
            "Cure: correct it; a partitioned table stands for its partitions."
        )
    filters = {
        table: as_the_server_writes(session, table, condition) for table, condition in wanted.row_filters.items()
    }
    return Made(
        Publication(name, members={
            table.name: _member(table.name, filters, wanted.columns) for table in listed
        }, schemas=frozenset(wanted.schemas) if wanted.scope == SCHEMAS else frozenset(), options=made_options),
        check(tables, covered, needy, via_root, filters, wanted.columns), [table.name for table in left],
    )


def _covered(
    wanted: Wanted, tables: Sequence[Table], where: str, version_num: int
) -> tuple[list[Table], list[Table], list[Table]]:
    """The tables to list, all that are published with them, and those left out for their identity."""
    via_root = wanted.publish_via_partition_root
    if wanted.scope == TABLES:
        selection = Selection(wanted.tables, wanted.exclude, wanted.schemas)
        meant = roots(tables, selection, via_root, where, version_num)
        listed, left = sort_out(tables, meant, wanted.without_identity, via_root)
        return listed, listed, left
    covered = Selection(wanted.tables, (), wanted.schemas).of(tables, "tables", where)
    return [table for table in covered if table.name in wanted.tables], covered, []


def _member(name: str, filters: Mapping[str, Filter], columns: Mapping[str, Collection[str]]) -> Member:
    return Member(
        name, filters[name].where if name in filters else None, frozenset(columns[name]) if name in columns else None
    )


def _journal_too(session: Session, name: str) -> list[Finding]:
    if not journal.is_there(session):
        return []
    return [warning(
        "journal-published", name, f"all tables includes the schema {journal.SCHEMA}, which each side keeps for itself",
        "give scope=tables", "P57",
    )]
