# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything a migration of the shop needs around it, on a running sandbox: source, clients, inventory, proof."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from pooler import ADMIN, Pooler
from processes import eventually, start, stop
from shop import load_shop
from source import MASTER, OWNER, Instance, create_instance

LEDGER = str(Path(__file__).parents[1] / "ledger")
BASTION_PORT = 15432
APPLICATIONS = "127.0.0.1/32"


class ScenarioError(Exception):
    """A part of the scenario failed; the message says what it said."""


class Scenario:
    """The shop on RDS, PgBouncer in front of it, writers through it and past it, and an inventory of one migration.

    `sandbox` has `client(service)`, `bastion`, `network` and `env`. Everything is kept in `directory`, which servers of
    other accounts must be able to pass through.
    """

    def __init__(self, sandbox: Any, directory: Path, *, name: str = "shop", pooler_port: int = 6432) -> None:
        self.sandbox = sandbox
        self.directory = directory
        self.name = name
        self.journal = directory / "journal"
        self.passfile = directory / "passfile"
        self.follow_file = directory / "follow.json"
        self.pooler = Pooler(directory / "pooler", f"{sandbox.network}.0.2", pooler_port)
        self.passwords = {user: secrets.token_hex(16) for user in (MASTER, OWNER, ADMIN)}
        self.source: Instance | None = None
        self.target: Instance | None = None  # where it is there before the migration
        # What is unusual about the addresses of a host: for the application, and for the controller.
        self.unusual: dict[str, dict[str, Any]] = {}
        self.unusual_controller: dict[str, dict[str, Any]] = {}
        self.rows = 0
        self._read = self._acked = 0  # how far the journal was read, and what it said until there
        self._writers: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Scenario:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the old side and its clients ------------------------------------------------------------------------------

    @property
    def bastion_cidr(self) -> str:
        """Where controllers come from."""
        return f"{self.sandbox.bastion}/32"

    def build_source(
        self, *, major: int = 16, make: Callable[..., Instance] = create_instance, kind: str = "rds", **options: Any
    ) -> Instance:
        """Make `<name>-<kind>`, load the shop and the ledger's tables; options are those of ``make``."""
        self.passfile.touch(mode=0o600)
        lines = [f"*:*:*:{user}:{password}\n" for user, password in self.passwords.items()]
        self.passfile.write_text("".join(lines), encoding="utf-8")
        self.source = make(
            self.sandbox, f"{self.name}-{kind}", self.passwords, clients=[APPLICATIONS, self.bastion_cidr], major=major,
            **options,
        )
        address = {"host": self.source.host, "user": OWNER, "passfile": str(self.passfile), "dbname": OWNER}
        self.rows = self.load(address)
        self._ledger("init", "--dsn", self.dsn(self.source.host))
        return self.source

    def load(self, address: dict[str, Any]) -> int:
        """Fill the source with what there is to move beside the ledger's tables; how many rows."""
        return load_shop(address)

    def start_pooler(self) -> None:
        """PgBouncer in front of the source; all its clients are one login, which another side may call otherwise."""
        assert self.source, "build_source() comes first"
        self.pooler.start({OWNER: f"host={self.source.host} port=5432 dbname={OWNER} user={OWNER}"}, self.passwords)

    def start_writers(self, rate: int = 300) -> None:
        """Ledger writers on the routes `pooler` and `direct`, `rate` commits a second in total."""
        assert self.source, "build_source() comes first"
        routes = {"pooler": self.dsn(self.pooler.address, self.pooler.port), "direct": self.dsn(self.source.host)}
        command = [sys.executable, LEDGER, "write", "--journal", str(self.journal), "--rate", str(rate), "--rising"]
        for label, dsn in routes.items():
            command += ["--route", f"{label}={dsn}"]
        with open(self.directory / "writers.log", "ab") as log:
            follow = ["--follow-file", str(self.follow_file)]
            self._writers = start([*command, *follow], stdout=log, stderr=log)

    def await_commits(self, more: int, seconds: float = 60.0) -> int:
        """Wait until so many more commits were acknowledged; how many there are then."""
        wanted = self.acked() + more
        eventually(lambda: self._writing() and self.acked() >= wanted, f"{more} more commits", seconds)
        return self.acked()

    def lead_direct_clients(self, host: str) -> None:
        """Tell the clients past the pooler the new address, as their owners would."""
        building = self.follow_file.with_suffix(".new")
        building.write_text(json.dumps({"direct": self.dsn(host)}), encoding="utf-8")
        building.replace(self.follow_file)

    def acked(self) -> int:
        """Commits acknowledged so far."""
        if self.journal.exists():
            with open(self.journal, "rb") as journal:
                journal.seek(self._read)
                for line in journal:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    self._acked += line.startswith(b'{"event":"acked"')
        return self._acked

    def stop_writers(self) -> None:
        """End the writers after the answers under way."""
        stop(self._writers)

    # -- the migration ---------------------------------------------------------------------------------------------

    def postgres(self, **more: Any) -> dict[str, Any]:
        """An address for the controller: through the bastion, as the master; AWS knows the host."""
        return {"port": BASTION_PORT, "user": MASTER, "passfile": str(self.passfile), "dbname": OWNER, **more}

    def variables(self, **path: Any) -> dict[str, Any]:
        """The variables of the migration, with those of its path."""
        assert self.source, "build_source() comes first"
        return {
            "migration_source": {"instance": self.source.identifier, "postgres": self.postgres()},
            "migration_traffic": [
                {
                    "kind": "pgbouncer",
                    "admin": self.pooler.admin(self.passfile),
                    "config": str(self.pooler.config),
                    "databases": [OWNER],
                }
            ],
            "migration_max_outage": 60,
            "migration_approved": [self.name],
            "migration_controller_cidrs": [self.bastion_cidr],
            **path,
        }

    def write_inventory(self, variables: dict[str, Any]) -> Path:
        """The inventory of one migration; a host's variables are all there is to a migration."""
        inventory = self.directory / "inventory"
        inventory.mkdir(exist_ok=True)
        local = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        text = yaml.safe_dump({"migrations": {"vars": local, "hosts": {self.name: variables}}}, sort_keys=False)
        (inventory / "hosts.yml").write_text(text, encoding="utf-8")
        return inventory

    # -- the proof -------------------------------------------------------------------------------------------------

    def dsn(self, host: str, port: int = 5432) -> str:
        """An address for the application."""
        usual = {"host": host, "port": port, "user": OWNER, "dbname": OWNER, "passfile": self.passfile}
        return _connection(usual | self.unusual.get(host, {}))

    def verify(self, target: str, source: str | None = None) -> dict[str, Any]:
        """What the ledger says about the hosts of the new and the old side, read through the bastion.

        Its outage is that of the writers that were started last; all else is about everything ever written.
        """
        arguments = ["--journal", str(self.journal), "--target", self._controller(target)]
        arguments += ["--route", "pooler", "--latest"]
        if source:
            arguments += ["--source", self._controller(source)]
        return json.loads(self._ledger("verify", *arguments, codes=(0, 1)))

    def close(self) -> None:
        """End writers and pooler."""
        self.stop_writers()
        self.pooler.stop()

    def _controller(self, host: str) -> str:
        return _connection(self.postgres(host=host) | self.unusual_controller.get(host, {}))

    def _writing(self) -> bool:
        if self._writers is None or self._writers.poll() is not None:
            log = self.directory / "writers.log"
            raise ScenarioError(f"the writers have ended: {log.read_text(encoding='utf-8') if log.exists() else ''}")
        return True

    def _ledger(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        answer = subprocess.run([sys.executable, LEDGER, *arguments], capture_output=True, text=True, check=False)
        if answer.returncode not in codes:
            raise ScenarioError(f"ledger {arguments[0]} failed: {answer.stderr.strip()}")
        return answer.stdout


def _connection(words: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in words.items())
