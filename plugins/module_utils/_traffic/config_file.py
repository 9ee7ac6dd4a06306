# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration file of a PgBouncer, read and replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ansible_collections.cloudpg.migration.plugins.module_utils._traffic.pgbouncer import PoolerError

# Whatever bytes a comment has, they come back as they were.
_TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}


def read(path: Path) -> str:
    """The configuration, to the byte; PoolerError when it can't be read, or couldn't be replaced."""
    try:
        text = path.read_bytes().decode(**_TEXT)
    except OSError as error:
        raise PoolerError(
            f"config: {path} can't be read: {error.strerror}. Cure: name PgBouncer's own file on the machine this task "
            "runs on (delegate_to), as a user who may read it (become). Nothing was changed."
        ) from error
    if not os.access(path.parent, os.W_OK):
        raise PoolerError(
            f"config: {path} can't be replaced in its directory. Cure: run this task as a user who may (become). "
            "Nothing was changed."
        )
    return text


def write(path: Path, text: str, draft: Path, move: Callable[[str, str], None]) -> None:
    """Replace the file in one step by way of ``draft``; ``move`` keeps its owner and mode. Nobody sees half of it."""
    draft.write_bytes(text.encode(**_TEXT))
    move(str(draft), str(path))
