"""Documents as AWS writes them, with what a test cares about."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)  # a Monday
ARN = "arn:aws:rds:eu-west-1:123456789012"


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": key.replace("__", ":"), "Value": value} for key, value in values.items()]


def groups(*ids: str, status: str = "active") -> list[dict[str, str]]:
    return [{"VpcSecurityGroupId": group, "Status": status} for group in ids]


def instance(name: str = "orders", **facts: Any) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": name, "DBInstanceArn": f"{ARN}:db:{name}", "DBInstanceStatus": "available",
        "Engine": "postgres", "EngineVersion": "16.4", "DBSubnetGroup": {"DBSubnetGroupName": "data", "VpcId": "vpc-1"},
        "VpcSecurityGroups": groups("sg-app"), **facts,
    }


def cluster(name: str = "orders-aurora", **facts: Any) -> dict[str, Any]:
    return {
        "DBClusterIdentifier": name, "DBClusterArn": f"{ARN}:cluster:{name}", "Status": "available",
        "Engine": "aurora-postgresql", "EngineVersion": "16.6", "ClusterCreateTime": NOW - timedelta(hours=2),
        "ReplicationSourceIdentifier": f"{ARN}:db:orders", "VpcSecurityGroups": groups("sg-lock"),
        "TagList": tags(cloudpg__migration="orders"), "DeletionProtection": False, **facts,
    }


def promoted_cluster(**facts: Any) -> dict[str, Any]:
    writer = {"DBInstanceIdentifier": "orders-aurora-1", "IsClusterWriter": True}
    return cluster(**{"ReplicationSourceIdentifier": "", "DBClusterMembers": [writer], **facts})


def member(name: str = "orders-aurora-1", **facts: Any) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": name, "DBClusterIdentifier": "orders-aurora", "DBInstanceStatus": "available",
        "DBInstanceClass": "db.r6g.large", **facts,
    }
