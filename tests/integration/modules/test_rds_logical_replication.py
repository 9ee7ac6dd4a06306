# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logical replication turned on, proven and put back, against real servers behind the sandbox's API (R25, R27, R28)."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import PASSWORD, UNTIL_TOLD, USER, start_module

PERMISSIONS = Path(__file__).parents[3] / "docs" / "permissions.md"


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
        return journal["events"].get(f"{self.kind}.parameter_group.{self.name}")


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


@pytest.mark.long
def test_r28_without_a_login_a_reboot_after_the_change_is_what_proves_it(cloud, server):
    assert server.turn(server=None)["code"] == "reboot_pending"
    done = server.turn(server=None, reboot=True)
    assert [action.split()[0] for action in done["actions"]] == ["reboot"]
    assert (done["replication"]["proven_by"], done["replication"]["settings"]) == ("aws", None)
    assert server.wal_level == "logical"
    with cloud.calls() as calls:
        assert server.turn(server=None)["changed"] is False
    assert calls.changes == []


@pytest.mark.long
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


@pytest.mark.long
def test_r28_a_server_with_a_logical_slot_isnt_turned_off(cloud, server):
    server.turn(reboot=True)
    server.ask("SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')")
    try:
        with cloud.calls() as calls:
            refused = server.turn("restored", reboot=True)
            blind = server.turn("restored", reboot=True, server=None)
            would = server.turn("restored", check=True, reboot=True)
        assert would["changed"] and "cdc (database shop) are gone" in would["actions"][0], would
        assert refused["failed"] and "cdc (database shop)" in refused["msg"]
        assert blind["failed"] and "give server" in blind["msg"]
        assert set(calls.changes) <= {"CreateTags"}, "nothing but the lease was renewed"
    finally:
        server.ask("SELECT pg_drop_replication_slot('cdc')")
    assert server.turn("restored", reboot=True)["changed"]


@pytest.mark.long
@pytest.mark.parametrize("action", [
    "rds:CreateDBParameterGroup", "rds:ModifyDBParameterGroup", "rds:ModifyDBInstance", "rds:RebootDBInstance",
    "rds:DescribeDBParameters", "rds:ListTagsForResource",
])
def test_a_permission_that_is_missing_is_named_and_the_next_run_goes_on(server, faults, action):
    fault = faults("access_denied", operation=action)
    refused = server.turn(reboot=True)
    assert refused["failed"] and f"allow the IAM action {action}" in refused["msg"]
    assert server.wal_level == "replica"
    server.cloud.sandbox.control("DELETE", f"faults/{fault}")
    assert server.turn(reboot=True)["replication"]["in_force"] and server.wal_level == "logical"


@pytest.mark.long
@pytest.mark.parametrize("operation", [
    "rds:CreateDBParameterGroup", "rds:ModifyDBParameterGroup", "rds:ModifyDBInstance", "rds:RebootDBInstance",
])
def test_a_lost_answer_is_no_failure(server, faults, operation):
    faults("drop_response", operation=operation, times=1)
    done = server.turn(reboot=True)
    assert "failed" not in done, done
    assert server.wal_level == "logical" and server.turn(reboot=True)["changed"] is False


@pytest.mark.long
def test_r28_the_journal_has_the_old_group_before_the_first_change_of_the_instance(cloud, server):
    with cloud.calls() as calls:
        server.turn()
    written = [
        number for number, entry in enumerate(calls.entries)
        if entry["operation"] == "CreateTags" and "parameter_group" in str(entry["params"])
    ]
    assert written and written[0] < calls.operations.index("ModifyDBInstance")


@pytest.mark.long
def test_r28_a_run_that_was_killed_is_gone_on_with_by_another_controller(cloud, server, faults, faults_end):
    faults("slow_transition", transition="rebooting", identifier=server.name, factor=UNTIL_TOLD)
    since = cloud.sandbox.mark()
    running = start_module("rds_logical_replication", {
        "instance": server.name, "journal": server.journal, "reboot": True, "wait_timeout": 60,
    }, cloud.sandbox.env)
    wait_until(lambda: "RebootDBInstance" in [entry["operation"] for entry in cloud.sandbox.log(since)])
    running.send(signal.SIGKILL)
    faults_end()
    wait_until(lambda: cloud.instance(server.name)["DBInstanceStatus"] == "available")
    server.journal = server.run_module("aws_journal", {
        "journal": {"migration": server.journal["migration"]}, "instance": server.name, "take_over": True,
    })["journal"]
    assert server.turn(reboot=True)["replication"]["in_force"] and server.wal_level == "logical"
    assert server.turn("restored", reboot=True)["changed"]
    assert (server.wal_level, server.group) == ("replica", "default.postgres16")


def test_r33_a_run_that_lost_its_lock_changes_nothing(cloud, server):
    server.run_module("aws_journal", {
        "journal": {"migration": server.journal["migration"]}, "instance": server.name, "take_over": True,
    })
    with cloud.calls() as calls:
        lost = server.turn(reboot=True)
    assert lost["failed"] and lost["code"] == "lease_lost"
    assert not [name for name in calls.changes if not name.endswith("Tags")]
    assert server.group == "default.postgres16"


@pytest.mark.long
def test_r28_a_login_to_another_server_proves_nothing(cloud, server):
    other = cloud.create_instance(cloud.name("other"))
    elsewhere = {**server.login, "host": other["Endpoint"]["Address"]}
    refused = server.turn(reboot=True, server=elsewhere)
    assert refused["failed"] and "the server's wal_level is replica" in refused["msg"]
    cloud.rds.delete_db_instance(DBInstanceIdentifier=other["DBInstanceIdentifier"], SkipFinalSnapshot=True)


@pytest.mark.parametrize("options, words", [
    ({"instance": "no-such"}, "instance no-such doesn't exist"),
    ({"instance": None}, "one of the following is required"),
    ({"cluster": "orders"}, "mutually exclusive"),
    ({"parameter_group": "default.postgres16"}, "R25"),
    ({"minimum": {"max_wal_senders": 300_000}}, "max_wal_senders cannot be 300000"),
    ({"journal": {"migration": "orders"}}, "is not held"),
    ({"server": {"host": None}}, "server.host is empty"),
    ({"server": {"host": "127.0.0.1", "port": 1}}, "127.0.0.1:1"),
])
def test_wrong_input_is_named_and_nothing_is_changed(cloud, server, options, words):
    with cloud.calls() as calls:
        refused = server.turn(reboot=True, **options)
    assert refused["failed"] and words in refused["msg"], refused
    assert calls.changes == []


@pytest.mark.parametrize("state, changed", [("enabled", True), ("restored", False)])
def test_in_check_mode_what_isnt_there_yet_is_planned_for(cloud, run_module, state, changed):
    journal = {"migration": cloud.name("fresh"), "generation": None, "holder": None, "group_id": None}
    planned = run_module("rds_logical_replication", {
        "state": state, "cluster": "later", "journal": journal, "server": {"host": None},
    }, check=True)
    assert (planned["changed"], planned["replication"]["predicted"]) == (changed, True)


# Aurora

@pytest.fixture
def aurora(cloud, shop, run_module, held):
    """A cluster of a writer and a reader with the default group, under the lock of the module's shop."""
    name = cloud.name("aurora")
    cloud.rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion="16.4", MasterUsername=USER,
        MasterUserPassword=PASSWORD, DatabaseName="shop", VpcSecurityGroupIds=[cloud.app_group],
    )
    wait_until(lambda: cloud.cluster(name)["Status"] == "available")
    members = [f"{name}-1", f"{name}-2"]
    for member in members:
        cloud.rds.create_db_instance(
            DBInstanceIdentifier=member, DBClusterIdentifier=name, Engine="aurora-postgresql",
            DBInstanceClass="db.r6g.large",
        )
        wait_until(lambda instance=member: cloud.instance(instance)["DBInstanceStatus"] == "available")
    yield Server(cloud, run_module, "cluster", name, cloud.cluster(name)["Endpoint"], held)
    for member in reversed(members):
        cloud.rds.delete_db_instance(DBInstanceIdentifier=member, SkipFinalSnapshot=True)
    wait_until(lambda: not cloud.cluster(name)["DBClusterMembers"])
    cloud.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def documented(module, column):
    """The IAM actions of docs/permissions.md for a module; ``column`` 1 is an instance's, 2 a cluster's."""
    section = PERMISSIONS.read_text(encoding="utf-8").split("### For logical replication at AWS")[1].split("\n### ")[0]
    found, name = set(), None
    for row in re.findall(r"^\|(.+)\|$", section, re.MULTILINE):
        cells = row.split(" | ")
        name = cells[0].strip(" `") or name
        if name == module:
            found |= set(re.findall(r"`(\w+:\w+)`", cells[column]))
    return found


@pytest.mark.long
def test_r28_aurora_has_it_in_the_clusters_group_readers_first_with_the_rights_that_are_documented(
    cloud, aurora, run_module
):
    assert (aurora.wal_level, aurora.group) == ("replica", "default.aurora-postgresql16")
    named = run_module("rds_logical_replication", {"instance": f"{aurora.name}-1", "journal": aurora.journal})
    assert named["failed"] and f"belongs to the cluster {aurora.name}" in named["msg"]
    with cloud.calls() as calls:
        done = aurora.turn(reboot=True)
        assert [action.split()[2].rstrip(",") for action in done["actions"] if action.startswith("reboot")] == [
            f"{aurora.name}-2", f"{aurora.name}-1",
        ]
        assert (aurora.wal_level, aurora.ask("SHOW max_wal_senders")) == ("logical", "20")
        assert {member["status"] for member in done["replication"]["members"]} == {"in-sync"}
        assert done["findings"] == [] and aurora.turn(reboot=True)["changed"] is False
        assert aurora.turn("restored", reboot=True)["changed"]
    assert (aurora.wal_level, aurora.group) == ("replica", "default.aurora-postgresql16")
    used = {f"{call['service']}:{call['operation']}" for call in calls.entries}
    rare = {
        "rds:AddTagsToResource", "rds:DescribeEvents", "rds:ResetDBClusterParameterGroup", "ec2:DeleteTags",
    }
    rights = documented("rds_logical_replication", 2)
    assert (used - rights, rights - used - rare) == (set(), set())

    with cloud.calls() as calls:
        allow = {"cluster": aurora.name, "journal": aurora.journal}
        let_in = run_module("rds_allow_list", {**allow, "cidrs": ["203.0.113.7"]})
        assert let_in.get("changed") and let_in["allow_list"]["attached"], let_in
        assert run_module("rds_allow_list", {**allow, "cidrs": ["203.0.113.8"]})["changed"]
        assert run_module("rds_allow_list", {**allow, "cidrs": ["203.0.113.8"]})["changed"] is False
        assert run_module("rds_allow_list", {**allow, "state": "absent"})["changed"]
    used = {f"{call['service']}:{call['operation']}" for call in calls.entries}
    rights = documented("rds_allow_list", 2)
    assert (used - rights, rights - used - {"ec2:DeleteTags"}) == (set(), set())


@pytest.mark.long
def test_r28_the_rights_for_an_instance_are_those_that_are_documented(cloud, server):
    with cloud.calls() as calls:
        server.turn(reboot=True)
        server.turn("restored", reboot=True)
    used = {f"{call['service']}:{call['operation']}" for call in calls.entries}
    rare = {"rds:AddTagsToResource", "rds:DescribeEvents", "rds:ResetDBParameterGroup", "ec2:DeleteTags"}
    rights = documented("rds_logical_replication", 1)
    assert (used - rights, rights - used - rare) == (set(), set())
