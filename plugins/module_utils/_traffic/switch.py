# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the steps of a plan do to a running PgBouncer (R32)."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.console import Console
from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.pgbouncer import (
    NoAnswer,
    PoolerError,
    Route,
    quote,
    routes,
)


class Switch:
    """A PgBouncer by its console. Errors are PoolerErrors."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.config = {row["key"]: row["value"] for row in console.rows("SHOW CONFIG")}
        self._held: list[str] = []

    def look(self, wanted: Sequence[str]) -> list[Route]:
        """Where the wanted databases lead; all of them when none is named."""
        return routes(self.console.rows("SHOW DATABASES"), self.config, wanted)

    def hold(self, name: str, timeout: int) -> None:
        """Hold the clients of ``name``, in ``timeout`` seconds; else let go all that were held so far, and raise."""
        self._held.append(name)
        try:
            self.console.rows(f"PAUSE {quote(name)}", timeout)
        except NoAnswer as error:
            raise PoolerError(
                f"PgBouncer {self.console.name} could not hold the clients of {name} within {timeout} s: a transaction "
                f"is still running, or in session mode a client is still there. {self._take_back()} Cure: end it (SHOW "
                "CLIENTS names it), or raise pause_timeout."
            ) from error
        except PoolerError as error:
            raise PoolerError(f"{error.message} {self._take_back()}") from error

    def _take_back(self) -> str:
        """A PAUSE goes on waiting when its console has gone, and holds new clients meanwhile."""
        try:
            for route in self.look(self._held):
                if route.paused:
                    self.release(route.name)
        except PoolerError as error:
            return f"The pause could not be taken back ({error.message}): give the console RESUME."
        return "The pause was taken back."

    def release(self, name: str) -> None:
        """Let the clients of ``name`` go on."""
        self.console.rows(f"RESUME {quote(name)}")

    def reload(self, names: Sequence[str], host: str, port: int, config: str) -> None:
        """Have the configuration read again and see that it leads to ``host``: PgBouncer tells no errors in it."""
        self.console.rows("RELOAD")
        astray = [route for route in self.look(names) if (route.host, route.port) != (host, port)]
        if astray:
            raise PoolerError(
                f"PgBouncer {self.console.name} still leads {', '.join(route.name for route in astray)} to "
                f"{astray[0].host}:{astray[0].port} after RELOAD. It reads {self.config.get('conffile')}, and {config} "
                "(config) was written. Cure: name its own file, or mend what its log complains about, then run again. "
                "Clients that were held are held still."
            )
