# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's RDS: what belongs to no resource alone, and everything put together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from . import catalogue
from .rds_base import filters_of, invalid_combination, invalid_value, matches
from .rds_clusters import ClusterOperations
from .rds_model import Event, now
from .rds_parameters import ParameterOperations
from .rules import ApiError

HISTORY = timedelta(days=14)
DEFAULT_MINUTES = 60


def select_events(events: list[Event], request: dict[str, Any], at: datetime) -> list[Event]:
    """DescribeEvents' filters: a window of 60 minutes unless told otherwise, never further back than 14 days (R16)."""
    if request.get("SourceIdentifier") and not request.get("SourceType"):
        raise invalid_combination("You must specify the source type when you specify a source identifier.")
    if request.get("StartTime"):
        start, end = request["StartTime"], request.get("EndTime") or at
    else:
        end = request.get("EndTime") or at
        start = end - timedelta(minutes=int(request.get("Duration") or DEFAULT_MINUTES))
    start, end = max(_aware(start), at - HISTORY), _aware(end)
    if end < start:
        raise invalid_combination("The start time must be before the end time.")
    categories = request.get("EventCategories")
    identifier = request.get("SourceIdentifier")
    return [
        event for event in events
        if start <= event.at <= end
        and request.get("SourceType") in (None, event.source_type)
        and matches(identifier and [identifier.rsplit(":", 1)[-1]], event.identifier)
        and (not categories or set(categories) & set(event.categories))
    ]


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=now().tzinfo)


class SandboxRDS(ClusterOperations, ParameterOperations):
    """Events, tags, the catalogue, and all the resources."""

    def describe_events(self) -> ActionResult:
        with self.world.lock:
            events = select_events(list(self.store.events), self.request, now())
        return self.page("Events", [event.facts() for event in events])

    def describe_pending_maintenance_actions(self) -> ActionResult:
        return self.page("PendingMaintenanceActions", [])

    def describe_db_engine_versions(self) -> ActionResult:
        request = self.request
        wanted = filters_of(request, ("status", "engine", "engine-version", "parameter-group-family", "engine-mode",
                                      "db-parameter-group-family"))
        versions = catalogue.engine_versions(
            request.get("Engine"), request.get("EngineVersion"), request.get("DBParameterGroupFamily"),
            bool(request.get("DefaultOnly")), bool(request.get("IncludeAll")),
        )
        return self.page("DBEngineVersions", [
            one for one in versions
            if matches(wanted.get("status"), one.get("Status", "available"))
            and matches(wanted.get("engine"), one["Engine"])
            and matches(wanted.get("engine-version"), one["EngineVersion"])
            and matches(wanted.get("parameter-group-family"), one["DBParameterGroupFamily"])
        ])

    def describe_orderable_db_instance_options(self) -> ActionResult:
        request = self.request
        options = catalogue.orderable_options(
            request["Engine"], request.get("EngineVersion"), request.get("DBInstanceClass"), self.store.name
        )
        return self.page("OrderableDBInstanceOptions", options)

    # -- tags ------------------------------------------------------------------------------------------------------

    def _tagged(self, arn: str) -> Any:
        """The sandbox's own resource of an ARN; None for one of moto's."""
        kind, _colon, name = arn.partition(":rds:")[2].partition(":")[2].partition(":")[2].partition(":")
        store = self.store
        if kind == "db":
            return store.instance(name)
        if kind == "cluster":
            return store.cluster(name)
        if kind in ("pg", "cluster-pg"):
            return store.parameter_group("cluster" if kind == "cluster-pg" else "instance", name)
        if kind == "snapshot":
            return self.snapshot(name)
        if kind == "cluster-snapshot":
            return self.cluster_snapshot(name)
        if not kind:
            raise invalid_value(f"Invalid resource name: {arn}")
        return None

    def list_tags_for_resource(self) -> ActionResult:
        with self.world.lock:
            resource = self._tagged(self.request["ResourceName"])
            if resource is None:
                return super().list_tags_for_resource()
            return ActionResult({"TagList": resource.tags})

    def add_tags_to_resource(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            resource = self._tagged(request["ResourceName"])
            if resource is None:
                return super().add_tags_to_resource()
            merged = {one["Key"]: one.get("Value", "") for one in [*resource.tags, *request["Tags"]]}
            if len(merged) > 50:
                raise ApiError("InvalidParameterValue", "A resource can have at most 50 tags.", 400)
            resource.tags = [{"Key": key, "Value": value} for key, value in merged.items()]
        return EmptyResult()

    def remove_tags_from_resource(self) -> ActionResult:
        request = self.request
        with self.world.lock:
            resource = self._tagged(request["ResourceName"])
            if resource is None:
                return super().remove_tags_from_resource()
            resource.tags = [one for one in resource.tags if one["Key"] not in request["TagKeys"]]
        return EmptyResult()

    # -- subnet groups are moto's; what uses them is here ----------------------------------------------------------

    def delete_db_subnet_group(self) -> ActionResult:
        name = self.request["DBSubnetGroupName"].lower()
        with self.world.lock:
            users = [one.facts["DBSubnetGroup"]["DBSubnetGroupName"] for one in self.store.instances.values()]
            users += [one.facts["DBSubnetGroup"] for one in self.store.clusters.values()]
            if name in users:
                raise ApiError(
                    "InvalidDBSubnetGroupStateFault",
                    f"Cannot delete the subnet group '{name}' because at least one database instance is using it.", 400,
                )
            return super().delete_db_subnet_group()
