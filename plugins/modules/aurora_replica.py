# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aurora_replica
short_description: Make, promote or delete an Aurora read replica of an RDS for PostgreSQL instance
version_added: 1.0.0
author: cloudpg.migration contributors (@cloudpg)
description:
  - Makes an Aurora PostgreSQL cluster that replicates from an RDS for PostgreSQL instance, gives it its one instance,
    promotes it to a cluster of its own, or deletes it.
  - The cluster carries the tag C(cloudpg:migration) with the migration's name. A cluster that neither carries it nor
    replicates from O(source) is never touched.
  - M(amazon.aws.rds_cluster) is not used for this because its C(promote) waits only for C(available), which can be true
    before the promotion has begun, and looks at no event.
extends_documentation_fragment:
  - cloudpg.migration.attributes
  - cloudpg.migration.attributes.writing
  - cloudpg.migration.aws
  - cloudpg.migration.aws.wait
  - cloudpg.migration.journal
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
options:
  state:
    description:
      - V(present) makes the cluster and, once that is available, its instance. A cluster of this migration that was
        promoted already is left as it is.
      - V(promoted) promotes it, and waits until it is available, names no source, has a writer and its event was seen.
      - V(absent) deletes instances and cluster. A replica is promoted first, since AWS may refuse to delete the last
        instance of one. This is refused while anybody but the migration gets in, that is unless each of the cluster's
        security groups is one of the journal's or has no ingress. The journal has the cluster as C(target.dead) from
        before the promotion on, so that a second run goes on with the removal.
    type: str
    choices: [present, promoted, absent]
    default: present
  source:
    description: The identifier of the RDS for PostgreSQL instance.
    type: str
    required: true
  cluster:
    description: The identifier of the Aurora cluster.
    type: str
    required: true
  instance:
    description: The identifier of the cluster's instance. The default is O(cluster) with C(-1) added.
    type: str
  instance_class:
    description: The class of the instance. Needed to create it, never changed afterwards.
    type: str
  engine_version:
    description:
      - The Aurora version of a new cluster. The default is the lowest that AWS offers for the source's version.
    type: str
  security_group_ids:
    description:
      - The security groups of a new cluster. Promotion opens a cluster to whoever its groups let in, so use the group
        of the journal and M(cloudpg.migration.rds_quiesce) to open it.
    type: list
    elements: str
  cluster_parameter_group:
    description: The cluster parameter group of a new cluster.
    type: str
  parameter_group:
    description: The parameter group of a new instance.
    type: str
  kms_key_id:
    description: The KMS key of a new cluster. The default is the source's.
    type: str
  storage_encrypted:
    description: Whether a new cluster is encrypted. The default is what the source is. An encrypted source needs it.
    type: bool
  tags:
    description: Tags of the cluster, and of a new instance. Left out, they stay as they are.
    type: dict
  purge_tags:
    description: Whether to remove tags of the cluster that O(tags) does not name.
    type: bool
    default: true
  deletion_protection:
    description: Whether the cluster is protected. Left out, it stays as it is.
    type: bool
  skip_final_snapshot:
    description:
      - With O(state=absent), whether a cluster that was promoted may be deleted without a last snapshot. One that the
        journal has as C(target.opened) may not, whatever this says; one that it has as C(target.dead), and that is
        closed, always may.
    type: bool
    default: false
  final_snapshot:
    description:
      - With O(state=absent), the name of the last snapshot of a cluster that was promoted. A replica, which holds
        nothing of its own, gets none.
    type: str
  wait:
    description:
      - Whether to wait until AWS has done what was asked. Without it O(state=present) does what can be done now, and a
        second call, once the cluster is available, goes on. So does O(state=absent) with the promotion of a replica.
seealso:
  - module: cloudpg.migration.aurora_replica_info
  - module: cloudpg.migration.aurora_replica_wait
  - module: cloudpg.migration.rds_quiesce
"""

EXAMPLES = r"""
- name: Make the replica, closed
  cloudpg.migration.aurora_replica:
    state: present
    source: orders-rds
    cluster: orders-aurora
    instance_class: db.r6g.large
    security_group_ids: ["{{ lock.journal.group_id }}"]
    journal: "{{ lock.journal }}"

- name: Promote it
  cloudpg.migration.aurora_replica:
    state: promoted
    source: orders-rds
    cluster: orders-aurora
    journal: "{{ lock.journal }}"
    wait_timeout: 600

- name: Remove it before it has served
  cloudpg.migration.aurora_replica:
    state: absent
    source: orders-rds
    cluster: orders-aurora
    skip_final_snapshot: true
    journal: "{{ lock.journal }}"
"""

RETURN = r"""
cluster:
  description: The cluster, or null when there is none. In check mode as it would be.
  type: dict
  returned: always
  contains:
    identifier:
      description: The identifier.
      type: str
    arn:
      description: The ARN.
      type: str
    status:
      description: The status.
      type: str
    engine_version:
      description: The version.
      type: str
    endpoint:
      description: The address of the writer.
      type: str
    reader_endpoint:
      description: The address of the readers.
      type: str
    port:
      description: The port.
      type: int
    replication_source:
      description: The ARN of the source while it is a replica, else null.
      type: str
    is_replica:
      description: Whether it is one.
      type: bool
    security_groups:
      description: The groups, each with C(id) and C(status).
      type: list
      elements: dict
    parameter_group:
      description: The cluster parameter group.
      type: str
    members:
      description: >-
        The instances, each with C(identifier), C(class), C(status), C(is_writer), C(address), C(port),
        C(parameter_group), C(parameter_apply_status) and C(cluster_parameter_apply_status).
      type: list
      elements: dict
    tags:
      description: The tags.
      type: dict
    predicted:
      description: Whether this is what would be, and not what is.
      type: bool
phase:
  description: >-
    One of C(absent), C(creating_cluster), C(no_instance), C(creating_instance), C(replica), C(promoting), C(promoted),
    C(deleting) and C(failed).
  type: str
  returned: always
actions:
  description: What was done, or in check mode would be, a sentence each.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.cloudpg.migration.plugins.module_utils._aws import JOURNAL, WAIT, run
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import utc_now
from ansible_collections.cloudpg.migration.plugins.module_utils._plan import carry_out
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import removal, replica, replica_work, state
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.journal import Lock
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.waiters import Patience

OPTIONS = {
    "source": {"type": "str", "required": True},
    "cluster": {"type": "str", "required": True},
    "instance": {"type": "str"},
    "instance_class": {"type": "str"},
    "engine_version": {"type": "str"},
    "security_group_ids": {"type": "list", "elements": "str"},
    "cluster_parameter_group": {"type": "str"},
    "parameter_group": {"type": "str"},
    "kms_key_id": {"type": "str"},
    "storage_encrypted": {"type": "bool"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool", "default": True},
    "deletion_protection": {"type": "bool"},
    "skip_final_snapshot": {"type": "bool", "default": False},
    "final_snapshot": {"type": "str"},
}


def wish_of(module):
    params = module.params
    return replica.Wish(
        migration=params["journal"]["migration"],
        **{name: params[name] for name in OPTIONS if name != "instance"},
        instance=params["instance"] or f"{params['cluster']}-1",
        # In check mode nothing has to be waited for.
        whole=params["wait"] or module.check_mode,
    )


def make_plan(module, rds, wish, seen):
    if module.params["state"] == "absent":
        standing = removal.look(module.client("ec2"), seen, wish, module.params["journal"]["group_id"])
        return removal.plan_absent(seen, wish, standing, may_be_open=module.check_mode)
    if module.params["state"] == "promoted":
        return replica.plan_promoted(seen, wish, may_be_missing=module.check_mode)
    version = None
    if seen.cluster is None:
        if seen.source is None:
            raise RdsError(f"source: instance {wish.source} doesn't exist in this Region. Cure: name the RDS instance.")
        version = replica_work.choose_version(rds, seen.source, wish)
    return replica.plan_present(seen, wish, version)


def apply(module, rds, wish, plan):
    ec2 = module.client("ec2")
    lock = Lock(ec2, module.params["journal"])
    lock.cover(rds)
    patience = Patience(module.params["wait_timeout"], lock.keep_alive)
    if module.params["state"] == "absent":
        work = removal.Removal(rds, wish, lock, patience, utc_now, ec2)
    else:
        work = replica_work.Work(rds, wish, lock, patience, utc_now)
    carry_out(plan, work.operations(), lock.guard)
    if module.params["wait"]:
        getattr(work, f"await_{module.params['state']}")(replica_work.observe(rds, wish))


def body(module):
    rds, wish = module.client("rds"), wish_of(module)
    seen = replica_work.observe(rds, wish)
    plan = make_plan(module, rds, wish, seen)
    if module.check_mode:
        document = replica.predicted(seen, plan, wish) if plan.changed else replica.document(seen)
        phase = "replica" if module.params["state"] == "present" else module.params["state"]
        if not plan.changed:
            phase = state.phase(seen.cluster, seen.members, wish.instance)
        return {**plan.result(), "cluster": document, "phase": phase}
    apply(module, rds, wish, plan)
    seen = replica_work.observe(rds, wish)
    phase = state.phase(seen.cluster, seen.members, wish.instance)
    return {**plan.result(), "cluster": replica.document(seen), "phase": phase}


def main():
    run(
        body,
        {
            "state": {"type": "str", "choices": ["present", "promoted", "absent"], "default": "present"},
            **OPTIONS,
            "journal": JOURNAL,
            **WAIT,
        },
        mutually_exclusive=[("skip_final_snapshot", "final_snapshot")],
    )


if __name__ == "__main__":
    main()
