# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is let in for a migration's sake, and that fence and allow list leave each other alone (S13, R18)."""

from __future__ import annotations

import psycopg2
import pytest
from cloudpg_sandbox.testing import wait_until

from .conftest import PASSWORD, USER

HERE = "127.0.0.1"


def gets_in(address):
    """Whether a session from 127.0.0.1 gets in; a refusal must be that of the access rules."""
    try:
        psycopg2.connect(host=address, user=USER, password=PASSWORD, dbname="shop", connect_timeout=5).close()
        return True
    except psycopg2.OperationalError as error:
        assert "no pg_hba.conf entry" in str(error)
        return False


class Source:
    """An instance that lets nobody in by itself, with its lock."""

    def __init__(self, cloud, run_module, facts, journal, base):
        self.cloud, self.run_module, self.journal, self.base = cloud, run_module, journal, base
        self.name, self.address = facts["DBInstanceIdentifier"], facts["Endpoint"]["Address"]
        self.group_name = f"cloudpg-{journal['migration']}-{self.name}-allow"

    def allow(self, state="present", check=False, diff=False, **options):
        args = {"state": state, "instance": self.name, "journal": self.journal, "wait_timeout": 60, **options}
        if state == "present":
            args.setdefault("cidrs", [HERE])
        return self.run_module(
            "rds_allow_list", {name: value for name, value in args.items() if value is not None}, check, diff
        )

    def quiesce(self, state, **options):
        done = self.run_module("rds_quiesce", {
            "state": state, "instance": self.name, "journal": self.journal, "wait_timeout": 60, "reboot": False,
            **options,
        })
        assert "failed" not in done, done
        return done

    def events(self):
        [journal] = self.run_module("aws_journal_info", {
            "migration": self.journal["migration"], "instance": self.name,
        })["journals"]
        return journal["events"]

    @property
    def entry(self):
        return self.events().get(f"instance.allow_list.{self.name}")

    def found(self):
        return self.cloud.ec2.describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [self.group_name]}]
        )["SecurityGroups"]

    def modify(self, *groups):
        """As somebody with the console would."""
        self.cloud.rds.modify_db_instance(
            DBInstanceIdentifier=self.name, VpcSecurityGroupIds=list(groups), ApplyImmediately=True
        )
        wait_until(lambda: self.cloud.attached(self.name) == list(groups))


@pytest.fixture(scope="module")
def base(cloud):
    """A group of the application's that lets nobody in from here."""
    return cloud.group("198.51.100.0/24")


@pytest.fixture
def source(cloud, shop, run_module, held, base):
    source = Source(cloud, run_module, shop, held, base)
    source.modify(base)
    wait_until(lambda: not gets_in(source.address))
    yield source
    cloud.sandbox.control("DELETE", "faults")
    source.modify(base)
    for group in source.found():
        cloud.ec2.delete_security_group(GroupId=group["GroupId"])


def test_s13_the_services_addresses_are_let_in_and_nothing_else_is_touched(cloud, source):
    with cloud.calls() as calls:
        planned = source.allow(check=True, diff=True)
    assert (planned["changed"], planned["allow_list"]["predicted"], calls.changes) == (True, True, [])
    assert planned["diff"]["after"]["security_groups"] == [source.base, source.group_name]

    done = source.allow()
    assert done["actions"] == planned["actions"]
    [group] = source.found()
    assert done["allow_list"] == {
        "group_id": group["GroupId"], "group_name": source.group_name, "attached": True, "cidrs": [f"{HERE}/32"],
        "port": 5432, "predicted": False,
    }
    assert cloud.attached(source.name) == [source.base, group["GroupId"]]
    assert cloud.tags(group["GroupId"])["cloudpg:migration"] == source.journal["migration"]
    assert gets_in(source.address)
    with cloud.calls() as calls:
        again = source.allow()
    assert (again["changed"], again["actions"], calls.changes) == (False, [], [])

    changed = source.allow(cidrs=["203.0.113.7", "2001:db8::/64"])
    assert changed["changed"] and changed["allow_list"]["cidrs"] == ["2001:db8::/64", "203.0.113.7/32"]
    assert not gets_in(source.address)

    with cloud.calls() as calls:
        assert source.allow("absent", check=True)["changed"]
    assert calls.changes == []
    gone = source.allow("absent")
    assert gone["changed"] and gone["allow_list"]["group_id"] is None
    assert (cloud.attached(source.name), source.found()) == ([source.base], [])
    with cloud.calls() as calls:
        assert source.allow("absent")["changed"] is False
    assert calls.changes == []


def test_s13_the_journal_has_it_before_the_instance_gets_it(cloud, source):
    with cloud.calls() as calls:
        source.allow()
    written = [
        number for number, entry in enumerate(calls.entries)
        if entry["operation"] == "CreateTags" and "allow_list" in str(entry["params"])
    ]
    assert written and written[0] < calls.operations.index("ModifyDBInstance")
    assert source.entry["now"] == source.found()[0]["GroupId"]


@pytest.mark.parametrize("named", [False, True])
def test_s13_a_fence_closes_this_way_in_too_and_the_open_brings_it_back(cloud, source, named):
    group = source.allow()["allow_list"]["group_id"]
    source.quiesce("quiesced")
    assert not gets_in(source.address)
    assert cloud.attached(source.name) == [source.journal["group_id"]]
    with cloud.calls() as calls:
        assert source.allow()["changed"] is False
    assert calls.changes == [] and not gets_in(source.address)
    source.quiesce("open", **({"security_group_ids": [source.base]} if named else {}))
    assert sorted(cloud.attached(source.name)) == sorted([source.base, group])
    assert gets_in(source.address)


def test_s13_asked_for_behind_the_fence_it_comes_with_the_open(cloud, source):
    source.quiesce("quiesced")
    done = source.allow()
    assert done["changed"] and done["allow_list"]["attached"] is False
    assert cloud.attached(source.name) == [source.journal["group_id"]] and not gets_in(source.address)
    assert source.allow()["changed"] is False
    source.quiesce("open")
    assert sorted(cloud.attached(source.name)) == sorted([source.base, done["allow_list"]["group_id"]])
    assert gets_in(source.address)
    assert source.allow()["changed"] is False


def test_s13_taken_away_behind_the_fence_it_doesnt_come_back_with_the_open(cloud, source):
    source.allow()
    source.quiesce("quiesced")
    assert source.allow("absent")["changed"] and source.found() == []
    assert source.allow("absent")["changed"] is False
    source.quiesce("open")
    assert cloud.attached(source.name) == [source.base] and not gets_in(source.address)


def test_a_group_of_somebody_else_is_neither_used_nor_deleted(cloud, source):
    cloud.ec2.create_security_group(GroupName=source.group_name, Description="mine", VpcId=cloud.vpc)
    with cloud.calls() as calls:
        for state in ("present", "absent"):
            refused = source.allow(state)
            assert refused["failed"] and "was made by somebody else" in refused["msg"]
    assert calls.changes == [] and len(source.found()) == 1


@pytest.mark.long
def test_the_fence_of_another_migration_isnt_opened(cloud, source, run_module):
    other = run_module("aws_journal", {"journal": {"migration": cloud.name("other")}, "instance": source.name})
    source.modify(other["journal"]["group_id"])
    with cloud.calls() as calls:
        refused = source.allow()
    assert refused["failed"] and f"closed by the migration {other['journal']['migration']}" in refused["msg"]
    assert calls.changes == []


@pytest.mark.long
def test_the_last_group_and_a_group_that_others_have_stay(cloud, source):
    group = source.allow()["allow_list"]["group_id"]
    source.modify(group)
    refused = source.allow("absent")
    assert refused["failed"] and "is the only one it has" in refused["msg"]
    source.modify(source.base, group)
    assert source.allow("absent")["changed"]


@pytest.mark.long
@pytest.mark.parametrize("action, state", [
    ("ec2:CreateSecurityGroup", "present"), ("ec2:AuthorizeSecurityGroupIngress", "present"),
    ("rds:ModifyDBInstance", "present"), ("ec2:DeleteSecurityGroup", "absent"),
])
def test_a_permission_that_is_missing_is_named_and_the_next_run_goes_on(source, faults, action, state):
    if state == "absent":
        source.allow()
    fault = faults("access_denied", operation=action)
    refused = source.allow(state)
    assert refused["failed"] and f"allow the IAM action {action}" in refused["msg"]
    source.cloud.sandbox.control("DELETE", f"faults/{fault}")
    assert source.allow(state)["changed"]
    assert gets_in(source.address) is (state == "present")


@pytest.mark.long
@pytest.mark.parametrize("operation", [
    "ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress", "rds:ModifyDBInstance",
])
def test_a_lost_answer_is_no_failure(source, faults, operation):
    faults("drop_response", operation=operation, times=1)
    done = source.allow()
    assert "failed" not in done, done
    assert gets_in(source.address) and source.allow()["changed"] is False


@pytest.mark.parametrize("options, words", [
    ({"cidrs": ["10.0.0.1/24"]}, "cidrs: 10.0.0.1/24 is no network"),
    ({"cidrs": None}, "all of the following are missing: cidrs"),
    ({"instance": "no-such"}, "instance no-such doesn't exist"),
    ({"instance": None}, "one of the following is required"),
    ({"instance": ""}, "neither instance nor cluster names anything"),
    ({"journal": {"migration": "orders"}}, "is not held"),
])
def test_wrong_input_is_named_and_nothing_is_changed(cloud, source, options, words):
    with cloud.calls() as calls:
        refused = source.allow(**options)
    assert refused["failed"] and words in refused["msg"]
    assert calls.changes == []


def test_in_check_mode_what_isnt_there_yet_is_planned_for(cloud, run_module):
    journal = {"migration": cloud.name("fresh"), "generation": None, "holder": None, "group_id": None}
    planned = run_module(
        "rds_allow_list", {"cluster": "later", "cidrs": [HERE], "journal": journal}, check=True
    )
    assert planned["changed"] and planned["allow_list"]["predicted"] is True
