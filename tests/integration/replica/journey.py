# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two migrations from start to end, every verb twice and in check mode at every stage: what most tests read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudpg_sandbox.testing import Sandbox
from scenario import OWNER

from .estates import Estate, picture
from .runs import Playbooks, Run

# Seconds: whoever asks for the last stage first goes through all of them, and each run has its own PATIENCE.
STORY = 3600

# migrate.yml, which is preflight, replicate and cutover; and the verbs that it isn't.
FORWARD, OTHER = "check migrate", "check the rest"

Calls = list[dict[str, Any]]


@dataclass
class Stage:
    """One place on the way: the runs that led there, the API calls they made, and all verbs tried in check mode there.

    ``before`` is what there was before the runs in check mode, ``after`` is what there was at the end, by migration.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    calls: dict[str, Calls] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class Journey:
    """``sql`` has a login, a pooler and counted tables; ``aws`` has nothing but AWS. They go in the same runs.

    A stage is gone through when a test first asks for it, and so are all that come before it.
    """

    def __init__(self, sandbox: Sandbox, play: Playbooks, place: Path) -> None:
        self.sandbox, self.play = sandbox, play
        self.sql = Estate(sandbox, place / "ledger", name="ledger")
        self.aws = Estate(sandbox, place / "plain", name="plain")
        self.stages: dict[str, Stage] = {}
        self._seen = 0
        self._story = self._tell()

    @property
    def estates(self) -> tuple[Estate, Estate]:
        return self.sql, self.aws

    def at(self, name: str) -> Stage:
        while name not in self.stages:
            assert next(self._story, None), "the story ended early: see what failed first"
        return self.stages[name]

    def _tell(self) -> Iterator[str]:
        self._build()
        sql, both = (self.sql,), self.estates
        named, yes, delete = {"by_name": True}, {"extra": {}}, {"extra": {"replica_old_source": "delete"}}
        yield from self._stage("fresh", True, [
            ("preflight, status", (self.aws,), {}),
        ])
        yield from self._stage("replicating", True, [
            ("replicate", both, {}),
            ("replicate, status again", sql, named),
            ("cutover", sql, named),
        ])
        yield from self._stage("rolled back", False, [
            ("rollback", sql, named | yes),
            ("rollback, status again", sql, yes),
        ])
        yield from self._stage("open", True, [
            ("replicate", sql, {}),
            ("cutover", both, yes),
            ("cutover, replicate, preflight, status again", sql, named | yes),
            ("rollback", sql, yes),
        ])
        yield from self._stage("finished", True, [
            ("finish", sql, yes),
            ("finish, cutover, status again", sql, named | yes),
            ("rollback", sql, yes),
        ])
        yield from self._stage("deleted", False, [
            ("finish", sql, delete),
            ("finish, status again", sql, named | delete),
        ])

    def _build(self) -> None:
        self.aws.build(migration_acknowledged=["server-not-read"])
        self.sql.build(replica_count_tables=[{"database": OWNER, "table": "sales.orders"}])
        self.sql.vary(**self.sql.with_login(), **self.sql.through_pooler())

    def _stage(
        self, name: str, checked: bool, runs: Sequence[tuple[str, Sequence[Estate], dict[str, Any]]]
    ) -> Iterator[str]:
        stage = Stage()
        for words, estates, options in runs:
            verbs = words.removesuffix(" again").split(", ")
            if "extra" in options:
                approved = {"migration_approved": [one.name for one in estates], "migration_serial": 2}
                options = options | {"extra": options["extra"] | approved}
            self._calls()
            stage.runs[words] = self.play(verbs, *(one.inventory for one in estates), **options)
            stage.calls[words] = self._calls()
        if checked:
            stage.before = self._picture()
            self._check(stage)
        stage.after = self._picture()
        self.stages[name] = stage
        yield name

    def _check(self, stage: Stage) -> None:
        """The way forward, and at the same time whatever else there is."""
        self._calls()
        inventory = self.sql.inventory
        with ThreadPoolExecutor() as together:
            forward = together.submit(self.play, "migrate", inventory, check=True)
            other = together.submit(
                self.play, ["rollback", "finish", "status"], inventory, check=True, by_name=True,
                extra={"replica_old_source": "delete"},
            )
        stage.runs[FORWARD], stage.runs[OTHER] = forward.result(), other.result()
        stage.calls[FORWARD] = stage.calls[OTHER] = self._calls()

    def _picture(self) -> dict[str, Any]:
        return {estate.name: picture(self.sandbox, estate) for estate in self.estates}

    def _calls(self) -> Calls:
        """The API calls since this was asked last."""
        calls = self.sandbox.log(self._seen)
        self._seen = calls[-1]["seq"] if calls else self._seen
        return calls
