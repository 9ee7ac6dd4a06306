# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From majors that aren't everywhere (12, 13, 14, 17), and to them: what is missing here is skipped (P26).

CLOUDPG_SANDBOX_PG_BINDIR names the directories of their programs, with colons between.
"""

from __future__ import annotations

import os

import pytest
from cloudpg_sandbox.testing import wait_until

from .sql_stand import SECRET

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
NAME, SLOT = "olden", "cloudpg_olden"
# What every major from 12 on knows.
SCHEMA = """
    CREATE SCHEMA "Odd schema";
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TYPE two AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE customers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, how mood, pair two, many positive,
        doc jsonb, tags text[], twice int GENERATED ALWAYS AS (many * 2) STORED
    );
    CREATE TABLE "Odd schema"."Orders" (
        "Id" bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES customers, total numeric(12, 2),
        during int4range, EXCLUDE USING gist (during WITH &&)
    );
    CREATE INDEX ON "Odd schema"."Orders" (customer) INCLUDE (total) WHERE total > 1;
    CREATE TABLE codes (code text NOT NULL UNIQUE, meaning text);
    CREATE TABLE part (day date, id int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
    CREATE TABLE part_26 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE part_rest PARTITION OF part DEFAULT PARTITION BY LIST (id);
    CREATE TABLE part_rest_1 PARTITION OF part_rest FOR VALUES IN (1);
    CREATE TABLE part_rest_n PARTITION OF part_rest DEFAULT;
    CREATE TABLE parent (id int PRIMARY KEY, t text);
    CREATE TABLE child (more int, PRIMARY KEY (id)) INHERITS (parent);
    CREATE TABLE secrets (id int PRIMARY KEY, who text);
    ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON secrets USING (who = current_user);
    CREATE VIEW happy AS SELECT id, name FROM customers WHERE how = 'happy';
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM customers;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.meaning := NEW.meaning || '.'; RETURN NEW; END $$;
    CREATE TRIGGER stamp BEFORE INSERT ON codes FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE SEQUENCE "Numbers" INCREMENT -3 MAXVALUE 100 MINVALUE -1000 START 100;
    CREATE STATISTICS both_of ON name, how FROM customers;
    COMMENT ON TABLE codes IS 'it''s them';
    GRANT SELECT ON customers TO plain;
"""
ROWS = """
    INSERT INTO customers (name, how, pair, many, doc, tags)
        SELECT 'c' || n, 'happy', ROW(n, 'x')::two, n, '{"a": [1, 2]}', '{a,"b c"}' FROM generate_series(1, 2000) n;
    INSERT INTO "Odd schema"."Orders" (customer, total, during)
        SELECT n, n / 7.0, int4range(n * 10, n * 10 + 5) FROM generate_series(1, 2000) n;
    INSERT INTO codes VALUES ('a', 'first');
    INSERT INTO part SELECT date '2025-12-30' + n, n % 3 FROM generate_series(1, 400) n;
    INSERT INTO parent SELECT n, 'p' FROM generate_series(1, 10) n;
    INSERT INTO child SELECT n, 'c', n FROM generate_series(11, 20) n;
    INSERT INTO secrets VALUES (1, 'plain'), (2, 'owner');
    SELECT nextval('"Numbers"') FROM generate_series(1, 5);
    REFRESH MATERIALIZED VIEW totals;
"""
LATER = """
    INSERT INTO customers (name, many) SELECT 'later', n FROM generate_series(1, 50) n;
    UPDATE "Odd schema"."Orders" SET total = 0 WHERE "Id" % 10 = 0;
    UPDATE codes SET meaning = 'changed';
    DELETE FROM part WHERE id = 1 AND day > '2026-06-01';
    TRUNCATE secrets;
    INSERT INTO secrets VALUES (3, 'owner');
"""


class Modules:
    """The modules on one pair, none of which may fail."""

    def __init__(self, source, target, run_module):
        self.source, self.target, self._run = source, target, run_module
        # Before 16 only a superuser makes subscriptions.
        self.subscriber = "migration" if target.major >= 16 else "boss"

    def both(self, name, login="migration", check=False, **more):
        return self._told(name, check, source=self.source.address(), target=self.target.address(login), **more)

    def one(self, name, check=False, **more):
        return self._told(name, check, server=self.source.address(), **more)

    def _told(self, name, check, **args):
        told = self._run(name, args, check=check)
        assert not told.get("failed"), (name, told["msg"])
        return told


@pytest.fixture(params=[(12, 18), (13, 18), (14, 18), (17, 18), (12, 14), (13, 14), (14, 17)],
                ids=lambda majors: f"{majors[0]}to{majors[1]}")
def modules(request, pair, run_module):
    source, target = pair(*request.param)
    for side in (source, target):
        side.query(f'GRANT CREATE ON DATABASE "{side.database}" TO migration')
    source.run(SCHEMA)
    source.run(ROWS)
    return Modules(source, target, run_module)


def follow(modules):
    """The whole way, as role logical goes it."""
    modules.one("pg_replica_identity", migration=NAME, using_index=["*"])
    modules.one("pg_publication", migration=NAME)
    programs = {"bindir": modules.target.bindir} if has_programs(modules.target) else {}
    modules.both("pg_schema", sections=["pre-data"], **programs)
    copied = modules.both("pg_copy", migration=NAME, split_above=8192)
    assert copied["done"] and copied["left"] == []
    modules.both(
        "pg_subscription", modules.subscriber, migration=NAME, create_slot=False, copy_data=False,
    )
    modules.both("pg_schema", sections=["primary-keys", "post-data"], **programs)
    return programs


def has_programs(side):
    return os.path.exists(os.path.join(side.bindir, "pg_dump"))


def test_p26_preflight_looks_at_every_major(modules):
    told = modules.both(
        "logical_preflight_info", migration=NAME, using_index=["*"], databases=[modules.source.database]
    )
    found = {one["id"] for one in told["findings"] if one["severity"] == "blocker"}
    # Policies don't hide rows from the owner's members; before 16 the login can't subscribe.
    assert found <= {"login-cannot-subscribe"} and bool(found) == (modules.target.major < 16)
    assert ("source-without-streaming" in {one["id"] for one in told["findings"]}) == (modules.source.major < 14)
    for name in ("pg_server_info", "pg_session_info", "pg_replication_info", "pg_catalog_info"):
        modules.one(name)


def test_p26_copied_followed_compared_and_undone(modules):
    source, target = modules.source, modules.target
    programs = follow(modules)
    source.run(LATER)
    standing = modules.both("logical_info", migration=NAME, databases=[source.database])
    found = [one["id"] for one in standing["databases"][0]["findings"] if one["severity"] == "blocker"]
    assert found == [], target.server.log_tail()
    modules.both("pg_compare", live=True, slot=SLOT, wait_timeout=60)
    modules.both("pg_sequence_sync")
    assert target.query('SELECT last_value, is_called FROM "Numbers"') == [(88, True)]
    modules.both("pg_compare", rows="count")
    assert not modules.one("pg_publication", migration=NAME)["changed"]
    assert not modules.both("pg_schema", **programs)["changed"]
    assert not modules.both("pg_copy", migration=NAME)["changed"]
    assert not modules.both(
        "pg_subscription", modules.subscriber, migration=NAME, create_slot=False, copy_data=False,
    )["changed"]
    assert not modules.both("pg_sequence_sync")["changed"]
    modules.both("pg_subscription", modules.subscriber, migration=NAME, state="absent")
    modules.both("pg_copy", migration=NAME, state="absent")
    modules.one("pg_publication", migration=NAME, state="absent")
    modules.one("pg_replica_identity", migration=NAME, state="restored")
    assert source.query("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()") == []
    assert source.query("SELECT relreplident::text FROM pg_class WHERE relname = 'codes'") == [("d",)]


def test_p26_roles_and_the_lock_go_between_all_majors(modules):
    source, target = modules.source, modules.target
    for side in (source, target):
        side.query("DROP ROLE IF EXISTS olden_app")
    source.query(f"CREATE ROLE olden_app LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 3")
    source.query("ALTER ROLE olden_app SET work_mem = '9MB'")
    try:
        told = modules.both("pg_roles", "boss", roles=["olden_app"])
        assert target.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'olden_app'") == [(3,)], told
        assert not modules.both("pg_roles", "boss", roles=["olden_app"])["changed"]
    finally:
        for side in (source, target):
            side.query("DROP ROLE IF EXISTS olden_app")
    lock = modules.both("pg_journal", journal={"migration": NAME})["journal"]
    modules.both("pg_compare", journal=lock, rows="none", objects=["schemas"], exclude=["*"])
    modules.both("pg_journal", journal=lock, state="released")
    wait_until(lambda: target.query("SELECT holder FROM cloudpg_migration.lease") == [(None,)])
