# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subscription converged: both sides read, the plan made and carried out, and the outcome judged."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
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
from .._plan import Plan, Step, carry_out
from . import conninfo, health, login, subscription, subscription_state
from .login import Carried, Login
from .login_work import LoginOperations
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
        # Under this name the journals know of it.
        self.note = params["migration"] or self.name
        self.keywords: Mapping[str, str] = {}
        # Whether the connection is by a login of its own, and whether the source is only made by a later step.
        self.own = self.to_come = False
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
            self.to_come = missing["source"]
            source = None if self.to_come else self._source(stack)
            plan, after = self._run(target, source)
        shown, health_findings, queries = after
        return {
            **bounded(plan), "subscription": shown, "connection": conninfo.shown(self.keywords), "queries": queries,
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
        self, target: Session | None, source: Session | None
    ) -> tuple[Plan, tuple[dict[str, Any] | None, list[Finding], list[str]]]:
        seen = login.read(source, self.slot, self.note, self.name, self.publications) if source else None
        if target is None:
            return self._foretold(seen), (None, [], [])
        version_num = subscription_state.version(target)
        now = subscription_state.read(target, self.name, version_num)
        publisher = self._publisher(source, target, now)
        look = subscription_state.look(target, now.oid, version_num) if now else None
        carried = self._carried(target) if now else None
        if self.absent:
            plan = self._absent(now, publisher, seen, carried)
        else:
            differing, before, behind = self._connection(now, seen, carried, look)
            subscription.need_publisher(now, publisher, self.why)
            made, found = subscription.plan(
                now, self._wish(version_num), publisher, differing, frozenset(look.tables if look else ()),
                subscription_state.tables(target), version_num, bool(look and health.silently_off(now, look)),
            )
            plan = replace(made, steps=(*before, *made.steps, *behind))
            self.findings += found
        refuse_blockers(in_the_way(self.findings, self.check_mode), self.params["acknowledged"])
        note = self.note if self.own or self.absent or not subscription_state.shows_connections(target) else None
        operations = Operations(
            target, source, self.keywords, self.params["wait_timeout"], note, seen.name if self.own and seen else None
        )
        logins = LoginOperations(source, self.note, self.name, self.keywords, operations.mark, operations.queries)
        if not self.check_mode:
            carry_out(plan, {**operations.table(), **logins.table()}, self.watch.check)
        return plan, (*self._outcome(target, source, version_num), operations.queries)

    def _foretold(self, seen: Login | None) -> Plan:
        """The plan while there is no target."""
        if self.absent:
            return Plan()
        _differing, before, _behind = self._connection(None, seen, None, None)
        made = subscription.plan(None, self._wish(10**6), None, [], frozenset(), frozenset(), 0)[0]
        return replace(made, steps=(*before, *made.steps))

    def _absent(
        self, now: Subscription | None, publisher: Publisher | None, seen: Login | None, carried: Carried | None
    ) -> Plan:
        slot = (now.slot_name if now else None) or self.slot
        plan, self.findings = subscription.plan_absent(now, self.name, slot, publisher, self.params["drop_slot"])
        if seen is None and carried and carried.by(self.slot):
            self.findings.append(login.left_behind(self.slot))
        return replace(plan, steps=(*plan.steps, *self._dropping(seen)))

    @staticmethod
    def _dropping(seen: Login | None) -> tuple[Step, ...]:
        if seen is None or not seen.known:
            return ()
        return (Step("drop_login", f"drop login {seen.name} on the source", {"login": seen}),)

    def _carried(self, target: Session) -> Carried:
        """The connection as the catalogue shows it; where it is hidden, as the journal knows it (P23)."""
        visible, words = subscription_state.connection(target, self.name)
        event = journal.read(target, self.note, event_id(self.name)).get(event_id(self.name))
        kept = event.now if event else None
        if not visible and kept:
            words = {name: value for name, value in kept.items() if name not in ("salt", "hash")}
        return Carried(words, kept, visible)

    def _connection(
        self, now: Subscription | None, seen: Login | None, carried: Carried | None, look: health.Look | None
    ) -> tuple[Sequence[str], tuple[Step, ...], tuple[Step, ...]]:
        """The words of the connection that differ, and the steps before and behind the subscription's own.

        A subscription that is there goes on with the login it has, unless another one is asked for.
        """
        params = self.params
        asked = any(params["connection"].get(word) for word in ("user", "password"))
        own = carried.by(self.slot) if carried else params["dedicated_login"]
        if self.to_come:
            return [], (), ()
        if own and not asked:
            self.keywords, self.own = self._own_keywords(), True
            if seen is None:
                return self._unseen(carried), (), ()
            copies = params["copy_data"] if look is None else (
                params["refresh"] == subscription.WITH_DATA or bool(set(look.tables.values()) - {health.READY})
            )
            decision = login.decide(seen, carried, self.keywords, copies)
            self.findings += decision.findings
            if decision.own:
                return decision.differing, decision.before, ()
        self.keywords, self.own = self._keywords(), False
        if now is None or carried is None:
            return [], (), self._dropping(seen)
        if not carried.visible and carried.kept is None:
            self.findings.append(health.connection_hidden(now))
            return [], (), ()
        if carried.visible:
            return conninfo.differing(carried.words, self.keywords), (), self._dropping(seen)
        return conninfo.differing_from_fingerprint(carried.kept, self.keywords), (), self._dropping(seen)

    def _own_keywords(self) -> dict[str, str]:
        """With the login of its own and a new password, which nobody but the two servers ever gets to know."""
        source = self.params["source"]
        if source["iam"]:
            source = {**source, "iam": False, "sslmode": source["sslmode"] or "require"}
        given = {**self.params["connection"], "user": self.slot, "password": secrets.token_urlsafe(32)}
        return conninfo.wished(source, given, database_of(source, self.params["database"]))

    def _unseen(self, carried: Carried | None) -> list[str]:
        """Raises MigrationError where the connection would have to change, for that takes a new password."""
        differing = login.differing(carried, self.keywords) if carried else []
        if differing:
            raise MigrationError(
                f"{', '.join(differing)} of the connection can't be changed while the source can't be read, for its "
                f"login needs a new password. {self.why}"
            )
        return []

    def _wish(self, version_num: int) -> Wish:
        params = self.params
        return Wish(
            self.name, self.publications, self.slot, params["enabled"], params["create_slot"], params["copy_data"],
            params["refresh"], subscription.options(params, version_num),
        )

    def _publisher(self, source: Session | None, target: Session, now: Subscription | None) -> Publisher | None:
        slot = (now.slot_name if now else None) or self.slot
        return subscription_state.publisher(source, self.publications, slot, target) if source else None

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
