# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logical replication turned on, proven and put back, against real servers behind the sandbox's API (R25, R27, R28)."""

from __future__ import annotations

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import PASSWORD, USER


class Server:
    """An instance or a cluster with its lock, and the module that turns its logical replication on."""

    def __init__(self, cloud, run_module, kind, name, address, journal):
        self.cloud, self.run_module, self.kind, self.name, self.journal = cloud, run_module, kind, name, journal
        self.login = {"host": address, "user": USER, "password": PASSWORD, "dbname": "shop"}

    def turn(self, state="enabled", check=False, diff=False, **options):
        args = {"state": state, self.kind: self.name, "journal": self.journal, "server": self.login,
                "wait_timeout": 60, **options}
        given = {name: value for name, value in args.items() if value is not None}
        return self.run_module("rds_logical_replication", given, check, diff)

    def ask(self, sql):
        connection = psycopg2.connect(**self.login, connect_timeout=5)
        connection.autocommit = True
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()

    @property
    def wal_level(self):
        return self.ask("SHOW wal_level")

    @property
    def group(self):
        if self.kind == "cluster":
            return self.cloud.cluster(self.name)["DBClusterParameterGroup"]
        return self.cloud.instance(self.name)["DBParameterGroups"][0]["DBParameterGroupName"]

    def give(self, group):
        """As somebody with the console would, and rebooted."""
        self.cloud.rds.modify_db_instance(
            DBInstanceIdentifier=self.name, DBParameterGroupName=group, ApplyImmediately=True
        )
        self.restart(self.name)

    def restart(self, instance):
        self.cloud.rds.reboot_db_instance(DBInstanceIdentifier=instance)
        wait_until(lambda: self.cloud.instance(instance)["DBInstanceStatus"] == "available")

    def written(self, group):
        listing = (
            self.cloud.rds.describe_db_cluster_parameters if self.kind == "cluster"
            else self.cloud.rds.describe_db_parameters
        )
        key = "DBClusterParameterGroupName" if self.kind == "cluster" else "DBParameterGroupName"
        return {one["ParameterName"]: one["ParameterValue"]
                for one in listing(**{key: group}, Source="user")["Parameters"]}

    def entry(self):
        [journal] = self.run_module("aws_journal_info", {
            "migration": self.journal["migration"], self.kind: self.name,
        })["journals"]
        return journal["events"].get(f"{self.kind}.parameter_group")


def ids(result):
    return {finding["id"]: finding["severity"] for finding in result["findings"]}


@pytest.fixture
def server(cloud, shop, run_module, held):
    """The shop of the module; it gets its default group back afterwards."""
    server = Server(cloud, run_module, "instance", shop["DBInstanceIdentifier"], shop["Endpoint"]["Address"], held)
    yield server
    cloud.sandbox.control("DELETE", "faults")
    wait_until(lambda: cloud.instance(server.name)["DBInstanceStatus"] == "available")
    if server.group != "default.postgres16":
        server.give("default.postgres16")


def test_r28_a_default_group_is_replaced_and_the_server_says_logical_after_the_reboot(cloud, server):
    with cloud.calls() as calls:
        planned = server.turn(check=True, diff=True)
    assert (planned["changed"], calls.changes, planned["replication"]["in_force"]) == (True, [], False)
    assert ids(planned) == {
        "logical-replication-off": "blocker", "parameter-group-default": "warning",
        "logical-replication-small": "warning",
    }
    assert planned["diff"]["before"]["parameter_group"] == "default.postgres16"
    assert server.wal_level == "replica"

    own = f"cloudpg-{server.journal['migration']}-{server.name}"
    allowed = server.turn(check=True, reboot=True)
    assert set(ids(allowed).values()) == {"warning"}
    done = server.turn(reboot=True)
    assert done["changed"] and done["actions"] == allowed["actions"]
    assert [action.split()[0] for action in done["actions"]] == ["create", "set", "give", "reboot"]
    assert (done["replication"]["in_force"], done["replication"]["proven_by"]) == (True, "server")
    assert done["findings"] == []
    assert (server.wal_level, server.group) == ("logical", own)
    assert server.entry()["was"] == "default.postgres16"

    with cloud.calls() as calls:
        again = server.turn(reboot=True)
    assert (again["changed"], again["actions"], calls.changes) == (False, [], [])

    with cloud.calls() as calls:
        assert server.turn("restored", check=True, reboot=True)["changed"]
    assert calls.changes == []
    back = server.turn("restored", reboot=True)
    assert [action.split()[0] for action in back["actions"]] == ["give", "reboot", "delete"]
    assert (server.wal_level, server.group) == ("replica", "default.postgres16")
    with pytest.raises(cloud.rds.exceptions.ClientError, match="NotFound"):
        server.written(own)
    with cloud.calls() as calls:
        assert server.turn("restored", reboot=True)["changed"] is False
    assert calls.changes == []


def test_r28_without_permission_all_is_done_but_the_reboot_and_the_message_says_how_to_allow_it(cloud, server):
    with cloud.calls() as calls:
        refused = server.turn()
    assert refused["failed"] and refused["code"] == "reboot_pending"
    assert "which is pending" in refused["msg"] and "give reboot: true" in refused["msg"]
    assert "RebootDBInstance" not in calls.operations and server.wal_level == "replica"
    assert ids(server.turn(check=True)) == {"logical-replication-pending-reboot": "blocker"}

    server.restart(server.name)
    with cloud.calls() as calls:
        rebooted_by_hand = server.turn()
    assert (rebooted_by_hand["changed"], rebooted_by_hand["replication"]["in_force"]) == (False, True)
    assert calls.changes == [] and server.wal_level == "logical"


def test_r28_without_a_login_a_reboot_after_the_change_is_what_proves_it(cloud, server):
    assert server.turn(server=None)["code"] == "reboot_pending"
    done = server.turn(server=None, reboot=True)
    assert [action.split()[0] for action in done["actions"]] == ["reboot"]
    assert (done["replication"]["proven_by"], done["replication"]["settings"]) == ("aws", None)
    assert server.wal_level == "logical"
    with cloud.calls() as calls:
        assert server.turn(server=None)["changed"] is False
    assert calls.changes == []


def test_r25_what_was_set_in_the_group_in_use_is_carried_over_and_that_group_stays_as_it_is(cloud, server):
    tuned = cloud.name("tuned")
    cloud.rds.create_db_parameter_group(
        DBParameterGroupName=tuned, DBParameterGroupFamily="postgres16", Description="tuned"
    )
    chosen = {"work_mem": "65536", "max_replication_slots": "50", "max_wal_senders": "6"}
    cloud.rds.modify_db_parameter_group(DBParameterGroupName=tuned, Parameters=[
        {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        for name, value in chosen.items()
    ])
    server.give(tuned)
    done = server.turn(reboot=True)
    assert server.written(server.group) == {
        **chosen, "max_wal_senders": "20", "max_logical_replication_workers": "8", "rds.logical_replication": "1",
    }
    assert server.written(tuned) == chosen
    assert (server.ask("SHOW work_mem"), server.ask("SHOW max_replication_slots")) == ("64MB", "50")
    assert done["replication"]["original_group"] == tuned
    assert server.turn("restored", reboot=True)["changed"] and server.group == tuned
    assert server.ask("SHOW max_wal_senders") == "6"
    server.give("default.postgres16")
    cloud.rds.delete_db_parameter_group(DBParameterGroupName=tuned)


def test_r28_a_server_with_a_logical_slot_isnt_turned_off(cloud, server):
    server.turn(reboot=True)
    server.ask("SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')")
    try:
        with cloud.calls() as calls:
            refused = server.turn("restored", reboot=True)
            blind = server.turn("restored", reboot=True, server=None)
        assert refused["failed"] and "cdc (database shop)" in refused["msg"]
        assert blind["failed"] and "give server" in blind["msg"]
        assert calls.changes == []
    finally:
        server.ask("SELECT pg_drop_replication_slot('cdc')")
    assert server.turn("restored", reboot=True)["changed"]
