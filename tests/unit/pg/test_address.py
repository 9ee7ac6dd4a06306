# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An address: what libpq is told, who proves the login, and that no secret gets out."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

from ansible_collections.cloudpg.migration.plugins.module_utils._pg import address, errors, secrets

SECRET = "long-dummy-secret-of-an-address"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-orders"


@pytest.mark.parametrize("given, database, told", [
    ({"host": "h", "port": 5433}, None, {"host": "h", "port": 5433, "dbname": "postgres"}),
    ({"host": "h", "dbname": "shop", "user": None, "sslmode": ""}, None, {"host": "h", "dbname": "shop"}),
    ({"host": "h", "dbname": "shop"}, "stock", {"host": "h", "dbname": "stock"}),
    ({"host": "h", "iam": True, "region": "eu-west-1", "secret_arn": ARN}, None, {"host": "h", "dbname": "postgres"}),
])
def test_libpq_is_told_what_is_set_and_nothing_of_aws(given, database, told):
    keywords = address.keywords(given, database)
    assert keywords["application_name"] == "cloudpg.migration"
    assert {name: value for name, value in keywords.items() if name not in address._ALWAYS} == told


def test_only_the_password_is_a_secret():
    options = address.address_spec()["options"]
    assert [name for name, option in options.items() if option.get("no_log")] == ["password"]


@pytest.mark.parametrize("host", [None, ""])
def test_a_host_may_be_missing_in_check_mode_only(host):
    assert address.not_there_yet({"host": host}, check_mode=True)
    assert not address.not_there_yet({"host": "h"}, check_mode=True)
    with pytest.raises(errors.PgError, match="server.host is empty"):
        address.not_there_yet({"host": host}, check_mode=False)


@pytest.mark.parametrize("given", [
    {"password": SECRET, "passfile": "/p"}, {"secret_arn": ARN, "iam": True}, {"iam": True, "password": SECRET},
])
def test_two_proofs_of_a_login_are_refused(given):
    with pytest.raises(errors.PgError, match="are given together") as caught:
        address.not_there_yet({"host": "h", **given}, check_mode=False)
    assert SECRET not in caught.value.message


@pytest.mark.parametrize("given, region", [
    ({"secret_arn": ARN}, "eu-west-1"),
    ({"secret_arn": ARN, "region": "us-east-1"}, "us-east-1"),
    ({"iam": True}, None),
    ({"secret_arn": "a-name"}, None),
])
def test_the_region_is_the_arns_unless_given(given, region):
    assert secrets.region_of(given) == region


class Aws:
    """What of boto3's clients is used."""

    def __init__(self, text=None, code=None):
        self.text, self.code, self.asked = text, code, []

    def __call__(self, given, service):
        self.asked.append(service)
        return self

    def get_secret_value(self, SecretId):
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "GetSecretValue")
        return {"SecretString": self.text}

    def generate_db_auth_token(self, DBHostname, Port, DBUsername):
        return f"token-for-{DBUsername}@{DBHostname}:{Port}"


def test_an_address_with_its_own_proof_asks_aws_nothing():
    aws = Aws()
    given = {"host": "h", "password": SECRET}
    assert secrets.with_login(given, aws) == given
    assert aws.asked == []


@pytest.mark.parametrize("user, expected", [(None, "master"), ("reader", "reader")])
def test_a_secret_gives_user_and_password(user, expected):
    aws = Aws(json.dumps({"username": "master", "password": SECRET}))
    whole = secrets.with_login({"host": "h", "secret_arn": ARN, "user": user}, aws)
    assert (whole["user"], whole["password"]) == (expected, SECRET)


@pytest.mark.parametrize("sslmode, expected", [(None, "require"), ("verify-full", "verify-full")])
def test_a_token_does_not_travel_in_the_clear(sslmode, expected):
    whole = secrets.with_login({"host": "h", "port": 5432, "user": "u", "iam": True, "sslmode": sslmode}, Aws())
    assert (whole["password"], whole["sslmode"]) == ("token-for-u@h:5432", expected)


@pytest.mark.parametrize("text", [f'"{SECRET}"', SECRET, '{"username": "u"}', f'["{SECRET}"]'])
def test_a_secret_that_is_not_rdss_is_refused_without_being_repeated(text):
    with pytest.raises(errors.PgError, match="not a JSON object") as caught:
        secrets.with_login({"host": "h", "secret_arn": ARN}, Aws(text))
    assert SECRET not in str(caught.value) and caught.value.__suppress_context__


def test_a_refusal_of_aws_names_its_code_and_the_permission():
    with pytest.raises(errors.PgError, match="secretsmanager:GetSecretValue") as caught:
        secrets.with_login({"host": "h", "port": 5432, "secret_arn": ARN}, Aws(code="AccessDeniedException"))
    assert caught.value.code == "AccessDeniedException"


def test_what_libpq_says_is_repeated_without_the_password():
    error = errors.from_connecting("h:1/d", "u", f"bad things\nabout {SECRET}", SECRET)
    assert "h:1/d: no connection as u: bad things about ********. Cure:" in error.message


def test_boto3_is_not_imported_before_aws_is_asked():
    code = f"import sys; from {secrets.__package__} import connection; sys.exit('boto3' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": secrets.__file__.partition("/ansible_collections/")[0]}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
