# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a round of chaos happens to: a small database on a sandbox of its own, clients that write, an inventory."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "extensions" / name) for name in ("demo", "sandbox")]

import path_replica  # noqa: E402  beside the checkout's extensions, not installed
from cloudpg_sandbox.testing import Sandbox, running  # noqa: E402
from network import PORT, Way  # noqa: E402
from scenario import Scenario  # noqa: E402
from source import MASTER, OWNER  # noqa: E402

PACE = 0.2  # seconds a state of AWS lasts in the sandbox
RATE = 40  # commits a second of all writers
SOME = 40  # commits: enough to know that clients write
OUTAGE = 3600  # seconds: what is proven here is the end, not the time it takes


class Stand(Scenario):
    """A scenario of one of the demo's paths, without the shop."""

    def __init__(self, sandbox: Any, directory: Path, path: ModuleType = path_replica, **options: Any) -> None:
        super().__init__(sandbox, directory, **options)
        self.path = path
        self.runs: list[Any] = []
        self.ways: dict[str, Way] = {}

    def close(self) -> None:
        """End everything, the runs that are still there as well."""
        for run in self.runs:
            run.kill_all()
        for way in self.ways.values():
            way.close()
        super().close()

    def lay_ways(self) -> None:
        """Let the controller come to either server by a way of its own."""
        network = self.sandbox.network
        self.ways = {
            "source": Way(f"{network}.0.3", lambda: (self.source.host, PORT)),
            "target": Way(f"{network}.0.4", lambda: (self.path.target_host(self), PORT)),
        }

    def load(self, address: dict[str, Any]) -> int:
        """Nothing: the ledger's own tables are all there is to move."""
        return 0

    @property
    def environment(self) -> dict[str, str]:
        """What a run has to know to reach the sandbox."""
        return self.sandbox.env

    @property
    def cluster(self) -> str:
        """The identifier of the target."""
        return f"{self.name}-aurora"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The variables of the migration."""
        own = self.path.variables(self)
        if self.path is path_replica:
            # A password that is given as such must not be left anywhere.
            address = own["migration_target"]["postgres"]
            del address["passfile"]
            address["password"] = self.passwords[MASTER]
        told = self.variables(**{
            **own, "migration_max_outage": OUTAGE, "migration_acknowledged": ["pooler-gives-up-early"], **changes,
        })
        for side, way in self.ways.items():
            told[f"migration_{side}"]["postgres"]["host"] = way.server_address[0]
        return told

    def sides_after(self, verb: str) -> tuple[str, str]:
        """The host that serves after this playbook, and the other one."""
        hosts = self.path.target_host(self), self.source.host
        return hosts[::-1] if verb == "rollback" else hosts

    def from_within(self, identifier: str) -> dict[str, Any]:
        """How to connect to a server past all fences."""
        [server] = [one for one in self.sandbox.control("GET", "status")["servers"] if one["identifier"] == identifier]
        return {"host": server["socket"], "port": server["port"], "user": "rdsadmin"}

    def restart(self, side: str) -> None:
        """Restart the only server there is on the source's side or, of the path planetscale, on the target's."""
        [server] = self.sandbox.control("GET", "status")["servers" if side == "source" else "branches"]
        self.sandbox.control("POST", f"servers/{server['identifier']}", {"action": "restart"})

    def pooler_is_held(self) -> bool:
        """Whether PgBouncer holds the clients back."""
        rows = self.pooler_rows("SHOW DATABASES")
        return any(row["paused"] for row in rows if row["name"] == OWNER)

    def pooler_rows(self, statement: str) -> list[dict[str, Any]]:
        """What PgBouncer's console answers."""
        import psycopg2
        from psycopg2.extras import RealDictCursor

        connection = psycopg2.connect(
            " ".join(f"{key}={value}" for key, value in self.pooler.admin(self.passfile).items()),
            cursor_factory=RealDictCursor,
        )
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()


@contextmanager
def standing(
    path: ModuleType = path_replica, *, pace: float = PACE, writers: bool = True, far: bool = False, **changes: Any
) -> Iterator[Stand]:
    """A stand with writers under way and an inventory written; everything is gone afterwards."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="cloudpg-chaos-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)  # servers run under other accounts and have to pass
        sandbox: Sandbox = stack.enter_context(running(pace=pace))
        stand = stack.enter_context(Stand(sandbox, directory, path))
        path.build(stand)
        stand.start_pooler()
        if writers:
            stand.start_writers(RATE)
            stand.await_commits(SOME)
        if far:
            stand.lay_ways()
        stand.write_inventory(stand.settings(**changes))
        yield stand
