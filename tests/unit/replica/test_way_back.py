# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether there can be a way back, and how it fares."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import phase, way_back

KEYLESS = {
    "id": "table-without-identity", "severity": "blocker", "object": "public.log", "reason": "no key",
    "cure": "add one", "fact": "P2",
}


def database(name="orders", large_objects=0, unlogged=0):
    return {"name": name, "large_objects": large_objects, "unlogged_table_count": unlogged}


def server(*databases, replication=True, administrator=True, version_num=160014, workers="4"):
    return {
        "version_num": version_num, "databases": list(databases) or [database()],
        "login": {"name": "migrator", "replication": replication, "administrator": administrator},
        "settings": {"max_logical_replication_workers": workers},
    }


def found(**given):
    seen = given.pop("server", server())
    names = way_back.databases(seen)
    return way_back.findings(
        given.get("wanted", True), "orders", seen, given.get("tried", ()), given.get("token", False), names,
        given.get("insisted", True),
    )


def copy(level="logical", replication=True, superuser=False, member_of=("migrator",)):
    login = {"name": "migrator", "replication": replication, "superuser": superuser, "member_of": list(member_of)}
    return {"settings": {"wal_level": level}, "login": login}


@pytest.mark.parametrize("seen, owner, said", [
    (None, "migrator", ""),
    (copy(), "migrator", ""),
    (copy(), None, ""),
    (copy(member_of=["migrator", "dba"]), "dba", ""),
    (copy(superuser=True), "dba", ""),
    (copy("replica"), "migrator", "wal_level replica"),
    (copy(replication=False), "migrator", "GRANT rds_replication TO migrator on the source"),
    (copy(), "dba", "GRANT dba TO migrator on the source"),
])
def test_r28_r29_a_target_that_could_not_keep_what_is_written_is_told_from_the_replica(seen, owner, said):
    told = way_back.refusal(seen, "orders-aurora", owner)
    assert bool(told) == bool(said) and said in told


@pytest.mark.parametrize("seen, wanted, expected", [
    (None, (), []),
    (server(*map(database, ["billing", "orders", "postgres", "rdsadmin", "template1"])), (), ["billing", "orders"]),
    (server(*map(database, ["billing", "orders", "postgres"])), ("postgres", "orders"), ["orders", "postgres"]),
])
def test_every_database_of_the_user_is_led_back(seen, wanted, expected):
    assert way_back.databases(seen, wanted) == expected


@pytest.mark.parametrize("given, said", [
    ({}, []),
    ({"tried": [{"changed": True}]}, []),
    ({"server": None}, ["no login"]),
    ({"token": True}, ["IAM token"]),
    ({"server": server(replication=False)}, ["migrator may not replicate"]),
    ({"server": server(version_num=150008, administrator=False)}, ["only an administrator"]),
    ({"server": server(version_num=160000, administrator=False)}, []),
    ({"server": server(database("a"), database("b"), workers="1")}, ["max_logical_replication_workers"]),
    ({"server": server(replication=False, workers="0")}, ["may not replicate", "max_logical"]),
    ({"tried": [{"msg": "it failed", "findings": [KEYLESS]}]}, ["public.log (table-without-identity): no key"]),
    ({"tried": [{"msg": "db: refused. Cure: GRANT it."}]}, ["db: refused"]),
])
def test_p2_p25_what_stands_in_the_way_is_a_blocker_that_can_be_acknowledged(given, said):
    blockers = found(**given)

    assert [one.id for one in blockers] == [way_back.NO_WAY_BACK] * len(said)
    for one, words in zip(blockers, said, strict=True):
        assert words in one.reason and "replica_way_back" in one.cure
        assert one.severity == "blocker" and one.acknowledgeable


@pytest.mark.parametrize("may, own, said", [(False, True, 1), (True, True, 0), (False, False, 0)])
def test_p23_a_login_that_cannot_be_made_for_it_is_a_warning(may, own, said):
    seen = server()
    seen["login"]["replication_logins"] = may
    told = way_back.findings(True, "orders", seen, (), False, ["orders"], own_login=own)
    assert [one.severity for one in told if one.id == "replication-login-shared"] == ["warning"] * said


def test_nobody_who_did_not_insist_is_stopped():
    [one] = found(server=server(replication=False), insisted=False)

    assert (one.id, one.severity) == (way_back.NO_WAY_BACK, "warning")
    assert "may not replicate" in one.reason and "replica_way_back=true insists on it" in one.cure


def test_many_tables_without_an_identity_are_counted():
    rows = [KEYLESS | {"object": f"public.t{number}"} for number in range(9)]

    [one] = found(tried=[{"msg": "", "findings": []}, {"msg": "it failed", "findings": rows}])

    assert "public.t4" in one.reason and "public.t5" not in one.reason and "and 4 more" in one.reason


def test_without_a_way_back_that_is_said():
    [one] = found(wanted=False, server=None)

    assert (one.id, one.severity, one.fact) == (way_back.NO_WAY_BACK, "warning", "P25")


@pytest.mark.parametrize("large_objects, unlogged, said", [
    (0, 0, None), (3, 0, "3 large objects"), (3, 1, "3 large objects, 1 unlogged tables"),
])
def test_p58_what_it_does_not_carry_is_said_before(large_objects, unlogged, said):
    warnings = found(server=server(database(large_objects=large_objects, unlogged=unlogged)))

    assert [one.id for one in warnings] == ["way-back-leaves-behind"] * bool(said)
    assert all(said in one.reason and one.severity == "warning" for one in warnings)


def follows(name="orders", enabled=True, behind=0, findings=()):
    subscription = None if enabled is None else {"enabled": enabled}
    return {"name": name, "subscription": subscription, "bytes_behind": behind, "findings": list(findings)}


LOST = {"id": "slot-lost", "severity": "blocker", "object": "s", "reason": "gone", "cure": "", "fact": "P14"}
OFF = {**LOST, "id": "subscription-silently-off", "acknowledgeable": True}


@pytest.mark.parametrize("seen, blockers, behind, words", [
    ([follows()], [], 0, "runs"),
    ([follows(), follows("billing", behind=2048)], [], 2048, "runs"),
    ([follows(), follows("billing", behind=None)], [], None, "its lag isn't known"),
    ([follows(enabled=None, behind=0)], ["way-back-missing [orders]"], 0, "doesn't run"),
    ([follows(enabled=False)], ["way-back-disabled [orders]"], 0, "doesn't run"),
    ([follows(findings=[LOST])], ["slot-lost [s]"], 0, "doesn't run"),
    ([follows(findings=[{**LOST, "severity": "warning"}])], [], 0, "runs"),
    ([follows(findings=[OFF])], [], 0, "runs"),
    (None, ["way-back-unreadable"], None, "can't be read: no connection"),
])
def test_p14_p18_p57_the_way_back_is_well_only_if_every_database_follows(seen, blockers, behind, words):
    stands = way_back.standing(seen, "no connection.", "orders-rds", ["subscription-silently-off"])

    assert stands["blockers"] == blockers and stands["bytes_behind"] == behind
    assert words in stands["sentence"] and "orders-rds" in stands["sentence"]


def events(**now):
    return {name.replace("__", "."): {
        "now": value, "at": "2026-01-04T22:00:00+00:00", "object": "orders-rds",
    } for name, value in now.items()}


CLUSTER = {
    "identifier": "orders-aurora", "is_replica": False, "status": "available", "members": [],
    "tags": {"cloudpg:migration": "orders"},
}
OPEN = {"target__opened": True, "way_back": {"databases": ["orders"]}}


@pytest.mark.parametrize("journal, back, name, blockers, words", [
    (OPEN, None, "open", [], "orders-aurora serves since"),
    (OPEN, [follows()], "open", [], "the way back to orders-rds runs"),
    (OPEN, [follows(enabled=False)], "open", ["way-back-disabled [orders]"], "doesn't run"),
    ({**OPEN, "source__returning": True}, [follows(enabled=False)], "open", ["returning"], "rollback.yml goes on"),
    ({**OPEN, "source__returning": True, "source__reopened": True}, None, "returned", [], "orders-rds serves again"),
    ({**OPEN, "source__reopened": True, "migration__finished": True}, None, "finished", [], "orders-rds serves again"),
])
def test_the_status_tells_how_the_way_back_fares_and_who_serves(journal, back, name, blockers, words):
    document = phase.document(
        "orders", CLUSTER, events(**journal), source={"identifier": "orders-rds"},
        back=None if back is None else way_back.standing(back, None, "orders-rds"),
    )

    assert (document["phase"], document["blockers"]) == (name, blockers)
    assert document["healthy"] is not bool(blockers)
    assert words in document["sentence"]
    assert document["details"]["way_back"] == ["orders"] or "way_back" not in journal
    assert document["details"]["returning"] is ("source__returning" in journal)


def test_what_was_led_back_is_known_without_its_cluster():
    assert phase.phase(None, events(source__reopened=True), "orders")[0] == "returned"
