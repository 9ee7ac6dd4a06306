"""A promoted target is opened only when nothing tells it from the source."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.differences import differences


def database(name="shop", extensions=("plpgsql",), **facts):
    return {
        "name": name, "extensions": [{"name": extension} for extension in extensions], "subscriptions": [],
        "cron_jobs_readable": True, "cron_jobs_active": None, **facts,
    }


def server(*databases, rows=10, **facts):
    return {
        "in_recovery": False, "prepared_transaction_count": 0, "databases": list(databases) or [database()],
        "tables": [{"database": "shop", "table": "sales.orders", "rows": rows}], **facts,
    }


@pytest.mark.parametrize("target, found", [
    (server(), None),
    (server(in_recovery=True), "still in recovery"),
    (server(prepared_transaction_count=2), "2 prepared transactions"),
    (server(database(subscriptions=[{"name": "feed", "enabled": True}])), "subscription feed"),
    (server(database(subscriptions=[{"name": "feed", "enabled": False}])), None),
    (server(database(cron_jobs_active=3)), "3 cron jobs"),
    (server(database(cron_jobs_readable=False)), "can't be read"),
    (server(database("other")), "database shop is missing"),
    (server(database(extensions=())), "extension plpgsql is missing"),
    (server(database(extensions=("plpgsql", "postgis"))), None),
    (server(rows=9), "has 9 rows, the source 10"),
    (server(tables=[]), "wasn't counted"),
])
def test_r19_p44_p48_every_difference_keeps_the_target_closed(target, found):
    told = differences(target, server())
    assert (found is None and told == []) or (len(told) == 1 and found in told[0])


def test_without_the_source_the_target_alone_is_judged():
    assert differences(server(database("other"), tables=[])) == []
