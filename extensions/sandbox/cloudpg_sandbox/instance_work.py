# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work behind an instance's states: what happens to the real server while it is creating, rebooting, deleting.

Every piece of work runs in a thread of its own and leaves the outcome in the instance's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.sql import SQL, Identifier, Literal

from . import ec2, parameters
from .rds_model import Cluster, Instance, major_of, now
from .rds_snapshots_model import Volume
from .servers import Server, ServerError

SOURCE_SECONDS = 120.0


@contextmanager
def failing_to(instance: Instance | Cluster, state: str) -> Iterator[None]:
    """Leave a state and an event when the work fails, and say why in the log."""
    try:
        yield
    except Exception as error:
        if not instance.region.world.stopping.is_set():
            instance.region.record(instance, f"{instance.identifier}: {error}", "failure")
            instance.state = state
        raise


def server_settings(instance: Instance, server: Server) -> dict[str, str]:
    """The parameters in force, as the server's own settings; an instance's group wins over its cluster's."""
    settings: dict[str, str] = {}
    facts = {**instance.facts, "libraries": server.installation.libraries()}
    for level in ("cluster", "instance"):
        for name, value in instance.in_force[level].items():
            translated = parameters.to_server_setting(name, value, facts)
            if translated is not None:
                settings[translated[0]] = str(translated[1])
    return settings


def take_all_parameters(instance: Instance, server: Server) -> None:
    """What a start does: everything the groups say is in force afterwards."""
    for level in ("instance", "cluster"):
        instance.in_force[level] = instance.region.wanted(instance, level)
        instance.group_changed[level] = False
    server.settings = server_settings(instance, server)


def apply_parameters(instance: Instance, level: str, values: dict[str, Any]) -> None:
    """Put changed dynamic parameters into force by a reload; None takes one back to its default."""
    for name, value in values.items():
        if value is None:
            instance.in_force[level].pop(name, None)
        else:
            instance.in_force[level][name] = value
    server = instance.server
    if server is not None:
        server.settings = server_settings(instance, server)
        if server.running:
            server.reload()


def new_server(instance: Instance) -> Server:
    """The server an instance is to have, not started yet."""
    server = instance.region.world.new_server(
        instance.identifier, instance.address, instance.port, major_of(instance.facts["EngineVersion"])
    )
    instance.pending_server = server
    return server


def start_server(instance: Instance, server: Server) -> None:
    """Start a prepared server behind the instance's groups and make it the instance's own."""
    take_all_parameters(instance, server)
    server.access = ec2.networks(instance)
    server.start()
    instance.region.world.bastion.open(instance.address, instance.port)
    instance.server, instance.pending_server = server, None
    # A rule changed while the server was starting must not be lost.
    ec2.refresh(instance)


def running_server(instance: Instance) -> Server:
    """The server of an instance that others copy; waits a while for one that is just restarting."""
    deadline = time.monotonic() + SOURCE_SECONDS
    while instance.server is None or not instance.server.running:
        if time.monotonic() > deadline or instance.region.world.stopping.wait(0.05):
            raise ServerError(f"{instance.identifier} isn't running, so nothing can be copied from it")
    return instance.server


def set_up_master(server: Server, user: str, password: str, dbname: str | None) -> None:
    """The customer's first role: no superuser, but a member of rds_superuser (R29), and owner of the databases."""
    connection = server.connect()
    try:
        cursor = connection.cursor()
        role = Identifier(user)
        cursor.execute(
            SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE REPLICATION PASSWORD {}").format(role, Literal(password))
        )
        cursor.execute(SQL("GRANT rds_superuser TO {}").format(role))
        cursor.execute(SQL("ALTER DATABASE postgres OWNER TO {}").format(role))
        cursor.execute(SQL("ALTER DATABASE template1 OWNER TO {}").format(role))
        if dbname and dbname != "postgres":
            cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(dbname), role))
    finally:
        connection.close()


def change_password(server: Server, user: str, password: str) -> None:
    """What MasterUserPassword of a modify call does."""
    connection = server.connect()
    try:
        connection.cursor().execute(
            SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(user), Literal(password))
        )
    finally:
        connection.close()


def create_instance(instance: Instance, prepare: Callable[[Server], None] | None = None) -> None:
    """creating -> backing-up -> available. `prepare` fills the data directory from elsewhere than the template."""
    world = instance.region.world
    with failing_to(instance, "failed"):
        world.pause(instance.identifier, "creating")
        server = new_server(instance)
        if prepare:
            prepare(server)
        else:
            server.initialize(world.installations)
        start_server(instance, server)
        if prepare is None:
            set_up_master(server, instance.facts["MasterUsername"], instance.password, instance.facts.get("DBName"))
    instance.region.record(instance, "DB instance created", "creation")
    if instance.facts["BackupRetentionPeriod"]:
        instance.state = "backing-up"
        instance.region.record(instance, "Backing up DB instance", "backup")
        with failing_to(instance, "available"):
            world.pause(instance.identifier, "backing-up")
        instance.facts["LatestRestorableTime"] = now()
        instance.region.record(instance, "Finished DB Instance backup", "backup")
    instance.state = "available"


def reboot_instance(instance: Instance) -> None:
    """rebooting -> available: every session ends, static parameters come into force (R18, R27)."""
    world = instance.region.world
    server = instance.server
    assert server is not None
    with failing_to(instance, "incompatible-parameters"):
        world.pause(instance.identifier, "rebooting")
        server.stop()
        instance.region.record(instance, "DB instance shutdown", "availability")
        take_all_parameters(instance, server)
        server.access = ec2.networks(instance)
        server.start()
    instance.region.record(instance, "DB instance restarted", "availability")
    instance.state = "available"


def stop_instance(instance: Instance) -> None:
    """stopping -> stopped."""
    assert instance.server is not None
    with failing_to(instance, "failed"):
        instance.region.world.pause(instance.identifier, "stopping")
        instance.server.stop()
    instance.region.record(instance, "DB instance stopped", "notification")
    instance.state = "stopped"


def start_instance(instance: Instance) -> None:
    """starting -> available."""
    assert instance.server is not None
    with failing_to(instance, "incompatible-parameters"):
        instance.region.world.pause(instance.identifier, "starting")
        take_all_parameters(instance, instance.server)
        instance.server.access = ec2.networks(instance)
        instance.server.start()
    instance.region.record(instance, "DB instance started", "notification")
    instance.state = "available"


def delete_instance(instance: Instance, keeper: Volume | None) -> None:
    """deleting -> gone; the data stays with its keeper, if there is one."""
    region = instance.region
    world = region.world
    server = instance.server or instance.pending_server
    with failing_to(instance, "failed"):
        world.pause(instance.identifier, "deleting")
        if server is not None:
            server.stop()
            if keeper is not None:
                keeper.take_over(server.data_dir, server.account)
            drop_upstream_slot(server)
            world.bastion.close(instance.address)
            server.discard()
    region.record(instance, "DB instance deleted", "deletion")
    with world.lock:
        region.instances.pop(instance.identifier, None)
        for other in region.instances.values():
            replicas = other.facts["ReadReplicaDBInstanceIdentifiers"]
            if instance.identifier in replicas:
                replicas.remove(instance.identifier)
        instance.server = None
        world.changed.notify_all()


def drop_upstream_slot(server: Server) -> None:
    """A replica that goes leaves no slot behind on its source: it would keep WAL for ever (P13)."""
    upstream, server.upstream = server.upstream, None
    if upstream is not None and upstream.server.running:
        upstream.server.drop_slot(upstream.slot)
