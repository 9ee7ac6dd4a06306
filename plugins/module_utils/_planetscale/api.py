# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls to PlanetScale: retried with bounds, documents in and out as the API writes them (S1)."""

from __future__ import annotations

import http.client
import ipaddress
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit

from ansible.module_utils import urls

from .errors import TOO_MANY, OutcomeUnknown, PlanetScaleError, from_answer, no_answer

DEFAULT_URL = "https://api.planetscale.com/v1"
TRIES = 6
LONGEST_PAUSE = 60.0
ANSWER_SECONDS = 60
AGENT = "cloudpg.migration/1.0.0 ansible"
PAGE = 100


class Answer(NamedTuple):
    """What came back: the status, the headers with lower-case names, the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON; None when it is empty or none."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


Fetch = Callable[[str, str, Mapping[str, str], Optional[bytes]], Answer]


@dataclass(frozen=True)
class Access:
    """Where the API is and who asks."""

    url: str
    organization: str
    token_id: str
    token: str


def base_url(given: str) -> str:
    """The API's address, with its version. Raises PlanetScaleError for one that would send the token in the clear."""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PlanetScaleError(f"api_url: {given} is no URL. Cure: give {DEFAULT_URL}, or leave it out.")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise PlanetScaleError(
            f"api_url: {given} would send the service token in the clear. Cure: give an https URL; http is for an API "
            "on this machine."
        )
    bare = given.rstrip("/")
    return bare if bare.endswith("/v1") else f"{bare}/v1"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fetch(method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> Answer:
    """One request; raises OSError or http.client.HTTPException without an answer. A redirect isn't followed."""
    try:
        answer = urls.open_url(
            url, data=data, headers=dict(headers), method=method, timeout=ANSWER_SECONDS, http_agent=AGENT,
            follow_redirects="none", use_netrc=False,
        )
    except HTTPError as error:
        answer = error
    except urls.ConnectionError as error:
        raise OSError(str(error)) from error
    with answer:
        told = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, told, answer.read())


def pause_after(attempt: int, retry_after: str | None, jitter: float) -> float:
    """Seconds until the next try: what the service asks for, else doubling from half a second; never above a minute."""
    try:
        asked = float(retry_after or "")
    except ValueError:
        asked = 0.5 * 2 ** attempt * (1 + jitter)
    return min(max(asked, 0.0), LONGEST_PAUSE)


class Api:
    """The API of one organization."""

    def __init__(
        self, access: Access, fetch: Fetch = fetch, sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.access = access
        self._url = base_url(access.url)
        self._fetch = fetch
        self._sleep = sleep
        self._jitter = jitter

    def call(
        self, operation: str, method: str, path: tuple[str, ...], about: str,
        body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One operation; a failure that may pass is tried again.

        Raises PlanetScaleError, and OutcomeUnknown where a POST may have been carried out although it failed.
        """
        place = "/".join(quote(part, safe="") for part in ("organizations", self.access.organization, *path))
        url = f"{self._url}/{place}" + (f"?{urlencode(query)}" if query else "")
        headers = {
            "Authorization": f"{self.access.token_id}:{self.access.token}", "Accept": "application/json",
            "Content-Type": "application/json",
        }
        data = json.dumps(body).encode() if body is not None else None
        for attempt in range(TRIES):
            answer, error = self._once(operation, method, url, headers, data, about)
            if error is None:
                return answer
            if answer.status and answer.status != TOO_MANY and answer.status < 500:
                raise error
            if method == "POST" and answer.status != TOO_MANY:
                raise OutcomeUnknown(error.message, code=error.code) from error
            if attempt + 1 < TRIES:
                self._sleep(pause_after(attempt, answer.headers.get("retry-after"), self._jitter()))
        raise error

    def _once(
        self, operation: str, method: str, url: str, headers: Mapping[str, str], data: bytes | None, about: str
    ) -> tuple[Answer, PlanetScaleError | None]:
        """One try; status 0 stands for no answer."""
        try:
            answer = self._fetch(method, url, headers, data)
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, b""), no_answer(operation, about, str(error) or type(error).__name__)
        if 200 <= answer.status < 300:
            return answer, None
        told = answer.document if isinstance(answer.document, dict) else {}
        return answer, from_answer(operation, about, answer.status, told.get("code"), told.get("message"))

    def get(self, operation: str, path: tuple[str, ...], about: str, **query: Any) -> Any:
        return self.call(operation, "GET", path, about, query=query).document

    def find(self, operation: str, path: tuple[str, ...], about: str) -> dict[str, Any] | None:
        """A document, or None when the API knows none of that name."""
        try:
            return self.get(operation, path, about)
        except PlanetScaleError as error:
            if error.status == 404:
                return None
            raise

    def collect(self, operation: str, path: tuple[str, ...], about: str) -> list[dict[str, Any]]:
        """All pages of a list (S1)."""
        found: list[dict[str, Any]] = []
        number: int | None = 1
        while number:
            page = self.get(operation, path, about, page=number, per_page=PAGE)
            found += page["data"]
            number = page.get("next_page")
        return found

    # -- databases and branches --------------------------------------------------------------------------------------

    def regions(self) -> list[dict[str, Any]]:
        return self.collect("list_regions_for_organization", ("regions",), f"organization {self.access.organization}")

    def sizes(self, region: str | None = None) -> list[dict[str, Any]]:
        """The cluster sizes on offer (S2)."""
        about = f"organization {self.access.organization}"
        wanted = {"engine": "postgresql", **({"region": region} if region else {})}
        return self.get("list_cluster_size_skus", ("cluster-size-skus",), about, **wanted)

    def databases(self) -> list[dict[str, Any]]:
        return self.collect("list_databases", ("databases",), f"organization {self.access.organization}")

    def database(self, name: str) -> dict[str, Any] | None:
        return self.find("get_database", ("databases", name), f"database {name}")

    def create_database(self, body: Mapping[str, Any]) -> dict[str, Any]:
        about = f"database {body['name']}"
        return self.call("create_database", "POST", ("databases",), about, body=body).document

    def delete_database(self, name: str) -> None:
        """One that is gone is no error."""
        try:
            self.call("delete_database", "DELETE", ("databases", name), f"database {name}")
        except PlanetScaleError as error:
            if error.status != 404:
                raise

    def branch(self, name: str, branch: str) -> Branch | None:
        """A branch to work on, or None when there is none of that name."""
        found = self.find("get_branch", ("databases", name, "branches", branch), f"branch {name}/{branch}")
        return Branch(self, name, found) if found else None

    def restrictions(self, name: str) -> list[dict[str, Any]]:
        """Which networks get in (S6)."""
        return self.collect("list_database_postgres_cidrs", ("databases", name, "cidrs"), f"database {name}")


class Branch:
    """What the API offers on one branch."""

    def __init__(self, api: Api, database: str, facts: dict[str, Any]) -> None:
        self.api = api
        self.database = database
        self.facts = facts
        self.about = f"branch {database}/{facts['name']}"

    def _path(self, *rest: str) -> tuple[str, ...]:
        return ("databases", self.database, "branches", self.facts["name"], *rest)

    def changes(self) -> list[dict[str, Any]]:
        """The change requests, oldest first (S5)."""
        found = self.api.collect("list_branch_change_requests", self._path("changes"), self.about)
        return sorted(found, key=lambda change: change["created_at"])

    def change(self, identifier: str) -> dict[str, Any]:
        return self.api.get("get_branch_change_request", self._path("changes", identifier), self.about)

    def ask(self, wish: Mapping[str, Any]) -> dict[str, Any] | None:
        """A change request, or None when nothing would change (S5)."""
        return self.api.call(
            "update_branch_change_request", "PATCH", self._path("changes"), self.about, body=wish
        ).document

    def parameters(self) -> list[dict[str, Any]]:
        return self.api.get("list_parameters", self._path("parameters"), self.about)

    def extensions(self) -> list[dict[str, Any]]:
        return self.api.get("list_extensions", self._path("extensions"), self.about)

    def roles(self) -> list[dict[str, Any]]:
        return self.api.collect("list_roles", self._path("roles"), self.about)

    def role(self, identifier: str) -> dict[str, Any]:
        return self.api.get("get_role", self._path("roles", identifier), self.about)

    def create_role(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The role with its password, which is told only now (S4)."""
        about = f"role {body['name']} of {self.about}"
        return self.api.call("create_role", "POST", self._path("roles"), about, body=body).document

    def reset_role(self, identifier: str) -> dict[str, Any]:
        """The role with a new password; the one it had is worth nothing any more (S4)."""
        about = f"role {identifier} of {self.about}"
        return self.api.call("reset_role", "POST", self._path("roles", identifier, "reset"), about).document

    def delete_role(self, identifier: str, successor: str | None) -> None:
        """What it owns goes to the successor (S4). One that is gone is no error."""
        query = {"successor": successor} if successor else None
        try:
            self.api.call("delete_role", "DELETE", self._path("roles", identifier), self.about, query=query)
        except PlanetScaleError as error:
            if error.status != 404:
                raise
