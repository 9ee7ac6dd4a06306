# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription's own login on the server that publishes, from its making to its end."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from cloudpg_sandbox.roles import bring_in_step
from cloudpg_sandbox.testing import wait_until

from .sql_stand import SECRET

MIGRATION = "orders"
TABLES = "CREATE TABLE items (id int PRIMARY KEY, code text); CREATE TABLE others (id int PRIMARY KEY)"
MADE = """
    SELECT rolcanlogin, rolreplication, rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = %s
"""


class Stand:
    """Two sides, the second of which follows the first, and the names of what is made."""

    def __init__(self, source, target, run_module):
        self.source, self.target, self.run_module = source, target, run_module
        self.login = f"cloudpg_orders_{source.database}"

    def given(self, **more):
        return {
            "source": self.source.address(), "target": self.target.address(more.pop("user", "migration")),
            "migration": MIGRATION, "connection": {"sslmode": "disable", **more.pop("connection", {})},
            "publications": ["p"], "slot_name": self.login, "dedicated_login": True, "patience": 4, **more,
        }

    def follow(self, check=False, **more):
        return self.run_module("pg_subscription", self.given(**more), check=check)

    def role(self):
        return self.source.query(MADE, [self.login])

    def carried(self):
        """The connection as the target's superuser sees it."""
        found = self.target.query("SELECT subconninfo FROM pg_subscription")
        return dict(word.split("=", 1) for word in found[0][0].split()) if found else None

    def arrives(self, number):
        self.source.run(f"INSERT INTO items VALUES ({number}, 'x')")
        wait_until(lambda: self.target.query("SELECT count(*) FROM items WHERE id = %s", [number]) == [(1,)])

    def events(self, side):
        there = side.query("SELECT to_regclass('cloudpg_migration.event') IS NOT NULL")[0][0]
        return {row[0] for row in side.query("SELECT id FROM cloudpg_migration.event")} if there else set()


def found(result, id):
    return [one["object"] for one in result["findings"] if one["id"] == id]


def drop_logins(server):
    for (name,) in server.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'cloudpg\\_%'"):
        for (database,) in server.query("SELECT datname FROM pg_database WHERE datallowconn"):
            server.query(f'BEGIN READ WRITE; DROP OWNED BY "{name}"; COMMIT', dbname=database)
        server.query(f'DROP ROLE "{name}"')


@pytest.fixture
def stand_of(pair, run_module):
    """stand_of(source's major, target's): migration may make logins on the source."""
    made = []

    def make(source_major=16, target_major=18):
        source, target = pair(source_major, target_major)
        made.append(source.server)
        source.query("ALTER ROLE migration CREATEROLE")
        source.run(TABLES + "; INSERT INTO items VALUES (1, 'a')")
        target.run(TABLES)
        source.query("CREATE PUBLICATION p FOR TABLE items")
        return Stand(source, target, run_module)

    yield make
    for server in made:
        server.query("ALTER ROLE migration NOCREATEROLE")
        drop_logins(server)


@pytest.fixture
def stand(stand_of):
    return stand_of()


@pytest.mark.parametrize("majors, user", [((16, 18), "migration"), ((18, 16), "migration"), ((16, 18), "boss")])
def test_p23_the_login_is_made_carried_and_dropped(stand_of, majors, user):
    stand = stand_of(*majors)
    would = stand.follow(check=True, user=user)
    assert stand.role() == [] and would["actions"][0] == (
        f"make login {stand.login} on the source, with a random password")
    did = stand.follow(user=user)
    assert did["actions"] == would["actions"] and did["diff"] == would["diff"] and did["findings"] == []
    assert did["connection"]["user"] == stand.login and "password" not in did["connection"]
    assert stand.role() == [(True, True, False, False, False)]
    password = stand.carried()["password"]
    assert stand.carried()["user"] == stand.login and password != SECRET and len(password) >= 40
    for side in (stand.source, stand.target):
        assert password not in str(side.query("SELECT * FROM cloudpg_migration.event"))
    assert password not in str(did) and "SCRAM" not in str(did)
    stand.arrives(2)
    reads = "SELECT has_table_privilege(%s, 'items', 'SELECT'), has_table_privilege(%s, 'others', 'SELECT')"
    assert stand.source.query(reads, [stand.login] * 2) == [(True, False)]

    for again in (stand.follow(user=user), stand.follow(user=user, dedicated_login=False)):
        assert (again["changed"], again["queries"], again["findings"]) == (False, [], [])
    assert stand.carried()["password"] == password

    gone = stand.follow(user=user, state="absent")
    assert gone["actions"][-1] == f"drop login {stand.login} on the source", gone
    assert stand.role() == [] and stand.events(stand.source) == stand.events(stand.target) == set()
    assert "cloudpg" not in str(stand.source.query("SELECT relacl FROM pg_class WHERE relname = 'items'"))
    assert not stand.follow(user=user, state="absent")["changed"]


def test_p23_nothing_is_read_where_nothing_is_copied(stand):
    stand.source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [stand.login])
    stand.follow(create_slot=False, copy_data=False)
    stand.arrives(2)
    reads = "SELECT has_table_privilege(%s, 'items', 'SELECT')"
    assert stand.source.query(reads, [stand.login]) == [(False,)]
    # A table that comes later is copied: it may be read then.
    stand.source.query("ALTER PUBLICATION p ADD TABLE others")
    stand.source.run("INSERT INTO others VALUES (7)")
    did = stand.follow(create_slot=False, copy_data=False, refresh="with_data")
    assert did["actions"][0] == f"let login {stand.login} read public.items, public.others"
    wait_until(lambda: stand.target.query("SELECT id FROM others") == [(7,)])
    again = stand.follow(create_slot=False, copy_data=False, refresh="with_data")
    assert not again["changed"]


def test_p23_a_run_that_ended_behind_the_login_goes_on_with_a_new_password(stand):
    told = stand.follow(user="plain")
    assert told["failed"] and told["code"] == "42501" and len(stand.role()) == 1
    verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
    before = stand.source.query(verifier, [stand.login])
    assert before[0][0].startswith("SCRAM-SHA-256$")
    did = stand.follow()
    assert did["actions"][0] == f"give login {stand.login} on the source a new random password"
    assert stand.source.query(verifier, [stand.login]) != before
    stand.arrives(2)
    assert not stand.follow()["changed"]


@pytest.mark.parametrize("user", ["migration", "boss"])
@pytest.mark.parametrize("harm", [
    # As a run leaves it that was killed between the two sides.
    "UPDATE cloudpg_migration.event SET now = jsonb_set(now, '{hash}', '\"another\"')",
    "DROP SCHEMA cloudpg_migration CASCADE", "ALTER ROLE {} NOREPLICATION", "DROP OWNED BY {}; DROP ROLE {}",
])
def test_p23_a_password_that_cant_be_shown_to_be_right_is_made_anew(stand, user, harm):
    stand.follow(user=user)
    before = stand.carried()
    stand.source.query(harm.replace("{}", stand.login))
    would = stand.follow(check=True, user=user)
    assert would["changed"] and stand.carried() == before
    did = stand.follow(user=user)
    assert did["actions"] == would["actions"] and "change password in the connection" in str(did["actions"])
    assert stand.carried()["password"] != before["password"]
    stand.arrives(2)
    assert not stand.follow(user=user)["changed"]


def test_p23_what_is_changed_in_the_connection_takes_a_new_password(stand):
    stand.follow()
    before = stand.carried()
    did = stand.follow(connection={"connect_timeout": 7})
    assert "change connect_timeout, password in the connection" in did["actions"][1]
    assert stand.carried()["password"] != before["password"] and stand.carried()["connect_timeout"] == "7"
    stand.arrives(2)
    assert not stand.follow(connection={"connect_timeout": 7})["changed"]
    # One that was changed by hand is seen where the catalogue shows it.
    stand.target.query("ALTER SUBSCRIPTION cloudpg_orders CONNECTION %s", [
        " ".join(f"{word}={value}" for word, value in {**stand.carried(), "password": "another"}.items())])
    assert stand.follow(connection={"connect_timeout": 7}, user="boss")["changed"]
    stand.arrives(3)


def test_p23_a_subscription_that_is_there_keeps_the_login_it_has(stand):
    stand.follow(dedicated_login=False)
    assert stand.carried()["user"] == "migration"
    assert not stand.follow()["changed"] and stand.role() == []


def test_p23_a_login_that_is_named_goes_before_it(stand):
    named = {"connection": {"user": "migration"}}
    did = stand.follow(**named)
    assert did["connection"]["user"] == "migration" and stand.role() == [] and did["findings"] == []
    stand.follow(state="absent")
    stand.target.run("TRUNCATE items")
    stand.follow()
    did = stand.follow(**named)
    assert did["actions"] == [
        "change user in the connection of subscription cloudpg_orders",
        f"drop login {stand.login} on the source",
    ]
    assert stand.role() == [] and stand.carried()["user"] == "migration"
    stand.arrives(2)
    assert not stand.follow(**named)["changed"]


@pytest.mark.parametrize("majors, role", [((16, 18), "NOCREATEROLE"), ((15, 18), "CREATEROLE")])
def test_p26_where_it_cant_be_made_the_migrations_login_is_carried_and_that_is_said(stand_of, majors, role):
    stand = stand_of(*majors)
    stand.source.query(f"ALTER ROLE migration {role}")
    for told in (stand.follow(check=True), stand.follow()):
        assert found(told, "replication-login-shared") == [stand.login]
        assert told["connection"]["user"] == "migration" and told["changed"]
    stand.arrives(2)
    again = stand.follow()
    assert not again["changed"] and again["findings"] == [] and stand.role() == []


def test_r29_before_16_membership_in_rds_replication_makes_it_and_is_waited_for(stand_of):
    stand = stand_of(15, 18)
    server, over = stand.source.server, threading.Event()
    server.query("GRANT rds_replication TO migration")

    def keep():
        """What the service does with a member, a moment later."""
        with closing(server.connect()) as connection:
            while not over.wait(1.0):
                bring_in_step(connection)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        did = stand.follow()
        assert did["findings"] == [] and did["connection"]["user"] == stand.login, did
        stand.arrives(2)
        assert not stand.follow()["changed"]
        assert stand.follow(state="absent")["changed"] and stand.role() == []
    finally:
        over.set()
        keeper.join()
        server.query("REVOKE rds_replication FROM migration")


def test_p41_tables_with_row_security_are_copied_by_the_migrations_login(stand):
    stand.source.query("ALTER TABLE items ENABLE ROW LEVEL SECURITY")
    told = stand.follow()
    assert "public.items has row security" in told["findings"][0]["reason"]
    assert stand.carried()["user"] == "migration" and stand.role() == []
    wait_until(lambda: stand.target.query("SELECT id FROM items") == [(1,)])
    stand.follow(state="absent")
    stand.source.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [stand.login])
    did = stand.follow(create_slot=False, copy_data=False)
    assert did["connection"]["user"] == stand.login
    stand.arrives(2)
    stand.source.query("ALTER PUBLICATION p ADD TABLE others")
    did = stand.follow(create_slot=False, copy_data=False, refresh="with_data")
    assert did["connection"]["user"] == "migration" and stand.role() == []
    stand.arrives(3)


def test_p12_a_dead_publisher_keeps_nothing_from_ending(new_server, side_of, pair, run_module):
    _rest, target = pair(16, 18)
    mortal = new_server("mortal-login", 16)
    mortal.query(f'CREATE DATABASE "{target.database}" OWNER owner; ')
    mortal.query("ALTER ROLE migration CREATEROLE")
    stand = Stand(side_of(mortal, target.database), target, run_module)
    for side in (stand.source, target):
        side.run(TABLES)
    stand.source.query("CREATE PUBLICATION p FOR TABLE items")
    stand.follow()
    mortal.stop()
    seen = stand.follow()
    assert not seen["changed"] and found(seen, "source-unreadable") == ["cloudpg_orders"]
    told = stand.follow(connection={"connect_timeout": 7})
    assert told["failed"] and "connect_timeout of the connection can't be changed" in told["msg"]
    gone = stand.follow(state="absent")
    assert found(gone, "login-left-behind") == found(gone, "slot-left-behind") == [stand.login]
    mortal.start()
    back = stand.follow(state="absent")
    assert back["actions"] == [f"drop slot {stand.login} on the source", f"drop login {stand.login} on the source"]
    assert stand.role() == [] and not stand.follow(state="absent")["changed"]


def test_p12_a_role_that_is_another_s_is_left_alone(stand):
    stand.source.query(f"CREATE ROLE {stand.login} LOGIN")
    told = stand.follow()
    assert found(told, "replication-login-shared") == [stand.login] and stand.carried()["user"] == "migration"
    assert stand.follow(state="absent")["changed"] and len(stand.role()) == 1


def fence(stand, side, state="quiesced"):
    return stand.run_module("pg_quiesce", {
        "server": side.address(), "migration": MIGRATION, "databases": [side.database], "state": state})


def test_p29_p52_the_login_comes_back_through_the_fence_and_outlives_it(stand):
    stand.follow()
    wait_until(lambda: stand.target.query("SELECT id FROM items") == [(1,)])
    closed = fence(stand, stand.source)
    assert closed["proof"]["proven"], closed
    senders = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active"
    assert stand.source.query(senders, [stand.login]) == [(True,)]
    stand.source.query("BEGIN READ WRITE; INSERT INTO items VALUES (2, 'b'); COMMIT")
    wait_until(lambda: stand.target.query("SELECT count(*) FROM items") == [(2,)])
    kept = "SELECT was -> 'connect' FROM cloudpg_migration.event WHERE id LIKE 'closed.%%'"
    assert stand.login not in str(stand.source.query(kept))
    assert not fence(stand, stand.source)["changed"] and not stand.follow()["changed"]
    assert fence(stand, stand.source, "open")["changed"]
    assert not stand.follow()["changed"]
    stand.arrives(3)
    # Nobody is let in by name who wasn't, once it is gone.
    stand.follow(state="absent")
    named = "SELECT count(*) FROM pg_database, aclexplode(datacl) a WHERE datname = current_database() AND grantee = 0"
    assert stand.source.query(named) != [(0,)]


def test_p29_a_side_that_is_closed_already_lets_it_in_and_stays_closed(stand):
    assert fence(stand, stand.source)["changed"]
    did = stand.follow()
    assert did["subscription"]["worker"] and f'TO "{stand.login}"' in str(did["queries"])
    assert not fence(stand, stand.source)["changed"]
    # PUBLIC's CONNECT comes back; the login's own isn't taken away meanwhile.
    stand.source.query(
        f"BEGIN READ WRITE; REVOKE CONNECT ON DATABASE {stand.source.database} FROM {stand.login}; COMMIT")
    assert stand.follow()["actions"] == [f"let login {stand.login} connect"]
    assert fence(stand, stand.source, "open")["changed"]
    stand.source.run("INSERT INTO items VALUES (2, 'b')")
    wait_until(lambda: stand.target.query("SELECT count(*) FROM items") == [(2,)])


def test_p50_the_login_and_its_grants_are_no_difference_and_dont_travel(stand):
    def prints():
        return stand.run_module("pg_catalog_info", {"server": stand.source.address()})["fingerprint"]["hash"]

    def schema(section):
        return stand.run_module("pg_schema", {
            "source": stand.source.address(), "target": stand.target.address(), "sections": section,
            "bindir": stand.target.bindir})

    before = prints()
    stand.target.run("DROP TABLE items, others")
    assert schema(["pre-data", "primary-keys", "post-data"])["changed"]
    stand.follow()
    acls = "SELECT count(*) FROM pg_class WHERE relacl::text LIKE %s"
    assert stand.source.query(acls, [f"%{stand.login}%"]) == [(1,)]
    assert prints() == before
    again = schema(["pre-data", "primary-keys", "post-data"])
    assert not again["changed"], again["actions"]
    seen = stand.run_module("pg_compare", {
        "source": stand.source.address(), "target": stand.target.address(), "rows": "none",
        "objects": ["grants", "settings"]})
    assert seen["equal"], seen
    stand.target.query("ALTER ROLE migration CREATEROLE")
    try:
        told = stand.run_module("pg_roles", {"source": stand.source.address(), "target": stand.target.address()})
    finally:
        stand.target.query("ALTER ROLE migration NOCREATEROLE")
    assert {"object": f"role {stand.login}", "reason": "made by a migration for its replication"} in told["left_out"]
    assert stand.target.query("SELECT FROM pg_roles WHERE rolname = %s", [stand.login]) == []
