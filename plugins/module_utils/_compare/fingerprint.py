# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of one database as data, and as a fingerprint that tells which objects changed meanwhile (P50)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._pg.connection import Session
from .._pg.errors import PgError
from . import catalogue

# Definitions by object and part.
Objects = dict[tuple[str, str], str]
FORMAT = 1
# Hexadecimal digits of an object's hash: enough to see that something changed.
_DIGITS = 10

QUESTIONS: Mapping[str, str] = {
    "schemas": catalogue.SCHEMAS, "extensions": catalogue.EXTENSIONS,
    "extension_versions": catalogue.EXTENSION_VERSIONS, "types": catalogue.TYPES, "tables": catalogue.TABLES,
    "columns": catalogue.COLUMNS, "indexes": catalogue.INDEXES, "constraints": catalogue.CONSTRAINTS,
    "sequences": catalogue.SEQUENCES, "functions": catalogue.FUNCTIONS, "triggers": catalogue.TRIGGERS,
    "views": catalogue.VIEWS, "rules": catalogue.RULES, "policies": catalogue.POLICIES,
    "statistics": catalogue.STATISTICS, "operators": catalogue.OPERATORS, "grants": catalogue.GRANTS,
    "owners": catalogue.OWNERS, "comments": catalogue.COMMENTS, "settings": catalogue.SETTINGS,
    "identities": catalogue.IDENTITIES, "publications": catalogue.PUBLICATIONS,
}
CLASSES = tuple(QUESTIONS)
# Questions with parameters; in the others a percent sign is one.
_WITH_RIGHTS = ("grants",)
MAINTAIN_SINCE = 170000
QUALIFIED_UNTIL = 160000
_QUERIES = ("views", "rules")
# What every object has: an object that is missing on one side is named once.
_OF_OTHERS = ("owners", "identities")
_QUALIFIER = re.compile(r"""(?<!['\w"])(?:[^\W\d][\w$]*|"(?:[^"]|"")+")\.(?=[\w"*])""")


def read(session: Session, classes: Iterable[str], version_num: int) -> dict[str, Objects]:
    """What there is of each class. ``version_num`` is the older one of two sides that are to be compared."""
    seen = {}
    for name in classes:
        question = QUESTIONS[name]
        if name in _WITH_RIGHTS:
            question = question.replace("%(maintain)s", "true" if version_num >= MAINTAIN_SINCE else "false")
        seen[name] = {(row["object"], row["part"]): row["definition"] for row in session.rows(question)}
    return seen


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def fingerprint(seen: Mapping[str, Objects]) -> dict[str, Any]:
    """A fingerprint of what was read. Pure.

    ``objects`` is opaque and small, for it goes through results and journals: hashes by class and object, packed.
    """
    hashes: dict[str, dict[str, str]] = {}
    for name, objects in sorted(seen.items()):
        by_object: dict[str, list[str]] = {}
        for (thing, part), definition in sorted(objects.items()):
            by_object.setdefault(thing, []).extend((part, definition or ""))
        hashes[name] = {thing: _hash(parts)[:_DIGITS] for thing, parts in by_object.items()}
    classes = {
        name: {"count": len(seen[name]), "hash": _hash(f"{thing} {value}" for thing, value in objects.items())}
        for name, objects in hashes.items()
    }
    packed = zlib.compress(json.dumps(hashes, ensure_ascii=False, separators=(",", ":")).encode(), 9)
    return {
        "format": FORMAT,
        "hash": _hash(f"{name} {one['hash']}" for name, one in classes.items()),
        "classes": classes,
        "objects": base64.b64encode(packed).decode(),
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, str]]:
    """What changed between two fingerprints of one database, of the classes that both have. Pure.

    Raises PgError for a fingerprint that isn't one: a comparison that couldn't run is no pass (P48).
    """
    old, new = _unpacked(before), _unpacked(after)
    found = []
    for name in [name for name in new if name in old]:
        for thing in sorted(old[name].keys() | new[name].keys()):
            was, now = old[name].get(thing), new[name].get(thing)
            if was != now:
                how = "added" if was is None else "removed" if now is None else "changed"
                found.append({"class": name, "object": thing, "change": how})
    return found


def _unpacked(given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    try:
        if int(given["format"]) != FORMAT:
            raise ValueError(given["format"])
        return json.loads(zlib.decompress(base64.b64decode(given["objects"], validate=True)))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise PgError(
            "the fingerprint to compare with isn't one that this version of the collection made. Cure: give "
            "`fingerprint` as pg_catalog_info returned it, whole."
        ) from error


def without_qualifiers(definition: str | None) -> str | None:
    """A query without the names before its columns, and with single blanks. Pure."""
    return None if definition is None else " ".join(_QUALIFIER.sub("", definition).split())


def differences(
    source: Mapping[str, Objects], target: Mapping[str, Objects], versions: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """What two sides don't have alike: class, object, part and both definitions (None where it isn't there). Pure.

    From 16 on a server names the table before a column only where it has to: with one of ``versions`` before, one after
    it queries are compared without these names.
    """
    apart = bool(versions) and min(versions) < QUALIFIED_UNTIL <= max(versions)
    found = []
    for name, objects in source.items():
        there = target[name]
        for key in sorted(objects.keys() | there.keys()):
            mine, twin = objects.get(key), there.get(key)
            if name in _OF_OTHERS and None in (mine, twin):
                continue
            if apart and (name in _QUERIES or "BEGIN ATOMIC" in (mine or "")):
                mine, twin = without_qualifiers(mine), without_qualifiers(twin)
            if mine != twin:
                found.append({
                    "class": name, "object": key[0], "part": key[1], "source": objects.get(key),
                    "target": there.get(key),
                })
    return found


def left_out(found: Sequence[dict[str, Any]], excluded: Any) -> list[dict[str, Any]]:
    """The differences without those of excluded objects; ``excluded`` says of a name whether it is one. Pure."""
    return [
        one for one in found
        if not excluded(one["object"]) and not excluded(f"{one['object']}.{one['part']}")
    ]
