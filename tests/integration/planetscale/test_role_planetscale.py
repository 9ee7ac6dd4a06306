# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path `planetscale` by its playbooks: Aurora without logical replication to a database that is yet to be made."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from aurora import create_cluster
from cloudpg_sandbox.installations import Account, Installations
from cloudpg_sandbox.testing import Sandbox
from source import MASTER, OWNER, Instance

from ..replica.runs import Playbooks, Run, changes
from .conftest import DATABASES, GIB, SIZE, Cloud

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
MIGRATION, LOGIN = "moving", "cloudpg-moving"
# Of the edge, in the clear: servers that were built without TLS can't subscribe to one that wants it.
PLAIN_PORT = 15433
SCHEMA = """
    CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES customers);
    INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 5) AS n;
    INSERT INTO orders (customer) SELECT 1 + n % 5 FROM generate_series(1, 10) AS n;
"""
MADE = """
    SELECT 'publication', pubname::text FROM pg_publication UNION ALL
    SELECT 'subscription', subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid
        WHERE datname = current_database() UNION ALL
    SELECT 'slot', slot_name FROM pg_replication_slots ORDER BY 1, 2
"""


def order(side: dict[str, Any]) -> int | None:
    """Make an order, as the application does; its number, None where nobody is let in."""
    try:
        connection = psycopg2.connect(**side)
    except psycopg2.OperationalError:
        return None
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (customer) VALUES (1) RETURNING id")
            return cursor.fetchone()[0]
    finally:
        connection.close()


@dataclass
class Estate:
    """A shop on Aurora, and the inventory that moves it to a database of another major at PlanetScale."""

    cloud: Cloud
    play: Playbooks
    directory: Path
    database: str
    passwords: dict[str, str]
    source: Instance
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def sandbox(self) -> Sandbox:
        return self.cloud.sandbox

    @property
    def inventory(self) -> Path:
        return self.directory / "hosts.yml"

    @property
    def passfile(self) -> Path:
        return self.directory / "planetscale.pgpass"

    def write(self, **variables: Any) -> None:
        """The inventory, with something said otherwise."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        hosts = {MIGRATION: self.variables | variables}
        self.inventory.write_text(yaml.safe_dump({"migrations": {"vars": local, "hosts": hosts}}), encoding="utf-8")

    def run(self, verbs: Any, **options: Any) -> Run:
        return self.play(verbs, self.inventory, **options)

    def sides(self) -> list[dict[str, Any]]:
        """How the application reaches either side; the target as far as it is there."""
        common = {"dbname": OWNER, "password": self.passwords[OWNER], "connect_timeout": 5}
        found = [{**common, "host": self.source.host, "user": OWNER}]
        if self.roles():
            role = self.roles()[0]
            branch = self.cloud.call("GET", f"{DATABASES}/{self.database}/branches/main")["id"]
            found.append({
                **common, "host": role["access_host_url"], "user": f"{OWNER}.{branch}", "sslmode": "verify-full",
                "sslrootcert": self.sandbox.env["CLOUDPG_SANDBOX_CA"],
            })
        return found

    def ordered(self) -> list[int | None]:
        """Make an order on either side; its number, None where nobody is let in."""
        return [order(side) for side in self.sides()]

    def inside(self, question: str) -> list[list[tuple[Any, ...]]]:
        """The answers of both servers, asked past all fences."""
        status = self.sandbox.control("GET", "status")
        one = [each for each in status["servers"] if each["identifier"] == f"{self.source.identifier}-1"]
        two = [each for each in status["branches"] if each["database"] == self.database]
        answers = []
        for server in one + two:
            port, user = server.get("server_port", server["port"]), "pscale_admin" if server in two else "rdsadmin"
            connection = psycopg2.connect(host=server["socket"], port=port, user=user, dbname=OWNER)
            with connection, connection.cursor() as cursor:
                cursor.execute(question)
                answers.append(cursor.fetchall())
            connection.close()
        return answers

    def roles(self) -> list[dict[str, Any]]:
        """PlanetScale's list."""
        status, answer, _headers = self.sandbox.planetscale("GET", f"{DATABASES}/{self.database}/branches/main/roles")
        return answer["data"] if status == 200 else []

    def around(self) -> dict[str, Any]:
        """What the migration changes beside the data."""
        rds = self.sandbox.client("rds")
        [cluster] = rds.describe_db_clusters(DBClusterIdentifier=self.source.identifier)["DBClusters"]
        status, parameters, _headers = self.sandbox.planetscale(
            "GET", f"{DATABASES}/{self.database}/branches/main/parameters"
        )
        told = {one["name"]: one["value"] or one["default_value"] for one in parameters} if status == 200 else {}
        groups = self.sandbox.client("ec2").describe_security_groups()["SecurityGroups"]
        return {
            "group": cluster["DBClusterParameterGroup"],
            "lets in": sorted(
                network["CidrIp"] for group in groups for permission in group["IpPermissions"]
                for network in permission["IpRanges"]
                if group["GroupId"] in {one["VpcSecurityGroupId"] for one in cluster["VpcSecurityGroups"]}
            ),
            "workers": told.get("max_worker_processes"),
            "wal_level": told.get("wal_level"),
            "roles": sorted(role["name"] for role in self.roles()),
            "mine on AWS": [group["GroupName"] for group in groups if MIGRATION in group["GroupName"]],
        }

    def changes(self, since: int) -> list[str]:
        """The calls to AWS and PlanetScale since a moment that weren't reading."""
        return [one for one in changes(self.sandbox.log(since)) if not one.split(":")[1].startswith(("get_", "list_"))]


@contextmanager
def built(sandbox: Sandbox, cloud: Cloud) -> Iterator[Estate]:
    """Everything is there but the target."""
    directory = Path(tempfile.mkdtemp(prefix="cloudpg-pscale-"))
    directory.chmod(0o711)
    passwords = {user: secrets.token_hex(16) for user in (MASTER, OWNER)}
    passfile = directory / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text("".join(f"*:*:*:{user}:{word}\n" for user, word in passwords.items()), encoding="utf-8")
    source = create_cluster(
        sandbox, cloud.name("pscale"), passwords, clients=["127.0.0.1/32", f"{sandbox.bastion}/32"], major=16
    )
    estate = Estate(cloud, Playbooks(sandbox.env, directory), directory, cloud.name("pscale"), passwords, source)
    connection = psycopg2.connect(**estate.sides()[0])
    with connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
    connection.close()
    programs = Installations(str(directory / "cache"), Account.for_servers()).get(18)
    estate.variables = {
        "migration_path": "planetscale",
        "migration_source": {
            "cluster": source.identifier,
            "postgres": {"host": source.host, "user": MASTER, "passfile": str(passfile), "dbname": OWNER},
        },
        "migration_target": {
            "organization": "sandbox", "database": estate.database, "region": "eu-west", "major_version": 18,
            "cluster_size": SIZE, "replicas": 0, "postgres": {
                "passfile": str(estate.passfile), "sslmode": "verify-full",
                "sslrootcert": sandbox.env["CLOUDPG_SANDBOX_CA"],
            },
        },
        "migration_databases": [OWNER],
        "migration_approved": [MIGRATION],
        "migration_build_timeout": 200,
        "logical_bindir": programs.bindir,
        "logical_back_connection": {"port": PLAIN_PORT, "sslmode": "disable"},
        "planetscale_passwords": [{"role": OWNER, "password": passwords[OWNER]}],
        "planetscale_exclude_roles": [MASTER],
    }
    estate.write()
    try:
        yield estate
    finally:
        sandbox.planetscale("DELETE", f"{DATABASES}/{estate.database}")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def estate(sandbox: Sandbox, cloud: Cloud) -> Iterator[Estate]:
    """The one that goes all the way."""
    with built(sandbox, cloud) as estate:
        yield estate


def bad(estate: Estate, **target: Any) -> str:
    """What is said about a target that can't be."""
    postgres = {**estate.variables["migration_target"]["postgres"], **target.pop("postgres", {})}
    wrong = {**estate.variables["migration_target"], **target, "postgres": postgres}
    run = estate.run("preflight", extra={"migration_target": wrong})
    assert run.rc != 0 and run.changed == []
    return run.error(MIGRATION)


@pytest.fixture(scope="module")
def story(estate: Estate) -> dict[str, Any]:
    """The runs one after the other; tests read from them."""
    told: dict[str, Any] = {"before": estate.around()}
    since = estate.sandbox.mark()
    told["no organization"] = bad(estate, organization="")
    told["a password"] = bad(estate, postgres={"password": "hunter2-in-the-clear"})
    told["unverified"] = bad(estate, postgres={"sslmode": "require"})
    told["not offered"] = bad(
        estate, region="moon", major_version=16, cluster_size="PS_9000", maximum_storage_bytes=9 * GIB
    )
    told["without a reboot"] = estate.run("preflight")
    estate.write(planetscale_reboot_source=True)
    told["fresh"] = estate.run(["preflight", "status"])
    told["check"] = estate.run("migrate", check=True)
    told["changed by looking"] = estate.changes(since)
    told["replicate"] = estate.run("replicate", by_name=True)
    told["around"] = estate.around()
    told["passfile"] = (estate.passfile.stat().st_mode & 0o777, estate.passfile.read_text(encoding="utf-8"))
    told["made"] = estate.inside(MADE)
    told["following"] = estate.ordered()
    since = estate.sandbox.mark()
    told["again"] = estate.run(["replicate", "status"])
    # The lock on AWS leaves a group each time until the end.
    told["stands"] = (estate.around(), estate.inside(MADE))
    told["would cut over"] = estate.run(["replicate", "cutover"], check=True)
    told["would roll back"] = estate.run("rollback", check=True)
    told["made still"] = (estate.around(), estate.inside(MADE))
    told["changed by a second run"] = estate.changes(since)
    told["cutover"] = estate.run("cutover")
    told["open"] = estate.ordered()
    since = estate.sandbox.mark()
    told["cutover again"] = estate.run(["cutover", "status"])
    told["changed by a second cutover"] = estate.changes(since)
    told["rollback"] = estate.run("rollback")
    told["back"] = estate.ordered()
    told["second cutover"] = estate.run("cutover")
    told["open again"] = estate.ordered()
    told["would finish"] = estate.run("finish", check=True)
    told["before the end"] = (estate.around(), estate.inside(MADE))
    told["finish"] = estate.run("finish")
    told["after"] = estate.around()
    told["left"] = estate.inside(MADE)
    told["finish again"] = estate.run(["finish", "status"])
    return told


def test_bad_input_is_refused_with_the_cure(story: dict[str, Any]) -> None:
    assert "needs organization and database" in story["no organization"]
    assert "A password isn't taken here" in story["a password"] and "hunter2" not in story["a password"]
    assert "has to be verify-full" in story["unverified"] and "(S8)" in story["unverified"]


def test_s2_s9_s11_all_that_is_not_offered_is_said_at_once(story: dict[str, Any]) -> None:
    for name in ("planetscale-region", "planetscale-major", "planetscale-size", "planetscale-storage"):
        assert f"{name} [" in story["not offered"], story["not offered"]


def test_r28_a_reboot_needs_leave_and_preflight_says_so(story: dict[str, Any]) -> None:
    run = story["without a reboot"]
    assert run.rc != 0 and run.changed == []
    assert "logical-replication-off [" in run.error(MIGRATION) and "reboot: true" in run.error(MIGRATION)


def test_preflight_finds_nothing_in_the_way_and_status_says_that_nothing_is_built(story: dict[str, Any]) -> None:
    run = story["fresh"]
    assert run.rc == 0, run.failed
    assert run.changed == [] and run.custom["cloudpg_status"][MIGRATION]["phase"] == "absent"


def test_check_mode_says_what_would_be_made_and_makes_nothing(story: dict[str, Any], estate: Estate) -> None:
    run = story["check"]
    assert run.rc == 0, run.failed
    said = " | ".join(run.actions(MIGRATION))
    for word in (estate.database, "127.0.0.1/32 to 5432", LOGIN):
        assert word in said, said
    assert story["changed by looking"] == []


def test_s12_s13_the_database_has_workers_and_its_imports_are_let_in(story: dict[str, Any]) -> None:
    run = story["replicate"]
    assert run.rc == 0, run.failed
    before, around = story["before"], story["around"]
    assert int(around["workers"]) >= 10 and around["wal_level"] == "logical"
    assert around["group"] != before["group"]
    assert len(around["lets in"]) > len(before["lets in"]) and f"{around['group']}-allow" in around["mine on AWS"]


def test_s4_the_logins_password_is_in_its_file_alone(story: dict[str, Any], estate: Estate) -> None:
    mode, text = story["passfile"]
    [password] = [line.rsplit(":", 1)[1] for line in text.splitlines()]
    everything = " ".join(run.stdout for run in story.values() if isinstance(run, Run))
    assert (mode, len(password) > 20) == (0o600, True)
    assert not [word for word in (password, *estate.passwords.values()) if word in everything]
    assert password not in estate.sandbox.sandbox_log() + str(estate.sandbox.log())


def test_s15_s17_everything_is_made_and_the_way_back_is_ready(story: dict[str, Any]) -> None:
    there, back = f"cloudpg_{MIGRATION}", f"cloudpg_{MIGRATION}_back"
    source, target = story["made"]
    assert source == [("publication", there), ("slot", f"{there}_{OWNER}"), ("subscription", back)]
    assert target == [("publication", back), ("slot", f"{back}_{OWNER}"), ("subscription", there)]
    assert LOGIN in story["around"]["roles"]


@pytest.mark.parametrize(("verb", "calls"), [
    ("again", "changed by a second run"), ("cutover again", "changed by a second cutover"),
])
def test_a_second_run_changes_nothing(story: dict[str, Any], verb: str, calls: str) -> None:
    run = story[verb]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    # The lock on AWS, a security group, is taken and given back.
    assert {call for call in story[calls] if not call.endswith("Tags")} <= {"ec2:CreateSecurityGroup"}


def test_s17_check_mode_of_a_rollback_before_the_cutover_says_what_it_would_take_back(story: dict[str, Any]) -> None:
    run = story["would roll back"]
    assert run.rc == 0, run.failed
    said = " | ".join(run.actions(MIGRATION))
    for word in (f"drop slot cloudpg_{MIGRATION}_{OWNER}", f"delete role {LOGIN}", "max_worker_processes from 10 to 4"):
        assert word in said, said
    assert story["made still"] == story["stands"]


def test_p29_one_side_takes_writes_and_none_is_lost_on_either_way(story: dict[str, Any], estate: Estate) -> None:
    for verb in ("would cut over", "cutover", "rollback", "second cutover"):
        assert story[verb].rc == 0, (verb, story[verb].failed)
    orders = [story[when] for when in ("following", "open", "back", "open again")]
    assert [[number is not None for number in pair] for pair in orders] == [
        [True, False], [False, True], [True, False], [False, True],
    ]
    numbers = [next(filter(None, pair)) for pair in orders]
    assert numbers == sorted(set(numbers))
    [target] = estate.inside(f"SELECT id FROM orders WHERE id IN ({', '.join(map(str, numbers))}) ORDER BY 1")[1:]
    assert [number for (number,) in target] == numbers


def test_status_says_who_serves(story: dict[str, Any]) -> None:
    status = story["cutover again"].custom["cloudpg_status"][MIGRATION]
    assert (status["phase"], status["healthy"]) == ("open", True)
    assert "the source follows it, so rollback loses no write" in status["sentence"]


def test_s17_finish_puts_everything_back_and_says_so_before(story: dict[str, Any]) -> None:
    assert story["would finish"].rc == 0, story["would finish"].failed
    assert LOGIN in " | ".join(story["would finish"].actions(MIGRATION))
    assert story["before the end"] == story["stands"]
    assert story["finish"].rc == 0, story["finish"].failed
    assert story["left"] == [[], []]
    before, after = story["before"], story["after"]
    assert (after["group"], after["lets in"]) == (before["group"], before["lets in"])
    assert after["mine on AWS"] == before["mine on AWS"] == []
    assert after["workers"] == "4" and LOGIN not in after["roles"]


def test_a_second_finish_changes_nothing_and_the_end_is_remembered(story: dict[str, Any]) -> None:
    run = story["finish again"]
    assert (run.rc, run.changed) == (0, []), (run.failed, run.changed)
    assert run.custom["cloudpg_status"][MIGRATION]["phase"] == "finished"


def test_s17_a_rollback_before_the_cutover_takes_back_all_but_the_database(sandbox: Sandbox, cloud: Cloud) -> None:
    with built(sandbox, cloud) as estate:
        before = estate.around()
        estate.write(planetscale_reboot_source=True)
        built_up = estate.run("replicate")
        assert built_up.rc == 0, built_up.failed
        assert [len(made) for made in estate.inside(MADE)] == [3, 3] and LOGIN in estate.around()["roles"]
        run = estate.run("rollback")
        assert run.rc == 0, run.failed
        assert estate.inside(MADE) == [[], []]
        after = estate.around()
        assert (after["group"], after["lets in"]) == (before["group"], before["lets in"])
        assert after["mine on AWS"] == before["mine on AWS"] == []
        assert after["workers"] == "4" and LOGIN not in after["roles"]
        assert order(estate.sides()[0]) is not None
        again = estate.run(["rollback", "status"])
        assert (again.rc, again.changed) == (0, []), (again.failed, again.changed)
        assert again.custom["cloudpg_status"][MIGRATION]["phase"] == "absent"
