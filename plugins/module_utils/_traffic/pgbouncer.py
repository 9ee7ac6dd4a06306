# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PgBouncer as a switch (R32): what it leads where, what to do to hold or lead its clients. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._findings import Finding, blocker, warning
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import Plan, Step


class PoolerError(MigrationError):
    """The pooler refused, or couldn't be reached."""


class NoAnswer(PoolerError):
    """The pooler said nothing in time."""


@dataclass(frozen=True)
class Route:
    """Where one of the pooler's databases leads, and whether its clients are held.

    ``busy``: it has a connection to its server. ``user``: the login of all its clients there, where its entry has one.
    """

    name: str
    host: str
    port: int
    pool_mode: str
    paused: bool
    busy: bool
    user: str | None = None

    @property
    def draining(self) -> bool:
        """A PAUSE still waits for a transaction to end."""
        return self.paused and self.busy

    def as_dict(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "pool_mode": self.pool_mode, "paused": self.paused}


def routes(databases: Iterable[Mapping[str, Any]], settings: Mapping[str, Any], wanted: Sequence[str]) -> list[Route]:
    """The databases that are led, by what the console shows; all but the console itself when none is named.

    Raises PoolerError for a wanted database which the pooler doesn't have.
    """
    known = {
        row["name"]: Route(
            row["name"], row["host"] or "", int(row["port"] or 5432),
            row["pool_mode"] or settings.get("pool_mode", "session"), str(row["paused"]) in ("1", "True"),
            int(row["current_connections"]) > 0, row.get("force_user"),
        )
        for row in databases if row["name"] != "pgbouncer"
    }
    if missing := [name for name in wanted if name not in known]:
        raise PoolerError(
            f"PgBouncer has no database {', '.join(missing)}: it has {', '.join(sorted(known))}. "
            "Correct `databases`; nothing was changed."
        )
    return [known[name] for name in (wanted or sorted(known))]


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def plan_pause(now: Sequence[Route]) -> Plan:
    """Hold the clients of every database that isn't held; a PAUSE that a killed run left waiting is waited for."""
    return _plan(now, [Step("pause", f"hold the clients of {route.name}", {"name": route.name})
                       for route in now if route.draining or not route.paused], paused=True)


def plan_resume(now: Sequence[Route]) -> Plan:
    """Let go the clients of every database that is held."""
    return _plan(now, [Step("resume", f"let the clients of {route.name} go on", {"name": route.name})
                       for route in now if route.paused], paused=False)


def plan_route(now: Sequence[Route], config: str, host: str, port: int, user: str | None = None) -> Plan:
    """Lead every database to ``host``:``port``, as ``user`` where one is given, and let its clients go on.

    The file and the running pooler are looked at apart: a run that died between writing and RELOAD goes on.
    """
    text = reroute(config, [route.name for route in now], host, port, user)
    steps = []
    if text != config:
        steps.append(Step("write", f"lead {', '.join(route.name for route in now)} to {host}:{port}", {"text": text}))
    if text != config or any((route.host, route.port, route.user) != (host, port, user or route.user) for route in now):
        steps.append(Step("reload", "have PgBouncer read its configuration again",
                          {"names": [route.name for route in now], "host": host, "port": port}))
    resume = plan_resume(now)
    return _plan(now, [*steps, *resume.steps], paused=False, host=host, port=port)


def _plan(now: Sequence[Route], steps: Sequence[Step], **change: Any) -> Plan:
    before = {
        route.name: {"host": route.host, "port": route.port, "paused": route.paused, "draining": route.draining}
        for route in now
    }
    after = {name: {**state, "draining": False, **change} for name, state in before.items()}
    return Plan(tuple(steps), before, after)


ENTRY = re.compile(r"^\s*(?P<name>\"(?:[^\"]|\"\")+\"|[^\s=;#]+)\s*=\s*(?P<value>.*)$")
WORD = re.compile(r"(?P<key>\w+)\s*=\s*(?:'(?:[^']|'')*'|\S*)")


def reroute(config: str, names: Sequence[str], host: str, port: int, user: str | None = None) -> str:
    """The text of pgbouncer.ini with the named entries of [databases] leading to ``host``:``port``, as ``user``.

    Everything else, comments and order too, stays to the letter. Raises PoolerError for an entry that isn't in the
    file: it comes from an included file or from ``*``, which can't be changed without changing others.
    """
    wanted, lines, section = set(names), [], ""
    for line in config.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            section = line.strip().strip("[]").strip().lower()
        entry = ENTRY.match(line.rstrip("\r\n")) if section == "databases" else None
        name = entry["name"].strip('"').replace('""', '"') if entry else None
        if entry and name in wanted:
            wanted.discard(name)
            ending = line[len(line.rstrip("\r\n")):]
            line = line[:entry.start("value")] + lead(entry["value"], host, port, user) + ending
        lines.append(line)
    if wanted:
        raise PoolerError(
            f"[databases] of the configuration file has no entry for {', '.join(sorted(wanted))}: give it one of its "
            "own there (not by %include and not by *); nothing was changed."
        )
    return "".join(lines)


def lead(value: str, host: str, port: int, user: str | None = None) -> str:
    """A connection string of pgbouncer.ini with another host and port, and user if one is given; the rest as it was."""
    named = [("user", quoted(user))] if user else []
    for key, new in (("host", host), ("port", str(port)), *named):
        found = [match for match in WORD.finditer(value) if match["key"] == key]
        if found:
            value = value[:found[0].start()] + f"{key}={new}" + value[found[0].end():]
        else:
            value = f"{key}={new} {value}".rstrip()
    return value


def quoted(word: str) -> str:
    """A value as pgbouncer.ini takes it."""
    return word if re.fullmatch(r"[\w.@-]+", word) else "'" + word.replace("'", "''") + "'"


# Seconds a held client is kept, by PgBouncer's own defaults; the login's count for the first client of a pool.
PATIENCE = {"query_wait_timeout": 120, "client_login_timeout": 60}


def findings(now: Sequence[Route], settings: Mapping[str, Any], name: str, max_outage: int) -> list[Finding]:
    """What keeps this pooler from holding its clients through an outage of ``max_outage`` seconds (R32)."""
    found = [
        blocker(
            "pooler-session-mode", f"{name}/{route.name}",
            f"the pool mode is {route.pool_mode}: PAUSE would wait for the last client to leave, new ones would fail.",
            "Set pool_mode = transaction for this database, or leave it out of migration_traffic.",
            "R32", acknowledgeable=True,
        )
        for route in now if route.pool_mode == "session"
    ]
    limits = {setting: float(settings.get(setting) or usual) for setting, usual in PATIENCE.items()}
    early = [setting for setting, limit in limits.items() if 0 < limit <= max_outage]
    if early:
        found.append(warning(
            "pooler-gives-up-early", name,
            f"{' and '.join(f'{setting} is {limits[setting]:.0f} s' for setting in early)}, and the outage may last "
            f"{max_outage} s: held clients would be thrown out.",
            f"Raise {' and '.join(early)} above migration_max_outage on every process of the pooler, and RELOAD.",
            "R32",
        ))
    return found


def login_findings(now: Sequence[Route], pools: Iterable[Mapping[str, Any]], name: str) -> list[Finding]:
    """What keeps clients that are connected from going on under a login that is called otherwise over there (S8).

    A client belongs to a login from its own login on. Where its entry had a user then, it follows that user's name on
    RELOAD; where it had none it stays what it was, whatever the entry says later.
    """
    held = [(row["database"], row["user"]) for row in pools if int(row["cl_active"]) + int(row["cl_waiting"]) > 0]
    found = []
    for route in now:
        others = sorted({user for database, user in held if database == route.name and user != route.user})
        if not route.user:
            why = "its entry has no user"
        elif others:
            why = f"clients came as {', '.join(others)} before its entry had a user"
        else:
            continue
        found.append(blocker(
            "pooler-login", f"{name}/{route.name}",
            f"{why}: clients that are connected would go on asking for the name that the other side doesn't know.",
            "Write user= into it, with the login's name on the side that serves, and restart PgBouncer.", "S8",
        ))
    return found
