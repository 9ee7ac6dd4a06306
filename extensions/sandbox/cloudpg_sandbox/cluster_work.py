# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work behind a cluster's states: replicas that stream, promotions, readers, failovers.

Every piece of work runs in a thread of its own and leaves the outcome in the cluster's state.
"""

from __future__ import annotations

import shutil

from .instance_work import (
    delete_instance,
    failing_to,
    new_server,
    running_server,
    set_up_master,
    start_server,
)
from .rds_model import Cluster, Instance
from .rds_snapshots_model import Snapshot, Volume


def create_cluster(cluster: Cluster) -> None:
    """creating -> available; no server before its first instance (R2). A replica fails with a state of its own (R6)."""
    with failing_to(cluster, "migration-failed" if cluster.source is not None else "failed"):
        cluster.region.world.pause(cluster.identifier, "creating")
    cluster.region.record(cluster, "DB cluster created", "creation")
    cluster.state = "available"


def create_member(instance: Instance, cluster: Cluster) -> None:
    """creating -> available: the first member has the source's data or the cluster's own, a later one the writer's."""
    world = instance.region.world
    with failing_to(instance, "failed"):
        world.pause(instance.identifier, "creating")
        server = new_server(instance)
        source = cluster.source
        others = [one for one in cluster.members if one is not instance and one.server is not None]
        if source is not None:
            server.clone(running_server(source), cluster.slot)
        elif cluster.volume is not None and not others:
            server.copy_from(cluster.volume.data_dir)
        elif others:
            server.clone(running_server(cluster.writer or others[0]), instance.slot)
        else:
            server.initialize(world.installations)
        if not others:
            server.extra_addresses = [cluster.address]
        start_server(instance, server)
        if not others:
            world.bastion.open(cluster.address, cluster.port)
            if source is None:
                cluster.writer = instance
                if cluster.volume is None:
                    set_up_master(
                        server, cluster.facts["MasterUsername"], cluster.password, cluster.facts.get("DatabaseName")
                    )
            drop_volume(cluster)
        refresh_reader_endpoint(cluster)
    instance.region.record(instance, "DB instance created", "creation")
    instance.state = "available"


def delete_member(instance: Instance, cluster: Cluster) -> None:
    """deleting -> gone, and what that means for its cluster: the writer's data stays, here or with a new writer."""
    if cluster.writer is instance:
        cluster.volume = Volume(cluster.region.world.new_directory("v"))
        delete_instance(instance, cluster.volume)
    else:
        delete_instance(instance, None)
    leave_cluster(instance, cluster)
    if cluster.writer is not None:
        drop_volume(cluster)


def drop_volume(cluster: Cluster) -> None:
    """Where a member has the data, it isn't kept twice."""
    if cluster.volume is not None:
        cluster.volume.discard()
        cluster.volume = None


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
    if not member.server.running:
        member.server.start()  # AWS starts a server that died
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
        shutil.rmtree(old.server.data_dir)
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


def delete_cluster(cluster: Cluster, final: Snapshot | None) -> None:
    """deleting -> gone, once its members have; with a final snapshot the data stays in it."""
    region = cluster.region
    try:
        with failing_to(cluster, "failed"):
            region.world.pause(cluster.identifier, "deleting")
            await_members_gone(cluster)
            if final is not None:
                fill(final, cluster)
    except Exception:
        if final is not None:
            final.fail()
        raise
    drop_volume(cluster)
    region.record(cluster, "DB cluster deleted", "deletion")
    with region.world.lock:
        forget_source(cluster)
        region.clusters.pop(cluster.identifier, None)
        region.world.changed.notify_all()


def fill(final: Snapshot, cluster: Cluster) -> None:
    """Give a cluster's data to its final snapshot; without an instance it never had any."""
    if cluster.volume is None:
        final.finish()
    else:
        final.take_over(cluster.volume.data_dir, cluster.region.world.account)


def await_members_gone(cluster: Cluster) -> None:
    """Until those on their way out have gone; one that fails on its way keeps its cluster."""
    world = cluster.region.world

    def ended() -> bool:
        return world.stopping.is_set() or all(one.state != "deleting" for one in cluster.members)

    with world.lock:
        world.changed.wait_for(ended)
        staying = [one.identifier for one in cluster.members]
    if staying:
        raise RuntimeError(f"{', '.join(staying)} could not be deleted")
