# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles from one side to the other: observed, planned, carried out, looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg.errors import PgError
from .._pg.server import Connect
from .._plan import Plan, Step, carry_out
from . import role_catalogue, roles
from .restore import SHOWN, Restorer, Tolerated
from .role_catalogue import Roles
from .roles import Comparison, Wish


def plan(found: Comparison) -> Plan:
    """One step a statement. Pure."""
    steps = tuple(Step("run", one.sentence, {"number": number}) for number, one in enumerate(found.todo))
    return Plan(steps, found.before, found.after if steps else found.before)


def _observe(connect: Connect, address: Mapping[str, Any] | None) -> Roles:
    if address is None:
        return Roles()
    with connect(address) as session:
        return role_catalogue.observe(session)


def bring(
    connect: Connect, source: Mapping[str, Any] | None, target: Mapping[str, Any] | None, wish: Wish,
    passwords: Mapping[str, str], rules: Sequence[Tolerated], check_mode: bool, report: dict[str, Any],
) -> dict[str, Any]:
    """Give the target the source's roles; ``report`` is kept up to date so that a failure can show it.

    A side that is None isn't there yet (check mode). What is still missing afterwards, and wasn't tolerated, raises
    PgError.
    """
    theirs, mine = _observe(connect, target), _observe(connect, source)
    if source is None:
        wish, passwords = Wish(), {}
    # A placeholder while it is planned: verifiers are made by the session that sends them.
    hidden: dict[str, Any] = {name: sql.SQL("''") for name in passwords} if passwords else {}
    found = roles.compare(mine, theirs, wish, hidden)
    planned = plan(found)
    result = {
        **planned.result(), "action_count": len(planned.steps), "without_password": list(found.without_password),
        "left_out": list(found.left_out[:SHOWN]), "left_out_count": len(found.left_out),
    }
    result["actions"] = result["actions"][:SHOWN]
    if check_mode or not planned.changed:
        return result
    with connect(target or {}) as session:
        hidden = {
            name: sql.Literal(session.verifier(name, password)) for name, password in passwords.items()
            if name not in theirs.roles
        } | {name: hidden[name] for name in passwords if name in theirs.roles}
        restorer = Restorer(session, roles.compare(mine, theirs, wish, hidden).todo, rules)
        try:
            carry_out(planned, {"run": restorer.run})
        finally:
            report |= restorer.report()
            report["changed"] = bool(restorer.count("done"))
        left = roles.compare(mine, role_catalogue.observe(session), wish, hidden).todo
    excused = {one["action"] for one in report["tolerated"]}
    undone = [one.sentence for one in left if one.sentence not in excused]
    if undone:
        raise PgError(
            f"{len(undone)} statements ran without an error and had no effect, first: {undone[0]}. Cure: look at the "
            "target's roles, then run again."
        )
    return {**result, "changed": report["changed"]}
