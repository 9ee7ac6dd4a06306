# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a server's configuration."""

from __future__ import annotations

import pytest
from cloudpg_sandbox.configuration import conf_lines, hba_lines, not_lower


def test_a_value_may_hold_whatever_it_holds() -> None:
    lines = conf_lines({"work_mem": "8MB", "archive_command": r"cp 'a' c:\b"})
    assert lines == [r"archive_command = 'cp ''a'' c:\\b'", "work_mem = '8MB'"]


@pytest.mark.parametrize(
    ("own", "source", "expected"),
    [
        ({"max_connections": "100"}, {"max_connections": "200"}, {"max_connections": "200"}),
        ({"max_connections": "300"}, {"max_connections": "200"}, {"max_connections": "300"}),
        ({}, {"max_locks_per_transaction": "128"}, {"max_locks_per_transaction": "128"}),
        ({"max_wal_senders": "5"}, {}, {"max_wal_senders": "5"}),
        ({"work_mem": "4MB"}, {"work_mem": "8MB"}, {"work_mem": "4MB"}),
    ],
)
def test_a_standby_has_no_less_than_its_source_of_what_it_needs(
    own: dict[str, str], source: dict[str, str], expected: dict[str, str]
) -> None:
    assert not_lower(own, source) == expected


def test_p30_clients_are_let_in_by_network_and_never_as_the_superuser() -> None:
    lines = hba_lines("rdsadmin", ["127.0.0.1/32"])
    assert lines[-1] == "host all all 127.0.0.1/32 scram-sha-256"
    assert lines.index("host all rdsadmin all reject") < lines.index(lines[-1])
