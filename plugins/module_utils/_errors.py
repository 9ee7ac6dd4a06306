# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors that a person is meant to read. Raised by the private packages, caught once in ``main()``."""

from __future__ import annotations


class MigrationError(Exception):
    """Something stands in the way; the message names the object, the reason and the cure.

    Nothing below a module's ``main()`` knows Ansible: it raises a subclass of this, one a package.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class LeaseLost(MigrationError):
    """Another run has taken this migration over: nothing more may be changed by this one."""


class WaitTimeout(MigrationError):
    """A state was not reached in time; ``state`` is the last one seen."""

    def __init__(self, message: str, *, state: str | None = None) -> None:
        super().__init__(message, code="wait_timeout")
        self.state = state
