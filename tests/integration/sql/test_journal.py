# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal beside the data, in real databases."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg import journal
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.connection import connect
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.journal import Entry

FIRST = Entry("identity.public.items", "public.items", {"identity": "d"}, {"identity": "f"})


@pytest.fixture
def side(pair):
    return pair(16, 18)[0]


def test_a_journal_that_was_never_written_reads_empty_and_is_not_made(side):
    with connect(side.address()) as session:
        assert journal.read(session, "orders") == {}
        journal.forget(session, "orders", ["a"])
        journal.record(session, "orders", [])
        assert not journal.is_there(session)


def test_the_first_was_is_kept_and_the_last_now_counts(side):
    with connect(side.address()) as session:
        with session.transaction():
            journal.record(session, "orders", [FIRST, Entry("other_100%", "x", None, [1, "ü"])], by="first")
        with session.transaction():
            journal.record(session, "orders", [FIRST._replace(was={"identity": "f"}, now={"identity": "n"})], by="next")
            journal.record(session, "stock", [FIRST])
        events = journal.read(session, "orders")
        assert {name: (one.was, one.now, one.by) for name, one in events.items()} == {
            FIRST.id: ({"identity": "d"}, {"identity": "n"}, "next"), "other_100%": (None, [1, "ü"], "first"),
        }
        assert events[FIRST.id].at.endswith("+00:00")
        assert list(journal.read(session, "orders", "other_100%")) == ["other_100%"]
        assert journal.read(session, "orders", "other-") == {}
        journal.forget(session, "orders", [FIRST.id])
        assert list(journal.read(session, "orders")) == ["other_100%"] and len(journal.read(session, "stock")) == 1
        assert "#" in journal.read(session, "stock")[FIRST.id].by


def test_an_entry_lives_and_dies_with_the_change_it_describes(side):
    side.run("CREATE TABLE items (id int)")
    with connect(side.address()) as session:
        with pytest.raises(PgError), session.transaction():
            session.run("ALTER TABLE public.items REPLICA IDENTITY FULL")
            journal.record(session, "orders", [FIRST])
            session.run("SELECT 1 / 0")
        assert journal.read(session, "orders") == {}
        assert side.query("SELECT relreplident FROM pg_class WHERE relname = 'items'") == [("d",)]


def test_several_make_it_at_once(side):
    said = []

    def write(number):
        try:
            with connect(side.address()) as session, session.transaction():
                journal.record(session, "orders", [FIRST._replace(id=f"e{number}")])
        except PgError as error:
            said.append(error.message)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connect(side.address()) as session:
        assert said == [] and len(journal.read(session, "orders")) == 6


def test_a_login_that_may_not_read_it_is_told_so_and_not_that_it_is_empty(side):
    with connect(side.address()) as session, session.transaction():
        journal.record(session, "orders", [FIRST])
    with connect(side.address("plain")) as session, pytest.raises(PgError, match="cloudpg_migration") as told:
        journal.read(session, "orders")
    assert told.value.code == "42501"
