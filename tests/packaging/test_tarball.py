"""What users get: the collection is built, installed and used as they would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
MODULES = {path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")}
PLAYBOOKS = sorted(path.stem for path in (CHECKOUT / "playbooks").glob("*.yml"))
STAYS_HOME = (
    ".*", "Makefile", "ansible.cfg", "build*", "collections/*", "extensions/demo*", "molecule*", "pyproject.toml",
    "tests/*.py", "tests/[!s]*", "*.tar.gz", "*__pycache__*", "*.pyc",
)
INVENTORY = """\
migrations:
  hosts:
    orders:
      ansible_connection: local
      migration_path: replica
      migration_source: {instance: orders-rds}
      migration_target: {cluster: orders-aurora, instance_class: db.r6g.large}
"""


def run(*command, **environment):
    """Run a tool of this environment, far from the checkout and its configuration."""
    program = Path(sys.executable).with_name(command[0])
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [program, *map(str, command[1:])], capture_output=True, text=True, check=False, cwd="/",
        stdin=subprocess.DEVNULL, env={**cleared, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def tarball(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tarball")
    run("ansible-galaxy", "collection", "build", CHECKOUT, "--output-path", folder)
    (built,) = folder.glob("cloudpg-migration-*.tar.gz")
    return built


@pytest.fixture(scope="session")
def shipped(tarball):
    with tarfile.open(tarball) as archive:
        return archive.getnames()


@pytest.fixture(scope="session")
def installed(tarball, tmp_path_factory):
    folder = tmp_path_factory.mktemp("collections")
    run("ansible-galaxy", "collection", "install", "--offline", "--collections-path", folder, tarball)
    return folder


def test_the_tarball_leaves_out_what_only_the_checkout_needs(shipped):
    assert [name for name in shipped for pattern in STAYS_HOME if fnmatch(name, pattern)] == []


@pytest.mark.parametrize("name", [
    "CHANGELOG.md", "LICENSE", "README.md", "requirements.txt", "meta/runtime.yml", "meta/execution-environment.yml",
    "extensions/sandbox/__main__.py", "extensions/sandbox/requirements.txt", "extensions/ledger/__main__.py",
])
def test_the_tarball_holds_what_users_need(shipped, name):
    assert name in shipped


def test_the_installed_collection_documents_every_module(installed):
    wanted = ("--list", "--json", "--type", "module", "cloudpg.migration")
    listed = run("ansible-doc", *wanted, ANSIBLE_COLLECTIONS_PATH=str(installed))
    assert {name.removeprefix("cloudpg.migration.") for name in json.loads(listed)} == MODULES


def test_the_documentation_of_every_module_can_be_read(installed):
    names = [f"cloudpg.migration.{name}" for name in sorted(MODULES)]
    shown = json.loads(run("ansible-doc", "--json", *names, ANSIBLE_COLLECTIONS_PATH=str(installed)))
    assert [name for name in names if not shown[name]["doc"]["short_description"]] == []


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_playbook_can_be_called_by_its_full_name(installed, tmp_path, playbook):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY)
    listed = run(
        "ansible-playbook", "--inventory", inventory, "--list-hosts", "--list-tasks", f"cloudpg.migration.{playbook}",
        ANSIBLE_COLLECTIONS_PATH=str(installed),
    )
    assert "orders" in listed and "tasks:" in listed


def test_the_installed_sandbox_says_how_it_is_used(installed):
    home = installed / "ansible_collections" / "cloudpg" / "migration"
    assert "up" in run("python", home / "extensions" / "sandbox", "--help")
