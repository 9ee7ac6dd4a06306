# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's faults: where they strike, how often, and with which error."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from cloudpg_sandbox.faults import Faults
from cloudpg_sandbox.rules import ApiError


def faults(*specs: dict[str, Any]) -> Faults:
    made = Faults()
    for spec in specs:
        made.add(spec)
    return made


def outcome(made: Faults, service: str = "rds", operation: str | None = "DescribeDBInstances", **params: Any) -> Any:
    """The error's code, or the delay."""
    try:
        return made.before_call(service, operation, params)
    except ApiError as error:
        return error.code


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "service", "code", "status"),
    [
        ("throttling", "rds", "Throttling", 400),
        ("throttling", "ec2", "RequestLimitExceeded", 503),
        ("throttling", "dms", "ThrottlingException", 400),
        ("internal_error", "rds", "InternalFailure", 500),
        ("service_unavailable", "rds", "ServiceUnavailable", 503),
        ("access_denied", "rds", "AccessDenied", 403),
        ("access_denied", "ec2", "UnauthorizedOperation", 403),
        ("access_denied", "dms", "AccessDeniedException", 403),
        ("expired_token", "rds", "ExpiredToken", 403),
        ("expired_token", "dms", "ExpiredTokenException", 400),
    ],
)
def test_an_error_has_the_service_s_own_code(name: str, service: str, code: str, status: int) -> None:
    with pytest.raises(ApiError) as caught:
        faults({"name": name}).before_call(service, "Anything", {})
    assert (caught.value.code, caught.value.status) == (code, status)


def test_a_denial_names_the_action() -> None:
    made = faults({"name": "access_denied", "operation": "rds:PromoteReadReplicaDBCluster"})
    with pytest.raises(ApiError, match="is not authorized to perform: rds:PromoteReadReplicaDBCluster"):
        made.before_call("rds", "PromoteReadReplicaDBCluster", {})


# -- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "service", "operation", "strikes"),
    [
        ({}, "rds", "DescribeDBInstances", True),
        ({}, "rds", None, True),
        ({"operation": "rds:Describe*"}, "rds", "DescribeDBClusters", True),
        ({"operation": "rds:Describe*"}, "rds", "RebootDBInstance", False),
        ({"operation": "rds:Describe*"}, "ec2", "DescribeInstances", False),
        ({"operation": "Describe*"}, "ec2", "DescribeInstances", True),
        ({"operation": "rds:*"}, "rds", None, True),
        ({"operation": "rds:RebootDBInstance"}, "rds", None, False),
        ({"operations": ["rds:RebootDBInstance", "ec2:*"]}, "ec2", "DescribeVpcs", True),
        ({"operations": ["rds:RebootDBInstance", "ec2:*"]}, "rds", "DescribeDBInstances", False),
        ({"operations": "rds:Reboot*"}, "rds", "RebootDBInstance", True),
    ],
)
def test_a_fault_strikes_the_operations_it_names(
    where: dict, service: str, operation: str | None, strikes: bool
) -> None:
    assert outcome(faults({"name": "internal_error", **where}), service, operation) == (
        "InternalFailure" if strikes else 0.0
    )


@pytest.mark.parametrize(
    ("params", "strikes"),
    [
        ({"DBInstanceIdentifier": "orders"}, True),
        ({"DBInstanceIdentifier": "orders-2"}, False),
        ({"ReplicationSourceIdentifier": "arn:aws:rds:eu-west-1:123456789012:db:orders"}, True),
        ({"Filters": [{"Name": "db-instance-id", "Values": ["orders"]}]}, True),
        ({}, False),
    ],
)
def test_a_fault_strikes_calls_about_the_resource_it_names(params: dict, strikes: bool) -> None:
    made = faults({"name": "internal_error", "identifier": "orders"})
    assert outcome(made, **params) == ("InternalFailure" if strikes else 0.0)


# -- how often ------------------------------------------------------------------------------------------------------


def test_a_fault_strikes_as_often_as_it_is_told_and_counts() -> None:
    made = faults({"name": "throttling", "times": 2})
    assert [outcome(made) for _call in range(4)] == ["Throttling", "Throttling", 0.0, 0.0]
    assert made.list() == [{"id": "1", "name": "throttling", "times": 2, "struck": 2}]


def strikes_of(seed: int) -> list[bool]:
    made = faults({"name": "throttling", "rate": 0.3, "seed": seed})
    return [outcome(made) == "Throttling" for _call in range(200)]


def test_a_rate_is_kept_and_the_same_seed_strikes_the_same_calls() -> None:
    assert strikes_of(7) == strikes_of(7) != strikes_of(8)
    assert 40 <= sum(strikes_of(7)) <= 80


def test_a_rate_of_zero_never_strikes() -> None:
    made = faults({"name": "throttling", "rate": 0})
    assert {outcome(made) for _call in range(50)} == {0.0}


def test_a_fault_that_is_removed_strikes_no_more() -> None:
    made = Faults()
    number = made.add({"name": "throttling"})
    assert outcome(made) == "Throttling"
    made.remove(number)
    assert (outcome(made), made.list()) == (0.0, [])


# -- delays, lost answers -------------------------------------------------------------------------------------------


def test_a_delay_is_given_back_and_an_error_comes_before_it() -> None:
    made = faults({"name": "delay", "seconds": 2, "operation": "rds:*"}, {"name": "throttling", "times": 1})
    assert [outcome(made), outcome(made), outcome(made, service="ec2")] == ["Throttling", 2.0, 0.0]


def test_an_answer_is_lost_once() -> None:
    made = faults({"name": "drop_response", "operation": "rds:CreateDBCluster", "times": 1})
    calls = [("rds", "DescribeDBClusters"), ("rds", "CreateDBCluster"), ("rds", "CreateDBCluster")]
    assert [made.drop_response(service, operation, {}) for service, operation in calls] == [False, True, False]


def test_a_lost_answer_still_lets_the_call_be_carried_out() -> None:
    made = faults({"name": "drop_response"})
    app = flask.Flask("test")
    done = []

    class Connection:
        def shutdown(self, how: int) -> None:
            done.append("cut")

    @app.before_request
    def _before() -> None:
        made.before_call("rds", "CreateDBCluster", {})

    @app.post("/")
    def _call() -> str:
        done.append("called")
        return "answer"

    app.test_client().post("/", environ_overrides={"werkzeug.socket": Connection()})
    assert done == ["called", "cut"]


# -- states and metrics ---------------------------------------------------------------------------------------------


def test_a_transition_is_slowed_down_for_whom_it_is_named() -> None:
    made = faults({"name": "slow_transition", "identifier": "orders", "transition": "reboot*", "factor": 3})
    assert made.factor(made.slow_transition("orders", "rebooting")) == 3.0
    assert made.slow_transition("orders", "promoting") is None
    assert made.slow_transition("other", "rebooting") is None


def test_a_slow_transition_goes_at_its_usual_speed_once_the_fault_is_taken_away() -> None:
    made = faults({"name": "slow_transition", "factor": 3})
    slow = made.slow_transition("orders", "rebooting")
    made.remove(slow.number)
    assert made.factor(slow) == made.factor(None) == 1.0


def test_a_transition_fails_as_often_as_it_is_told() -> None:
    made = faults({"name": "refuse_transition", "transition": "promoting", "times": 1})
    assert [made.refuse("orders-aurora", "promoting") for _try in range(2)] == [True, False]
    assert made.refuse("orders-aurora", "rebooting") is False


@pytest.mark.parametrize("name", ["missing_metrics", "stale_metrics"])
def test_a_metric_is_lost_or_stale_for_whom_it_is_named(name: str) -> None:
    made = faults({"name": name, "metric": "RDSToAurora*", "identifier": "orders-aurora-1"})
    ask = getattr(made, name)
    assert ask("RDSToAuroraPostgreSQLReplicaLag", "orders-aurora-1") is True
    assert ask("RDSToAuroraPostgreSQLReplicaLag", "other") is False
    assert ask("FreeStorageSpace", "orders-aurora-1") is False


def test_r13_an_idle_source_switches_wal_only_when_told() -> None:
    assert Faults().wal_switch("orders") is None
    made = faults({"name": "wal_switch", "identifier": "orders", "seconds": 5})
    assert (made.wal_switch("orders"), made.wal_switch("other")) == (5.0, None)


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "there is no fault None; there are access_denied, delay"),
        ({"name": "thunder"}, "there is no fault 'thunder'; there are access_denied, delay"),
        (
            {"name": "throttling", "ratio": 1},
            "throttling takes no ratio; it takes identifier, operation, operations, rate",
        ),
        ({"name": "throttling", "seconds": 1}, "throttling takes no seconds"),
        ({"name": "missing_metrics", "operation": "rds:*"}, "missing_metrics takes no operation"),
        ({"name": "delay"}, "delay needs seconds"),
        ({"name": "delay", "seconds": "long"}, "seconds is a number of 0 or more, not 'long'"),
        ({"name": "throttling", "rate": 2}, "rate is a number from 0 to 1, not 2"),
        ({"name": "throttling", "rate": True}, "rate is a number from 0 to 1, not True"),
        ({"name": "throttling", "times": 0}, "times is a number of 1 or more, not 0"),
        ({"name": "refuse_transition"}, "refuse_transition needs transition"),
        (
            {"name": "refuse_transition", "transition": "promotion"},
            "knows no transition 'promotion'; it knows backing-up",
        ),
        ({"name": "refuse_transition", "transition": "upgrading"}, "it knows backing-up"),
        ({"name": "slow_transition", "transition": "dozing"}, "it knows backing-up, creating"),
        ({"name": "stale_metrics", "metric": "Lag"}, "there is no metric 'Lag'; there are AuroraReplicaLag"),
        ({"name": "throttling", "operation": "rds:Describ"}, "rds has no operation like 'Describ'"),
        ({"name": "throttling", "operations": ["rdz:*"]}, "there is no service 'rdz'"),
        ({"name": "throttling", "operation": 5}, "operation is a pattern such as rds:Describe*, not 5"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(spec: dict, words: str) -> None:
    made = Faults()
    with pytest.raises(ValueError) as caught:
        made.add(spec)
    assert words in str(caught.value)
    assert made.list() == []


def test_a_fault_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="there is no fault '9'; there are 1"):
        faults({"name": "throttling"}).remove("9")
