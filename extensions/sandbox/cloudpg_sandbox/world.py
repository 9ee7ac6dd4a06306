# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything one sandbox holds: its settings, its servers, its regions, and the threads that change them."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import home
from .apilog import ApiLog
from .authority import Authority
from .bastion import Bastion
from .faults import Faults
from .home import Settings
from .installations import Account, Installations
from .metrics import MetricStore, Sampler
from .planetscale import PlanetScale
from .rds_model import Instance, Region, TransitionRefused
from .registry import Registry
from .roles import RoleKeeper
from .servers import Server

LOGGER = logging.getLogger("cloudpg_sandbox")
ADDRESSES_IN_A_BLOCK = 250
# How often a slowed transition looks whether its fault is still there.
LOOK_SECONDS = 0.05


class World:
    """One running sandbox. State is in memory; directories and processes are in the registry, for the watchdog."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.account = Account.for_servers()
        self.installations = Installations(settings.cache, self.account)
        self.registry = Registry(home.registry_path(settings.home))
        self.bastion = Bastion(f"{settings.network}.0.1")
        self.authority = Authority(home.ca_path(settings.home))
        self.faults = Faults()
        self.log = ApiLog()
        self.metrics = MetricStore(self.faults)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.stopping = threading.Event()
        self.planetscale = PlanetScale(self)
        self._regions: dict[tuple[str, str], Region] = {}
        self._addresses = self._address_sequence()
        self._directories = itertools.count(1)
        self._sampler = Sampler(self.live_servers, self.metrics)
        self._sampler.start()
        RoleKeeper(self._writable_servers, self.stopping).start()

    def _address_sequence(self) -> Iterator[str]:
        for number in itertools.count():
            block, host = divmod(number, ADDRESSES_IN_A_BLOCK)
            yield f"{self.settings.network}.{block + 1}.{host + 1}"

    def region(self, account: str, name: str) -> Region:
        """One account's resources in one region."""
        with self.lock:
            key = (account, name)
            if key not in self._regions:
                self._regions[key] = Region(self, account, name)
            return self._regions[key]

    def regions(self) -> list[Region]:
        with self.lock:
            return list(self._regions.values())

    def new_address(self) -> str:
        """A loopback address nothing has had before."""
        with self.lock:
            return next(self._addresses)

    def new_directory(self, kind: str) -> str:
        """A short path for a server or a snapshot: a Unix socket's path has to fit in 107 bytes."""
        return os.path.join(self.settings.home, f"{kind}{next(self._directories)}")

    def new_server(self, identifier: str, address: str, port: int, major: int) -> Server:
        """A server that isn't started and has no data directory yet."""
        return Server(
            identifier, address, port, self.new_directory("s"), self.installations.get(major), self.account,
            self.registry,
        )

    def instances(self) -> list[Instance]:
        """Every DB instance of every account and region."""
        with self.lock:
            return [instance for region in self._regions.values() for instance in region.instances.values()]

    def live_servers(self) -> list[Instance]:
        """Instances whose server answers at the moment: what can be measured."""
        return [one for one in self.instances() if one.server is not None and one.server.running]

    def _writable_servers(self) -> list[Server]:
        return [one.server for one in self.live_servers() if one.server and one.server.upstream is None]

    # -- time ------------------------------------------------------------------------------------------------------

    def pause(self, identifier: str, transition: str) -> None:
        """Let a transition take its time, at no time when the sandbox stops; a fault may refuse it then."""
        slow, began = self.faults.slow_transition(identifier, transition), time.monotonic()
        while not self.stopping.is_set():
            left = began + self.settings.pace * self.faults.factor(slow) - time.monotonic()
            if left <= 0:
                break
            self.stopping.wait(min(left, LOOK_SECONDS) if slow else left)
        if self.faults.refuse(identifier, transition):
            raise TransitionRefused(f"{transition} was refused by a fault")

    def spawn(self, work: Callable[..., None], *arguments: Any) -> None:
        """Carry a transition out beside the API; the work itself leaves a failure in the resource's state."""

        def run() -> None:
            try:
                work(*arguments)
            except TransitionRefused as error:
                LOGGER.info("%s: %s", work.__name__, error)
            except Exception:
                if not self.stopping.is_set():
                    LOGGER.exception("%s failed", work.__name__)

        threading.Thread(target=run, name=work.__name__, daemon=True).start()

    def notify(self) -> None:
        """Wake whoever waits for a state."""
        with self.lock:
            self.changed.notify_all()

    def linger(self, settled: Callable[[], bool]) -> None:
        """Hold an answer back until a transition has ended, at most the configured seconds."""
        with self.lock:
            self.changed.wait_for(lambda: self.stopping.is_set() or settled(), self.settings.linger)

    def stop(self) -> None:
        """End every server and remove what was made."""
        self.stopping.set()
        self.notify()
        self._sampler.stop()
        self.bastion.stop()
        for server in [one.server for one in [*self.instances(), *self.planetscale.branches()] if one.server]:
            server.stop(signal.SIGQUIT)
        home.remove_data(self.settings.home)
