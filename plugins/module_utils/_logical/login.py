# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription's own login on the server that publishes: what it is, and whether the connection carries it (P23)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._findings import Finding, warning
from .._pg import journal
from .._pg.connection import Session
from .._pg.logins import COLUMNS, CURE, MARKED, may_make
from .._plan import Step
from . import conninfo
from .selection import named

_MAKER = f"""
    SELECT r.rolname AS name, r.rolsuper AS super, r.rolreplication AS replication, {COLUMNS},
           current_setting('server_version_num')::int AS version_num
    FROM pg_roles r WHERE r.rolname = current_user
"""
_LOGIN = f"""
    SELECT r.oid::bigint AS oid, {MARKED.format('r.oid')} AS ours,
           r.rolcanlogin AND (r.rolreplication OR EXISTS (
               SELECT FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid
               WHERE a.member = r.oid AND g.rolname = 'rds_replication')) AS fit,
           has_database_privilege(r.oid, current_database(), 'CONNECT') AS connects
    FROM pg_roles r WHERE r.rolname = %s
"""
_TABLES = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name, c.relrowsecurity AS guarded,
           coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT'), false)
               AS readable
    FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname = ANY (%s)) t
    JOIN pg_namespace n ON n.nspname = t.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
    LEFT JOIN pg_roles r ON r.rolname = %s
    ORDER BY 1
"""


@dataclass(frozen=True)
class Login:
    """The login as the publishing server has it; ``oid`` None: it isn't there. ``unreadable`` and ``guarded`` are
    published tables, the latter those with row security. ``kept`` is what that server's journal says of it."""

    name: str
    oid: int | None = None
    ours: bool = False
    fit: bool = False
    connects: bool = True
    unreadable: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    kept: Mapping[str, Any] | None = None
    maker: str = ""
    makeable: bool = True

    @property
    def known(self) -> bool:
        """Whether this migration has made it."""
        return self.ours or self.kept is not None


@dataclass(frozen=True)
class Carried:
    """The connection that the subscription has: its words as far as they are known (None: unknown), and what the
    journal beside it keeps of it. ``visible``: the words hold the password."""

    words: Mapping[str, str] | None = None
    kept: Mapping[str, Any] | None = None
    visible: bool = False

    def by(self, login: str) -> bool:
        """Whether it is that login's; a service's edge may want the name with an end."""
        found = re.match(r"[a-z0-9_]*", (self.words or {}).get("user", ""))
        return bool(found and found.group() == login)


@dataclass(frozen=True)
class Decision:
    """``own``: the connection is to carry the login. ``differing`` are the keywords that have to change then."""

    own: bool
    differing: Sequence[str] = ()
    before: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = field(default=())


def event_id(subscription: str) -> str:
    """The id of the entry about the login, in the journal of the server that has it."""
    return f"subscription.{subscription}.login"


def read(session: Session, name: str, migration: str, subscription: str, publications: Sequence[str]) -> Login:
    """Look at the login, in the published database. Any login may."""
    maker = session.row(_MAKER)
    kept = journal.read(session, migration, event_id(subscription)).get(event_id(subscription))
    # Who made it wrote down its name: this run may have been given another.
    name = kept.now["login"] if kept else name
    found = session.rows(_LOGIN, (name,))
    tables = session.rows(_TABLES, (sorted(publications), name))
    row = found[0] if found else {"oid": None, "ours": False, "fit": False, "connects": True}
    return Login(
        name, row["oid"], row["ours"] or bool(kept and row["oid"] == kept.now["oid"]), row["fit"], row["connects"],
        tuple(one["name"] for one in tables if not one["readable"]),
        tuple(one["name"] for one in tables if one["guarded"]), kept.now if kept else None, maker["name"],
        may_make(maker, maker["version_num"]),
    )


def decide(login: Login, carried: Carried | None, wish: Mapping[str, str], copies: bool) -> Decision:
    """Whether the connection carries the login, and what has to be done for it. Pure.

    ``carried`` None: there is no subscription yet. ``wish``: the keywords with the login and a new password; that is
    taken only where the old one can't be shown to be on both sides. ``copies``: tables will be read.
    """
    words = differing(carried, wish) if carried else sorted(wish)
    right = carried is not None and not words and is_right(login, carried)
    why = _hindrance(login, right, copies)
    if why:
        return Decision(False, findings=(shared(login.name, why),))
    steps = []
    if not right:
        said = "give login {} on the source a new random password" if login.oid is not None else (
            "make login {} on the source, with a random password")
        steps.append(Step("make_login", said.format(login.name), {"login": login}))
    unreadable = login.unreadable if copies else ()
    if unreadable or not login.connects:
        what = [*(["connect"] if not login.connects else []), *([f"read {named(unreadable)}"] if unreadable else [])]
        steps.append(Step("admit_login", f"let login {login.name} {' and '.join(what)}", {
            "login": login.name, "unreadable": unreadable}))
    return Decision(True, [] if right else sorted({*words, "password"}), tuple(steps))


def is_right(login: Login, carried: Carried) -> bool:
    """Whether the password in the connection is the login's: both journals know the same one (P23)."""
    kept, theirs = carried.kept, login.kept
    if not (kept and theirs and login.fit and login.oid == theirs["oid"] and kept["hash"] == theirs["hash"]):
        return False
    return not carried.visible or not conninfo.differing_from_fingerprint(kept, carried.words or {})


def differing(carried: Carried, wish: Mapping[str, str]) -> list[str]:
    """The keywords that differ, but for the password, which is new each time."""
    return conninfo.differing(conninfo.shown(carried.words or {}), conninfo.shown(wish))


def _hindrance(login: Login, right: bool, copies: bool) -> str | None:
    if login.oid is not None and not login.ours:
        return f"the source has a role {login.name}, which this migration hasn't made"
    if copies and login.guarded:
        return f"{named(login.guarded)} has row security, which would hide rows from it (P41)"
    if not right and not login.makeable:
        return f"{login.maker} may not make a login that replicates"
    return None


def shared(name: str, why: str, option: str = "connection.user") -> Finding:
    """There is no login of its own."""
    return warning(
        "replication-login-shared", name, f"the subscription's connection has the login and password of the migration "
        f"itself: {why}", f"{CURE} {option}", "P23",
    )


def left_behind(name: str) -> Finding:
    """The server that has it can't be reached (P12)."""
    return warning(
        "login-left-behind", name, "the source can't be reached: if it comes back, it has a login that nobody uses",
        "run this again when it is back, or drop the login there", "P12",
    )
