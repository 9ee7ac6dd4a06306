"""Every answer of AWS becomes a sentence with the object, the reason and the cure."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import from_connection, from_response


def said(code, message="You shall not."):
    return from_response("rds", "PromoteReadReplicaDBCluster", "cluster shop", {"Code": code, "Message": message})


@pytest.mark.parametrize("code, words", [
    ("AccessDenied", "the IAM action rds:PromoteReadReplicaDBCluster"),
    ("UnauthorizedOperation", "the IAM action rds:PromoteReadReplicaDBCluster"),
    ("ExpiredToken", "the session token has expired"),
    ("RequestExpired", "the session token has expired"),
    ("InvalidClientTokenId", "check profile, access_key, secret_key"),
    ("Throttling", "throttled until the retries ran out"),
    ("RequestLimitExceeded", "serial, forks"),
    ("InternalFailure", "health dashboard"),
    ("KMSKeyNotAccessibleFault", "kms_key_id"),
    ("InvalidDBClusterStateFault", "wait until the object has left its present state"),
    ("InvalidDBInstanceState", "wait until the object has left its present state"),
    ("InstanceQuotaExceeded", "have the quota raised"),
    ("SecurityGroupLimitExceeded", "have the quota raised"),
    ("StorageTypeNotSupported", "You shall not"),
])
def test_a_code_is_explained_with_its_cure(code, words):
    error = said(code)
    assert error.code == code
    assert error.message.startswith("cluster shop: PromoteReadReplicaDBCluster failed: ")
    assert words in error.message
    assert "Cure: " in error.message


def test_the_action_that_aws_names_is_named_where_it_is_another():
    error = said("AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: rds:AddTagsToResource on …")
    assert "allow the IAM action rds:AddTagsToResource " in error.message


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "ExpiredToken", "InvalidClientTokenId", "AccessDenied"])
def test_what_aws_says_about_credentials_is_not_repeated(code):
    message = said(code, "The canonical string was x-amz-security-token:a-very-secret-token").message
    assert "a-very-secret-token" not in message


def test_an_answer_without_code_or_message_is_explained_all_the_same():
    assert "no reason was given (Unknown)" in from_response("ec2", "CreateTags", "security group sg-1", {}).message


class NoRegionError(Exception):
    pass


class EndpointConnectionError(Exception):
    pass


@pytest.mark.parametrize("error, cure", [
    (NoRegionError("You must specify a region."), "set region"),
    (EndpointConnectionError("Could not connect"), "check region, endpoint_url"),
])
def test_no_answer_at_all_is_explained(error, cure):
    message = from_connection("DescribeDBInstances", "instance shop", error).message
    assert message.startswith("instance shop: DescribeDBInstances had no answer: ")
    assert f"Cure: {cure}" in message
