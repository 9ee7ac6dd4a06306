# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One sandbox for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloudpg_sandbox.testing import Sandbox, running


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with quick transitions, shared by all tests of the session."""
    with running() as box:
        yield box
