# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing the rows of two databases, from sums of whole tables down to the keys that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._logical.selection import SHOWN, named
from .canonical import recoding
from .drill import Key, Reader, Value, buckets_for, differing, portions
from .live import Lag, settle
from .sides import Side
from .tables import Pair, Pairing
from .totals import Sum, begin, end, totals

COUNT, HASH = "count", "hash"
# How often rows that change while they are looked at are looked at again.
ROUNDS = 30
# Of one key's columns, so much is shown.
KEY_TEXT = 200


@dataclass
class Told:
    """What the comparison of rows found. ``differences`` has at most SHOWN tables with at most SHOWN keys each."""

    tables: int = 0
    rows: int = 0
    bytes: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)


def compare_rows(
    source: Side, target: Side, pairing: Pairing, how: str, lag: Callable[[], Lag] | None = None
) -> Told:
    """Compare counts or hashes (``how``) of all pairs; ``lag`` makes what waits for the target while it follows.

    Raises PgError for a table that can't be read, WaitTimeout for a target that doesn't come up: neither is a pass.
    """
    pairs = dict(enumerate(pairing.pairs))
    recode = recoding(source.encoding, target.encoding)
    if lag is None:
        sums = totals(source, target, pairs, how == HASH, recode)
    else:
        # The source first: what comes in meanwhile is then ahead on the target, never behind.
        mine = end(begin(source, pairs, how == HASH, recode))
        sums = mine, end(begin(target, pairs, how == HASH, recode))
    told = Told(
        len(pairs), sum(one.rows for one in sums[0].values()), sum(pair.source.bytes for pair in pairs.values()),
        [_unlike(name, why) for name, why in pairing.unlike.items()],
        [{"table": name, "reason": why} for name, why in pairing.skipped.items()],
    )
    waits = lag() if lag else None
    for number in differing(*sums):
        found = _table(
            _Pair(Reader(source, pairs[number], recode), Reader(target, pairs[number], recode)),
            (sums[0][number], sums[1][number]), how, waits,
        )
        if found is not None:
            told.differences.append(found)
    return told


@dataclass(frozen=True)
class _Pair:
    source: Reader
    target: Reader

    @property
    def pair(self) -> Pair:
        return self.source.pair


def _unlike(name: str, why: str) -> dict[str, Any]:
    return {
        "table": name, "reason": why, "source_rows": None, "target_rows": None, "keys": [], "key_count": 0,
        "unsettled": 0, "complete": True,
    }


def _table(
    both: _Pair, sums: tuple[Sum, Sum], how: str, lag: Lag | None
) -> dict[str, Any] | None:
    """The difference of one table whose sums differ, or None where only the lag made it."""
    if how == COUNT and lag is None:
        return {**_difference(both.pair, sums), "complete": False}
    count = buckets_for(max(one.rows for one in sums))
    mine, there = both.source.buckets(count), both.target.buckets(count)
    unlike = differing(mine, there)
    full = max(sum(rows for rows, _hash in side.values()) for side in (mine, there)) / count
    real: dict[Key, tuple[Value, Value]] = {}
    moving: list[Key] = []
    looked = 0
    parts = portions(unlike, full)
    for part in parts:
        rows = both.source.rows(count, part), both.target.rows(count, part)
        keys = differing(*rows)
        if lag is None:
            real.update({key: (rows[0].get(key), rows[1].get(key)) for key in keys})
        else:
            found, left = settle(keys, both.source, both.target, lag, ROUNDS)
            real.update(found)
            moving += left
        looked += 1
        if len(real) >= SHOWN:
            break
    if not real and not moving:
        return None
    shown = sorted(real, key=lambda key: tuple(map(str, key)))[:SHOWN]
    return {
        **_difference(both.pair, sums),
        "keys": [_key(both.pair, key, real[key]) for key in shown],
        "key_count": len(real),
        "unsettled": len(moving),
        "complete": looked == len(parts) and not moving,
    }


def _difference(pair: Pair, sums: tuple[Sum, Sum]) -> dict[str, Any]:
    why = "counts differ" if sums[0].rows != sums[1].rows else "contents differ"
    if "u" in (pair.source.persistence, pair.target.persistence):
        why += ", and it is unlogged: replication doesn't carry it (P1)"
    return {
        "table": pair.name, "reason": why, "source_rows": sums[0].rows, "target_rows": sums[1].rows,
        "keys": [], "key_count": 0, "unsettled": 0, "complete": True,
    }


def _key(pair: Pair, key: Key, values: tuple[Value, Value]) -> dict[str, Any]:
    """One key for a result: what is the matter with it, never the row itself."""
    counts = [value[0] if value else 0 for value in values]
    if pair.key:
        named_columns: Mapping[str, str] = {
            name: text if text is None else text[:KEY_TEXT] for name, text in zip(pair.key, key)
        }
    else:
        named_columns = {"row hash": key[0]}
    matter = "different"
    if not counts[1]:
        matter = "missing on the target"
    elif not counts[0]:
        matter = "only on the target"
    elif counts[0] != counts[1]:
        matter = f"{counts[0]} times on the source, {counts[1]} times on the target"
    return {"key": dict(named_columns), "difference": matter}


def sentence(found: Mapping[str, Any]) -> str:
    """A table's difference for a person."""
    text = f"{found['table']}: {found['reason']}"
    if found["source_rows"] is not None:
        text += f" ({found['source_rows']} rows on the source, {found['target_rows']} on the target)"
    if found["keys"]:
        some = [
            ", ".join(f"{name}={value}" for name, value in one["key"].items()) + f" {one['difference']}"
            for one in found["keys"]
        ]
        text += f"; {'' if found['complete'] else 'at least '}{found['key_count']} keys: {named(some)}"
    if found["unsettled"]:
        text += f"; {found['unsettled']} keys kept changing while they were looked at, look again when it is quieter"
    return text
