# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No server is asked for what its major doesn't have (P26): every SQL text, and those that are made by version."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._compare import canonical
from ansible_collections.cloudpg.migration.plugins.module_utils._compare import fingerprint
from ansible_collections.cloudpg.migration.plugins.module_utils._copy import observe
from ansible_collections.cloudpg.migration.plugins.module_utils._copy.graph import RANGES_SINCE
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._logical import (
    membership, publication, publication_work, subscription, subscription_state
)

UTILS = Path(__file__).parents[3] / "plugins" / "module_utils"
MAJORS = range(12, 19)
# What came with which major: columns, views, functions, types, roles.
SINCE = {
    13: {"regcollation", "wal_status", "pubviaroot", "gen_random_uuid"},
    14: {"pg_stat_replication_slots", "pg_read_all_data", "subbinary", "substream", "bit_xor", "pg_stats_ext_exprs",
         "typsubscript", "rngmultitypid", "date_bin", "prosqlbody", "attcompression", "stxexprs"},
    15: {"pg_publication_namespace", "datcollversion", "pg_database_collation_actual_version", "prattrs", "prqual",
         "pg_stat_subscription_stats", "subtwophasestate", "subdisableonerr", "indnullsnotdistinct",
         "pg_parameter_acl", "datlocprovider"},
    16: {"leader_pid", "suborigin", "subpasswordrequired", "subrunasowner", "inherit_option", "set_option"},
    17: {"subfailover", "invalidation_reason", "colllocale", "worker_type", "inactive_since"},
    18: {"pg_get_sequence_data", "pubgencols", "conperiod", "conenforced", "pg_get_acl"},
}
# Texts for newer majors alone: the code beside them chooses by version, as the tests below show or say.
GATED = {
    ("_pg/databases.py", "datcollversion"), ("_pg/databases.py", "pg_database_collation_actual_version"),
    ("_logical/publication_work.py", "pg_publication_namespace"), ("_logical/publication_work.py", "prqual"),
    ("_logical/publication_work.py", "prattrs"), ("_logical/subscription_state.py", "pg_stat_subscription_stats"),
}


def asked_for(text):
    """The newer things a text names itself; what it looks up in a row as JSON reads NULL where there is none."""
    return {
        name: major for major, names in SINCE.items() for name in names
        if re.search(rf"(?<!->> ')(?<!-> ')(?<!AS )\b{name}\b(?!')", text)
    }


def statements(path):
    """The SQL in a file: texts that select, also the parts of those that are put together."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.search(r"\b(SELECT|FROM|WHERE|WITH|pg_get_expr|CASE)\b", node.value) and "Cure" not in node.value:
                yield node.value


def test_p26_no_statement_names_what_older_servers_lack_unless_it_is_chosen_by_version():
    found = {
        (str(path.relative_to(UTILS)), name)
        for path in UTILS.rglob("*.py") for text in statements(path) for name in asked_for(text)
    }
    assert found == GATED


class Server:
    """Takes down what it is asked; every row it has has whatever is looked for."""

    class Row(dict):
        def __missing__(self, name):
            return {"publications": [], "relid": None, "leader": None, "columns": None}.get(name, "")

    def __init__(self):
        self.said = []

    def rows(self, statement, parameters=None):
        self.said.append(str(statement))
        return [self.Row()]

    def row(self, statement, parameters=None):
        return self.rows(statement)[0]

    def value(self, statement, parameters=None):
        self.said.append(str(statement))
        return 1


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("read", [
    lambda server, version: subscription_state.read(server, "s", version),
    lambda server, version: subscription_state.look(server, 1, version),
    lambda server, version: subscription_state.publisher(server, ["p"], "s", None),
    lambda server, version: publication_work.read(server, "p", version),
], ids=["subscription", "look", "publisher", "publication"])
def test_p26_what_is_read_by_version_names_only_what_the_major_has(major, read):
    server = Server()
    read(server, major * 10000)
    newer = {name: since for text in server.said for name, since in asked_for(text).items() if since > major}
    assert server.said and newer == {}


# Option, value: the major it came with.
OPTIONS = [
    ("binary", True, 14), ("streaming", "on", 14), ("streaming", "parallel", 16), ("two_phase", True, 15),
    ("disable_on_error", True, 15), ("origin", "none", 16), ("run_as_owner", True, 16),
    ("password_required", False, 16), ("failover", True, 17), ("synchronous_commit", "on", 12),
]


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("option, value, since", OPTIONS)
def test_p26_an_option_of_a_subscription_is_written_from_its_major_on_and_refused_before(option, value, since, major):
    if major >= since:
        made = subscription.options({option: value}, major * 10000)
        assert made == {option: {True: "true", False: "false"}.get(value, value)}
        return
    known = [one for name, _value, one in OPTIONS if name == option and one > major]
    with pytest.raises(MigrationError, match=f"it needs PostgreSQL {min(known)}, and the server is a {major}"):
        subscription.options({option: value}, major * 10000)


@pytest.mark.parametrize("major, via_root, generated, made", [
    (12, False, None, {"publish": "insert"}),
    (12, True, None, "publish_via_partition_root: it needs PostgreSQL 13"),
    (13, True, None, {"publish": "insert", "publish_via_partition_root": "true"}),
    (17, False, "stored", "publish_generated_columns: it needs PostgreSQL 18"),
    (18, False, "stored", {
        "publish": "insert", "publish_via_partition_root": "false", "publish_generated_columns": "stored",
    }),
])
def test_p26_an_option_of_a_publication_likewise(major, via_root, generated, made):
    if isinstance(made, dict):
        assert publication.options(["insert"], via_root, generated, major * 10000) == made
        return
    with pytest.raises(MigrationError, match=made):
        publication.options(["insert"], via_root, generated, major * 10000)


def test_p24_p26_p53_from_which_major_on_there_is_what():
    assert (RANGES_SINCE, canonical.RANGES_SINCE) == (140000, 140000)
    assert (membership.ROOTS_SINCE, observe.FAILOVER_SINCE) == (130000, 170000)
    assert (fingerprint.MAINTAIN_SINCE, fingerprint.QUALIFIED_UNTIL) == (170000, 160000)
