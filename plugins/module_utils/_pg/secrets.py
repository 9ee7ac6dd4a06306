# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords that AWS keeps or makes: a secret of Secrets Manager, or an IAM token."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from .address import place
from .errors import PgError


def region_of(address: Mapping[str, Any]) -> str | None:
    """The region of the secret's ARN (``arn:aws:secretsmanager:REGION:…``), unless one is given. Pure."""
    if address.get("region"):
        return address["region"]
    parts = (address.get("secret_arn") or "").split(":")
    return parts[3] if len(parts) > 3 and parts[3] else None


def login_from_secret(arn: str, text: str) -> dict[str, str]:
    """``user`` and ``password`` out of a secret as RDS writes it. Pure; raises PgError without repeating the text."""
    try:
        secret = json.loads(text)
        return {"user": secret["username"], "password": secret["password"]}
    except (ValueError, KeyError, TypeError):
        raise PgError(f"{arn}: not a JSON object with username and password. Cure: name the secret RDS made.") from None


def _client(address: Mapping[str, Any], service: str) -> Any:
    import boto3

    session = boto3.session.Session(region_name=region_of(address), profile_name=address.get("profile") or None)
    return session.client(service)


def with_login(address: Mapping[str, Any], client: Callable[..., Any] = _client) -> dict[str, Any]:
    """The address with the password that AWS has for it. An address with its own proof comes back unchanged.

    A token is a password that must not travel in the clear, so ``sslmode`` is ``require`` with ``iam`` unless given.
    """
    whole = dict(address)
    if not (address.get("secret_arn") or address.get("iam")):
        return whole
    if find_spec("boto3") is None:
        raise PgError("secret_arn and iam need boto3 on the machine the module runs on. Cure: pip install boto3.")
    # Not at the top: it takes as long as all else that a module imports, and most addresses don't need it.
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if address.get("iam"):
            whole["sslmode"] = address.get("sslmode") or "require"
            whole["password"] = client(address, "rds").generate_db_auth_token(
                DBHostname=address["host"], Port=address["port"], DBUsername=address["user"]
            )
        else:
            arn = address["secret_arn"]
            answer = client(address, "secretsmanager").get_secret_value(SecretId=arn)
            login = login_from_secret(arn, answer.get("SecretString", ""))
            whole.update(login, user=address.get("user") or login["user"])
    except (BotoCoreError, ClientError) as error:
        kind = getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__
        raise PgError(
            f"{place(address)}: AWS gave no password ({kind}). Cure: check region, profile and the permission "
            "secretsmanager:GetSecretValue or rds-db:connect.",
            code=kind,
        ) from error
    return whole
