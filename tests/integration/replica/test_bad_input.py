# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong is named, with the object and the cure, before anything is changed: one inventory host a mistake."""

from __future__ import annotations

import pytest
import yaml
from cloudpg_sandbox.testing import wait_until

from ..modules.conftest import PASSWORD
from .runs import changes
from .test_verbs import LOCK

pytestmark = pytest.mark.timeout(600)
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
SOURCE, TARGET = "migration_source", "migration_target"
TRAFFIC, CIDRS = "migration_traffic", "migration_controller_cidrs"
LOGIN = {"user": "dba", "passfile": "/etc/cloudpg/pgpass"}


def without_login(name):
    """A migration in which nothing is wrong but what a case changes; its source doesn't exist."""
    return {
        "migration_path": "replica", SOURCE: {"instance": f"{name}-rds"},
        TARGET: {"cluster": f"{name}-aurora", "instance_class": "db.r6g.large"},
    }


def kinds(names, value, words):
    """A case for each variable that is given something of another kind."""
    return [({name: value}, [name, *words]) for name in names.split()]


A_DICT, A_LIST, A_WORD = {"a": "b"}, ["a", "b"], "some day"
NO_CHANGE = "othing was changed"

# What the inventory says instead, and what the message has to say. None: the variable isn't there at all.
INVENTORIES = [
    # The path
    ({"migration_path": None}, ["migration_path isn't set", "one of logical, planetscale, replica"]),
    ({"migration_path": "teleport"}, [
        'migration_path is "teleport"', "This collection goes logical, planetscale, replica", NO_CHANGE
    ]),
    ({"migration_path": "their.own.path"}, ['migration_path is "their.own.path"', "no such path", NO_CHANGE]),
    ({"migration_path": "cloudpg.migration.traffic"}, ["cloudpg.migration.traffic has no tasks/status.yml", "six"]),
    ({"migration_path": A_LIST}, ["migration_path is \"['a', 'b']\"", "no such path", NO_CHANGE]),
    # The name, by each of its rules
    *[
        ({"migration_name": name}, [f'migration_name is "{name}"', "at most 40 lower-case letters, digits and single"])
        for name in ("Orders", "a--b", "a-", "-a", "1a", "a_b", "a.b", "a b", "a" * 41, "")
    ],
    ({"migration_name": A_DICT}, ["migration_name is \"{'a': 'b'}\"", "lower-case letters"]),
    # Who may go on, and from where
    ({"migration_approved": ["ordres"]}, ["migration_approved names ordres", "Correct the name", NO_CHANGE]),
    ({"migration_approval": "automatic"}, ["migration_approval must be one of: manual, auto, got: automatic"]),
    ({CIDRS: ["the office"]}, [f"{CIDRS} has the office", "like 10.1.2.0/24", NO_CHANGE]),
    ({CIDRS: "10.0.0.0/8, 10.1.0.1"}, [f"{CIDRS} has 10.1.0.1", "like 10.1.2.0/24", NO_CHANGE]),
    # Both sides
    ({SOURCE: None}, [f"missing required arguments: instance found in {SOURCE}"]),
    ({SOURCE: {"instnace": "x"}}, [f"missing required arguments: instance found in {SOURCE}", f"{SOURCE}.instnace"]),
    ({SOURCE: "instance=x"}, [SOURCE, "are dictionaries", "{user: dba, passfile: /etc/pgpass}", NO_CHANGE]),
    ({SOURCE: {"instance": "x", "postgres": "host=x"}}, ["the postgres in them", "string isn't taken", NO_CHANGE]),
    ({SOURCE: {"instance": A_LIST}}, ["source-missing [['a', 'b']]", "Cure: name the instance", NO_CHANGE]),
    ({TARGET: None}, [f"missing required arguments: cluster, instance_class found in {TARGET}"]),
    ({TARGET: {"cluster": "x"}}, [f"missing required arguments: instance_class found in {TARGET}"]),
    ({TARGET: {"cluster": "x", "instance_class": "y", "size": 1}}, [f"{TARGET}.size", "Supported parameters include"]),
    # The clients' way
    ({TRAFFIC: [{"kind": "haproxy"}]}, [f"{TRAFFIC} has the kind haproxy", "pgbouncer or hook", NO_CHANGE]),
    ({TRAFFIC: [{"admin": {}}]}, [f"{TRAFFIC} has the kind (none)", "each entry needs a kind", NO_CHANGE]),
    ({TRAFFIC: "pgbouncer"}, [TRAFFIC, "unable to convert to dict"]),
    ({TRAFFIC: [{"kind": "pgbouncer", "admin": "host=x"}]}, ["an admin in migration_traffic", "string isn't taken"]),
    ({TRAFFIC: [{"kind": "pgbouncer", "admin": {"hots": "x"}}]}, [f"{TRAFFIC}: admin.hots", "There are host"]),
    ({TARGET: {"cluster": "x", "instance_class": "y", "postgres": {"pasfile": "x"}}},
     ["migration_target.postgres.pasfile", "no such part of an address", "passfile", NO_CHANGE]),
    # A template
    ({TARGET: {"cluster": "{{ nowhere }}"}}, ["migration_target.cluster (nowhere is undefined)", NO_CHANGE]),
    ({"replica_max_lag": "{{ 1 // 0 }}"}, ["replica_max_lag (ZeroDivisionError)", "Correct the template", NO_CHANGE]),
    # What is of another kind than it has to be
    *kinds("migration_databases migration_acknowledged migration_controller_cidrs migration_approved "
           "replica_target_security_groups replica_excluded_parameters", A_DICT, ["unable to convert to list"]),
    *kinds("replica_cluster_parameters replica_tags migration_aws migration_source migration_target", A_LIST,
           ["unable to convert to dict"]),
    *kinds("migration_max_outage migration_lock_timeout migration_build_timeout replica_max_lag replica_metric_period "
           "replica_undo_seconds traffic_pause_timeout", A_WORD, ["unable to convert to int"]),
    ({"migration_take_over": A_WORD}, ["migration_take_over", "unable to convert to bool"]),
    ({"replica_old_source": "remove"}, ["replica_old_source must be one of: keep, delete, got: remove"]),
    ({"replica_count_tables": "sales.orders"}, ["replica_count_tables", "unable to convert to dict"]),
    ({"replica_count_tables": [{"db": "x", "table": "y"}]}, ["database found in replica_count_tables"]),
    # The account
    ({"migration_aws": {"regoin": "eu-west-1"}}, ["migration_aws.regoin", "Supported parameters include"]),
    ({"migration_aws": {"profile": "nobody"}}, ["Passing both a profile and access tokens is not supported"]),
    ({"migration_aws": {"region": "us-east-1"}, SOURCE: {"instance": "{{ good }}"}},
     ["source-missing [", "in this Region and account. Cure: name the instance, and the Region", NO_CHANGE]),
]

# The cutover of a migration that nothing was built for.
CUTOVERS = [
    ({"migration_max_outage": 25}, ["migration_max_outage is 25", "more than replica_undo_seconds (30)", NO_CHANGE]),
    ({"migration_max_outage": 99}, ["nothing was built yet: run replicate.yml first", NO_CHANGE]),
]


def write(directory, cases, source=None):
    """An inventory with a host a case: h0, h1, …"""
    hosts = {}
    for number, (changed, _words) in enumerate(cases):
        given = without_login(f"h{number}") | ({SOURCE: {"instance": source}} if source else {}) | changed
        hosts[f"h{number}"] = {name: value for name, value in given.items() if value is not None}
    path = directory / "hosts.yml"
    path.write_text(yaml.safe_dump({"migrations": {"hosts": hosts, "vars": LOCAL}}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def good(cloud):
    """An encrypted source in which nothing is wrong."""
    name = cloud.name("good")
    yield cloud.create_instance(name, StorageEncrypted=True)["DBInstanceIdentifier"]
    cloud.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@pytest.fixture(scope="module")
def preflight(sandbox, play, good, tmp_path_factory):
    since = sandbox.mark()
    inventory = write(tmp_path_factory.mktemp("preflight"), INVENTORIES)
    run = play("preflight", inventory, extra={"good": good}, arguments=["--forks", "4"])
    return run, sandbox.log(since)


@pytest.fixture(scope="module")
def cutover(sandbox, play, good, tmp_path_factory):
    since = sandbox.mark()
    inventory = write(tmp_path_factory.mktemp("cutover"), CUTOVERS, good)
    extra = {"migration_approval": "auto", "migration_serial": len(CUTOVERS)}
    return play("cutover", inventory, extra=extra), sandbox.log(since)


def in_brief(cases):
    return [", ".join(f"{name}={value}" for name, value in changed.items())[:70] for changed, _words in cases]


@pytest.mark.parametrize("number", range(len(INVENTORIES)), ids=in_brief(INVENTORIES))
def test_a_mistake_in_the_inventory_is_named_with_its_cure(preflight, number):
    message = preflight[0].error(f"h{number}")
    assert [word for word in INVENTORIES[number][1] if word not in message] == [], message


def test_no_mistake_in_an_inventory_changes_anything(preflight):
    run, calls = preflight
    assert run.rc != 0 and run.changed == [] and changes(calls) == []
    assert {host["failures"] for host in run.stats.values()} == {1}


@pytest.mark.parametrize("number", range(len(CUTOVERS)), ids=in_brief(CUTOVERS))
def test_a_cutover_that_can_not_begin_says_why_and_takes_nothing_but_the_lock(cutover, number):
    run, calls = cutover
    message = run.error(f"h{number}")
    assert [word for word in CUTOVERS[number][1] if word not in message] == [], message
    assert run.changed == [] and set(changes(calls)) <= LOCK


# What only a look at both sides can tell

class Sides:
    """Sources and clusters of which each has one thing wrong, made at once."""

    def __init__(self, cloud, good):
        self.cloud, self.good = cloud, good
        self.unsaved, self.followed = cloud.name("unsaved"), cloud.name("followed")
        self.replica, self.foreign, self.taken = cloud.name("replica"), cloud.name("foreign"), cloud.name("taken")
        self.member = cloud.name("member")

    def make(self):
        cloud, plain = self.cloud, {"Engine": "aurora-postgresql", "VpcSecurityGroupIds": [self.cloud.app_group]}
        user = {"MasterUsername": "shop_admin", "MasterUserPassword": PASSWORD}
        cloud.create_instance(self.unsaved, BackupRetentionPeriod=0)
        arn = cloud.create_instance(self.followed)["DBInstanceArn"]
        cloud.rds.create_db_cluster(DBClusterIdentifier=self.replica, ReplicationSourceIdentifier=arn, **plain)
        cloud.rds.create_db_cluster(DBClusterIdentifier=self.foreign, **plain, **user)
        cloud.rds.create_db_cluster(
            DBClusterIdentifier=self.taken, **plain, **user, Tags=[{"Key": "cloudpg:migration", "Value": "invoices"}]
        )
        for cluster in (self.replica, self.foreign, self.taken):
            wait_until(lambda name=cluster: cloud.cluster(name)["Status"] == "available")
        cloud.rds.create_db_instance(
            DBInstanceIdentifier=self.member, DBClusterIdentifier=self.foreign, DBInstanceClass="db.r6g.large",
            Engine="aurora-postgresql",
        )
        wait_until(lambda: cloud.instance(self.member)["DBInstanceStatus"] == "available")
        return self

    def clear(self):
        rds = self.cloud.rds
        for name in (self.member, self.unsaved):
            rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        for name in (self.replica, self.foreign, self.taken):
            rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
        wait_until(lambda: not self.cloud.has_cluster(self.replica))
        rds.delete_db_instance(DBInstanceIdentifier=self.followed, SkipFinalSnapshot=True)


@pytest.fixture(scope="module")
def sides(cloud, good):
    made = Sides(cloud, good).make()
    yield made
    made.clear()


LONG, LOST = "a" * 62, "sg-0123456789abcdef0"
FAR_KEY = "arn:aws:kms:us-east-1:123456789012:key/far"
THEIR_KEY = "arn:aws:kms:eu-west-1:210987654321:key/theirs"
A_NAME = ["1 to 63 letters, digits and single hyphens", "a letter first"]
# What preflight is asked, and for each thing wrong with it: id, object, words of reason and cure.
FINDINGS = [
    ({"source": "nowhere", "cluster": "1orders", "max_outage": 0}, [
        ("source-missing", "nowhere", ["no RDS instance of that name", "name the instance"]),
        ("identifier-invalid", "1orders", A_NAME),
        ("max-outage-unset", "nowhere", ["the cutover will refuse to begin", "set migration_max_outage"]),
    ]),
    ({"source": "{unsaved}", "cluster": "orders--a", "instance_class": "db.t2.nano", "max_outage": 60}, [
        ("source-backups-off", "{unsaved}", ["automatic backups are off", "at least 1 day"]),
        ("identifier-invalid", "orders--a", A_NAME),
        ("class-not-orderable", "db.t2.nano", ["doesn't offer it", "choose another"]),
        ("max-outage-short", "{unsaved}", ["60 s are promised", "promise at least 300 s"]),
    ]),
    ({"source": "{member}", "cluster": "orders-"}, [
        ("source-engine", "{member}", ["its engine is aurora-postgresql", "only RDS for PostgreSQL"]),
        ("identifier-invalid", "orders-", A_NAME),
        ("server-not-read", "{member}", ["no login", "migration_source.postgres"]),
    ]),
    ({"source": "{followed}", "cluster": "orders_a", "engine_version": "15.13"}, [
        ("source-has-aurora-replica", "{replica}", ["may have one only", "promote or delete it"]),
        ("identifier-invalid", "orders_a", A_NAME),
        ("engine-major-differs", "15.13", ["another major version", "one of 16."]),
    ]),
    ({"cluster": "{foreign}", "instance": "{unsaved}", "engine_version": "16.1"}, [
        ("target-exists", "{foreign}", ["isn't a replica of the source", "name another cluster"]),
        ("target-instance-exists", "{unsaved}", ["exists outside", "migration_target.instance"]),
        ("engine-version-not-allowed", "16.1", ["not among those AWS allows", "one of 16."]),
    ]),
    ({"cluster": "{taken}", "security_group_ids": [LOST]}, [
        ("target-exists", "{taken}", ["belongs to the migration invoices", "name another cluster"]),
        ("security-group-missing", LOST, ["no such security group", "correct replica_target_security_groups"]),
    ]),
    ({"kms_key_id": FAR_KEY}, [
        ("key-elsewhere", FAR_KEY, ["a key of us-east-1", "made in eu-west-1", "in replica_kms_key_id"]),
    ]),
    ({"kms_key_id": THEIR_KEY}, [("key-foreign", THEIR_KEY, ["account 210987654321", "kms:CreateGrant"])]),
    ({"cluster": "a" * 64}, [("identifier-invalid", "a" * 64, A_NAME)]),
    ({"cluster": LONG}, [("identifier-invalid", f"{LONG}-1", [*A_NAME, "named after the cluster unless it is given"])]),
]


def filled(value, sides):
    return value.format(**vars(sides)) if isinstance(value, str) else value


@pytest.mark.parametrize("change, expected", FINDINGS, ids=[row[1][0][0] for row in FINDINGS])
def test_preflight_finds_what_can_not_be(sides, cloud, run_module, change, expected):
    args = {
        "source": sides.good, "cluster": "wish", "instance_class": "db.r6g.large", "migration": "wish",
        "max_outage": 300, **{key: filled(value, sides) for key, value in change.items()},
    }
    with cloud.calls() as calls:
        told = run_module("replica_preflight_info", args)
    texts = {(one["id"], one["object"]): f"{one['reason']} -> {one['cure']}" for one in told["findings"]}
    for id, about, words in expected:
        text = texts[id, filled(about, sides)]
        assert [word for word in words if word not in text] == [], text
    assert calls.changes == []


JOURNAL = {"migration": "wish", "generation": None, "holder": None, "group_id": None}
REPLICA = {"source": "{good}", "cluster": "wish", "instance_class": "db.r6g.large", "journal": JOURNAL}
GROUPS = {"source": "{good}", "cluster_group": "wish-cluster", "instance_group": "wish-instance", "journal": JOURNAL}
OPEN = {"state": "open", "instance": "{good}", "journal": JOURNAL}
SERVER = {"host": "127.0.0.1", "port": 1, **LOGIN}
MODULES = [
    ("aurora_replica", REPLICA | {"storage_encrypted": False},
     ["storage_encrypted is false", "{good} is encrypted", "Cure: leave storage_encrypted out"]),
    ("aurora_replica", REPLICA | {"kms_key_id": FAR_KEY}, [f"kms_key_id {FAR_KEY}", "Cure: name a key of eu-west-1"]),
    ("aurora_replica", REPLICA | {"engine_version": "16.1"}, ["engine_version 16.1", "Cure: one of 16."]),
    ("aurora_replica", REPLICA | {"instance_class": "db.t2.nano"},
     ["instance_class db.t2.nano is not offered", "Cure: another class"]),
    ("aurora_replica", REPLICA | {"cluster": "{foreign}"}, ["cluster {foreign} exists", "Cure: name another cluster"]),
    ("aurora_replica", REPLICA | {"cluster": "{taken}"}, ["to the migration invoices", "Cure: name another cluster"]),
    ("aurora_replica", REPLICA | {"cluster": "{replica}"},
     ["replicates from", "{followed}", "Cure: name another cluster"]),
    ("aurora_replica", REPLICA | {"source": "nowhere"}, ["instance nowhere doesn't exist", "Cure: name the RDS"]),
    ("aws_journal", {"journal": {"migration": "Wish"}, "instance": "{good}"},
     ["'Wish' cannot be the name of a migration", "Cure: lower-case letters"]),
    ("aws_journal", {"journal": {"migration": "wish"}, "instance": "nowhere"},
     ["nowhere doesn't exist", "Cure: name an instance"]),
    ("aws_journal", {"journal": {"migration": "wish"}, "instance": "{good}", "controller_cidrs": ["here"]},
     ["controller_cidrs: here is no network", "Cure: write it like 10.1.2.0/24"]),
    ("aurora_parameter_group", GROUPS | {"cluster_group": "wish--x"}, ["cluster_group", "wish--x", "Cure: "]),
    ("aurora_parameter_group", GROUPS | {"extra_cluster_parameters": {"work_men": "1"}}, ["work_men", "Cure: "]),
    ("aurora_parameter_group", GROUPS | {"extra_cluster_parameters": {"work_mem": "much"}},
     ["work_mem", "much", "Cure: "]),
    ("aurora_replica_info", {"source": "{good}", "cluster": "wish", "drained_after": "noon"},
     ["drained_after: 'noon' is no moment", "Cure: write it like"]),
    ("rds_quiesce", OPEN, ["the journal has no entry source.security_groups", "Cure: give security_group_ids"]),
    ("rds_quiesce", OPEN | {"security_group_ids": [LOST]},
     [f"{LOST} doesn't exist any more", "Nothing was changed", "Cure: give security_group_ids"]),
    ("pg_server_info", {"server": SERVER | {"password": PASSWORD}},
     ["password and passfile are given together", "Cure: give one of password, passfile, secret_arn, iam"]),
    ("pg_server_info", {"server": SERVER}, ["127.0.0.1:1/postgres", "no connection as dba", "Cure: check host, port"]),
    ("pgbouncer_route_info", {"admin": SERVER}, ["PgBouncer 127.0.0.1:1 can't be reached", "admin_users"]),
]


@pytest.mark.parametrize("name, args, words", MODULES, ids=[f"{row[0]} {row[2][0]}"[:70] for row in MODULES])
def test_a_module_names_the_option_the_object_and_the_cure(sides, cloud, run_module, name, args, words):
    with cloud.calls() as calls:
        args = {key: filled(value, sides) for key, value in args.items()}
        told = run_module(name, args, check=name != "aws_journal")
    assert told.get("failed"), told
    assert [word for word in words if filled(word, sides) not in told["msg"]] == [], told["msg"]
    assert calls.changes == []


def test_without_a_lock_a_module_changes_nothing_and_says_how_to_get_one(sides, cloud, run_module):
    with cloud.calls() as calls:
        told = run_module("rds_quiesce", {"state": "quiesced", "instance": sides.good, "journal": JOURNAL})
    assert told["failed"] and "migration wish is not held" in told["msg"] and "aws_journal (state: held)" in told["msg"]
    assert calls.changes == []
