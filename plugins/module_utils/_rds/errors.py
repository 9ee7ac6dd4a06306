# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong at AWS, said to a person: the operation, the object, the reason and the cure."""

from __future__ import annotations

import re
from typing import Any

from .._errors import MigrationError

DENIED = {"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_CREDENTIALS = {
    "AuthFailure", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "MissingAuthenticationToken",
    "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
}
THROTTLED = {
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling",
    "ThrottlingException", "ThrottledException", "TooManyRequestsException",
}
UNWELL = {"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "Unavailable"}

_DENIED_ACTION = re.compile(r"not authorized to perform:?\s+(?P<action>[a-z0-9-]+:[A-Za-z]+)")
_QUOTA = re.compile(r"quota|limit", re.IGNORECASE)
_BAD_STATE = re.compile(r"^Invalid\w*State(Fault)?$")


class RdsError(MigrationError):
    """An answer of RDS, EC2 or CloudWatch that ends the work; ``code`` is the service's own code."""


def _cure(service: str, operation: str, code: str, said: str) -> tuple[str, str]:
    """Reason and cure for a service's error code. What AWS said about credentials is not repeated."""
    if code in DENIED:
        named = _DENIED_ACTION.search(said)
        action = named["action"] if named else f"{service}:{operation}"
        return "the permission is missing", f"allow the IAM action {action} to the credentials in use"
    if code in EXPIRED:
        return "the session token has expired", "get fresh credentials and run again; the run goes on where it was"
    if code in UNKNOWN_CREDENTIALS:
        return "AWS does not accept the credentials", "check profile, access_key, secret_key and the machine's clock"
    if code in THROTTLED:
        return "throttled until the retries ran out", "run fewer hosts at a time (serial, forks), then run again"
    if code in UNWELL:
        return "the service failed until the retries ran out", "look at the AWS health dashboard, then run again"
    if code.startswith("KMSKey"):
        return said, "let the credentials use the key (kms:DescribeKey, kms:CreateGrant), or name another in kms_key_id"
    if _BAD_STATE.match(code):
        return said, "wait until the object has left its present state, then run again"
    if _QUOTA.search(code):
        return said, "free some, or have the quota raised"
    return said, "mend what the service complains about, then run again"


def from_response(service: str, operation: str, about: str, error: dict[str, Any]) -> RdsError:
    """The error for a ``ClientError``'s ``Error`` document. Pure."""
    code = str(error.get("Code") or "Unknown")
    said = str(error.get("Message") or "no reason was given").strip().rstrip(".")
    reason, cure = _cure(service, operation, code, said)
    return RdsError(f"{about}: {operation} failed: {reason} ({code}). Cure: {cure}.", code=code)


_CONNECTION_CURES = {
    "NoCredentialsError": "set profile, or access_key and secret_key, or the instance's role",
    "PartialCredentialsError": "give access_key and secret_key together",
    "CredentialRetrievalError": "mend the profile's credential process",
    "SSOTokenLoadError": "run aws sso login",
    "UnauthorizedSSOTokenError": "run aws sso login",
    "NoRegionError": "set region",
    "ProfileNotFound": "name an existing profile",
}


def from_connection(operation: str, about: str, error: Exception) -> RdsError:
    """The error for a ``BotoCoreError``: no answer from the service at all."""
    kind = type(error).__name__
    cure = _CONNECTION_CURES.get(kind, "check region, endpoint_url and the network's way to AWS")
    return RdsError(f"{about}: {operation} had no answer: {error}. Cure: {cure}.", code=kind)
