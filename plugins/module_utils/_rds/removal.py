# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking an Aurora replica away again.

AWS keeps the last instance of a read replica cluster until that is promoted. It documents this for replicas of Aurora
clusters; whether it holds for those of an RDS instance is not known. So a replica is promoted before it is deleted:
closed, and written down as dead, lest a later run take it for a cutover that stopped half-way (R16, R19).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._plan import Plan
from . import api, groups, state, waiters
from .errors import RdsError
from .journal import Family, read
from .replica import DEAD, Document, Draft, Seen, Wish, check_belongs, protect, summary
from .replica_work import Work
from .state import is_replica

# Whether a promotion comes before the deletion. PERHAPS: AWS is asked, since an instance that isn't there yet would
# have to be waited for.
NONE, NEEDED, PERHAPS, UNDER_WAY = "none", "needed", "perhaps", "under way"
OPENED = "target.opened"


@dataclass(frozen=True)
class Standing:
    """What journal and security groups say of a cluster that is to go.

    ``dead``: it never served. ``opened_at``: since when it serves. ``open_by``: the groups by which others than the
    migration get in.
    """

    dead: bool = False
    opened_at: str | None = None
    open_by: Sequence[str] = ()


def look(ec2: Any, seen: Seen, wish: Wish, group_id: str | None = None) -> Standing:
    """Read it. ``group_id`` is the lock's, where it is held."""
    if seen.cluster is None:
        return Standing()
    family = read(ec2, wish.migration, state.vpc_of(seen.source) if seen.source else None, group_id)
    said = {id: event for id, event in family.events.items() if event.object == wish.cluster and event.now}
    others, dead = open_by(ec2, seen.cluster, family), DEAD in said
    # Who wrote it down as dead had the migration, so a run that wrote `opened` beside it had lost it; but if somebody
    # gets in after all, there may be writes.
    opened = None if dead and not others else said.get(OPENED)
    return Standing(dead, opened.at if opened else None, others)


def open_by(ec2: Any, cluster: Document, family: Family) -> list[str]:
    """The cluster's groups which are not the migration's and have ingress. Empty: it is closed."""
    attached = state.security_groups(cluster)
    if not attached:
        return ["groups that AWS doesn't name"]
    return groups.letting_in(ec2, [group for group in attached if group not in family.group_ids])


def check_closed(cluster: str, others: Sequence[str]) -> None:
    """Raise RdsError for a replica whose promotion would open a second database to somebody."""
    if others:
        raise RdsError(
            f"cluster {cluster} is a replica that is open by {', '.join(others)}, and before it can be deleted it is "
            "promoted: whoever gets in could write to it then. Cure: close it with rds_quiesce (state: quiesced), "
            "then run again.",
            code="open",
        )


def _remaining(seen: Seen) -> list[Document]:
    return [member for member in seen.members if member.get("DBInstanceStatus") != "deleting"]


def promotion_of(seen: Seen) -> str:
    """Whether a promotion comes before the deletion of this cluster's instances."""
    cluster, remaining = seen.cluster, _remaining(seen)
    if cluster.get("Status") == "promoting":
        return UNDER_WAY
    if not is_replica(cluster) or cluster.get("Status") in state.CLUSTER_FAILURES:
        return NONE
    phases = {state.member_phase(member.get("DBInstanceStatus")) for member in remaining}
    if "replica" in phases:
        return NEEDED
    return PERHAPS if "creating_instance" in phases else NONE


def _check_loss(wish: Wish, standing: Standing) -> None:
    """Raise RdsError for a promoted cluster that may hold writes, unless they are saved or waived."""
    if wish.final_snapshot:
        return
    if standing.opened_at:
        raise RdsError(
            f"cluster {wish.cluster} was opened at {standing.opened_at}: it holds writes that nothing else has. "
            "Cure: name a final_snapshot."
        )
    if not (wish.skip_final_snapshot or standing.dead and not standing.open_by):
        raise RdsError(
            f"cluster {wish.cluster} was promoted: it may hold writes that nothing else has. "
            "Cure: name a final_snapshot, or give skip_final_snapshot: true."
        )


def plan_absent(seen: Seen, wish: Wish, standing: Standing = Standing(), *, may_be_open: bool = False) -> Plan:
    """To nothing. ``may_be_open`` is check mode: an earlier task would have closed it."""
    check_belongs(seen, wish)
    draft = Draft(summary(seen))
    cluster = seen.cluster
    if cluster is None:
        return draft.plan()
    promotion = promotion_of(seen)
    of_its_own = promotion == UNDER_WAY or not (is_replica(cluster) or cluster["Status"] in ("creating", "deleting"))
    if of_its_own:
        _check_loss(wish, standing)
    if promotion in (NEEDED, PERHAPS) and not may_be_open:
        check_closed(wish.cluster, standing.open_by)
    if cluster.get("DeletionProtection") and wish.deletion_protection is not False:
        raise RdsError(
            f"cluster {wish.cluster} is protected from deletion. Cure: give deletion_protection: false as well."
        )
    protect(draft, cluster, wish)
    if promotion == NEEDED:
        closed = f"once it is closed (it is open by {', '.join(standing.open_by)})" if standing.open_by else "closed"
        draft.add("promote", f"promote cluster {wish.cluster}, {closed}: AWS may keep the last instance of a replica",
                  identifier=wish.cluster)
        draft.cluster(replication_source=None)
    if wish.whole or promotion in (NONE, PERHAPS):
        _delete(draft, seen, wish, promotion, wish.final_snapshot if of_its_own else None)
    return draft.plan()


_WHEN = {
    NONE: "", NEEDED: " once it is promoted", UNDER_WAY: " once its promotion, which is under way, has ended",
    PERHAPS: "; should AWS keep it, promote the cluster first",
}


def _delete(draft: Draft, seen: Seen, wish: Wish, promotion: str, snapshot: str | None) -> None:
    for member in _remaining(seen):
        name = member["DBInstanceIdentifier"]
        draft.add("delete_instance", f"delete instance {name} of cluster {wish.cluster}{_WHEN[promotion]}",
                  identifier=name, once_promoted=promotion in (NEEDED, UNDER_WAY))
    if seen.cluster["Status"] != "deleting":
        draft.add("delete_cluster", f"delete cluster {wish.cluster}"
                  + (f" with the last snapshot {snapshot}" if snapshot else " without a snapshot"),
                  identifier=wish.cluster, final_snapshot=snapshot)
    draft.after = {"cluster": None, "instances": []}


@dataclass(frozen=True)
class Removal(Work):
    """The operations that the steps name."""

    ec2: Any = None

    def operations(self) -> dict[str, Callable[..., None]]:
        return {
            **super().operations(),
            "promote": self.promote_closed,
            "delete_instance": self.delete_instance,
            "delete_cluster": self.delete_cluster,
        }

    def promote_closed(self, identifier: str) -> None:
        """Promote what is proven closed now. The journal has it dead before AWS is asked."""
        def settled(cluster: dict[str, Any]) -> bool:
            return state.groups_in_force(cluster, state.security_groups(cluster))

        cluster = self.patience.until(
            lambda: waiters.cluster_sight(self.rds, identifier, settled),
            f"cluster {identifier} to be available and its groups in force",
        )
        check_closed(identifier, open_by(self.ec2, cluster, self.lock.guard()))
        self.lock.record(DEAD, identifier, False, True)
        self.promote(identifier)

    def delete_instance(self, identifier: str, once_promoted: bool = False) -> None:
        """A refusal is looked into: AWS may have taken an earlier call, or may keep the last instance of a replica."""
        if once_promoted:
            self._await_promotion()
        try:
            api.delete_instance(self.rds, identifier)
        except RdsError as error:
            if error.code not in api.BAD_STATE:
                raise
            status = (api.describe_instance(self.rds, identifier) or {}).get("DBInstanceStatus", "deleting")
            if status == "deleting":
                return
            if status in state.INSTANCE_FAILURES:
                raise
            waiters.instance_available(self.rds, identifier, self.patience)
            if is_replica(api.describe_cluster(self.rds, self.wish.cluster) or {}):
                self.promote_closed(self.wish.cluster)
                self._await_promotion()
            self.lock.guard()
            api.delete_instance(self.rds, identifier)

    def _await_promotion(self) -> None:
        waiters.promoted(self.rds, self.wish.cluster, self.now, self.patience)
        self.lock.guard()

    def delete_cluster(self, identifier: str, final_snapshot: str | None) -> None:
        """AWS may want its instances to be gone, and not only on their way out."""
        try:
            api.delete_cluster(self.rds, identifier, final_snapshot)
        except RdsError as error:
            if error.code not in api.BAD_STATE:
                raise
            if (api.describe_cluster(self.rds, identifier) or {}).get("Status", "deleting") == "deleting":
                return
            members = api.describe_members(self.rds, identifier)
            if not members:
                raise
            for member in members:
                name = member["DBInstanceIdentifier"]
                waiters.gone(lambda name=name: api.describe_instance(self.rds, name), f"instance {name}", self.patience)
            self.lock.guard()
            api.delete_cluster(self.rds, identifier, final_snapshot)

    def await_absent(self, seen: Seen) -> None:
        waiters.gone(
            lambda: api.describe_cluster(self.rds, self.wish.cluster), f"cluster {self.wish.cluster}", self.patience
        )
