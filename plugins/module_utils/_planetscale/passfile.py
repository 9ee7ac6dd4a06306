# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A password file as libpq reads it: where a role's password goes, and the only place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import PlanetScaleError

MODE = 0o600


def escaped(field: str) -> str:
    return field.replace("\\", "\\\\").replace(":", "\\:")


def entry(host: str, user: str, password: str) -> str:
    """A line for every port and database of a host. Pure."""
    return ":".join((escaped(host), "*", "*", escaped(user), escaped(password)))


def _fields(line: str) -> list[str]:
    """A line's fields; a backslash takes the meaning off a colon and off another backslash."""
    fields, literal = [""], False
    for character in line:
        if literal or character not in ":\\":
            fields[-1] += character
            literal = False
        elif character == ":":
            fields.append("")
        else:
            literal = True
    return fields


def _is_for(line: str, host: str, user: str) -> bool:
    fields = _fields(line)
    return len(fields) > 4 and (fields[0], fields[3]) == (host, user)


def with_entry(text: str, host: str, user: str, password: str | None) -> str:
    """The file's text with one entry for this user on this host, or none without a password. Pure."""
    kept = [line for line in text.splitlines() if not _is_for(line, host, user)]
    # libpq takes the first line that fits: ours comes before those with a star.
    made = [entry(host, user, password)] if password is not None else []
    return "".join(f"{line}\n" for line in [*made, *kept])


def has_entry(text: str, host: str, user: str) -> bool:
    """Whether a password for this user on this host is in the file's text. Pure."""
    return any(_is_for(line, host, user) for line in text.splitlines())


def read(path: str) -> str:
    """The file's text, empty when there is none; PlanetScaleError when it can't be read, or couldn't be replaced."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, ValueError) as error:
        raise PlanetScaleError(
            f"passfile: {path} can't be read: {error}. Cure: name a file of passwords that this user may read."
        ) from error
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise PlanetScaleError(
            f"passfile: {path} can't be written in its directory. Cure: make the directory, for the user of this task "
            "alone. Nothing was changed."
        )
    return text


def write(path: str, text: str) -> None:
    """Replace the file in one step; it is never readable by anybody else, and no reader sees half of it."""
    target = Path(path).resolve()
    handle, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        os.unlink(draft)
        raise
