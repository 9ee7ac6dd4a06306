# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls to RDS: a small function a call, documents in and out as AWS writes them.

Every call is retried when it was throttled or the service was unwell, and fails with an RdsError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

from .errors import THROTTLED, UNWELL, RdsError, from_connection, from_response
from .state import EVENT_HISTORY, aws_tags

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule says that boto3 is missing

ENGINE = "aurora-postgresql"

INSTANCE_MISSING = {"DBInstanceNotFound", "DBInstanceNotFoundFault"}
INSTANCE_EXISTS = {"DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault"}
CLUSTER_MISSING = {"DBClusterNotFoundFault", "DBClusterNotFound"}
CLUSTER_EXISTS = {"DBClusterAlreadyExistsFault", "DBClusterAlreadyExists"}
GROUP_MISSING = {
    "DBClusterParameterGroupNotFound", "DBClusterParameterGroupNotFoundFault",
    "DBParameterGroupNotFound", "DBParameterGroupNotFoundFault",
}
BAD_STATE = {
    "InvalidDBClusterStateFault", "InvalidDBClusterState", "InvalidDBInstanceState", "InvalidDBInstanceStateFault",
}

_retried = AWSRetry.jittered_backoff(
    retries=6, delay=1, max_delay=10, catch_extra_error_codes=sorted(THROTTLED | UNWELL)
)


def call(client: Any, operation: str, about: str, **params: Any) -> dict[str, Any]:
    """One call, retried. ``operation`` is boto3's method name; ``about`` names the object for the error message."""
    action = client.meta.method_to_api_mapping[operation]
    try:
        return _retried(getattr(client, operation))(**params)
    except ClientError as error:
        service = client.meta.service_model.service_name
        raise from_response(service, action, about, error.response.get("Error", {})) from error
    except BotoCoreError as error:
        raise from_connection(action, about, error) from error


def collect(client: Any, operation: str, key: str, about: str, **params: Any) -> list[dict[str, Any]]:
    """All pages of a list; ``key`` is the list's place in the answer (``EngineDefaults.Parameters``)."""
    return [item for page in _pages(client, operation, key, about, params) for item in page]


def _pages(
    client: Any, operation: str, key: str, about: str, params: Mapping[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    *outer, name = key.split(".")
    position: dict[str, str] = {}
    while True:
        answer = call(client, operation, about, **params, **position)
        for part in outer:
            answer = answer[part]
        yield answer.get(name, [])
        position = {token: answer[token] for token in ("Marker", "NextToken") if answer.get(token)}
        if not position:
            return


def _one(client: Any, operation: str, key: str, about: str, missing: set[str], **params: Any) -> dict[str, Any] | None:
    try:
        found = collect(client, operation, key, about, **params)
    except RdsError as error:
        if error.code in missing:
            return None
        raise
    return found[0] if found else None


# Reading

def describe_instance(client: Any, identifier: str) -> dict[str, Any] | None:
    """The DBInstance, or None when there is none of that name."""
    return _one(
        client, "describe_db_instances", "DBInstances", f"instance {identifier}", INSTANCE_MISSING,
        DBInstanceIdentifier=identifier,
    )


def describe_instances(client: Any) -> list[dict[str, Any]]:
    """Every DBInstance of the Region."""
    return collect(client, "describe_db_instances", "DBInstances", "all instances")


def describe_members(client: Any, cluster: str) -> list[dict[str, Any]]:
    """The DBInstances that belong to a cluster, whatever state they are in."""
    found = collect(
        client, "describe_db_instances", "DBInstances", f"instances of cluster {cluster}",
        Filters=[{"Name": "db-cluster-id", "Values": [cluster]}],
    )
    return [instance for instance in found if instance.get("DBClusterIdentifier") == cluster]


def describe_cluster(client: Any, identifier: str) -> dict[str, Any] | None:
    """The DBCluster, or None when there is none of that name."""
    return _one(
        client, "describe_db_clusters", "DBClusters", f"cluster {identifier}", CLUSTER_MISSING,
        DBClusterIdentifier=identifier,
    )


def describe_clusters(client: Any) -> list[dict[str, Any]]:
    """Every DBCluster of the Region."""
    return collect(client, "describe_db_clusters", "DBClusters", "all clusters")


def describe_versions(client: Any, engine: str = ENGINE, version: str | None = None) -> list[dict[str, Any]]:
    """The DBEngineVersions which can be created now (R5); ``version`` narrows to one."""
    narrowed = {"EngineVersion": version} if version else {}
    return collect(
        client, "describe_db_engine_versions", "DBEngineVersions", f"versions of {engine}",
        Engine=engine, Filters=[{"Name": "status", "Values": ["available"]}], **narrowed,
    )


def describe_orderable(
    client: Any, version: str, instance_class: str | None = None, engine: str = ENGINE
) -> list[dict[str, Any]]:
    """The OrderableDBInstanceOptions of one version, of one class when it is given; empty: not to be had (R5)."""
    narrowed = {"DBInstanceClass": instance_class} if instance_class else {}
    return collect(
        client, "describe_orderable_db_instance_options", "OrderableDBInstanceOptions",
        f"classes for {engine} {version}", Engine=engine, EngineVersion=version, **narrowed,
    )


def describe_parameter_group(client: Any, name: str) -> dict[str, Any] | None:
    """The DBParameterGroup (of instances), or None."""
    return _one(
        client, "describe_db_parameter_groups", "DBParameterGroups", f"parameter group {name}", GROUP_MISSING,
        DBParameterGroupName=name,
    )


def describe_cluster_parameter_group(client: Any, name: str) -> dict[str, Any] | None:
    """The DBClusterParameterGroup, or None."""
    return _one(
        client, "describe_db_cluster_parameter_groups", "DBClusterParameterGroups",
        f"cluster parameter group {name}", GROUP_MISSING, DBClusterParameterGroupName=name,
    )


def describe_parameters(client: Any, group: str, source: str | None = None) -> list[dict[str, Any]]:
    """The parameters of an instance group; ``source`` ``user`` narrows to those a person has set (R26)."""
    narrowed = {"Source": source} if source else {}
    return collect(
        client, "describe_db_parameters", "Parameters", f"parameter group {group}",
        DBParameterGroupName=group, **narrowed,
    )


def describe_cluster_parameters(client: Any, group: str, source: str | None = None) -> list[dict[str, Any]]:
    """The parameters of a cluster group; ``source`` as in :func:`describe_parameters`."""
    narrowed = {"Source": source} if source else {}
    return collect(
        client, "describe_db_cluster_parameters", "Parameters", f"cluster parameter group {group}",
        DBClusterParameterGroupName=group, **narrowed,
    )


def describe_default_parameters(client: Any, family: str) -> list[dict[str, Any]]:
    """What an instance of the family starts with (R26)."""
    return collect(
        client, "describe_engine_default_parameters", "EngineDefaults.Parameters", f"defaults of {family}",
        DBParameterGroupFamily=family,
    )


def describe_default_cluster_parameters(client: Any, family: str) -> list[dict[str, Any]]:
    """What a cluster of the family starts with (R26)."""
    return collect(
        client, "describe_engine_default_cluster_parameters", "EngineDefaults.Parameters",
        f"cluster defaults of {family}", DBParameterGroupFamily=family,
    )


def describe_events(
    client: Any, identifier: str, since: datetime, now: datetime, kind: str = "db-cluster"
) -> list[dict[str, Any]]:
    """Events of one object not older than ``since``, oldest first (R16).

    AWS keeps 14 days, and gives 60 minutes unasked. They are not narrowed by category: which one a promotion has is
    not documented.
    """
    minutes = ceil(min(max(now - since, timedelta(minutes=1)), EVENT_HISTORY) / timedelta(minutes=1)) + 1
    found = collect(
        client, "describe_events", "Events", f"events of {identifier}", SourceType=kind,
        SourceIdentifier=identifier, Duration=min(minutes, EVENT_HISTORY // timedelta(minutes=1)),
    )
    return sorted((event for event in found if event["Date"] >= since), key=lambda event: event["Date"])


def service_time(client: Any, identifier: str) -> datetime:
    """AWS's own clock (UTC, to the second), from the answer to a harmless question about an instance."""
    answer = call(client, "describe_db_instances", f"instance {identifier}", DBInstanceIdentifier=identifier)
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def describe_subnet_group(client: Any, name: str) -> dict[str, Any] | None:
    """The DBSubnetGroup, or None."""
    return _one(
        client, "describe_db_subnet_groups", "DBSubnetGroups", f"subnet group {name}",
        {"DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"}, DBSubnetGroupName=name,
    )


# Changing

def create_cluster(client: Any, identifier: str, **params: Any) -> None:
    """CreateDBCluster. A cluster that is there already is no error here: a retried call may have made it."""
    _tolerating(CLUSTER_EXISTS, client, "create_db_cluster", f"cluster {identifier}",
                DBClusterIdentifier=identifier, **params)


def create_instance(client: Any, identifier: str, **params: Any) -> None:
    """CreateDBInstance. As for a cluster, one that is there already is no error here."""
    _tolerating(INSTANCE_EXISTS, client, "create_db_instance", f"instance {identifier}",
                DBInstanceIdentifier=identifier, **params)


def modify_instance(client: Any, identifier: str, **params: Any) -> dict[str, Any]:
    """ModifyDBInstance, at once and not in the maintenance window."""
    return call(client, "modify_db_instance", f"instance {identifier}",
                DBInstanceIdentifier=identifier, ApplyImmediately=True, **params)["DBInstance"]


def modify_cluster(client: Any, identifier: str, **params: Any) -> dict[str, Any]:
    """ModifyDBCluster, at once and not in the maintenance window."""
    return call(client, "modify_db_cluster", f"cluster {identifier}",
                DBClusterIdentifier=identifier, ApplyImmediately=True, **params)["DBCluster"]


def reboot_instance(client: Any, identifier: str) -> dict[str, Any]:
    """RebootDBInstance: ends every session (R18)."""
    return call(client, "reboot_db_instance", f"instance {identifier}", DBInstanceIdentifier=identifier)["DBInstance"]


def promote_cluster(client: Any, identifier: str) -> None:
    """PromoteReadReplicaDBCluster: one-way (R16)."""
    call(client, "promote_read_replica_db_cluster", f"cluster {identifier}", DBClusterIdentifier=identifier)


def delete_instance(client: Any, identifier: str) -> None:
    """DeleteDBInstance of a cluster's member: its data belongs to the cluster. One that is gone is no error."""
    _tolerating(INSTANCE_MISSING, client, "delete_db_instance", f"instance {identifier}",
                DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)


def delete_cluster(client: Any, identifier: str, final_snapshot: str | None) -> None:
    """DeleteDBCluster, with a last snapshot or without any. One that is gone is no error."""
    last = {"FinalDBSnapshotIdentifier": final_snapshot} if final_snapshot else {}
    _tolerating(CLUSTER_MISSING, client, "delete_db_cluster", f"cluster {identifier}",
                DBClusterIdentifier=identifier, SkipFinalSnapshot=not final_snapshot, **last)


def add_tags(client: Any, arn: str, tags: Mapping[str, str]) -> None:
    """AddTagsToResource."""
    call(client, "add_tags_to_resource", arn, ResourceName=arn,
         Tags=aws_tags(tags))


def remove_tags(client: Any, arn: str, keys: Sequence[str]) -> None:
    """RemoveTagsFromResource."""
    call(client, "remove_tags_from_resource", arn, ResourceName=arn, TagKeys=list(keys))


def _tolerating(codes: set[str], client: Any, operation: str, about: str, **params: Any) -> None:
    try:
        call(client, operation, about, **params)
    except RdsError as error:
        if error.code not in codes:
            raise
