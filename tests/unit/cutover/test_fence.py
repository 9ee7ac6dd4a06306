# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may connect before and behind a fence, and what proves that nobody writes."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._cutover import fence, names, proof
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.fence_work import Fence
from ansible_collections.cloudpg.migration.plugins.module_utils._cutover.fence import PUBLIC, Change, Door, Grant
from ansible_collections.cloudpg.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event

ROLES = {"owner", "app", "mover"}


def door(*grants, **more):
    return Door("shop", "owner", tuple(Grant(role, "owner", grantable) for role, grantable in grants), **more)


AS_MADE = door((PUBLIC, False), ("owner", False))
CLOSED = door(("mover", False), read_only="on", login_read_only="off")


@pytest.mark.parametrize("now, kept, change", [
    (AS_MADE, {"mover"}, Change("shop", (("mover", False),), (PUBLIC, "owner"), "on", "off")),
    (door(("app", True), ("mover", False)), {"mover"}, Change("shop", (), ("app",), "on", "off")),
    (door(("mover", False)), {"mover"}, Change("shop", (), (), "on", "off")),
    (CLOSED, {"mover", "puller"}, Change("shop", (("puller", False),), (), "on", "off")),
    (CLOSED, {"mover"}, None),
])
def test_p29_closing_leaves_the_migrations_logins_and_nobody_else(now, kept, change):
    assert fence.closing(now, kept) == change


def test_p29_a_login_that_fetches_changes_comes_to_its_own_database_alone():
    own = {"shop": {"fetch"}, "crm": {"fetch_crm"}}
    plan = fence.plan_close([AS_MADE], {"mover"}, 0, own)
    assert plan.steps[0].args["changes"][0].grant == (("fetch", False), ("mover", False))
    assert plan.steps[0].sentence == "close shop to everybody but fetch, mover"
    assert plan.after["shop"]["connect"] == [["fetch", False], ["mover", False]]
    closed = door(("mover", False), ("fetch", False), read_only="on", login_read_only="off")
    assert fence.plan_close([closed], {"mover"}, 0, own).steps == ()


@pytest.mark.parametrize("before", [
    AS_MADE,
    door(("app", True), ("owner", False)),
    door((PUBLIC, False), ("mover", False), read_only="off", login_read_only="on"),
    door(),
])
def test_p29_opening_puts_back_what_was_there_before(before):
    change = fence.opening(CLOSED, before.as_dict(), ROLES)
    after = {grant.role: grant.grantable for grant in CLOSED.grants if grant.role not in change.revoke}
    after |= dict(change.grant)
    assert after == {grant.role: grant.grantable for grant in before.grants}
    assert (change.read_only, change.login_read_only) == (before.read_only, before.login_read_only)


def test_a_role_that_is_gone_by_now_is_left_out():
    change = fence.opening(CLOSED, door(("app", False), ("left", False)).as_dict(), ROLES)
    assert change.grant == (("app", False),)


@pytest.mark.parametrize("one, said", [
    (door(owned=False), "GRANT owner TO mover"),
    (Door("shop", "owner", (Grant("app", "boss"),)), "granted to app by boss"),
])
def test_p31_what_revoke_would_leave_is_refused_with_the_cure(one, said):
    with pytest.raises(MigrationError, match=said) as refused:
        fence.obstacles([one], "mover")
    assert "P31" in refused.value.message
    assert fence.obstacles([AS_MADE, CLOSED], "mover") is None


def test_a_second_plan_is_empty_and_the_journal_tells_what_to_open():
    assert fence.plan_close([CLOSED], {"mover"}, 0).steps == ()
    assert [step.op for step in fence.plan_close([AS_MADE], {"mover"}, 3).steps] == ["close", "end"]
    event = Event("closed.shop@a:1", "a:1/shop", AS_MADE.as_dict(), {"database": "shop"}, "", "")
    plan = fence.plan_open([CLOSED], {"shop": event}, ROLES)
    assert plan.after == {"shop": AS_MADE.as_dict()} and plan.steps[0].args["ids"] == [event.id]
    assert fence.plan_open([AS_MADE], {}, ROLES).steps == ()


def backend(pid, database="shop", kind="client backend", **more):
    return {
        "pid": pid, "user": "app", "database": database, "application_name": "", "client_addr": None,
        "backend_type": kind, "state": "idle", "since": "then", "own": False, **more,
    }


@pytest.mark.parametrize("rows, prepared, starting, proven, ending", [
    ([], [], [], True, []),
    ([backend(1)], [], [], False, [1]),
    ([backend(1, state=None)], [], [], False, [1]),
    ([backend(1, kind=None, user=None, state=None)], [], [], False, [1]),
    ([backend(1, None, kind=None, user=None, state=None)], [], [], False, []),
    ([backend(1, "other")], [], [], True, []),
    ([backend(1, "other", kind=None, state=None)], [], [], True, []),
    ([backend(1, kind="pg_cron launcher")], [], [], False, [1]),
    ([backend(1, None, "walwriter", user=None, state=None)], [], [], True, []),
    ([backend(1, kind="autovacuum worker", user=None)], [], [], True, []),
    ([backend(1, kind="walsender")], [], [], False, [1]),
    ([backend(7, kind="walsender"), backend(8, kind="logical replication apply worker")], [], [], True, []),
    ([], ["two-phase"], [], False, []),
    ([backend(1, None, user=None, state="starting")], [], [], True, []),
    ([backend(1, None, user=None, state="starting")], [], [1], False, []),
    ([backend(1, "shop", user=None, state="starting")], [], [], False, [1]),
    ([], [], [1], False, []),
    ([], [], [7], True, []),
])
def test_p52_whatever_is_not_known_to_be_harmless_stands_against_the_proof(rows, prepared, starting, proven, ending):
    spared = {7, 8}
    seen = proof.verdict(rows, ["shop"], spared, prepared, starting)
    assert seen["proven"] is proven and bool(seen["reasons"]) is not proven
    assert [row["pid"] for row in proof.to_end(rows, ["shop"], spared)] == ending


def test_p25_the_way_back_has_names_of_its_own():
    assert names.subscriptions("orders-eu") == ("cloudpg_orders_eu", "cloudpg_orders_eu_back")
    assert names.slots("orders", ["shop"]) == [
        "cloudpg_orders", "cloudpg_orders_back", "cloudpg_orders_shop", "cloudpg_orders_back_shop",
    ]


class Entrance:
    """A server on which these backends are on their way in, look by look, and nobody else is there."""

    where = "a:1"

    def __init__(self, *looks):
        self._looks = iter(looks)

    def value(self, _query):
        return "mover"

    def row(self, _query, _values):
        return {"starting": next(self._looks), "prepared": []}

    def rows(self, _query):
        return []


@pytest.mark.parametrize("looks, proven", [
    ([[]], [True]),
    ([[1, 2], [2, 3], [3, 4]], [False, False, True]),
    ([[], [1], [2]], [True, True, True]),
    ([[1], [1]], [False, False]),
])
def test_p52_only_who_was_on_his_way_in_at_the_first_look_is_waited_for(looks, proven):
    work = Fence(Entrance(*looks), "a:1", {"migration": "orders"}, ["shop"])
    assert [work.look(())[0]["proven"] for _look in looks] == proven
