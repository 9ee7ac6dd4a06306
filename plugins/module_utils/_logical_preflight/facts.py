# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checks of a preflight of logical replication look at, and how they speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._findings import Finding
from .._logical.selection import object_name
from .._logical.tables import Table

Document = Mapping[str, Any]
# Of one kind, so many objects of a database are named one by one.
NAMED_EACH = 20


@dataclass(frozen=True)
class Database:
    """One database on both sides. ``target`` None: it isn't there, or no target could be looked at."""

    name: str
    source: Document
    target: Document | None = None
    tables: Sequence[Table] = ()
    # Findings of the identities that would be left after what is allowed was set (P2 to P5).
    identities: Sequence[Finding] = ()


@dataclass(frozen=True)
class Facts:
    """The wish and the real state, read once. ``target`` None: it isn't made yet."""

    migration: str
    source: Document
    target: Document | None = None
    databases: Sequence[Database] = ()
    create_databases: bool = False
    way_back: bool = True
    # Whether the subscriptions are to have logins of their own, on the source and for the way back on the target.
    own_login: bool = False
    own_back_login: bool = False

    @property
    def ours(self) -> str:
        """What the names of everything made for the migration begin with."""
        return object_name(self.migration)

    def is_ours(self, name: str | None) -> bool:
        return name is not None and (name == self.ours or name.startswith(self.ours + "_"))

    @property
    def majors(self) -> tuple[int, int | None]:
        return (
            self.source["version_num"] // 10000,
            self.target["version_num"] // 10000 if self.target is not None else None,
        )


def each(
    database: str, names: Iterable[str], finding: Callable[[str], Finding]
) -> Iterator[Finding]:
    """A finding for each object; one for the rest together where there are many, so that reports stay readable."""
    names = list(names)
    for name in names[:NAMED_EACH]:
        yield finding(f"{database}/{name}")
    if len(names) > NAMED_EACH:
        yield finding(f"{database}/and {len(names) - NAMED_EACH} more")


def number(settings: Mapping[str, str | None], name: str) -> int | None:
    """A setting as a number; None where the server doesn't have it or doesn't show it."""
    value = settings.get(name)
    return None if value is None else int(value)
