# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: the facts AWS would answer with, and a copy of the data."""

from __future__ import annotations

import os
import shutil
from typing import Any

from .servers import Server


class Snapshot:
    """A snapshot of an instance or a cluster; `directory` holds a data directory once it is available."""

    def __init__(self, facts: dict[str, Any], kind: str, directory: str) -> None:
        self.facts = facts
        self.kind = kind
        self.directory = directory

    @property
    def identifier(self) -> str:
        return str(self.facts[f"DB{self.kind}SnapshotIdentifier"])

    @property
    def arn(self) -> str:
        return str(self.facts[f"DB{self.kind}SnapshotArn"])

    @property
    def data_dir(self) -> str:
        return os.path.join(self.directory, "data")

    @property
    def tags(self) -> list[dict[str, str]]:
        return list(self.facts["TagList"])

    @tags.setter
    def tags(self, value: list[dict[str, str]]) -> None:
        self.facts["TagList"] = value

    def take_over(self, server: Server) -> None:
        """Keep a stopped server's data directory: it is deleted anyway."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        server.account.own(self.directory)
        os.rename(server.data_dir, self.data_dir)
        self._finish()

    def copy(self, server: Server) -> None:
        """A consistent copy of a running server."""
        copier = Server(
            self.identifier, server.address, server.port, self.directory, server.installation, server.account,
            server.registry,
        )
        copier.clone(server, None)
        self._finish()

    def _finish(self) -> None:
        self.facts["Status"] = "available"
        self.facts["PercentProgress"] = 100

    def discard(self) -> None:
        """Remove the data."""
        shutil.rmtree(self.directory, ignore_errors=True)
