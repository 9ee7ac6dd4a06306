# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work behind a branch's states: its server, its changes, its end. Each in a thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .planetscale_catalogue import PARAMETERS
from .planetscale_model import PLAIN_PORT, PORT, SERVER_PORT, Branch, BranchServer, Change, Configuration, Database
from .rds_model import TransitionRefused
from .servers import Server

if TYPE_CHECKING:
    from .world import World


def create_branch(world: World, branch: Branch) -> None:
    """pending -> ready. A creation that a fault refuses stays pending: the API knows no state for it."""
    world.pause(branch.database.name, "creating")
    server = BranchServer(
        branch.id, branch.address, SERVER_PORT, world.new_directory("s"), world.installations.get(branch.major),
        world.account, world.registry,
    )
    server.initialize(world.installations)
    server.settings = branch.configuration.server_settings()
    server.access = branch.database.access()
    server.start()
    with world.lock:
        gone = branch.name not in branch.database.branches
        branch.server = server
    if gone:
        server.discard()
        return
    target = (branch.address, SERVER_PORT)
    world.bastion.forward((branch.address, PORT), target, front=branch.front(world.authority.context(branch.address)))
    world.bastion.forward((branch.address, PLAIN_PORT), target, front=branch.front(None))
    branch.state = "ready"


def needs_restart(before: Configuration, after: Configuration) -> bool:
    """Whether a change ends the sessions (S5)."""
    if before.cluster != after.cluster:
        return True
    old, new = before.server_settings(), after.server_settings()
    return any(old.get(name) != value and PARAMETERS[name].restart for name, value in new.items())


def apply_change(world: World, branch: Branch, change: Change) -> None:
    """queued -> pending -> resizing -> completed, one change of a branch after the other; or canceled (S5)."""
    with branch.changing:
        try:
            change.move("pending")
            world.pause(branch.database.name, "modifying")
            change.move("resizing")
            world.pause(branch.database.name, "rebooting")
            if branch.server is not None:
                branch.server.settings = change.after.server_settings()
                _put_in_force(branch.server, needs_restart(change.before, change.after))
            branch.configuration = change.after
        except TransitionRefused:
            change.move("canceled")
            raise
        change.move("completed")


def _put_in_force(server: Server, restart: bool) -> None:
    if restart:
        server.restart()
    else:
        server.reload()


def refresh_access(database: Database) -> None:
    """Let the networks in that the restrictions name, and nobody else (S6)."""
    for branch in database.branches.values():
        if branch.server is not None:
            branch.server.allow(database.access())


def remove_branch(world: World, branch: Branch) -> None:
    """The API knows it no longer; its server goes a while later."""
    world.pause(branch.database.name, "deleting")
    world.bastion.close(branch.address)
    if branch.server is not None:
        branch.server.discard()
