"""PgBouncer's routes: what is read, planned and written (R32)."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._traffic import pgbouncer

INI = """\
;; the shop's pooler
[databases]
shop = host=10.0.0.1 port=5432 dbname=shop connect_query='SELECT 1' ; main
"Odd ""name" = dbname=odd host='10.0.0.1'
reports=host=10.0.0.9 dbname=shop

[pgbouncer]
shop = not a database
pool_mode = transaction
"""


def row(name="shop", host="10.0.0.1", port=5432, pool_mode=None, paused=0, connections=0):
    return {
        "name": name, "host": host, "port": port, "pool_mode": pool_mode, "paused": paused,
        "current_connections": connections,
    }


CONFIG = {"pool_mode": "transaction", "query_wait_timeout": "120", "client_login_timeout": "90"}
NOW = pgbouncer.routes([row(connections=3), row("pgbouncer", None, 6432)], CONFIG, [])
HELD = pgbouncer.routes([row(paused=1)], CONFIG, [])
DRAINING = pgbouncer.routes([row(paused=1, connections=1)], CONFIG, [])


def test_only_the_named_entries_change_and_the_rest_stays_to_the_letter():
    text = pgbouncer.reroute(INI, ["shop", 'Odd "name'], "10.0.0.2", 6000)
    changed = [(old, new) for old, new in zip(INI.splitlines(), text.splitlines()) if old != new]
    assert changed == [
        ("shop = host=10.0.0.1 port=5432 dbname=shop connect_query='SELECT 1' ; main",
         "shop = host=10.0.0.2 port=6000 dbname=shop connect_query='SELECT 1' ; main"),
        ('"Odd ""name" = dbname=odd host=\'10.0.0.1\'', '"Odd ""name" = port=6000 dbname=odd host=10.0.0.2'),
    ]


def test_leading_twice_changes_nothing():
    text = pgbouncer.reroute(INI, ["shop"], "10.0.0.2", 6000)
    assert pgbouncer.reroute(text, ["shop"], "10.0.0.2", 6000) == text


@pytest.mark.parametrize("before, user, after", [
    ("host=a port=1 dbname=d", "app.b1", "user=app.b1 host=h port=2 dbname=d"),
    ("user=app host=a port=1", "app.b1", "user=app.b1 host=h port=2"),
    ("user=app.b1 host=a port=1", "app", "user=app host=h port=2"),
    ("user='odd name' host=a port=1", None, "user='odd name' host=h port=2"),
    ("host=a port=1 user=app", "it's.b1", "host=h port=2 user='it''s.b1'"),
])
def test_s8_a_login_that_has_another_name_over_there_is_led_by_it(before, user, after):
    assert pgbouncer.lead(before, "h", 2, user) == after
    assert pgbouncer.lead(after, "h", 2, user) == after


def test_an_entry_that_is_not_in_the_file_is_refused():
    with pytest.raises(pgbouncer.PoolerError, match="crm"):
        pgbouncer.reroute(INI, ["shop", "crm"], "h", 1)


def test_a_database_the_pooler_does_not_have_is_refused_by_name():
    with pytest.raises(pgbouncer.PoolerError, match="no database crm: it has shop"):
        pgbouncer.routes([row()], CONFIG, ["crm"])


@pytest.mark.parametrize("make, ops", [
    (lambda: pgbouncer.plan_pause(NOW), ["pause"]),
    (lambda: pgbouncer.plan_pause(HELD), []),
    (lambda: pgbouncer.plan_pause(DRAINING), ["pause"]),
    (lambda: pgbouncer.plan_resume(HELD), ["resume"]),
    (lambda: pgbouncer.plan_resume(DRAINING), ["resume"]),
    (lambda: pgbouncer.plan_resume(NOW), []),
    (lambda: pgbouncer.plan_route(HELD, INI, "10.0.0.2", 5432), ["write", "reload", "resume"]),
    (
        lambda: pgbouncer.plan_route(HELD, pgbouncer.reroute(INI, ["shop"], "10.0.0.2", 5432), "10.0.0.2", 5432),
        ["reload", "resume"],
    ),
    (lambda: pgbouncer.plan_route(NOW, pgbouncer.reroute(INI, ["shop"], "10.0.0.1", 5432), "10.0.0.1", 5432), []),
])
def test_r32_the_plan_holds_leads_and_lets_go_and_again_does_nothing(make, ops):
    assert [step.op for step in make().steps] == ops


@pytest.mark.parametrize("rows, config, outage, ids", [
    ([row()], CONFIG, 60, []),
    ([row(pool_mode="session")], CONFIG, 60, ["pooler-session-mode"]),
    ([row()], {}, 50, ["pooler-session-mode"]),
    ([row()], {"pool_mode": "transaction"}, 60, ["pooler-gives-up-early"]),
    ([row()], CONFIG, 90, ["pooler-gives-up-early"]),
    ([row()], CONFIG, 89, []),
    ([row()], {**CONFIG, "client_login_timeout": "0"}, 120, ["pooler-gives-up-early"]),
    ([row()], {**CONFIG, "client_login_timeout": "0", "query_wait_timeout": "0"}, 900, []),
])
def test_r32_a_pooler_that_cannot_hold_its_clients_is_found(rows, config, outage, ids):
    found = pgbouncer.findings(pgbouncer.routes(rows, config, []), config, "pooler:6432", outage)
    assert [finding.id for finding in found] == ids


def test_the_warning_names_every_limit_that_is_too_short():
    [found] = pgbouncer.findings(NOW, CONFIG, "pooler:6432", 100)
    assert "client_login_timeout is 90 s, and the outage may last 100 s" in found.as_dict()["reason"]
    [found] = pgbouncer.findings(NOW, CONFIG, "pooler:6432", 200)
    assert found.as_dict()["cure"].startswith("Raise query_wait_timeout and client_login_timeout above")


def pool(user, clients=1, waiting=0, database="shop"):
    return {"database": database, "user": user, "cl_active": clients, "cl_waiting": waiting}


@pytest.mark.parametrize("user, pools, said", [
    ("app", [pool("app")], None),
    ("app", [pool("app"), pool("web", 0), pool("web", database="crm")], None),
    ("app.b1", [pool("app.b1", 0, 2)], None),
    (None, [], "its entry has no user"),
    ("app", [pool("web", 0, 1)], "clients came as web before"),
    ("app.b1", [pool("app.b1"), pool("app")], "clients came as app before"),
])
def test_s8_clients_that_would_keep_their_own_login_are_found(user, pools, said):
    now = pgbouncer.routes([{**row(), "force_user": user}], CONFIG, [])
    found = [one.reason for one in pgbouncer.login_findings(now, pools, "pooler:6432")]
    assert len(found) == bool(said) and all(said in reason for reason in found)
