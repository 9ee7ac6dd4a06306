# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of PostgreSQL: where they are, which one fits, and a dump by it without a password in sight."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from .._pg.address import database_of, keywords, place
from .._pg.errors import PgError
from .._pg.secrets import with_login
from .catalogue import JOURNAL_SCHEMA

# Where Debian's and PostgreSQL's own packages put them.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib64/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
# Chooses by itself which major it runs; the real programs are in PLACES.
_WRAPPER = "pg_wrapper"
_ENVIRONMENT = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "connect_timeout": "PGCONNECT_TIMEOUT", "options": "PGOPTIONS",
    "application_name": "PGAPPNAME", "client_encoding": "PGCLIENTENCODING",
}
_ENDING_SECONDS = 10


def environment(address: Mapping[str, Any], database: str | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that connects to ``address``; nothing of libpq's comes from elsewhere. Pure.

    Only the process's own account can read it, unlike its arguments.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("PG")}
    told = {_ENVIRONMENT[name]: str(value) for name, value in keywords(address, database).items()
            if name in _ENVIRONMENT}
    return {**kept, **told, "LC_ALL": "C"}


def candidates(bindir: str | None, path: str) -> list[str]:
    """The directories to look into: the given one alone, else those of PATH, then the packages'."""
    if bindir:
        return [bindir]
    packaged = sorted(found for pattern in PLACES for found in glob.glob(pattern))
    return [*(part for part in path.split(os.pathsep) if part), *packaged]


def majors(directories: Sequence[str], program: str = "pg_dump") -> dict[int, str]:
    """The program by major; the first directory that has a major wins."""
    found: dict[int, str] = {}
    for directory in directories:
        path = os.path.join(directory, program)
        if not os.access(path, os.X_OK) or os.path.basename(os.path.realpath(path)) == _WRAPPER:
            continue
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"\) (\d+)", answer.stdout)
        if version:
            found.setdefault(int(version.group(1)), path)
    return found


def choose(found: Mapping[int, str], source_major: int, bindir: str | None) -> str:
    """The oldest pg_dump that is at least of the source's major (P37); raises PgError naming what there is. Pure."""
    fitting = [major for major in found if major >= source_major]
    if fitting:
        return found[min(fitting)]
    have = ", ".join(f"{major} ({path})" for major, path in sorted(found.items())) or "none"
    where = f"in bindir {bindir}" if bindir else "in PATH or where packages put them"
    raise PgError(
        f"pg_dump must be of major {source_major} or newer, as the source is, and {where} is {have} (P37). "
        f"Cure: install postgresql-client-{source_major} on the machine the module runs on, or correct bindir."
    )


def dump(
    address: Mapping[str, Any], source_major: int, database: str | None = None, bindir: str | None = None,
    lock_timeout: float = 10, owners: bool = True,
) -> str:
    """The schema of a database as text with the programs' own remarks; raises PgError with what pg_dump said.

    ``lock_timeout`` (seconds) is how long it waits for a table that somebody has locked.
    """
    program = choose(majors(candidates(bindir, os.environ.get("PATH", ""))), source_major, bindir)
    whole = with_login(address)
    # Only an archive knows what each object needs; as text it comes out of pg_restore, which connects nowhere.
    reading = [
        program, "--format=custom", "--compress=0", "--schema-only", "--no-password", "--no-tablespaces",
        "--no-subscriptions", f"--exclude-schema={JOURNAL_SCHEMA}", f"--lock-wait-timeout={int(lock_timeout * 1000)}",
    ]
    telling = [os.path.join(os.path.dirname(program), "pg_restore"), "--verbose", "--file=-"]
    if not owners:
        telling.append("--no-owner")
    started: list[subprocess.Popen[bytes]] = []
    try:
        with tempfile.TemporaryFile() as archive, tempfile.TemporaryFile() as complaints:
            started.append(subprocess.Popen(
                reading, stdin=subprocess.DEVNULL, stdout=archive, stderr=complaints,
                env=environment(whole, database, os.environ),
            ))
            if started[0].wait() != 0:
                complaints.seek(0)
                raise _failed(program, whole, database, complaints.read().decode("utf-8", "replace"))
            archive.seek(0)
            started.append(subprocess.Popen(
                telling, stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment({}, None, os.environ),
            ))
            output, said = started[1].communicate()
            if started[1].returncode != 0:
                raise _failed(telling[0], whole, database, said.decode("utf-8", "replace"))
    except OSError as error:
        raise PgError(f"{error.filename} can't be run: {error.strerror}. Cure: correct bindir.") from error
    finally:
        for process in started:
            _end(process)
    try:
        return output.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PgError(
            f"{place(whole)}/{database_of(whole, database)}: names or comments aren't UTF-8 (P57: is its encoding "
            "SQL_ASCII?). Cure: rename what isn't, or make the schema by hand."
        ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _failed(program: str, address: Mapping[str, Any], database: str | None, said: str) -> PgError:
    telling = [line for line in said.splitlines() if re.match(r"pg_\w+: (?:error|detail|hint)", line)]
    text = " ".join(telling or said.splitlines()[-3:])
    if address.get("password"):
        text = text.replace(address["password"], "********")
    return PgError(
        f"{place(address)}/{database_of(address, database)}: {program} failed: {text.rstrip('.')}. Cure: the login "
        "must be able to read every table (a member of the owners, or pg_read_all_data); a program without TLS can't "
        "reach a server that asks for it."
    )
