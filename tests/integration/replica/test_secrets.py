# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets are planted wherever a user may keep them, and looked for wherever they must not be."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from cloudpg_sandbox.testing import Sandbox, wait_until
from pooler import ADMIN
from scenario import MASTER, OWNER

from .estates import LOGIN, Estate
from .runs import CHECKOUT, Playbooks, Run, read_events
from .tokens import Door, TokenDoor

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
LOUD = ("-vvv",)


class Vaulted(str):
    """A text that the inventory holds encrypted inline."""


class Inventory(yaml.SafeDumper):
    """Writes vaulted texts as ansible-vault does."""


Inventory.add_representer(Vaulted, lambda dumper, text: dumper.represent_scalar("!vault", str(text), style="|"))


class Processes(threading.Thread):
    """Reads what every process of the machine was called with, several times a second."""

    def __init__(self, wanted: Iterable[str]) -> None:
        super().__init__(daemon=True)
        self._wanted = [text.encode() for text in wanted]
        self._over = threading.Event()
        self.found: set[str] = set()
        self.playbooks = 0

    def __enter__(self) -> Processes:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                self.playbooks += b"ansible-playbook" in line
                if any(text in line for text in self._wanted):
                    self.found.add(line.decode(errors="replace"))


class Vault:
    """The estate `hidden`, every secret of it, and the places where none of them may be seen."""

    def __init__(self, sandbox: Sandbox, play: Playbooks, place: Path) -> None:
        self.sandbox = sandbox
        self.directory = place / "hidden"
        self.estate = Estate(sandbox, self.directory, name="hidden").build()
        self.estate.start_pooler()
        self.home, self.temporary = self.directory / "home", self.directory / "tmp"
        for directory in (self.home, self.temporary):
            directory.mkdir()
        self.play = Playbooks(sandbox.env, self.home)
        self.planted = {
            "the vault's password": secrets.token_hex(24), "a password that is wrong": secrets.token_hex(24),
            "what another secret holds": secrets.token_hex(24), "AWS's key": sandbox.env["AWS_SECRET_ACCESS_KEY"],
            "a key in the inventory": secrets.token_hex(24), "beside a template": secrets.token_hex(24),
            "in a connection string": secrets.token_hex(24), "under a wrong name": secrets.token_hex(24),
            "vaulted by another key": secrets.token_hex(24), "of a server that hangs": secrets.token_hex(24),
            **{f"the password of {user}": word for user, word in self.estate.passwords.items()},
        }
        self.password_file = self.directory / "vault-password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(self.planted["the vault's password"], encoding="utf-8")
        self.began = sandbox.mark()
        self.tokens = TokenDoor(self.directory, sandbox.env["AWS_ACCESS_KEY_ID"], self._socket)

    def _socket(self) -> str:
        [server] = [
            one for one in self.sandbox.control("GET", "status")["servers"] if one["identifier"] == "hidden-rds"
        ]
        return f"{server['socket']}/.s.PGSQL.{server['port']}"

    def vaulted(self, text: str, key: str = "the vault's password") -> Vaulted:
        lib = VaultLib([("default", VaultSecret(self.planted[key].encode()))])
        return Vaulted(lib.encrypt(text).decode())

    def secret(self, text: str) -> str:
        """The ARN of a secret that holds this."""
        client = self.sandbox.client("secretsmanager")
        return client.create_secret(Name=f"hidden/{secrets.token_hex(4)}", SecretString=text)["ARN"]

    def login(self, **more: Any) -> dict[str, Any]:
        """An address without any proof."""
        address = self.estate.postgres(user=LOGIN, **more)
        del address["passfile"]
        return address

    def host(self, source: Mapping[str, Any] | str, **more: Any) -> dict[str, Any]:
        """A migration of the one source there is, with this login."""
        return {
            **self.estate.common(), "migration_source": {"instance": self.estate.instance, "postgres": source}, **more,
        }

    def write(self, name: str, hosts: Mapping[str, Any]) -> Path:
        path = self.directory / f"{name}.yml"
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        text = yaml.dump({"migrations": {"vars": local, "hosts": dict(hosts)}}, Dumper=Inventory, sort_keys=False)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def around(self) -> dict[str, str]:
        return {"TMPDIR": str(self.temporary), "ANSIBLE_VAULT_PASSWORD_FILE": str(self.password_file)}

    def run(self, verbs: str, inventory: Path, **options: Any) -> Run:
        return self.play(verbs, inventory, env=self.around, arguments=LOUD, **options)

    @property
    def texts(self) -> dict[str, str]:
        """All that must not be seen; the signature is what makes a token one."""
        signatures = {token.rpartition("=")[2] for token in self.tokens.tokens}
        return {**self.planted, **{f"token {number}": text for number, text in enumerate(sorted(signatures))}}

    def seen_in(self, places: Mapping[str, str]) -> list[str]:
        """Which secret is seen where, with what stands before it."""
        return [
            f"{name} is in {where}, after {text[max(0, text.find(secret) - 60):text.find(secret)]}"
            for where, text in places.items() for name, secret in self.texts.items() if secret in text
        ]

    def left(self) -> dict[str, str]:
        """The files that runs left behind."""
        return {
            str(path): path.read_bytes().decode(errors="replace")
            for directory in (self.home, self.temporary) for path in directory.rglob("*") if path.is_file()
        }

    def cloud(self) -> dict[str, str]:
        """What AWS keeps and hears: calls, tags, names."""
        rds, ec2 = self.sandbox.client("rds"), self.sandbox.client("ec2")
        kept = [
            rds.describe_db_instances(), rds.describe_db_clusters(), ec2.describe_security_groups(),
            rds.describe_db_parameter_groups(), rds.describe_db_cluster_parameter_groups(), rds.describe_events(),
        ]
        return {
            "the API log": json.dumps(self.sandbox.log(self.began)), "the sandbox's log": self.sandbox.sandbox_log(),
            "the cloud": json.dumps(kept, default=str),
        }


@pytest.fixture(scope="module")
def vault(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Vault]:
    vault = Vault(sandbox, play, place)
    yield vault
    vault.tokens.close()
    vault.estate.close()


# A login by every proof, and everything wrong with one

@pytest.fixture(scope="module")
def many(vault: Vault) -> Path:
    """An inventory with a migration for each."""
    word, planted = vault.estate.passwords[LOGIN], vault.planted
    rds_made = json.dumps({"username": LOGIN, "password": word, "engine": "postgres"})
    plain = vault.login(password=word)
    return vault.write("many", {
        "password": vault.host(plain),
        "vaulted": vault.host(vault.login(password=vault.vaulted(word))),
        "passfile": vault.host(vault.estate.postgres(user=LOGIN)),
        "secret": vault.host({key: value for key, value in vault.login(
            secret_arn=vault.secret(rds_made)).items() if key != "user"}),
        "token": vault.host(vault.login(iam=True, host=vault.tokens.host) | {"port": vault.tokens.port}),
        "wrong": vault.host(vault.login(password=planted["a password that is wrong"])),
        "nonsense": vault.host(vault.login(secret_arn=vault.secret(planted["what another secret holds"]))),
        "lost": vault.host(vault.login(secret_arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:lost")),
        "template": vault.host(vault.login(password=planted["beside a template"]) | {"host": "{{ nowhere }}"}),
        "within": vault.host(vault.login(password="{{ '%s' ~ nowhere }}" % planted["beside a template"])),
        "later": vault.host(
            {"user": "x", "password": planted["beside a template"]}, replica_tags={"team": "{{ nowhere }}"}),
        "foreign": vault.host(vault.login(password=vault.vaulted(
            planted["vaulted by another key"], "a password that is wrong"))),
        "string": vault.host(f"host=x password={planted['in a connection string']}"),
        "list": vault.host(plain, migration_traffic=[
            {"kind": "pgbouncer", "admin": f"password={planted['in a connection string']}", "config": "x"}]),
        "nested": vault.host(vault.login(password={"is": planted["a password that is wrong"]})),
        "misspelt": vault.host(vault.login(passwort=planted["under a wrong name"])),
        "pooler": vault.host(plain, migration_traffic=[
            {"kind": "pgbouncer", "admin": {"host": "x", "pasword": planted["under a wrong name"]}, "config": "x"}]),
        "key": vault.host(plain, migration_aws={
            "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": planted["a key in the inventory"]}),
        "misnamed": vault.host(plain, migration_aws={"secret_kee": planted["a key in the inventory"]}),
    })


WORKS = ("password", "vaulted", "passfile", "secret", "token")
FAILS = {
    "wrong": ["no connection as migrator", "password authentication failed"],
    "nonsense": ["not a JSON object with username and password", "name the secret RDS made"],
    "lost": ["AWS gave no password (ResourceNotFoundException)", "secretsmanager:GetSecretValue"],
    "template": ["migration_source.postgres.host (nowhere is undefined)"],
    "within": ["migration_source.postgres.password (nowhere is undefined)"],
    "later": ["replica_tags.team (nowhere is undefined)"],
    "foreign": ["migration_source.postgres.password (UndecryptableVaultError)"],
    "string": ["the postgres in them", "a connection string isn't taken"],
    "list": ["an admin in migration_traffic", "a connection string isn't taken"],
    "nested": ["no connection as migrator", "password authentication failed"],
    "misspelt": ["migration_source.postgres.passwort"],
    "pooler": ["migration_traffic: admin.pasword", "There are host, port, user, password"],
    "misnamed": ["migration_aws.secret_kee"],
}


@dataclass(frozen=True)
class Told:
    """What a run said in each way that is offered."""

    run: Run
    places: dict[str, str]
    processes: Processes


@pytest.fixture(scope="module")
def told(vault: Vault, many: Path) -> Told:
    """Preflight of them all, as a runner has it with its events, and as a user has it with another callback."""
    directory = vault.directory / "runner"
    directory.mkdir()
    with Processes(vault.planted.values()) as processes:
        runner = vault.play.start([
            sys.executable, "-m", "ansible_runner", "run", str(directory), "--ident", "it", "--inventory", str(many),
            "-p", str(CHECKOUT / "playbooks" / "preflight.yml"),
            f"--cmdline=-vvv --diff --limit {','.join([WORKS[0], *FAILS])}",
        ], **vault.around, ANSIBLE_STDOUT_CALLBACK="default")
        printed, _none = runner.communicate(timeout=300)
        run = vault.run("preflight", many)
    events = (directory / "artifacts" / "it" / "job_events").glob("*.json")
    places = {"the runner's output": printed, "jsonl": run.stdout}
    places |= {f"event {path.name}": path.read_text(encoding="utf-8") for path in events}
    return Told(run, places, processes)


@pytest.mark.parametrize("host", WORKS)
def test_a_password_comes_from_where_it_is_kept(told: Told, vault: Vault, host: str) -> None:
    assert told.run.stats[host]["failures"] == 0, told.run.error(host)
    [read] = [task for task in told.run.of(host) if task.name.endswith("preflight | Read the source server")]
    assert OWNER in [database["name"] for database in read.result["server"]["databases"]]


def test_a_token_is_made_for_the_place_and_the_login_and_travels_by_tls(told: Told, vault: Vault) -> None:
    assert vault.tokens.tokens and not vault.tokens.refused


@pytest.mark.parametrize("host", FAILS)
def test_a_login_that_fails_is_explained(told: Told, host: str) -> None:
    message = told.run.error(host)
    assert [word for word in FAILS[host] if word not in message] == [], message


def test_nothing_that_was_said_has_a_secret(told: Told, vault: Vault) -> None:
    assert len(told.places) > 50, "there are events of the runner"
    assert vault.seen_in(told.places) == []


def test_no_process_is_called_with_a_secret(told: Told) -> None:
    assert told.processes.playbooks > 10 and told.processes.found == set()


# The whole way

@pytest.fixture(scope="module")
def whole(vault: Vault) -> Told:
    """A migration whose every secret is in the inventory or comes from AWS."""
    words = vault.estate.passwords
    rds_made = json.dumps({"username": MASTER, "password": words[MASTER]})
    source = vault.login(secret_arn=vault.secret(rds_made)) | {"user": MASTER}
    target = vault.login(password=vault.vaulted(words[LOGIN]))
    admin = {**vault.estate.pooler.admin(Path("/dev/null")), "password": words[ADMIN]}
    del admin["passfile"]
    names = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY", "region": "AWS_REGION"}
    inventory = vault.write("whole", {"hidden": vault.host(
        source,
        migration_target={**vault.estate.common()["migration_target"], "postgres": target},
        migration_controller_cidrs=[vault.estate.bastion_cidr],
        migration_traffic=[{
            "kind": "pgbouncer", "admin": admin, "config": str(vault.estate.pooler.config), "databases": [OWNER],
        }],
        migration_aws={option: vault.sandbox.env[name] for option, name in names.items()},
        replica_count_tables=[{"database": OWNER, "table": "sales.orders"}],
    )})
    with Processes(vault.planted.values()) as processes:
        run = vault.run("migrate", inventory, extra={"migration_approved": ["hidden"]})
    return Told(run, {"jsonl": run.stdout, **vault.cloud()}, processes)


def test_a_whole_migration_says_keeps_and_calls_nothing_with_a_secret(whole: Told, vault: Vault) -> None:
    assert whole.run.rc == 0, whole.run.failed
    assert vault.estate.pooler.leads_to(OWNER) != vault.estate.source.host
    assert vault.seen_in(whole.places) == []
    assert whole.processes.playbooks > 10 and whole.processes.found == set()


# Killed

def test_a_run_that_is_killed_amid_a_module_leaves_no_file_with_a_secret(vault: Vault) -> None:
    """The module has its arguments, and waits for a server that never answers."""
    door, mark = Door(), secrets.token_hex(8)
    password = vault.planted["of a server that hangs"]
    inventory = vault.write("hanging", {
        "hanging": vault.host({"host": door.host, "port": door.port, "user": "x", "password": password}),
    })
    process = vault.play.start(vault.play.command("preflight", [inventory], arguments=LOUD), **vault.around, MARK=mark)
    try:
        wait_until(door.came.is_set, 120)
        alive = with_mark(mark)
        assert len(alive) > 1, "the playbook and its module"
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        stdout, _none = process.communicate(timeout=60)
    finally:
        process.kill()
        door.close()
    assert process.returncode == -signal.SIGKILL
    assert "Read the source server" not in [task.name for task in read_events(0, stdout).tasks]
    assert vault.seen_in({"jsonl": stdout}) == []
    assert vault.seen_in(vault.left()) == []


def with_mark(mark: str) -> list[int]:
    """The processes that have it in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_no_run_left_a_file_with_a_secret(told: Told, whole: Told, vault: Vault) -> None:
    assert vault.seen_in(vault.left()) == []
