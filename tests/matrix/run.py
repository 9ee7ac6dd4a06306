"""Run the unit tests with the other versions of ansible-core and of the collections this one builds on.

Collections come out of the package `ansible`, without the rest of it: which of its releases can be had depends on the
Python, which of the collections in it work does not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build" / "matrix"
COLLECTIONS = ("amazon/aws", "community/aws", "community/postgresql")
PYTHONS = tuple(f"python3.{minor}" for minor in (14, 13, 12, 11))


@dataclass(frozen=True)
class Row:
    """One combination; ``pythons`` are tried in order."""

    name: str
    core: str
    bundle: str
    pythons: tuple[str, ...] = (sys.executable,)


ROWS = (
    Row("oldest", "ansible-core==2.19.0", "ansible==12.0.0"),
    Row("newest-collections", "ansible-core>=2.19,<2.20", "ansible>=14,<15"),
    Row("newest", "ansible-core>=2.20", "ansible>=14,<15", PYTHONS[:-1]),
)


def run(*command: str | Path, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command's result; a failure ends the matrix unless it is looked at."""
    return subprocess.run(command, check=check, text=True, stdin=subprocess.DEVNULL, **options)


def works(python: str) -> bool:
    """A name on PATH may be the shim of a version manager that has no such Python."""
    return shutil.which(python) is not None and run(python, "-c", "", check=False, capture_output=True).returncode == 0


def make(row: Row, python: str) -> Path:
    """A virtual environment for the row; returns its interpreter."""
    home = BUILD / row.name
    shutil.rmtree(home, ignore_errors=True)
    run(python, "-m", "venv", home)
    interpreter = home / "bin" / "python"
    pip = (interpreter, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", row.core, "--requirement", CHECKOUT / "tests" / "unit" / "requirements.txt")
    wheels = home / "wheels"
    run(*pip, "download", "--no-deps", "--ignore-requires-python", "--dest", wheels, row.bundle)
    (site_packages,) = home.glob("lib/python3.*/site-packages")
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            wanted = tuple(f"ansible_collections/{name}/" for name in COLLECTIONS)
            archive.extractall(site_packages, [name for name in archive.namelist() if name.startswith(wanted)])
    shutil.rmtree(wheels)
    return interpreter


def versions(interpreter: Path) -> str:
    """What is really installed, read from there."""
    script = "import platform; from ansible.release import __version__; print(platform.python_version(), __version__)"
    python, core = run(interpreter, "-c", script, capture_output=True).stdout.split()
    told = [f"Python {python}", f"ansible-core {core}"]
    (site_packages,) = interpreter.parents[1].glob("lib/python3.*/site-packages")
    for name in COLLECTIONS:
        manifest = json.loads((site_packages / "ansible_collections" / name / "MANIFEST.json").read_text())
        told.append(f"{name.replace('/', '.')} {manifest['collection_info']['version']}")
    return " · ".join(told)


def main() -> int:
    """Run every row that has a Python here; 1 when one of them failed."""
    results = []
    for row in ROWS:
        python = next(filter(works, row.pythons), None)
        if python is None:
            results.append((row.name, "not run", f"needs one of {', '.join(row.pythons)}"))
            continue
        print(f"== {row.name}: installing {row.core} and the collections of {row.bundle}", flush=True)
        interpreter = make(row, python)
        print(f"== {row.name}: {versions(interpreter)}", flush=True)
        tests = run(interpreter, "-m", "pytest", "-q", "tests/unit", check=False, cwd=CHECKOUT)
        results.append((row.name, "FAILED" if tests.returncode else "passed", versions(interpreter)))
    for name, verdict, what in results:
        print(f"{name:20} {verdict:8} {what}")
    return int(any(verdict == "FAILED" for _name, verdict, _what in results))


if __name__ == "__main__":
    sys.exit(main())
