# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of a move to PlanetScale, beside what stands in the way of any other (S2, S5 to S13). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._findings import Finding, blocker, warning
from .._logical.selection import matches
from .._schema.choice import UNTRAVELLED

MAJORS = (17, 18)
_GIB = 1 << 30


@dataclass(frozen=True)
class Facts:
    """``target`` is what is asked for; ``database`` what is there, None without one; ``extensions`` what the database
    offers, None while there is none; ``parameters`` are those that would be changed, with what they are now."""

    target: Mapping[str, Any]
    database: Mapping[str, Any] | None
    regions: Sequence[Mapping[str, Any]]
    sizes: Sequence[Mapping[str, Any]]
    source_major: int
    source_extensions: Sequence[str]
    bytes_needed: int
    imports_are_let_in: bool = True
    wanted: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extensions: Sequence[Mapping[str, Any]] | None = None

    @property
    def name(self) -> str:
        return str(self.target["database"])

    @property
    def region(self) -> Mapping[str, Any] | None:
        """The region it is in or would be made in; None for one that isn't offered."""
        slug = self.database["region"] if self.database else self.target.get("region")
        return next((one for one in self.regions if (one["slug"] == slug if slug else one["default"])), None)


def raises(now: str, wanted: str) -> bool:
    """Whether a parameter would be changed: a number that is higher already stays."""
    try:
        return int(now) < int(wanted)
    except ValueError:
        return now != wanted


def major(facts: Facts) -> Iterator[Finding]:
    wanted = facts.target.get("major_version")
    if wanted is not None and wanted not in MAJORS:
        yield blocker(
            "planetscale-major", facts.name, f"PlanetScale has no PostgreSQL {wanted}",
            f"give major_version {' or '.join(map(str, MAJORS))}", "S9",
        )
    elif facts.source_major > (wanted or max(MAJORS)):
        yield blocker(
            "planetscale-major", facts.name, f"the source is a {facts.source_major}, the target would be a "
            f"{wanted or max(MAJORS)}: what is written back and forth has to fit an older one",
            "give a major_version that isn't older than the source", "S9",
        )


def offers(facts: Facts) -> Iterator[Finding]:
    if facts.region is None or not facts.region["enabled"]:
        there = ", ".join(one["slug"] for one in facts.regions if one["enabled"])
        yield blocker(
            "planetscale-region", facts.name, f"region {facts.target.get('region')} isn't offered for PostgreSQL",
            f"give one of {there}", "S2",
        )
    wanted, sizes = facts.target.get("cluster_size"), [one["name"] for one in facts.sizes]
    if facts.database is None and wanted not in sizes:
        said = f"size {wanted} isn't offered there" if wanted else "cluster_size isn't given for a new database"
        yield blocker("planetscale-size", facts.name, said, f"give one of {', '.join(sizes[:20])}", "S2")
    asked = facts.target.get("region")
    if facts.database and asked and facts.database["region"] != asked:
        yield blocker(
            "planetscale-region", facts.name, f"it is in region {facts.database['region']}, not in {asked}",
            "correct region, or take another database", "S2",
        )


def storage(facts: Facts) -> Iterator[Finding]:
    limit = facts.target.get("maximum_storage_bytes") or (facts.database or {}).get("maximum_storage_bytes")
    needed = f"{facts.bytes_needed / _GIB:.0f} GiB"
    if limit and limit < facts.bytes_needed:
        yield blocker(
            "planetscale-storage", facts.name, f"its storage may grow to {limit / _GIB:.0f} GiB, and the copy needs "
            f"{needed}: with 5 % left the database becomes read-only and pauses every subscription",
            "raise maximum_storage_bytes", "S11",
        )
    elif facts.database and facts.database["minimum_storage_bytes"] is None:
        yield warning(
            "planetscale-storage-unknown", facts.name, "PlanetScale doesn't tell its storage before the first change; "
            f"the copy needs {needed}", "see in PlanetScale's own pages that it has that much", "S11",
        )


def restarts(facts: Facts) -> Iterator[Finding]:
    changing = sorted(name for name, one in facts.parameters.items() if one["restart"] and one["changes"])
    if facts.database and changing:
        yield warning(
            "planetscale-restart", facts.name, f"{', '.join(changing)} is changed, which restarts the database",
            "see that nobody uses it yet", "S12",
        )


def extensions(facts: Facts) -> Iterator[Finding]:
    travelling = [
        name for name in facts.source_extensions if name != "plpgsql" and not matches(name, UNTRAVELLED)
    ]
    if facts.extensions is None:
        if travelling:
            yield warning(
                "planetscale-extensions-unknown", facts.name, f"the source uses {', '.join(travelling)}; what "
                "PlanetScale has is told only once there is a database", "see PlanetScale's list of extensions", "S6",
            )
        return
    there = {one["name"]: one for one in facts.extensions}
    for name in travelling:
        one = there.get(name)
        if one is None or not one["available"]:
            why = (one or {}).get("unavailable_reason") or "PlanetScale doesn't have it"
            yield blocker("planetscale-extension", name, why, "do without it, or ask PlanetScale for it", "S6")
        elif one["loader"] == "shared_preload_libraries":
            yield warning(
                "planetscale-extension-loads", name, "it has to be loaded when the server starts",
                "turn it on in PlanetScale's settings first", "S6",
            )


def networks(facts: Facts) -> Iterator[Finding]:
    addresses = list(facts.region["import_addresses"]) if facts.region else []
    if not facts.imports_are_let_in:
        yield warning(
            "planetscale-imports", facts.name, f"its imports come from {', '.join(addresses) or 'nobody knows where'}",
            "see that the source lets these in, on its port and in its pg_hba", "S13",
        )
    closed = [cidr for one in (facts.database or {}).get("restrictions", ()) for cidr in one["cidrs"]]
    if closed:
        yield warning(
            "planetscale-restricted", facts.name, f"it lets in {', '.join(closed)} only",
            "see that the controller, the clients and, for the way back, the source are among them", "S6",
        )


CHECKS = (major, offers, storage, restarts, extensions, networks)


def findings(facts: Facts) -> list[Finding]:
    """All of them, in the order of the checks."""
    return [finding for check in CHECKS for finding in check(facts)]
