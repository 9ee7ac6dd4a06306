# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PostgreSQL address: one dict with libpq's own names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import PgError

SSLMODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
# How a login is proven; two at once would leave open which one counts.
PROOFS = ("password", "passfile", "secret_arn", "iam")
_LIBPQ = (
    "host", "port", "user", "password", "passfile", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey",
    "connect_timeout", "options",
)
DEFAULT_DATABASE = "postgres"
_ALWAYS = {
    "application_name": "cloudpg.migration",
    "client_encoding": "UTF8",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # Probes are not sent while an answer to what was sent is waited for; without this that lasts a quarter of an hour.
    "tcp_user_timeout": 25_000,
}


def address_spec() -> dict[str, Any]:
    """The option that holds an address, for a module's argument spec."""
    return {
        "type": "dict",
        "required": True,
        "options": {
            "host": {"type": "str"},
            "port": {"type": "int", "default": 5432},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "passfile": {"type": "path", "no_log": False},
            "dbname": {"type": "str"},
            "sslmode": {"type": "str", "choices": SSLMODES},
            "sslrootcert": {"type": "path"},
            "sslcert": {"type": "path"},
            "sslkey": {"type": "path", "no_log": False},
            "connect_timeout": {"type": "int", "default": 10},
            "options": {"type": "str"},
            "secret_arn": {"type": "str", "no_log": False},
            "iam": {"type": "bool", "default": False},
            "region": {"type": "str"},
            "profile": {"type": "str"},
        },
    }


def place(address: Mapping[str, Any]) -> str:
    """``host:port``, for people."""
    return f"{address.get('host')}:{address.get('port')}"


def not_there_yet(address: Mapping[str, Any], check_mode: bool, option: str = "server") -> bool:
    """Whether the server will only be made by a step that check mode left out.

    Raises PgError for a missing host outside check mode, and for more than one proof of the login.
    """
    proofs = [name for name in PROOFS if address.get(name)]
    if len(proofs) > 1:
        raise PgError(f"{option}: {' and '.join(proofs)} are given together. Cure: give one of {', '.join(PROOFS)}.")
    if address.get("host"):
        return False
    if check_mode:
        return True
    raise PgError(f"{option}.host is empty. Cure: give the host's name, or the endpoint that AWS returned for it.")


def database_of(address: Mapping[str, Any], database: str | None = None) -> str:
    """The database to connect to: the one asked for, the address's own, or ``postgres``."""
    return database or address.get("dbname") or DEFAULT_DATABASE


def keywords(address: Mapping[str, Any], database: str | None = None) -> dict[str, Any]:
    """What libpq is told: the address without what is unset, and connections that notice a dead peer (25 s)."""
    given = {name: address[name] for name in _LIBPQ if address.get(name) not in (None, "")}
    return {**given, "dbname": database_of(address, database), **_ALWAYS}
