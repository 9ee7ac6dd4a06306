# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls to PlanetScale: what is repeated, how long is paused, what a failure says."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import api as calls
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.api import (
    DEFAULT_URL, LONGEST_PAUSE, TRIES, Access, Answer, Api, base_url, pause_after,
)
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.errors import (
    ACCESSES, OutcomeUnknown, PlanetScaleError,
)

TOKEN = "the-token-of-the-tests-4711"


def answer(status: int, document: Any = None, **headers: str) -> Answer:
    return Answer(status, headers, b"" if document is None else json.dumps(document).encode())


class Service:
    """Answers one after the other; an exception is raised instead."""

    def __init__(self, answers: Iterable[Answer | Exception]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.pauses: list[float] = []

    def fetch(self, method: str, url: str, headers: dict[str, str], data: bytes | None) -> Answer:
        self.asked.append((method, url))
        self.headers.append(dict(headers))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def api(self) -> Api:
        access = Access(DEFAULT_URL, "acme", "id", TOKEN)
        return Api(access, fetch=self.fetch, sleep=self.pauses.append, jitter=lambda: 0.0)


@pytest.mark.parametrize(("given", "used"), [
    ("https://api.planetscale.com/v1", "https://api.planetscale.com/v1"),
    ("https://api.planetscale.com", "https://api.planetscale.com/v1"),
    ("https://api.planetscale.com/", "https://api.planetscale.com/v1"),
    ("http://127.0.0.1:4577/planetscale/v1/", "http://127.0.0.1:4577/planetscale/v1"),
    ("http://localhost:1/v1", "http://localhost:1/v1"),
])
def test_s1_the_address_has_its_version(given: str, used: str) -> None:
    assert base_url(given) == used


@pytest.mark.parametrize("given", ["http://api.planetscale.com/v1", "ftp://127.0.0.1/", "api.planetscale.com", ""])
def test_the_token_is_not_sent_in_the_clear_or_to_nowhere(given: str) -> None:
    with pytest.raises(PlanetScaleError, match="Cure:"):
        base_url(given)


def test_s1_the_token_goes_into_the_header_and_names_are_quoted() -> None:
    service = Service([answer(200, {})])
    service.api().database("a/b c")
    assert service.asked == [("GET", f"{DEFAULT_URL}/organizations/acme/databases/a%2Fb%20c")]
    assert service.headers[0]["Authorization"] == f"id:{TOKEN}"


def test_s1_pages_are_followed_to_the_last() -> None:
    service = Service([
        answer(200, {"data": [{"id": 1}], "next_page": 2}), answer(200, {"data": [{"id": 2}], "next_page": None}),
    ])
    assert [one["id"] for one in service.api().databases()] == [1, 2]
    assert [url.rsplit("?", 1)[1] for _try, url in service.asked] == ["page=1&per_page=100", "page=2&per_page=100"]


@pytest.mark.parametrize(("attempt", "retry_after", "pause"), [
    (0, None, 0.5), (3, None, 4.0), (9, None, LONGEST_PAUSE), (0, "7", 7.0), (0, "3600", LONGEST_PAUSE),
    (0, "-1", 0.0), (1, "Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
])
def test_a_pause_is_what_the_service_asks_for_within_bounds(
    attempt: int, retry_after: str | None, pause: float
) -> None:
    assert pause_after(attempt, retry_after, 0.0) == pause


@pytest.mark.parametrize("trouble", [
    answer(429, {"code": "too_many_requests"}, **{"retry-after": "3"}), answer(500), answer(502), answer(503),
    OSError("connection reset"),
])
def test_what_may_pass_is_tried_again(trouble: Answer | Exception) -> None:
    service = Service([trouble, trouble, answer(200, {"id": "x"})])
    assert service.api().database("orders") == {"id": "x"}
    assert len(service.pauses) == 2
    if isinstance(trouble, Answer) and trouble.status == 429:
        assert service.pauses == [3.0, 3.0]


def test_tries_are_bounded() -> None:
    service = Service([answer(429)] * TRIES)
    with pytest.raises(PlanetScaleError, match="throttled until the retries ran out") as caught:
        service.api().database("orders")
    assert (caught.value.status, len(service.pauses)) == (429, TRIES - 1)


@pytest.mark.parametrize("trouble", [answer(500), OSError("connection reset")])
def test_a_creation_that_may_have_happened_is_not_repeated(trouble: Answer | Exception) -> None:
    service = Service([trouble])
    with pytest.raises(OutcomeUnknown):
        service.api().create_database({"name": "orders"})
    assert len(service.asked) == 1


def test_a_creation_that_was_throttled_is_repeated() -> None:
    service = Service([answer(429), answer(201, {"id": "x"})])
    assert service.api().create_database({"name": "orders"}) == {"id": "x"}


@pytest.mark.parametrize(("status", "document", "said"), [
    (401, {"code": "unauthorized", "message": f"no {TOKEN}"}, "check service_token_id and service_token"),
    (403, {"code": "forbidden"}, "give the service token the access read_database"),
    (422, {"code": "unprocessable", "message": "Name is wrong."}, "Name is wrong \\(unprocessable\\)"),
    (400, None, "no reason was given \\(400\\)"),
])
def test_s1_an_error_names_object_reason_and_cure(status: int, document: Any, said: str) -> None:
    service = Service([answer(status, document)])
    with pytest.raises(PlanetScaleError, match=said) as caught:
        service.api().database("orders")
    assert caught.value.message.startswith("database orders: get_database failed: ")
    assert "Cure: " in caught.value.message and TOKEN not in caught.value.message
    assert len(service.asked) == 1


def test_what_is_not_there_is_none_and_gone_is_deleted() -> None:
    assert Service([answer(404, {"code": "not_found"})]).api().database("orders") is None
    Service([answer(500), answer(404, {"code": "not_found"})]).api().delete_database("orders")


def test_each_operation_is_known_with_its_access_and_each_access_is_documented() -> None:
    used = set(re.findall(r'"((?:get|list|create|update|delete|reset)_\w+)"', inspect.getsource(calls)))
    assert used == set(ACCESSES)
    documented = (Path(__file__).parents[3] / "docs" / "permissions.md").read_text()
    named = {word for access in ACCESSES.values() for word in re.findall(r"\w+_\w+", access)}
    assert {access for access in named if f"`{access}`" not in documented} == set()
