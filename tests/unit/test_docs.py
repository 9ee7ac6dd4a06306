# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users copy out of the documentation: examples that Ansible takes, and tables that leave nothing out."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
MODULES = sorted((CHECKOUT / "plugins" / "modules").glob("*.py"))
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))
OURS = "cloudpg.migration."
RUNTIME = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
PREFLIGHT = [
    *sorted((CHECKOUT / "plugins" / "module_utils" / "_logical_preflight").glob("*.py")),
    CHECKOUT / "plugins" / "module_utils" / "_logical" / "identity.py",
]
# What those names become that are put together when they are made; and what only the undoing of identities says.
MADE = {
    "{side}-is-standby": ["source-is-standby", "target-is-standby"],
    "{side}-slots": ["source-slots"], "{side}-walsenders": ["source-walsenders"],
    "way-back-{finding.id.partition('-')[2]}": [
        "way-back-slots", "way-back-walsenders", "way-back-slots-unknown", "way-back-walsenders-unknown",
    ],
    "{id}-unknown": [
        f"{one}-unknown" for one in ("source-slots", "source-walsenders", "target-origins", "target-workers")
    ],
}
NOT_IN_PREFLIGHT = {"table-unlogged", "identity-changed-since", "table-still-published"}


def command(*words):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"), "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    program = Path(sys.executable).parent / words[0]
    return subprocess.run([program, *words[1:]], env=environment, capture_output=True, text=True, check=False)


def examples(module):
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "EXAMPLES":
            return yaml.safe_load(node.value.value)
    raise AssertionError(f"{module.name} has no EXAMPLES")


def on_page(page):
    """The tasks of a page, also of blocks that are part of a list."""
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    read = [yaml.safe_load(textwrap.dedent(block)) for _indent, block in blocks]
    return [task for block in read if isinstance(block, list) for task in block if "hosts" not in task]


SOURCES = {**{module.stem: examples(module) for module in MODULES}, **{page.name: on_page(page) for page in PAGES}}


@pytest.fixture(scope="module")
def documented():
    """The options of all our modules, as users read them."""
    answer = command("ansible-doc", "--type", "module", "--json", *(OURS + module.stem for module in MODULES))
    assert answer.returncode == 0, answer.stderr
    return {name: found["doc"]["options"] for name, found in json.loads(answer.stdout).items()}


def test_ansible_takes_every_example_and_every_task_of_the_pages(tmp_path):
    book = tmp_path / "examples.yml"
    book.write_text(yaml.safe_dump([
        {"name": name, "hosts": "localhost", "gather_facts": False, "tasks": tasks}
        for name, tasks in SOURCES.items() if tasks
    ]), encoding="utf-8")
    answer = command("ansible-playbook", "--syntax-check", str(book))
    assert answer.returncode == 0, answer.stderr


def wrong(options, given, where):
    """What of the arguments isn't as the options say."""
    if not isinstance(given, dict):
        return []
    known = {alias: option for name, option in options.items() for alias in (name, *option.get("aliases", []))}
    found = [f"{where}: no option {name}" for name in given if name not in known]
    found += [f"{where}: {name} is missing" for name, option in options.items()
              if option.get("required") and not {name, *option.get("aliases", [])} & set(given)]
    for name, value in given.items():
        option = known.get(name, {})
        several = value if isinstance(value, list) else [value]
        if "choices" in option:
            found += [f"{where}: {name} can't be {one}" for one in several
                      if "{{" not in str(one) and one not in option["choices"]]
        for one in several if option.get("suboptions") else ():
            found += wrong(option["suboptions"], one, f"{where}.{name}")
    return found


@pytest.mark.parametrize("name", [name for name, tasks in SOURCES.items() if tasks])
def test_every_example_has_options_that_there_are(name, documented):
    asked = [
        (module, arguments) for task in SOURCES[name] for module, arguments in task.items() if module.startswith(OURS)
    ]
    assert asked
    assert [one for module, given in asked for one in wrong(documented[module], given, f"{module}")] == []


def test_every_finding_of_a_preflight_is_explained_and_none_that_there_is_not():
    told = set()
    for path in PREFLIGHT:
        text = path.read_text(encoding="utf-8")
        told |= set(re.findall(r'(?:blocker|warning|_short)\(\s*f?"([^"\n]+)"', text))
        told |= set(re.findall(r'id = f"([^\n]+)"$', text, re.MULTILINE))
    assert set(MADE) <= told
    told = {name for one in told for name in MADE.get(one, [one])} - NOT_IN_PREFLIGHT
    page = (CHECKOUT / "docs" / "logical.md").read_text(encoding="utf-8")
    section = page.split("## What preflight says")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`([a-z-]+)`", row)) == sorted(told)


def of_the_group():
    return {name for name in RUNTIME["action_groups"]["postgresql"] if isinstance(name, str)}


def test_every_module_that_speaks_to_postgresql_is_on_the_page_of_the_sql_modules():
    text = (CHECKOUT / "docs" / "sql-modules.md").read_text(encoding="utf-8")
    physical = {"pg_carried_jobs", "pg_replication_wait"}
    assert [name for name in sorted(of_the_group() - physical) if name not in text] == []


def test_every_module_that_speaks_to_postgresql_has_its_row_of_rights():
    section = (CHECKOUT / "docs" / "permissions.md").read_text(encoding="utf-8").split("### Module by module")[1]
    section = section.split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(of_the_group())


@pytest.mark.parametrize("page", [*PAGES, CHECKOUT / "README.md"], ids=lambda page: page.name)
def test_a_link_within_the_documentation_leads_somewhere(page):
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _hash, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists():
            broken.append(target)
        elif anchor:
            heads = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            broken += [] if anchor in slugs else [target]
    assert broken == []
