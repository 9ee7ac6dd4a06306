# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover disturbed at each of its steps, there and back, under load, and run again: nothing is ever lost."""

from __future__ import annotations

import signal

import pytest
from cloudpg_sandbox.testing import wait_until

from .cutover_stand import Clients, Estate, at_step, send
from .sql_stand import SECRET

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
STEPS = ["pause", "fence", "prove", "mark", "drain", "sequences", "advance", "disable", "check", "open", "repoint",
         "resume", "enable"]
RETURNABLE = STEPS.index("open")


@pytest.fixture
def estate(server_of, side_of, run_module):
    made = Estate((server_of(16), server_of(18)), side_of, 2, run_module)
    made.build()
    yield made
    made.gone()


def disturb(estate, begin_module, patch, step, number, back):
    at_step(patch, step, send(number))
    running = begin_module("pg_cutover", estate.given(back))
    return running.text() if number == signal.SIGKILL else running.result()


@pytest.mark.parametrize("steps", [STEPS[:5], STEPS[5:9], STEPS[9:]], ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_p25_disturbed_at_every_step_there_and_back_nothing_is_lost(
    estate, begin_module, run_module, monkeypatch, number, steps
):
    pooler = estate.front()
    clients = Clients(2, host=pooler.address, port=pooler.port, user="owner", password=SECRET, dbname=estate.names[0])
    with clients.writing():
        for step in steps:
            for back in (False, True):
                with monkeypatch.context() as patch:
                    told = disturb(estate, begin_module, patch, step, number, back)
                if number == signal.SIGTERM:
                    expected = "put_back" if STEPS.index(step) <= RETURNABLE else "opened"
                    assert told["outcome"] == expected, (step, back, told)
                done = run_module("pg_cutover", estate.given(back))
                assert done.get("outcome") == "opened", (step, back, done.get("msg"), done)
                count = len(clients.acked)
                wait_until(lambda: len(clients.acked) > count + 5)
                open_side, closed = (estate.old, estate.new) if back else (estate.new, estate.old)
                assert (estate.writable(open_side), estate.writable(closed)) == ([True] * 2, [False] * 2), (step, back)
                assert not run_module("pg_cutover", estate.given(back))["changed"], (step, back)
    assert clients.failed == []
    assert clients.lost(estate.old[0]) == set()
    wait_until(lambda: clients.lost(estate.new[0]) == set())
