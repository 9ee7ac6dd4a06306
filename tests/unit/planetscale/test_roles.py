# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins and their password file: a password is made once, written once, and lost only aloud."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale import passfile
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.errors import PlanetScaleError
from ansible_collections.cloudpg.migration.plugins.module_utils._planetscale.roles import (
    Wish, document, find, plan_absent, plan_present,
)

FIELD = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


def role(**facts: Any) -> dict[str, Any]:
    return {
        "id": "r1", "name": "cloudpg-orders", "username": "api_1.br", "base_username": "api_1", "password": "",
        "access_host_url": "h.example", "database_name": "postgres", "inherited_roles": ["postgres"],
        "with_replication": False, "expires_at": None, "expired": False, "ready": True, "default": False, **facts,
    }


@given(FIELD, FIELD, FIELD)
def test_an_entry_is_found_again_whatever_is_in_it(host: str, user: str, password: str) -> None:
    text = passfile.with_entry("other:5432:*:me:secret\n", host, user, password)
    assert passfile.has_entry(text, host, user)
    assert text.endswith("other:5432:*:me:secret\n")
    assert passfile.with_entry(text, host, user, password) == text
    assert not passfile.has_entry(passfile.with_entry(text, host, user, None), host, user)


@pytest.mark.parametrize("text", ["", "# h:*:*:u:p\n", "h:*:*:other:p\n", "h:*:*:u\n", "other:*:*:u:p\n"])
def test_what_is_no_entry_of_ours_is_not_taken_for_one(text: str) -> None:
    assert not passfile.has_entry(text, "h", "u")


def test_a_password_file_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "pgpass"
    path.write_text("old\n")
    path.chmod(0o644)
    passfile.write(str(path), "new\n")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new\n", 0o600)
    assert os.listdir(tmp_path) == ["pgpass"]
    assert passfile.read(str(tmp_path / "none")) == ""
    with pytest.raises(PlanetScaleError, match="can't be written in its directory"):
        passfile.read(str(tmp_path / "none" / "pgpass"))


def test_s4_a_password_is_in_no_document() -> None:
    assert "secret-4711" not in str(document(role(password="secret-4711")))


@pytest.mark.parametrize(("found", "known", "may_reset", "steps"), [
    (None, False, False, ["create"]),
    (role(), True, False, []),
    (role(), True, True, []),
    (role(), False, True, ["reset"]),
    (role(default=True), True, True, []),
])
def test_s4_a_password_is_made_once(found: Any, known: bool, may_reset: bool, steps: list[str]) -> None:
    plan = plan_present(found, Wish("cloudpg-orders", ("postgres",)), known, may_reset)
    assert [step.op for step in plan.steps] == steps


@pytest.mark.parametrize(("found", "may_reset", "wish", "said"), [
    (role(), False, {}, "it is told only once"),
    (role(default=True), True, {}, "it is told only once"),
    (role(), True, {"inherited_roles": ()}, "it inherits postgres"),
    (role(), True, {"with_replication": True}, "its with_replication is false"),
    (role(expired=True, expires_at="yesterday"), True, {}, "it expired on yesterday"),
    (None, False, {"inherited_roles": ("root",)}, "root can't be inherited"),
])
def test_s4_what_cannot_be_is_an_error(found: Any, may_reset: bool, wish: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanetScaleError, match=said):
        plan_present(found, Wish("cloudpg-orders", **wish), False, may_reset)


def test_s4_the_default_role_stays() -> None:
    with pytest.raises(PlanetScaleError, match="default role, which stays"):
        plan_absent(role(default=True), "postgres", None)
    assert not plan_absent(None, "cloudpg-orders", None).changed
    assert plan_absent(role(), "cloudpg-orders", "postgres").steps[0].args["successor"] == "postgres"


def test_two_roles_of_one_name_are_an_error() -> None:
    assert find([role(deleted_at="then"), role(id="r2")], "cloudpg-orders")["id"] == "r2"
    with pytest.raises(PlanetScaleError, match="there are 2 of that name"):
        find([role(), role(id="r2")], "cloudpg-orders")
