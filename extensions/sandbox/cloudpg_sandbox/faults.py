# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults by name: what the cloud does to a migration on a bad day, on demand and repeatably.

A fault is a dict: its `name`, where it strikes (`operation`, `identifier`, `transition`, `metric`) and how often
(`rate`, `seed`, `times`). A name or key that isn't known is refused: a fault that never strikes proves nothing.
"""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import flask

from .fault_specs import check, patterns
from .rules import ApiError

SLOWER = 10.0
CALLER = "arn:aws:iam::123456789012:user/sandbox"
THROTTLING = {
    "rds": ("Throttling", 400), "ec2": ("RequestLimitExceeded", 503), "planetscale": ("too_many_requests", 429),
}
DENIED = {
    "rds": "AccessDenied", "cloudwatch": "AccessDenied", "sts": "AccessDenied", "ec2": "UnauthorizedOperation",
    "planetscale": "forbidden",
}
# Services that answer in XML have the short code.
EXPIRED = {name: ("ExpiredToken", 403) for name in ("rds", "cloudwatch", "sts", "iam")} | {
    "ec2": ("RequestExpired", 400), "planetscale": ("unauthorized", 401),
}


def throttling(service: str, _operation: str) -> ApiError:
    code, status = THROTTLING.get(service, ("ThrottlingException", 400))
    return ApiError(code, "Request limit exceeded." if service == "ec2" else "Rate exceeded", status)


def internal_error(_service: str, _operation: str) -> ApiError:
    message = "The request processing has failed because of an unknown error, exception or failure."
    return ApiError("InternalFailure", message, 500)


def service_unavailable(_service: str, _operation: str) -> ApiError:
    message = "The request has failed due to a temporary failure of the server."
    return ApiError("ServiceUnavailable", message, 503)


def access_denied(service: str, operation: str) -> ApiError:
    action = f"{service}:{operation}"
    message = (
        f"User: {CALLER} is not authorized to perform: {action} because no identity-based policy allows the {action}"
        " action"
    )
    return ApiError(DENIED.get(service, "AccessDeniedException"), message, 403)


def expired_token(service: str, _operation: str) -> ApiError:
    code, status = EXPIRED.get(service, ("ExpiredTokenException", 400))
    return ApiError(code, "The security token included in the request is expired", status)


ERRORS: dict[str, Callable[[str, str], ApiError]] = {
    function.__name__: function
    for function in (throttling, internal_error, service_unavailable, access_denied, expired_token)
}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


class Fault:
    """One fault in force, its own dice and its count."""

    def __init__(self, number: str, spec: Mapping[str, Any]) -> None:
        self.number = number
        self.spec = dict(spec)
        self.name = str(spec["name"])
        self.struck = 0
        self._dice = random.Random(spec.get("seed", 0))

    def strikes(self) -> bool:
        """Whether it strikes this time; counts when it does."""
        if self.struck >= self.spec.get("times", float("inf")):
            return False
        if self._dice.random() >= self.spec.get("rate", 1):
            return False
        self.struck += 1
        return True

    def concerns_call(self, service: str, operation: str, params: Mapping[str, Any]) -> bool:
        full = f"{service}:{operation}"
        if not any(fnmatchcase(full if ":" in pattern else operation, pattern) for pattern in patterns(self.spec)):
            return False
        wanted = self.spec.get("identifier")
        return wanted is None or any(text == wanted or text.endswith(f":{wanted}") for text in _texts(params))

    def concerns(self, key: str, value: str, identifier: str | None) -> bool:
        return fnmatchcase(value, self.spec.get(key, "*")) and self.spec.get("identifier", identifier) == identifier

    def described(self) -> dict[str, Any]:
        return {"id": self.number, **self.spec, "struck": self.struck}


class Faults:
    """The faults of one sandbox. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, spec: Mapping[str, Any]) -> str:
        """Put a fault in force; returns its id. ValueError for a spec that names something unknown."""
        check(spec)
        with self._lock:
            number = str(next(self._numbers))
            self._faults[number] = Fault(number, spec)
            return number

    def remove(self, number: str) -> None:
        """Take a fault away; ValueError for an id that isn't there."""
        with self._lock:
            if str(number) not in self._faults:
                raise ValueError(f"there is no fault {number!r}; there are {', '.join(self._faults) or 'none'}")
            del self._faults[str(number)]

    def list(self) -> list[dict[str, Any]]:
        """The faults in force, each with its id and how often it has struck."""
        with self._lock:
            return [fault.described() for fault in self._faults.values()]

    def _striking(self, names: tuple[str, ...], concerned: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in self._faults.values():
                if fault.name in names and concerned(fault) and fault.strikes():
                    return fault
        return None

    def before_call(self, service: str, operation: str | None, params: Mapping[str, Any]) -> float:
        """Seconds the call is to be delayed by; raises the ApiError it is to fail with.

        Within a request, an answer that is to be dropped is cut off after the call was carried out.
        """
        name = operation or ""

        def concerned(fault: Fault) -> bool:
            return fault.concerns_call(service, name, params)

        error = self._striking(tuple(ERRORS), concerned)
        if error:
            raise ERRORS[error.name](service, name)
        if flask.has_request_context() and self.drop_response(service, operation, params):
            flask.after_this_request(cut_connection)
        delay = self._striking(("delay",), concerned)
        return float(delay.spec["seconds"]) if delay else 0.0

    def drop_response(self, service: str, operation: str | None, params: Mapping[str, Any]) -> bool:
        """Whether the call is done but its answer gets lost."""
        return bool(
            self._striking(("drop_response",), lambda fault: fault.concerns_call(service, operation or "", params))
        )

    def slow_transition(self, identifier: str, transition: str) -> Fault | None:
        """The fault that slows a transition down, if one strikes."""
        return self._striking(("slow_transition",), lambda one: one.concerns("transition", transition, identifier))

    def factor(self, slow: Fault | None) -> float:
        """How many times longer than usual a transition takes: 1 again as soon as its fault is taken away."""
        with self._lock:
            in_force = slow is not None and slow.number in self._faults
        return float(slow.spec.get("factor", SLOWER)) if in_force else 1.0

    def refuse(self, identifier: str, transition: str) -> bool:
        """Whether a transition ends in failure."""
        return bool(
            self._striking(("refuse_transition",), lambda one: one.concerns("transition", transition, identifier))
        )

    def missing_metrics(self, metric: str, identifier: str | None = None) -> bool:
        """Whether nothing is recorded for a metric."""
        return bool(self._striking(("missing_metrics",), lambda one: one.concerns("metric", metric, identifier)))

    def stale_metrics(self, metric: str, identifier: str | None = None) -> bool:
        """Whether a metric goes on reporting the value it had."""
        return bool(self._striking(("stale_metrics",), lambda one: one.concerns("metric", metric, identifier)))

    def wal_switch(self, identifier: str) -> float | None:
        """Seconds after which an idle source switches WAL, or None: it doesn't by itself (R13)."""
        with self._lock:
            for fault in self._faults.values():
                if fault.name == "wal_switch" and fault.spec.get("identifier", identifier) == identifier:
                    return float(fault.spec["seconds"])
        return None


def cut_connection(response: flask.Response) -> flask.Response:
    """Close the client's connection instead of answering: it can't tell whether the call was carried out."""
    connection = flask.request.environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
    return response
