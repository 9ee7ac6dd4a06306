# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schema's statements sorted by table, for whoever runs tables in parallel. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .parts import PRE_DATA, PRIMARY_KEYS, Statement


@dataclass
class TableParts:
    """What one table gets, in the order in which it must run: ``primary_key`` (and the replica identity) as soon as
    its rows are in, ``indexes`` (unique and exclusion constraints too) then, in parallel if you like; ``foreign_keys``
    when **all** tables have theirs and the attachments are made, ``validations`` after them; ``triggers`` and
    ``others`` (rules, policies, statistics, comments) at the end."""

    primary_key: list[Statement] = field(default_factory=list)
    indexes: list[Statement] = field(default_factory=list)
    foreign_keys: list[Statement] = field(default_factory=list)
    validations: list[Statement] = field(default_factory=list)
    triggers: list[Statement] = field(default_factory=list)
    others: list[Statement] = field(default_factory=list)


@dataclass
class Split:
    """Statements by table. ``key_attachments`` and ``attachments`` join the indexes of partitions to their parents':
    in their order, one after another, when all tables have their primary keys, or their indexes. ``refreshes`` fill
    materialized views in the order of their dependencies (P45); ``rest`` belongs to no table and comes last."""

    pre_data: list[Statement] = field(default_factory=list)
    tables: dict[str, TableParts] = field(default_factory=dict)
    key_attachments: list[Statement] = field(default_factory=list)
    attachments: list[Statement] = field(default_factory=list)
    refreshes: list[Statement] = field(default_factory=list)
    rest: list[Statement] = field(default_factory=list)


def split(todo: Iterable[Statement]) -> Split:
    """Sort statements, as :func:`statements` returns them, by section and table; order within a list is kept."""
    done = Split()
    for one in todo:
        mine = done.tables.setdefault(one.table, TableParts()) if one.table and one.section != PRE_DATA else None
        if one.section == PRE_DATA:
            done.pre_data.append(one)
        elif one.type == "INDEX ATTACH":
            (done.key_attachments if one.section == PRIMARY_KEYS else done.attachments).append(one)
        elif one.check == "populated":
            done.refreshes.append(one)
        elif mine is None:
            done.rest.append(one)
        elif one.section == PRIMARY_KEYS:
            mine.primary_key.append(one)
        elif one.check == "valid":
            mine.validations.append(one)
        elif one.check == "thing" and one.type in ("INDEX", "CONSTRAINT"):
            mine.indexes.append(one)
        elif one.check == "thing" and one.type == "FK CONSTRAINT":
            mine.foreign_keys.append(one)
        elif one.type == "TRIGGER" and one.check == "thing":
            mine.triggers.append(one)
        else:
            mine.others.append(one)
    return done
