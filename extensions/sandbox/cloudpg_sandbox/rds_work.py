# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work behind the states: what happens to the real servers while a resource is creating, modifying, promoting.

Every function runs in a thread of its own and leaves the outcome in the resource's state.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.sql import SQL, Identifier, Literal

from . import ec2, parameters
from .rds_model import Cluster, Instance, now, major_of
from .rds_snapshots_model import Snapshot
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


def _new_server(instance: Instance) -> Server:
    server = instance.region.world.new_server(
        instance.identifier, instance.address, instance.port, major_of(instance.facts["EngineVersion"])
    )
    instance.pending_server = server
    return server


def _start(instance: Instance, server: Server) -> None:
    take_all_parameters(instance, server)
    server.access = ec2.networks(instance)
    server.start()
    instance.region.world.bastion.open(instance.address, instance.port)
    instance.server, instance.pending_server = server, None
    # A rule changed while the server was starting must not be lost.
    ec2.refresh(instance)


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


# -- instances -----------------------------------------------------------------------------------------------------


def create_instance(instance: Instance, prepare: Callable[[Server], None] | None = None) -> None:
    """creating -> backing-up -> available. `prepare` fills the data directory from elsewhere than the template."""
    world = instance.region.world
    with failing_to(instance, "failed"):
        world.pause(instance.identifier, "creating")
        server = _new_server(instance)
        if prepare:
            prepare(server)
        else:
            server.initialize(world.installations)
        _start(instance, server)
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


def create_member(instance: Instance, cluster: Cluster) -> None:
    """creating -> available: the first member of a replica cluster copies the source, a later one the writer."""
    world = instance.region.world
    with failing_to(instance, "failed"):
        world.pause(instance.identifier, "creating")
        server = _new_server(instance)
        source = cluster.source
        others = [one for one in cluster.members if one is not instance and one.server is not None]
        if source is not None:
            server.clone(_running(source), cluster.slot)
        elif cluster.prepare is not None and not others:
            cluster.prepare(server)
        elif others:
            server.clone(_running(cluster.writer or others[0]), instance.slot)
        else:
            server.initialize(world.installations)
        if not others:
            server.extra_addresses = [cluster.address]
        _start(instance, server)
        if not others:
            world.bastion.open(cluster.address, cluster.port)
            if source is None:
                cluster.writer = instance
                if cluster.prepare is None:
                    set_up_master(
                        server, cluster.facts["MasterUsername"], cluster.password, cluster.facts.get("DatabaseName")
                    )
        refresh_reader_endpoint(cluster)
    instance.region.record(instance, "DB instance created", "creation")
    instance.state = "available"


def _running(instance: Instance) -> Server:
    """The server of an instance that others copy; waits a while for one that is just restarting."""
    deadline = time.monotonic() + SOURCE_SECONDS
    while instance.server is None or not instance.server.running:
        if time.monotonic() > deadline or instance.region.world.stopping.wait(0.05):
            raise ServerError(f"{instance.identifier} isn't running, so nothing can be copied from it")
    return instance.server


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


def delete_instance(instance: Instance, final: Snapshot | None) -> None:
    """deleting -> gone; with a final snapshot the data stays in it."""
    region = instance.region
    world = region.world
    cluster = instance.cluster
    server = instance.server or instance.pending_server
    with failing_to(instance, "failed"):
        world.pause(instance.identifier, "deleting")
        if server is not None:
            server.stop()
            if final is not None:
                final.take_over(server)
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
    if cluster is not None:
        leave_cluster(instance, cluster)


def drop_upstream_slot(server: Server) -> None:
    """A replica that goes leaves no slot behind on its source: it would keep WAL for ever (P13)."""
    upstream, server.upstream = server.upstream, None
    if upstream is not None and upstream.server.running:
        upstream.server.drop_slot(upstream.slot)


# -- clusters ------------------------------------------------------------------------------------------------------


def create_cluster(cluster: Cluster) -> None:
    """creating -> available; no server before its first instance (R2). A replica fails with a state of its own (R6)."""
    with failing_to(cluster, "migration-failed" if cluster.source is not None else "failed"):
        cluster.region.world.pause(cluster.identifier, "creating")
    cluster.region.record(cluster, "DB cluster created", "creation")
    cluster.state = "available"


def promote_cluster(cluster: Cluster) -> None:
    """available (for a while, still) -> promoting -> available, with the event of R16."""
    world = cluster.region.world
    try:
        with failing_to(cluster, "available"):
            world.pause(cluster.identifier, "promotion-accepted")
            cluster.state = "promoting"
            world.pause(cluster.identifier, "promoting")
            become_standalone(cluster)
        cluster.region.record(
            cluster, "Promoted Read Replica cluster to a stand-alone database cluster.", "notification"
        )
        cluster.state = "available"
    finally:
        cluster.promoting = False


def become_standalone(cluster: Cluster) -> None:
    """Promote the cluster's member for good and forget the source."""
    (member, *_others) = [one for one in cluster.members if one.server is not None]
    assert member.server is not None
    upstream = member.server.upstream
    member.server.promote()
    if upstream is not None and upstream.server.running:
        upstream.server.drop_slot(upstream.slot)
    with cluster.region.world.lock:
        forget_source(cluster)
        cluster.writer = member
    refresh_reader_endpoint(cluster)


def forget_source(cluster: Cluster) -> None:
    """Take the cluster off the source's list of replicas (R7)."""
    source = cluster.source
    cluster.facts.pop("ReplicationSourceIdentifier", None)
    if source is not None:
        replicas = source.facts["ReadReplicaDBClusterIdentifiers"]
        if cluster.identifier in replicas:
            replicas.remove(cluster.identifier)


def leave_cluster(instance: Instance, cluster: Cluster) -> None:
    """After a member has gone: a reader takes the writer's place, and its endpoint."""
    world = cluster.region.world
    if cluster.writer is instance:
        cluster.writer = None
        readers = [one for one in cluster.members if one.server is not None and one.state == "available"]
        if readers:
            fail_over(cluster, readers[0])
    if not cluster.members:
        world.bastion.close(cluster.address)
        world.bastion.close(cluster.reader_address)
    else:
        refresh_reader_endpoint(cluster)


def fail_over(cluster: Cluster, reader: Instance) -> None:
    """Make a reader the writer: it takes over the writer's address, the other readers follow it."""
    assert reader.server is not None
    reader.state = "rebooting"
    reader.server.promote()
    reader.server.extra_addresses = [cluster.address]
    reader.server.restart()
    cluster.writer = reader
    for other in cluster.members:
        if other is not reader and other.server is not None and other.server.upstream is not None:
            other.server.follow(reader.server, other.slot)
            other.server.restart()
    cluster.region.record(cluster, f"Completed failover to DB instance: {reader.identifier}", "failover")
    reader.state = "available"


def switch_over(cluster: Cluster, reader: Instance) -> None:
    """A failover somebody asked for: the old writer comes back as a fresh reader of the new one."""
    old = cluster.writer
    assert old is not None and old.server is not None
    cluster.state = "failing-over"
    with failing_to(cluster, "available"):
        cluster.region.world.pause(cluster.identifier, "failing-over")
        old.state = "rebooting"
        old.server.stop()
        fail_over(cluster, reader)
        remove_tree(old.server.data_dir)
        old.server.extra_addresses = []
        assert reader.server is not None
        old.server.clone(reader.server, old.slot)
        old.server.start()
        old.state = "available"
        refresh_reader_endpoint(cluster)
    cluster.state = "available"


def refresh_reader_endpoint(cluster: Cluster) -> None:
    """The reader endpoint leads to a reader, or to the writer while there is none."""
    members = [one for one in cluster.members if one.server is not None]
    readers = [one for one in members if one is not cluster.writer] or members
    if readers:
        bastion = cluster.region.world.bastion
        listen, target = (cluster.reader_address, cluster.port), (readers[0].address, readers[0].port)
        bastion.forward(listen, target)
        bastion.open(cluster.reader_address, cluster.port, readers[0].address)


def delete_cluster(cluster: Cluster) -> None:
    """deleting -> gone."""
    region = cluster.region
    with failing_to(cluster, "failed"):
        region.world.pause(cluster.identifier, "deleting")
    region.record(cluster, "DB cluster deleted", "deletion")
    with region.world.lock:
        forget_source(cluster)
        region.clusters.pop(cluster.identifier, None)
        region.world.changed.notify_all()


# -- security groups -----------------------------------------------------------------------------------------------


def change_groups(resource: Instance | Cluster, group_ids: list[str]) -> None:
    """adding/removing -> active; new sessions only, the open ones stay (R18, P30)."""
    world = resource.region.world
    world.pause(resource.identifier, "security-groups")
    with world.lock:
        resource.facts["VpcSecurityGroups"] = group_facts(group_ids, "active")
        instances = resource.members if isinstance(resource, Cluster) else [resource]
    for instance in instances:
        ec2.refresh(instance)
    world.notify()


def group_facts(group_ids: list[str], status: str) -> list[dict[str, str]]:
    """VpcSecurityGroups as AWS lists them."""
    return [{"VpcSecurityGroupId": group_id, "Status": status} for group_id in group_ids]


def begin_group_change(resource: Instance | Cluster, group_ids: list[str]) -> bool:
    """Mark what comes and what goes; False when the groups are those it has already."""
    current = [one["VpcSecurityGroupId"] for one in resource.facts["VpcSecurityGroups"] if one["Status"] == "active"]
    if sorted(current) == sorted(group_ids):
        return False
    resource.facts["VpcSecurityGroups"] = [
        *group_facts([one for one in group_ids if one in current], "active"),
        *group_facts([one for one in group_ids if one not in current], "adding"),
        *group_facts([one for one in current if one not in group_ids], "removing"),
    ]
    return True


def remove_tree(path: str) -> None:
    """Remove a directory, whatever is in it."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)


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
