# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes moved from a server to one of a newer major and back, by logins that are no superusers, under load."""

from __future__ import annotations

import pytest
from cloudpg_sandbox.testing import wait_until
from cutover_stand import Clients, Estate
from sql_stand import SECRET

STEPS = ["pause", "fence", "prove", "mark", "drain", "sequences", "advance", "disable", "check", "open", "repoint",
         "resume", "enable"]


@pytest.fixture
def estate(server_of, side_of, run_module, request):
    made = Estate((server_of(16), server_of(18)), side_of, getattr(request, "param", 1), run_module)
    yield made
    made.gone()


def same(one, other):
    question = "SELECT writer, number FROM items ORDER BY 1, 2"
    return one.query(question) == other.query(question)


@pytest.mark.parametrize("estate", [2], indirect=True)
def test_p16_p17_p25_nothing_is_lost_there_and_back_under_load(estate, run_module):
    estate.build()
    pooler = estate.front()
    address = {"host": pooler.address, "port": pooler.port, "user": "owner", "password": SECRET}
    clients = Clients(3, dbname=estate.names[0], **address)
    with clients.writing():
        would = run_module("pg_cutover", estate.given(), check=True)
        assert would["changed"] and would["steps"] == [], would
        there = run_module("pg_cutover", estate.given())
        assert there.get("outcome") == "opened" and there["actions"] == would["actions"], there
        assert [step["name"] for step in there["steps"]] == STEPS
        count = len(clients.acked)
        wait_until(lambda: len(clients.acked) > count + 20)
        assert estate.writable(estate.old) == [False, False]
        again = run_module("pg_cutover", estate.given())
        assert (again["changed"], again["steps"][-1:], again["outage_ms"]) == (False, again["steps"][-1:], None), again
        back = run_module("pg_cutover", estate.given(back=True))
        assert back.get("outcome") == "opened", back
        count = len(clients.acked)
        wait_until(lambda: len(clients.acked) > count + 20)
        assert estate.writable(estate.new) == [False, False]
    print("there", there["outage_ms"], there["steps"], "back", back["outage_ms"], back["steps"], clients.longest)
    assert clients.failed == []
    assert clients.lost(estate.old[0]) == set()
    assert estate.writable(estate.old) == [True, True]
    wait_until(lambda: same(estate.old[0], estate.new[0]))
