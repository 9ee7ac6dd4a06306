# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps data while no server runs on it: a cluster's volume, and snapshots with the facts AWS would answer."""

from __future__ import annotations

import os
import shutil
from typing import Any

from .installations import Account
from .servers import Server


class Volume:
    """A data directory in a directory of its own, once it has taken one over."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @property
    def data_dir(self) -> str:
        return os.path.join(self.directory, "data")

    def take_over(self, data_dir: str, account: Account) -> None:
        """Keep a data directory on which no server will run again, by moving it here."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        account.own(self.directory)
        os.rename(data_dir, self.data_dir)

    def discard(self) -> None:
        """Remove the data."""
        shutil.rmtree(self.directory, ignore_errors=True)


class Snapshot(Volume):
    """A snapshot of an instance or (kind `Cluster`) a cluster; it holds data once it is available."""

    def __init__(self, facts: dict[str, Any], kind: str, directory: str) -> None:
        super().__init__(directory)
        self.facts = facts
        self.kind = kind

    @property
    def identifier(self) -> str:
        return str(self.facts[f"DB{self.kind}SnapshotIdentifier"])

    @property
    def arn(self) -> str:
        return str(self.facts[f"DB{self.kind}SnapshotArn"])

    @property
    def tags(self) -> list[dict[str, str]]:
        return list(self.facts["TagList"])

    @tags.setter
    def tags(self, value: list[dict[str, str]]) -> None:
        self.facts["TagList"] = value

    def take_over(self, data_dir: str, account: Account) -> None:
        """As a volume does; nothing more will come."""
        super().take_over(data_dir, account)
        self.finish()

    def copy(self, server: Server) -> None:
        """A consistent copy of a running server."""
        copier = Server(
            self.identifier, server.address, server.port, self.directory, server.installation, server.account,
            server.registry,
        )
        copier.clone(server, None)
        self.finish()

    def finish(self) -> None:
        """It has all it will ever have."""
        self.facts.update(Status="available", PercentProgress=100)

    def fail(self) -> None:
        """It will never be of use."""
        self.facts["Status"] = "failed"
