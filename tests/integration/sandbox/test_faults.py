# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults in a running sandbox, as a client of AWS meets them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from cloudpg_sandbox.stage import Stage
from cloudpg_sandbox.testing import ControlError, Sandbox, wait_until

SANDBOX = Path(__file__).parents[3] / "extensions" / "sandbox"


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox) -> Iterator[Stage]:
    made = Stage(sandbox, "faults")
    made.make_instance("orders")
    yield made
    made.clear()


@pytest.fixture(autouse=True)
def _no_fault_stays(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.control("DELETE", "faults")


def inject(sandbox: Sandbox, name: str, **details: Any) -> str:
    return sandbox.control("POST", "faults", {"name": name, **details})["id"]


def error_of(call: Any, **options: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**options)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


# -- calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "service", "operation", "expected"),
    [
        ("throttling", "rds", "describe_db_instances", ("Throttling", 400)),
        ("throttling", "ec2", "describe_vpcs", ("RequestLimitExceeded", 503)),
        ("throttling", "cloudwatch", "describe_alarms", ("ThrottlingException", 400)),
        ("throttling", "dms", "describe_endpoints", ("ThrottlingException", 400)),
        ("internal_error", "rds", "describe_db_instances", ("InternalFailure", 500)),
        ("service_unavailable", "rds", "describe_db_instances", ("ServiceUnavailable", 503)),
        ("access_denied", "ec2", "describe_vpcs", ("UnauthorizedOperation", 403)),
        ("access_denied", "dms", "describe_endpoints", ("AccessDeniedException", 403)),
        ("expired_token", "rds", "describe_db_instances", ("ExpiredToken", 403)),
    ],
)
def test_an_error_arrives_as_the_service_s_own(
    sandbox: Sandbox, name: str, service: str, operation: str, expected: tuple[str, int]
) -> None:
    inject(sandbox, name, operation=f"{service}:*")
    assert error_of(getattr(sandbox.client(service), operation)) == expected


def test_a_denial_names_the_action(sandbox: Sandbox, stage: Stage) -> None:
    inject(sandbox, "access_denied", operation="rds:RebootDBInstance")
    with pytest.raises(ClientError, match="not authorized to perform: rds:RebootDBInstance"):
        stage.rds.reboot_db_instance(DBInstanceIdentifier="faults-orders")
    assert stage.instance("orders")["DBInstanceStatus"] == "available"


def test_a_client_that_retries_gets_through_a_throttling_that_passes(sandbox: Sandbox, stage: Stage) -> None:
    inject(sandbox, "throttling", operation="rds:DescribeDBInstances", times=2)
    patient = sandbox.client("rds", config=Config(retries={"mode": "standard", "total_max_attempts": 4}))
    before = sandbox.mark()
    assert patient.describe_db_instances(DBInstanceIdentifier="faults-orders")["DBInstances"]
    assert [entry["error_code"] for entry in sandbox.log(before)] == ["Throttling", "Throttling", None]


def test_a_fault_strikes_only_what_it_names(sandbox: Sandbox, stage: Stage) -> None:
    inject(sandbox, "internal_error", operations=["rds:Modify*", "rds:Delete*"], identifier="faults-orders")
    assert stage.instance("orders")["DBInstanceStatus"] == "available"
    call = {"DBInstanceIdentifier": "faults-orders", "CopyTagsToSnapshot": True}
    assert error_of(stage.rds.modify_db_instance, **call) == ("InternalFailure", 500)
    missing = {"DBInstanceIdentifier": "faults-other", "SkipFinalSnapshot": True}
    assert error_of(stage.rds.delete_db_instance, **missing) == ("DBInstanceNotFound", 404)


def test_a_call_is_delayed(sandbox: Sandbox, stage: Stage) -> None:
    inject(sandbox, "delay", operation="rds:DescribeDBInstances", seconds=0.4, times=1)
    begun = time.monotonic()
    stage.instance("orders")
    assert time.monotonic() - begun >= 0.4


def test_a_lost_answer_leaves_the_call_done(sandbox: Sandbox, stage: Stage) -> None:
    inject(sandbox, "drop_response", operation="rds:CreateDBParameterGroup", times=1)
    group = {
        "DBParameterGroupName": "faults-group",
        "DBParameterGroupFamily": "postgres16",
        "Description": "made, but nobody was told",
    }
    with pytest.raises(ConnectionClosedError):
        stage.rds.create_db_parameter_group(**group)
    assert error_of(stage.rds.create_db_parameter_group, **group) == ("DBParameterGroupAlreadyExists", 400)
    stage.rds.delete_db_parameter_group(DBParameterGroupName="faults-group")


# -- states ---------------------------------------------------------------------------------------------------------


def test_a_transition_takes_longer_when_told(sandbox: Sandbox, stage: Stage) -> None:
    inject(sandbox, "slow_transition", identifier="faults-orders", transition="rebooting", factor=30)
    begun = time.monotonic()
    stage.rds.reboot_db_instance(DBInstanceIdentifier="faults-orders")
    assert stage.instance("orders")["DBInstanceStatus"] == "rebooting"
    stage.instance_available("orders")
    assert time.monotonic() - begun >= 1.5


def test_r16_a_promotion_that_fails_leaves_a_replica_that_can_be_promoted_again(sandbox: Sandbox, stage: Stage) -> None:
    stage.make_replica("orders", "aurora")
    inject(sandbox, "refuse_transition", identifier="faults-aurora", transition="promoting", times=1)
    stage.rds.promote_read_replica_db_cluster(DBClusterIdentifier="faults-aurora")
    wait_until(lambda: sandbox.control("GET", "faults")[0]["struck"] == 1)
    assert stage.cluster_available("aurora")["ReplicationSourceIdentifier"]
    wait_until(lambda: stage.sql("aurora-1", "SELECT pg_is_in_recovery()") == [(True,)])
    # Also when its server has died meanwhile: AWS starts that again by itself.
    sandbox.control("POST", "servers/faults-aurora-1", {"action": "kill"})
    wait_until(lambda: promoted_again(stage))
    assert stage.sql("aurora-1", "SELECT pg_is_in_recovery()") == [(False,)]


def promoted_again(stage: Stage) -> bool:
    try:
        stage.promote("aurora")
    except ClientError:
        return False
    return True


# -- the control API and the command line ---------------------------------------------------------------------------


def test_faults_are_listed_with_what_they_did_and_removed(sandbox: Sandbox, stage: Stage) -> None:
    kept = inject(sandbox, "delay", seconds=0, operation="ec2:*")
    gone = inject(sandbox, "throttling", operation="rds:DescribeDBInstances")
    error_of(stage.rds.describe_db_instances)
    listed = {fault["id"]: fault for fault in sandbox.control("GET", "faults")}
    assert (listed[kept]["struck"], listed[gone]["struck"]) == (0, 1)
    sandbox.control("DELETE", f"faults/{gone}")
    assert [fault["id"] for fault in sandbox.control("GET", "faults")] == [kept]
    assert stage.instance("orders")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "thunder"}, "there are access_denied, delay"),
        ({"name": "throttling", "ratio": 0.5}, "it takes identifier, operation, operations, rate, seed, times"),
        ({"name": "throttling", "operation": "rds:Describ"}, "rds has no operation like"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(sandbox: Sandbox, spec: dict, words: str) -> None:
    with pytest.raises(ControlError, match=words) as caught:
        sandbox.control("POST", "faults", spec)
    assert caught.value.status == 400
    assert sandbox.control("GET", "faults") == []


def test_the_command_line_injects_lists_and_removes(sandbox: Sandbox) -> None:
    def fault(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SANDBOX), "fault", "--home", sandbox.home, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert fault("throttling", "operation=rds:Describe*", "rate=0.5", "times=3").returncode == 0
    (listed,) = sandbox.control("GET", "faults")
    assert (listed["operation"], listed["rate"], listed["times"]) == ("rds:Describe*", 0.5, 3)
    assert "rds:Describe*" in fault().stdout
    assert fault("--remove", "all").returncode == 0
    assert sandbox.control("GET", "faults") == []
    wrong = fault("thunder")
    assert (wrong.returncode, "there is no fault" in wrong.stderr) == (1, True)


# -- the log --------------------------------------------------------------------------------------------------------


def test_the_log_says_who_called_what_and_keeps_secrets_out(sandbox: Sandbox, stage: Stage) -> None:
    secret = "a-password-the-log-must-not-hold-9876"
    before = sandbox.mark()
    stage.rds.modify_db_instance(DBInstanceIdentifier="faults-orders", MasterUserPassword=secret, ApplyImmediately=True)
    (entry,) = sandbox.log(before)
    assert (entry["service"], entry["operation"], entry["region"]) == ("rds", "ModifyDBInstance", "eu-west-1")
    assert entry["params"] == {
        "DBInstanceIdentifier": "faults-orders",
        "MasterUserPassword": "***",
        "ApplyImmediately": True,
    }
    assert "Boto3" in entry["user_agent"]
    assert secret not in str(sandbox.log())
