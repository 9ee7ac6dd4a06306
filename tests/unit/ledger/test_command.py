# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses: no password in an argument, and new ones from the follow file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cloudpg_ledger.cli import main
from cloudpg_ledger.connection import Routes, checked_dsn


@pytest.mark.parametrize("dsn", ["host=db user=app passfile=/run/pass", "postgresql://app@db:5432/shop"])
def test_an_address_without_a_password_is_taken(dsn: str) -> None:
    assert checked_dsn(dsn) == dsn


@pytest.mark.parametrize(
    "dsn", ["host=db password=long-dummy-secret", "postgresql://app:long-dummy-secret@db/shop", "host=db nonsense"]
)
def test_an_address_with_a_password_or_nonsense_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(ValueError) as refused:
        checked_dsn(dsn)
    assert dsn not in str(refused.value)
    assert "long-dummy-secret" not in str(refused.value)


def test_the_command_line_refuses_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["init", "--dsn", "host=db password=long-dummy-secret"])

    told = capsys.readouterr().err
    assert "passfile" in told
    assert "long-dummy-secret" not in told


def test_a_route_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "follow"
    routes = Routes({"pooler": "host=p", "direct": "host=old"}, str(file))
    routes.CHECK_EVERY = 0.0

    assert routes.dsn("direct") == "host=old"
    file.write_text('{"direct": "host=')
    assert routes.dsn("direct") == "host=old"
    (tmp_path / "next").write_text(json.dumps({"direct": "host=new"}))
    (tmp_path / "next").rename(file)
    assert (routes.dsn("direct"), routes.dsn("pooler")) == ("host=new", "host=p")
    assert routes.labels == ["pooler", "direct"]


def test_a_journal_that_is_not_there_is_an_error_not_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--journal", "/nonexistent/journal", "--target", "host=db"]) == 2
    assert "/nonexistent/journal" in capsys.readouterr().err
