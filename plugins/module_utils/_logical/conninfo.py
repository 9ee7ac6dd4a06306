# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the target reaches the source: the connection string of a subscription, made, parsed and compared (P23)."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

try:
    import psycopg2
    from psycopg2.extensions import make_dsn, parse_dsn
except ImportError:
    psycopg2 = None

from .._errors import MigrationError

# From the source's address. Files on the controller are none on the target, so they have to be given by name.
_FROM_ADDRESS = ("host", "port", "user", "password", "sslmode")
# A black hole where the publisher was must not hold up the target's DROP SUBSCRIPTION for minutes (P12).
CONNECT_TIMEOUT = 10
# What libpq takes when nothing is said, as far as it is the same everywhere.
_DEFAULTS = {"port": "5432", "sslmode": "prefer"}
_SECRET = "password"


def wished(address: Mapping[str, Any], given: Mapping[str, Any], database: str) -> dict[str, str]:
    """libpq's keywords for the target, from the source's address (with its password) and what is ``given`` beside it.

    Raises MigrationError for what the target couldn't use.
    """
    taken = {name: address.get(name) for name in _FROM_ADDRESS}
    taken |= {name: value for name, value in given.items() if value is not None}
    if not taken.get("user"):
        raise MigrationError("connection.user is empty. Cure: give the login by which the target reaches the source.")
    if str(taken.get("sslmode") or "").startswith("verify") and not taken.get("sslrootcert"):
        raise MigrationError(
            f"connection.sslmode is {taken['sslmode']}, and connection.sslrootcert is empty. Cure: give a file on the "
            "target's own machine (from PostgreSQL 16 on also the word system), or connection.sslmode=require."
        )
    if address.get("iam") and not given.get(_SECRET):
        raise MigrationError(
            "connection.password is empty, and a token of IAM ends after 15 minutes. Cure: give the subscription a "
            "login with a password."
        )
    made = {"connect_timeout": CONNECT_TIMEOUT, **taken, "dbname": database}
    return {name: str(value) for name, value in made.items() if value not in (None, "")}


def password_of(passfile: str, keywords: Mapping[str, str]) -> str | None:
    """The password that a passfile's text has for a connection, as libpq looks it up. Pure."""
    wanted = [keywords.get(name, "") for name in ("host", "port", "dbname", "user")]
    for line in passfile.splitlines():
        fields = _fields(line)
        if line.startswith("#") or len(fields) < 5:
            continue
        if all(field in ("*", value) for field, value in zip(fields, wanted)):
            return fields[4]
    return None


def _fields(line: str) -> list[str]:
    """The five fields of a line, in which a backslash takes the meaning from a colon and from itself."""
    fields, escaped = [""], False
    for letter in line:
        if not escaped and letter == "\\":
            escaped = True
        elif not escaped and letter == ":" and len(fields) < 5:
            fields.append("")
        else:
            fields[-1] += letter
            escaped = False
    return fields


def text(keywords: Mapping[str, str]) -> str:
    """As CREATE SUBSCRIPTION takes it, quoted by libpq's rules."""
    return make_dsn(**keywords)


def parse(conninfo: str) -> dict[str, str] | None:
    """libpq's own reading of a string or URI, quotes and blanks and all; None for one that it doesn't understand."""
    try:
        return {name: str(value) for name, value in parse_dsn(conninfo).items()}
    except psycopg2.Error:
        return None


def differing(now: Mapping[str, str] | None, wish: Mapping[str, str]) -> list[str]:
    """The keywords in which two differ, by name only: a value may be a secret. Pure."""
    if now is None:
        return sorted(wish)
    one, other = ({**_DEFAULTS, **side} for side in (now, wish))
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def shown(keywords: Mapping[str, str]) -> dict[str, str]:
    """Without the secret, for a result."""
    return {name: value for name, value in keywords.items() if name != _SECRET}


def fingerprint(keywords: Mapping[str, str], salt: str | None = None) -> dict[str, Any]:
    """What the journal keeps where the catalogue hides the connection from the login: enough to tell it's another."""
    salt = salt or secrets.token_hex(16)
    whole = json.dumps(dict(keywords), sort_keys=True).encode()
    return {
        **shown(keywords), "salt": salt,
        "hash": hashlib.scrypt(whole, salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex(),
    }


def differing_from_fingerprint(kept: Mapping[str, Any], wish: Mapping[str, str]) -> list[str]:
    """Like ``differing``, against what ``fingerprint`` made."""
    if fingerprint(wish, kept["salt"]) == dict(kept):
        return []
    known = {name: value for name, value in kept.items() if name not in ("salt", "hash")}
    return differing(known, shown(wish)) or [_SECRET]


def without(message: str, words: Iterable[str]) -> str:
    """A message in which no secret is left."""
    for word in words:
        message = message.replace(word, "********")
    return message
