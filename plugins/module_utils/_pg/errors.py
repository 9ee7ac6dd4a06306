# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong at a PostgreSQL server, said to a person: where, the reason and the cure."""

from __future__ import annotations

from .._errors import MigrationError

_CURES = {
    "25006": "run this against a server that accepts writes",
    "42501": "grant the right to the login, or log in as its owner (rds_superuser on RDS)",
    "42P01": "check the spelling; give schema.table, quoted where the name needs it",
    "55P03": "find who holds the lock (pg_blocking_pids) and try again when it is free",
    "57014": "raise statement_timeout for the login, then run again",
}


class PgError(MigrationError):
    """An answer of a PostgreSQL server, or none at all; ``code`` is the SQLSTATE where there is one.

    The message names ``host:port/database`` and never a password.
    """


def from_answer(where: str, code: str | None, said: str | None) -> PgError:
    """The error for a statement that the server refused. Pure."""
    cure = _CURES.get(code or "", "mend what the server complains about, then run again")
    return PgError(f"{where}: {_one_line(said)} (SQLSTATE {code or 'unknown'}). Cure: {cure}.", code=code)


def from_connecting(where: str, user: str | None, said: str | None, secret: str | None) -> PgError:
    """The error for a connection that was not made. Pure; ``secret`` is taken out of what libpq said."""
    text = _one_line(said)
    if secret:
        text = text.replace(secret, "********")
    return PgError(
        f"{where}: no connection as {user or 'the default user'}: {text}. Cure: check host, port, database and login, "
        "and that this machine may reach the server (security group, pg_hba).",
        code="08001",
    )


def _one_line(said: str | None) -> str:
    return " ".join((said or "no reason was given").split()).rstrip(".?")
