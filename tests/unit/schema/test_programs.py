# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pg_dump is taken, and what it is told."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import programs

FOUND = {15: "/a/pg_dump", 16: "/b/pg_dump", 18: "/c/pg_dump"}


@pytest.mark.parametrize("source, taken", [(12, "/a/pg_dump"), (15, "/a/pg_dump"), (16, "/b/pg_dump"),
                                           (17, "/c/pg_dump"), (18, "/c/pg_dump")])
def test_p37_the_oldest_program_that_is_not_older_than_the_source_is_taken(source, taken):
    assert programs.choose(FOUND, source, None) == taken


@pytest.mark.parametrize("found, bindir, said", [
    (FOUND, None, r"major 19 or newer.*15 \(/a/pg_dump\), 16"), ({}, None, "PATH or where packages put them is none"),
    ({}, "/x", "in bindir /x is none"),
])
def test_p37_an_older_program_is_refused_and_what_there_is_is_named(found, bindir, said):
    with pytest.raises(PgError, match=said):
        programs.choose(found, 19, bindir)


def test_a_program_gets_the_address_by_its_environment_and_nothing_of_others():
    address = {"host": "h", "port": 5433, "user": "u", "password": "p w", "sslmode": "verify-full", "sslrootcert": "/c",
               "dbname": "d", "connect_timeout": 3}
    inherited = {"PATH": "/bin", "PGSERVICE": "other", "PGPASSWORD": "old", "PGHOSTADDR": "1.2.3.4", "LC_ALL": "de_DE"}
    told = programs.environment(address, "shop", inherited)
    assert told == {
        "PATH": "/bin", "LC_ALL": "C", "PGHOST": "h", "PGPORT": "5433", "PGUSER": "u", "PGPASSWORD": "p w",
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/c", "PGDATABASE": "shop", "PGCONNECT_TIMEOUT": "3",
        "PGAPPNAME": "cloudpg.migration", "PGCLIENTENCODING": "UTF8",
    }


def test_programs_are_told_by_their_versions_and_the_first_of_a_major_wins(tmp_path):
    for name, version in (("a", "16.1"), ("b", "16.9 (Debian 16.9-1)"), ("c", "18beta2"), ("d", None)):
        (tmp_path / name).mkdir()
        program = tmp_path / name / "pg_dump"
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n" if version else "#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    found = programs.majors([str(tmp_path / name) for name in ("missing", "a", "b", "c", "d")])
    assert found == {16: str(tmp_path / "a" / "pg_dump"), 18: str(tmp_path / "c" / "pg_dump")}
    assert programs.candidates("/given", "/path") == ["/given"]
    assert programs.candidates(None, "/one::/two")[:2] == ["/one", "/two"]
