"""Run ``ansible-test sanity`` without containers: ``python tests/sanity/run.py [TEST …]`` (default: all but SKIPPED).

ansible-test wants the path ``…/ansible_collections/cloudpg/migration`` and no links: it gets a copy of the tracked
files under ``build/sanity``, with the collections this one builds on beside it. It makes virtual environments without
pip in them, and fetches a script that installs pip; where only a package index is reachable that fails, so a script
that does the same from the copy of pip bundled with Python is put where ansible-test keeps the fetched one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

CHECKOUT = Path(__file__).resolve().parents[2]
COLLECTIONS = CHECKOUT / "build" / "sanity" / "ansible_collections"
COPY = COLLECTIONS / "cloudpg" / "migration"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
UPSTREAM = ("amazon", "community")

# Tests that need programs which no package index carries, with the program.
SKIPPED = {"shellcheck": "shellcheck", "pslint": "pwsh"}

GET_PIP = '''\
"""Install pip from the copy bundled with Python, then the version that was asked for."""
import subprocess, sys
wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
for words in (["ensurepip"], ["pip", "install", "--quiet", "--disable-pip-version-check", *wanted]):
    subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.DEVNULL)
'''


def copy_tracked_files() -> None:
    """Lay the tracked files out the way ansible-test wants them; its results of earlier runs go."""
    shutil.rmtree(COPY, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).is_file():
            target = COPY / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target)
    # A repository of its own: in that of the checkout, everything below build/ is ignored.
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=COPY, check=True)


def link_upstream() -> None:
    """Put the installed collections beside the copy."""
    installed = Path(next(iter(find_spec("ansible_collections").submodule_search_locations)))
    for namespace in UPSTREAM:
        link = COLLECTIONS / namespace
        link.unlink(missing_ok=True)
        link.symlink_to(installed / namespace, target_is_directory=True)


def offer_pip() -> None:
    """Leave a script that installs pip where ansible-test looks before it fetches one."""
    wanted = get_venv_packages(SimpleNamespace(version=VERSION))["pip"].replace(".", "_")
    script = Path.home() / ".ansible" / "test" / "cache" / f"get_pip_{wanted}.py"
    if not script.exists():
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(GET_PIP)


def main(tests: list[str]) -> int:
    """Run the named tests, or all that this machine can run, for the Python that runs this; the exit code is theirs."""
    copy_tracked_files()
    link_upstream()
    offer_pip()
    command = ["ansible-test", "sanity", "--local", "--color", "no", "--python", VERSION]
    for test in tests:
        command += ["--test", test]
    for test, program in SKIPPED.items():
        if not tests and not shutil.which(program):
            print(f"ansible-test sanity: without {test}, {program} is not installed", flush=True)
            command += ["--skip-test", test]
    return subprocess.run(command, cwd=COPY, check=False, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
