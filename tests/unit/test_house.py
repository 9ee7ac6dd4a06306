"""The collection keeps its own rules: what is shipped is documented, named and grouped as users were told."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
MODULES = sorted((CHECKOUT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path for path in (CHECKOUT / "roles").iterdir() if path.is_dir())
VERBS = ("preflight", "replicate", "cutover", "rollback", "finish", "status")
PATHS = ("replica",)
DOCUMENTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
RUNTIME = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text())
# Where somebody's machine shows: home directories and the like.
MACHINE_PATH = re.compile(r"(?<![\w.:/~$}-])/(?:root|work|mnt|home/(?!\w*[<{$])\w+)/\w")


def by_name(path):
    return path.stem


def documents(module):
    """The YAML documents a module carries, by name."""
    assigned = {}
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            assigned.update({target.id: node.value.value for target in node.targets})
    return {name: yaml.safe_load(assigned[name]) for name in DOCUMENTS if name in assigned}


def group(name):
    return {member for member in RUNTIME["action_groups"][name] if isinstance(member, str)}


def tracked_files():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return [CHECKOUT / name for name in names.split("\0") if name and (CHECKOUT / name).is_file()]


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_a_module_is_documented_with_examples_and_what_it_returns(module):
    found = documents(module)
    assert set(found) == DOCUMENTS
    assert found["DOCUMENTATION"]["module"] == module.stem
    assert any(f"cloudpg.migration.{module.stem}" in task for task in found["EXAMPLES"])


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_a_module_takes_aws_options_exactly_when_the_aws_group_reaches_it(module):
    fragments = documents(module)["DOCUMENTATION"].get("extends_documentation_fragment", [])
    assert ("amazon.aws.common.modules" in fragments) == (module.stem in group("aws"))


@pytest.mark.parametrize("name", sorted(RUNTIME["action_groups"]))
def test_an_action_group_names_modules_that_exist(name):
    assert group(name) <= {module.stem for module in MODULES}


@pytest.mark.parametrize("plugin", sorted((CHECKOUT / "plugins").rglob("*.py")), ids=by_name)
def test_a_plugin_states_its_licence(plugin):
    assert "SPDX-License-Identifier: GPL-3.0-or-later" in plugin.read_text()[:400]


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_a_role_has_a_readme_and_specifies_each_of_its_defaults(role):
    assert (role / "README.md").read_text().startswith("# ")
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    specified = {option for entry in spec.values() for option in entry.get("options", {})}
    assert set(yaml.safe_load((role / "defaults" / "main.yml").read_text()) or {}) <= specified


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_a_role_explains_its_defaults_one_by_one_or_in_pairs(role):
    lines = (role / "defaults" / "main.yml").read_text().splitlines()
    bare = [
        line for here, line in enumerate(lines)
        if re.match(r"\w+:", line) and not any(above.startswith("#") for above in lines[max(0, here - 2):here])
    ]
    assert bare == []


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_the_six_doors(path):
    assert [verb for verb in VERBS if not (CHECKOUT / "roles" / path / "tasks" / f"{verb}.yml").is_file()] == []


def test_there_is_a_playbook_a_verb_and_each_can_be_called_by_its_full_name():
    names = {playbook.stem for playbook in (CHECKOUT / "playbooks").glob("*.yml")}
    assert names >= {*VERBS, "migrate"}
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z_]*", name)] == []


@pytest.mark.parametrize("verb", ["cutover", "rollback"])
def test_a_playbook_with_an_outage_goes_host_by_host_and_stops_at_the_first_failure(verb):
    (play,) = yaml.safe_load((CHECKOUT / "playbooks" / f"{verb}.yml").read_text())
    assert play["hosts"] == "{{ migration_hosts | default('migrations') }}"
    assert play["serial"] == "{{ migration_serial | default(1) }}"
    assert play["max_fail_percentage"] == "{{ migration_max_fail_percentage | default(0) }}"


def test_an_execution_environment_holds_what_the_modules_need():
    def wanted(name):
        return [line for line in (CHECKOUT / name).read_text().splitlines() if not line.startswith("#")]
    assert wanted("meta/ee-requirements.txt") == wanted("requirements.txt")


def test_no_tracked_file_names_a_path_of_somebodys_machine():
    found = [
        f"{path.relative_to(CHECKOUT)}: {match[0]}"
        for path in tracked_files() if path != Path(__file__)
        for match in MACHINE_PATH.finditer(path.read_text(errors="replace"))
    ]
    assert found == []
