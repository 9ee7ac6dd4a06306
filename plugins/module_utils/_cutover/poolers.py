# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The poolers in front of the databases, as a cutover uses them: held, led to the target, let go (R32)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from .._pg.address import place
from .._plan import Plan, carry_out
from .._traffic import config_file, pgbouncer
from .._traffic.console import Console
from .._traffic.switch import Switch


class Pooler:
    """One PgBouncer. ``write`` replaces its configuration file; errors are PoolerErrors."""

    def __init__(
        self, given: Mapping[str, Any], host: str, port: int, write: Callable[[Path, str], None]
    ) -> None:
        self.databases: Sequence[str] = given["databases"]
        self.config = Path(given["config"]).resolve()
        self.host, self.port = given["host"] or host, given["port"] or port
        self.user = given["user"]
        self.timeout = given["pause_timeout"]
        self.name = place(given["admin"])
        self._admin, self._write = given["admin"], write

    @cached_property
    def _switch(self) -> Switch:
        """Asked when first needed: a dead pooler mustn't keep the databases from being put back."""
        return Switch(Console(self._admin, keep=True))

    def check(self) -> None:
        """Raise PoolerError for a file that can't be written, or clients that can't be led: nobody is held yet."""
        self.plan_switch()
        if self.user:
            now, pools = self._switch.look(self.databases), self._switch.console.rows("SHOW POOLS")
            if found := pgbouncer.login_findings(now, pools, self.name):
                raise pgbouncer.PoolerError(f"{found[0].object}: {found[0].reason} Cure: {found[0].cure}")

    def plan_switch(self) -> Plan:
        """What leads its clients to the target and lets them go."""
        return pgbouncer.plan_route(
            self._switch.look(self.databases), config_file.read(self.config), self.host, self.port, self.user
        )

    def pause(self, seconds: float) -> None:
        """Hold the clients, within ``seconds`` and its own limit."""
        limit = max(1, min(self.timeout, int(seconds)))
        plan = pgbouncer.plan_pause(self._switch.look(self.databases))
        carry_out(plan, {"pause": lambda name: self._switch.hold(name, limit)})

    def repoint(self) -> bool:
        """Lead the clients to the target; they are held until ``resume``. Returns whether anything was changed."""
        plan = self.plan_switch()
        steps = tuple(step for step in plan.steps if step.op != "resume")
        carry_out(Plan(steps), {
            "write": lambda text: self._write(self.config, text),
            "reload": lambda **wish: self._switch.reload(config=str(self.config), **wish),
        })
        return bool(steps)

    def resume(self) -> bool:
        """Let the clients go, to wherever they are led."""
        plan = pgbouncer.plan_resume(self._switch.look(self.databases))
        carry_out(plan, {"resume": self._switch.release})
        return plan.changed
