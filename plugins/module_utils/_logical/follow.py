# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription converged: both sides read, the plan made and carried out, and the outcome judged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .._errors import MigrationError
from .._findings import Finding, in_the_way
from .._pg import journal
from .._pg.address import database_of, not_there_yet
from .._pg.connection import Session
from .._pg.errors import PgError
from .._pg.hold import Watch
from .._pg.secrets import with_login
from .._plan import Plan, carry_out
from . import conninfo, health, subscription, subscription_state
from .results import as_dicts, bounded, refuse_blockers
from .selection import object_name
from .subscription import Publisher, Subscription, Wish
from .subscription_work import Operations, event_id


class Follow:
    """One run for one subscription; ``params`` are the module's, ``watch`` is how it connects."""

    def __init__(self, params: Mapping[str, Any], check_mode: bool, watch: Watch) -> None:
        if not params["name"] and not params["migration"]:
            raise MigrationError("name and migration are empty. Cure: give one of them.")
        self.params, self.check_mode, self.watch = params, check_mode, watch
        self.name = params["name"] or object_name(params["migration"])
        self.slot = params["slot_name"] or self.name
        self.publications = frozenset(params["publications"] or [self.name])
        self.absent = params["state"] == "absent"
        self.why: str | None = None
        self.findings: list[Finding] = []

    def converge(self) -> dict[str, Any]:
        """The module's result; raises MigrationError for what can't or mustn't be done."""
        params = self.params
        missing = {side: not_there_yet(params[side], self.check_mode, side) for side in ("source", "target")}
        with ExitStack() as stack:
            target = None if missing["target"] else stack.enter_context(
                self.watch.connect(params["target"], params["database"])
            )
            source = None if missing["source"] else self._source(stack)
            keywords = {} if self.absent or missing["source"] else self._keywords()
            plan, after = self._run(target, source, keywords)
        shown, health_findings, queries = after
        return {
            **bounded(plan), "subscription": shown, "connection": conninfo.shown(keywords), "queries": queries,
            "findings": as_dicts(self._once([*self.findings, *health_findings])),
        }

    @staticmethod
    def _once(findings: list[Finding]) -> list[Finding]:
        return list({(one.id, one.object): one for one in findings}.values())

    def _source(self, stack: ExitStack) -> Session | None:
        """The source's session, or None with the reason kept: it may be dead (P12)."""
        try:
            return stack.enter_context(self.watch.connect(self.params["source"], self.params["database"]))
        except PgError as error:
            self.why = error.message
            return None

    def _keywords(self) -> dict[str, str]:
        source = with_login(self.params["source"])
        made = conninfo.wished(source, self.params["connection"], database_of(source, self.params["database"]))
        if "password" not in made and source.get("passfile"):
            try:
                text = Path(source["passfile"]).read_text(encoding="utf-8")
            except OSError as error:
                raise MigrationError(
                    f"source.passfile: {source['passfile']} can't be read ({error.strerror}). Cure: correct it."
                ) from error
            # The controller may reach the source by another name than the target does.
            asked = {**made, "host": str(source["host"]), "port": str(source["port"])}
            password = conninfo.password_of(text, made) or conninfo.password_of(text, asked)
            made |= {"password": password} if password else {}
        return made

    def _run(
        self, target: Session | None, source: Session | None, keywords: Mapping[str, str]
    ) -> tuple[Plan, tuple[dict[str, Any] | None, list[Finding], list[str]]]:
        if target is None:
            wish = None if self.absent else self._wish(10**6)
            plan = subscription.plan(None, wish, None, [], frozenset(), frozenset(), 0)[0] if wish else Plan()
            return plan, (None, [], [])
        version_num = subscription_state.version(target)
        now = subscription_state.read(target, self.name, version_num)
        publisher = self._publisher(source, target, now)
        look = subscription_state.look(target, now.oid, version_num) if now else None
        visible, connection = subscription_state.connection(target, self.name)
        note = None if visible else self.params["migration"] or self.name
        if self.absent:
            slot = (now.slot_name if now else None) or self.slot
            plan, self.findings = subscription.plan_absent(now, self.name, slot, publisher, self.params["drop_slot"])
        else:
            subscription.need_publisher(now, publisher, self.why)
            differing = self._differing(target, now, visible, connection, keywords, note)
            plan, found = subscription.plan(
                now, self._wish(version_num), publisher, differing, frozenset(look.tables if look else ()),
                subscription_state.tables(target), version_num, bool(look and health.silently_off(now, look)),
            )
            self.findings += found
        refuse_blockers(in_the_way(self.findings, self.check_mode), self.params["acknowledged"])
        operations = Operations(target, source, keywords, self.params["wait_timeout"], note)
        if not self.check_mode:
            carry_out(plan, operations.table(), self.watch.check)
        return plan, (*self._outcome(target, source, version_num), operations.queries)

    def _wish(self, version_num: int) -> Wish:
        params = self.params
        return Wish(
            self.name, self.publications, self.slot, params["enabled"], params["create_slot"], params["copy_data"],
            params["refresh"], subscription.options(params, version_num),
        )

    def _publisher(self, source: Session | None, target: Session, now: Subscription | None) -> Publisher | None:
        slot = (now.slot_name if now else None) or self.slot
        return subscription_state.publisher(source, self.publications, slot, target) if source else None

    def _differing(
        self, target: Session, now: Subscription | None, visible: bool, connection: dict[str, str] | None,
        keywords: Mapping[str, str], note: str | None,
    ) -> list[str]:
        """The words of the connection that differ; where it is hidden, the journal tells (P23)."""
        if now is None or not keywords:
            return []
        if visible:
            return conninfo.differing(connection, keywords)
        kept = journal.read(target, note or "").get(event_id(self.name))
        if kept is None:
            self.findings.append(health.connection_hidden(now))
            return []
        return conninfo.differing_from_fingerprint(kept.now, keywords)

    def _outcome(
        self, target: Session, source: Session | None, version_num: int
    ) -> tuple[dict[str, Any] | None, list[Finding]]:
        """How it fares now that all was done; in check mode, how it fares anyway."""
        now = subscription_state.read(target, self.name, version_num)
        if now is None:
            return None, []
        looks = subscription_state.watch(target, now, version_num, self.params["patience"])
        publisher = self._publisher(source, target, now)
        if self.absent:
            return health.describe(now, looks[-1], publisher), []
        return health.describe(now, looks[-1], publisher), health.findings(now, looks, publisher, self.why)
