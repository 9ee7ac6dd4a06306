# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements of a schema run one after another, every answer judged and reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._pg.connection import Session
from .._pg.errors import PgError
from .parts import Statement

# Results are bounded: a count, and this many of what was counted.
SHOWN = 100

# What a dump relies on. A statement whose client is gone ends soon: a rerun must not meet it.
_SETTINGS = """
    SELECT set_config('search_path', '', false), set_config('check_function_bodies', 'off', false),
        set_config('xmloption', 'content', false), set_config('row_security', 'off', false),
        set_config('client_min_messages', 'warning', false), set_config('statement_timeout', '0', false),
        set_config('standard_conforming_strings', 'on', false), set_config('default_tablespace', '', false),
        set_config('default_table_access_method', 'heap', false), set_config('lock_timeout', %(lock_timeout)s, false)
"""
_CLIENT_CHECK = """
    SELECT set_config(name, '2s', false) FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'
"""


@dataclass(frozen=True)
class Tolerated:
    """An error that is no reason to stop: of which kind of statement (``*``: any), which SQLSTATE, and why."""

    type: str
    sqlstate: str
    reason: str


# All that is tolerated unless more is asked for. Nothing that makes or guards data is among it.
TOLERATED = (
    Tolerated("COMMENT", "42501", "only an object's owner may comment on it"),
)


def tolerated(one: Statement, sqlstate: str | None, rules: Iterable[Tolerated]) -> str | None:
    """Why an error of a statement is tolerated, None when it isn't. Pure."""
    kind = one.type.split()[0] if one.type.startswith("ACL") else one.type
    return next((rule.reason for rule in rules if rule.type in ("*", kind) and rule.sqlstate == sqlstate), None)


def prepare(session: Session, lock_timeout: float = 10) -> None:
    """Give a session the settings a dump relies on; ``lock_timeout`` in seconds."""
    session.run(_SETTINGS, {"lock_timeout": f"{int(lock_timeout * 1000)}ms"})
    session.run(_CLIENT_CHECK)


@dataclass
class Restorer:
    """Runs statements in a prepared session and keeps what came of each.

    ``outcomes`` are dicts with type, object, section, status (done, tolerated, failed), seconds, sqlstate and error.
    """

    session: Session
    todo: Sequence[Statement]
    rules: Sequence[Tolerated] = TOLERATED
    clock: Callable[[], float] = time.monotonic
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    def run(self, number: int) -> None:
        """Run one statement, a transaction of its own; raises PgError for an error that isn't tolerated."""
        one, begun = self.todo[number], self.clock()
        text = one.text if isinstance(one.text, str) else self.session.text(one.text)
        outcome: dict[str, Any] = {
            "type": one.type, "action": one.sentence, "section": one.section, "status": "done", "sqlstate": None,
            "error": None, "query": None if one.secret else text,
        }
        self.outcomes.append(outcome)
        try:
            self.session.run(text)
        except PgError as error:
            reason = tolerated(one, error.code, self.rules)
            outcome |= {"sqlstate": error.code, "error": "hidden" if one.secret else error.message}
            outcome["status"] = "tolerated" if reason else "failed"
            if not reason:
                said = "it was refused (what the server said may hold a secret)" if one.secret else error.message
                raise PgError(
                    f"could not {one.sentence}: {said} {self.count('done')} statements were run before it and stay; "
                    "a second run goes on from there.", code=error.code,
                ) from error
            outcome["tolerated_because"] = reason
        finally:
            outcome["seconds"] = round(self.clock() - begun, 3)

    def count(self, status: str) -> int:
        return sum(outcome["status"] == status for outcome in self.outcomes)

    def report(self) -> dict[str, Any]:
        """The outcomes, bounded: first what didn't go smoothly."""
        uneven = [outcome for outcome in self.outcomes if outcome["status"] != "done"]
        smooth = [outcome for outcome in self.outcomes if outcome["status"] == "done"]
        return {
            "statements": (uneven + smooth)[:SHOWN],
            "statement_count": len(self.outcomes),
            "tolerated": [outcome for outcome in uneven if outcome["status"] == "tolerated"][:SHOWN],
            "queries": [outcome["query"] for outcome in self.outcomes if outcome["query"]][:SHOWN],
        }
