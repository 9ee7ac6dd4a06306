# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings, made, parsed and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import conninfo

SOURCE = {"host": "db", "port": 5432, "user": "m", "password": "long secret", "sslmode": None, "sslcert": "/here"}
MADE = {"host": "db", "port": "5432", "user": "m", "password": "long secret", "dbname": "shop", "connect_timeout": "10"}


@pytest.mark.parametrize("given_too, made", [
    ({}, MADE),
    ({"host": "10.0.0.1", "port": None}, MADE | {"host": "10.0.0.1"}),
    ({"sslmode": "verify-full", "sslrootcert": "system"}, MADE | {"sslmode": "verify-full", "sslrootcert": "system"}),
    ({"connect_timeout": 3}, MADE | {"connect_timeout": "3"}),
])
def test_the_connection_is_the_source_s_address_unless_told_otherwise(given_too, made):
    assert conninfo.wished(SOURCE, given_too, "shop") == made


@pytest.mark.parametrize("source, told", [
    (SOURCE | {"user": None}, "connection.user"), (SOURCE | {"sslmode": "verify-ca"}, "sslrootcert is empty"),
    (SOURCE | {"iam": True}, "token of IAM"),
])
def test_what_the_target_could_not_use_is_told(source, told):
    with pytest.raises(MigrationError, match=told):
        conninfo.wished(source, {}, "shop")


@pytest.mark.parametrize("text, differing", [
    ("host=db user=m password='long secret' dbname=shop connect_timeout=10", []),
    ("connect_timeout = 10 dbname=shop  user=m port=5432 password='long secret' host=db sslmode=prefer", []),
    ("postgresql://m:long%20secret@db/shop?connect_timeout=10", []),
    ("host=db user=m password='long secret ' dbname=shop connect_timeout=10", ["password"]),
    ("host=db user=m password=long dbname=shop connect_timeout=10 sslmode=require", ["password", "sslmode"]),
    ("host=db user=m password='long secret' dbname=shop", ["connect_timeout"]),
    ("not a connection", sorted(MADE)),
])
def test_p23_it_is_compared_as_libpq_reads_it(text, differing):
    assert conninfo.differing(conninfo.parse(text), MADE) == differing


LETTERS = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_characters="\x7f"), min_size=1)


@given(LETTERS)
def test_p23_any_password_comes_back_out(password):
    keywords = {"host": "h", "password": password}
    assert conninfo.parse(conninfo.text(keywords)) == keywords


def test_p23_the_fingerprint_tells_another_connection_and_no_secret():
    kept = conninfo.fingerprint(MADE)
    assert "long secret" not in str(kept) and kept["hash"] != conninfo.fingerprint(MADE)["hash"]
    assert conninfo.differing_from_fingerprint(kept, MADE) == []
    assert conninfo.differing_from_fingerprint(kept, MADE | {"password": "other"}) == ["password"]
    assert conninfo.differing_from_fingerprint(kept, MADE | {"host": "other"}) == ["host"]


@pytest.mark.parametrize("passfile, password", [
    ("db:5432:shop:m:secret", "secret"), ("*:*:*:*:s:e\\:c", "s:e:c"), ("# db:5432:shop:m:no\n*:*:*:m:yes", "yes"),
    ("db:5432:other:m:no\ndb:5432:shop:m:yes", "yes"), ("d\\b:5432:shop:m:back\\\\slash", "back\\slash"),
    ("db:5432:shop:x:no", None), ("db:5432", None), ("", None),
])
def test_a_passfile_is_looked_up_as_libpq_does(passfile, password):
    assert conninfo.password_of(passfile, MADE) == password


def test_what_is_shown_has_no_password():
    assert "password" not in conninfo.shown(MADE) and conninfo.without("a secret b", ["secret"]) == "a ******** b"
