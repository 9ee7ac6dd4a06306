# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription's own login made, let in and dropped, each with its line in the journal of its server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

try:
    from psycopg2 import sql
except ImportError:
    pass  # connect() says that psycopg2 is missing

from .._pg import journal
from .._pg.connection import Session
from .._pg.logins import MARK
from .login import Login, event_id

_HIDDEN = "(a random password)"
_RIGHTS = """
    SELECT r.rolsuper AS super, r.rolreplication AS replication, r.rolname AS name,
           current_setting('server_version_num')::int AS version_num,
           EXISTS (SELECT FROM pg_roles g
                   WHERE g.rolname = 'rds_replication' AND pg_has_role(g.oid, 'MEMBER')) AS managed
    FROM pg_roles r WHERE r.rolname = current_user
"""
_OID = "SELECT oid::bigint FROM pg_roles WHERE rolname = %s"


class LoginOperations:
    """``mark`` gives what the journal of the other side keeps of the connection; ``queries`` is added to."""

    def __init__(
        self, source: Session | None, migration: str, subscription: str, keywords: Mapping[str, str],
        mark: Callable[[], Mapping[str, Any]], queries: list[str],
    ) -> None:
        self._source, self._migration, self._subscription = source, migration, subscription
        self._keywords, self._mark, self._queries = keywords, mark, queries

    def table(self) -> dict[str, Callable[..., None]]:
        return {name: getattr(self, name) for name in ("make_login", "admit_login", "drop_login")}

    def make_login(self, login: Login) -> None:
        """Made or given a new password, with all it needs but the tables, and written down: all or nothing."""
        source, name = self._source, sql.Identifier(login.name)
        rights = source.row(_RIGHTS)
        words = ["LOGIN"]
        if rights["super"] or (rights["version_num"] >= 160000 and rights["replication"]):
            words.append("REPLICATION")
        verb = sql.SQL("CREATE ROLE {} WITH {} PASSWORD " if login.oid is None else "ALTER ROLE {} WITH {} PASSWORD ")
        before = verb.format(name, sql.SQL(" ".join(words)))
        verifier = source.verifier(login.name, self._keywords["password"])
        with source.transaction():
            source.run("SET TRANSACTION READ WRITE")
            # Not among the queries: the verifier is as good as the password for guessing it.
            source.run(before + sql.Literal(verifier))
            self._queries.append(source.text(before + sql.Literal(_HIDDEN)))
            self._run(sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(
                f"{MARK}replication of {self._migration}, dropped at its end")))
            # A policy that is added later would hide rows from a copy, which is to fail instead (P41).
            self._run(sql.SQL("ALTER ROLE {} SET row_security = off").format(name))
            if rights["managed"]:
                self._run(sql.SQL("GRANT rds_replication TO {}").format(name))
            self._let_connect(login.name)
            oid = source.value(_OID, (login.name,))
            journal.record(source, self._migration, [journal.Entry(
                event_id(self._subscription), login.name, None,
                {"login": login.name, "oid": oid, "hash": self._mark()["hash"]},
            )])

    def _let_connect(self, login: str) -> None:
        """CONNECT by name where not everybody has it, as behind a fence (P29)."""
        if not self._source.value("SELECT has_database_privilege(%s, current_database(), 'CONNECT')", (login,)):
            database = sql.Identifier(self._source.value("SELECT current_database()"))
            self._run(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(login)))

    def admit_login(self, login: str, unreadable: Sequence[str]) -> None:
        """Let it in, and give it the tables that are to be copied."""
        source, name = self._source, sql.Identifier(login)
        with source.transaction():
            source.run("SET TRANSACTION READ WRITE")
            self._let_connect(login)
            schemas = source.rows(
                "SELECT DISTINCT relnamespace::regnamespace::text AS name FROM pg_class"
                " WHERE oid = ANY (%s::regclass[]) ORDER BY 1", (list(unreadable),)
            ) if unreadable else []
            # The names are quoted by the server itself.
            if schemas:
                self._run(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
                    sql.SQL(", ").join(sql.SQL(row["name"]) for row in schemas), name))
                self._run(sql.SQL("GRANT SELECT ON TABLE {} TO {}").format(
                    sql.SQL(", ").join(map(sql.SQL, unreadable)), name))

    def drop_login(self, login: Login) -> None:
        """With all it was granted, and its line in the journal; who is connected as it stays until it ends."""
        source, name = self._source, sql.Identifier(login.name)
        rights = source.row(_RIGHTS)
        with source.transaction():
            source.run("SET TRANSACTION READ WRITE")
            if login.ours and source.rows(_OID, (login.name,)):
                if not rights["super"]:
                    # Who has made a role isn't a member of it with its rights, from 16 on.
                    self._run(sql.SQL("GRANT {} TO {}" + (
                        " WITH INHERIT TRUE" if rights["version_num"] >= 160000 else "")).format(
                            name, sql.Identifier(rights["name"])))
                self._run(sql.SQL("DROP OWNED BY {}").format(name))
                self._run(sql.SQL("DROP ROLE {}").format(name))
            journal.forget(source, self._migration, [event_id(self._subscription)])

    def _run(self, statement: Any) -> None:
        self._source.run(statement)
        self._queries.append(self._source.text(statement))
