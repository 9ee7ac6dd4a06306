# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole playbooks against the sandbox."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudpg_sandbox.testing import Sandbox

from ..modules import conftest as of_modules
from .journey import Journey
from .runs import Playbooks

# Fixtures of the modules' tests that are of use here.
cloud, faults, run_module = of_modules.cloud, of_modules.faults, of_modules.run_module


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory that servers of other accounts can pass through, gone with the session."""
    directory = Path(tempfile.mkdtemp(prefix="cloudpg-verbs-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def play(sandbox: Sandbox, place: Path) -> Playbooks:
    home = place / "home"
    home.mkdir()
    return Playbooks(sandbox.env, home)


@pytest.fixture(scope="session")
def journey(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Journey]:
    whole = Journey(sandbox, play, place)
    yield whole
    for estate in whole.estates:
        estate.close()
