# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's log of API calls."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from cloudpg_sandbox.apilog import ApiLog, without_secrets

SECRET = "a-long-secret-nobody-must-read"


def test_a_call_is_written_down_with_its_number_and_time() -> None:
    log = ApiLog(clock=lambda: 1000.5)
    log.record("rds", "RebootDBInstance", "eu-west-1", {"DBInstanceIdentifier": "orders"}, 200, None, "boto3")
    log.record("rds", "DeleteDBInstance", "eu-west-1", {}, 404, "DBInstanceNotFound", "boto3")
    assert log.entries()[0] == {
        "seq": 1,
        "time": 1000.5,
        "service": "rds",
        "operation": "RebootDBInstance",
        "region": "eu-west-1",
        "params": {"DBInstanceIdentifier": "orders"},
        "status": 200,
        "error_code": None,
        "user_agent": "boto3",
    }
    assert [entry["operation"] for entry in log.entries(since=1)] == ["DeleteDBInstance"]


def test_the_log_is_bounded_and_counts_what_it_dropped() -> None:
    log = ApiLog(kept=3)
    for number in range(5):
        log.record("rds", f"Operation{number}")
    assert [entry["seq"] for entry in log.entries()] == [3, 4, 5]
    assert log.dropped == 2


def test_numbers_go_on_after_a_clear() -> None:
    log = ApiLog(kept=1)
    log.record("rds", "One")
    log.record("rds", "Two")
    log.clear()
    assert (log.entries(), log.dropped) == ([], 0)
    assert log.record("rds", "Three") == 3


@pytest.mark.parametrize(
    "params",
    [
        {"MasterUserPassword": SECRET},
        {"masteruserpassword": SECRET},
        {"Password": SECRET},
        {"SecretString": SECRET},
        {"SessionToken": SECRET},
        {"Authorization": SECRET},
        {"PostgreSQLSettings": {"Password": SECRET, "ServerName": "10.0.0.1"}},
        {"Parameters": [{"Name": "x", "AuthToken": {"nested": [SECRET]}}]},
    ],
)
def test_secrets_stay_out_at_any_depth(params: dict[str, Any]) -> None:
    log = ApiLog()
    log.record("rds", "CreateDBInstance", params=params)
    assert SECRET not in json.dumps(log.entries())
    assert "***" in json.dumps(log.entries())


def test_what_is_no_secret_stays_readable_and_fits_into_json() -> None:
    value = {
        "DBInstanceIdentifier": "orders",
        "StartTime": datetime(2026, 1, 2, tzinfo=timezone.utc),
        "Body": b"bytes",
        "Tags": ({"Key": "a", "Value": None},),
        "Port": 5432,
        "MasterUserPassword": None,
    }
    assert json.loads(json.dumps(without_secrets(value))) == {
        "DBInstanceIdentifier": "orders",
        "StartTime": "2026-01-02 00:00:00+00:00",
        "Body": "bytes",
        "Tags": [{"Key": "a", "Value": None}],
        "Port": 5432,
        "MasterUserPassword": None,
    }


def test_a_long_value_is_cut() -> None:
    cut = without_secrets({"UserData": "x" * 5000})["UserData"]
    assert len(cut) < 2100
    assert cut.endswith("(5000 characters)")
