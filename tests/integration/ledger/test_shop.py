# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop of the demo: loads without a superuser, the same each time."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest
from cloudpg_sandbox.servers import Server
from shop import SCHEMAS, count_rows, load_shop


def checksums(source: Server, dbname: str) -> dict[str, str]:
    """A checksum of each table's rows, whatever their order."""
    tables = source.query(
        "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY(%s)",
        [list(SCHEMAS)], dbname=dbname,
    )
    query = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM ONLY {} AS t"
    return {table: source.query(query.format(table), dbname=dbname)[0][0] for (table,) in tables}


@pytest.fixture(scope="module")
def shops(source: Server, passfile: Path) -> list[dict[str, str]]:
    """The addresses of two shops."""
    addresses = []
    for name in ("shop_one", "shop_two"):
        source.query(f"CREATE DATABASE {name} OWNER app")
        address = {"host": source.address, "user": "app", "passfile": str(passfile), "dbname": name}
        assert load_shop(address) > 400_000
        addresses.append(address)
    return addresses


def test_it_holds_the_same_rows_each_time(source: Server, shops: list[dict[str, str]]) -> None:
    one, two = (checksums(source, shop["dbname"]) for shop in shops)

    assert one == two
    assert len(one) > 20


def test_its_trigger_and_functions_work(shops: list[dict[str, str]]) -> None:
    conn = psycopg2.connect(**shops[0])
    with conn.cursor() as cur:
        before = count_rows(conn)
        cur.execute(
            "INSERT INTO sales.orders (ordered_at, customer_id) VALUES ('2025-07-01', 1000), ('2031-01-01', 1000)"
            " RETURNING id"
        )
        (order,), _other = cur.fetchall()
        cur.execute("UPDATE sales.orders SET status = 'paid' WHERE id = %s", (order,))
        cur.execute("CALL sales.ship(%s)", (order,))
        cur.execute("SELECT is_now FROM sales.status_changes WHERE order_id = %s ORDER BY id", (order,))
        assert [status for (status,) in cur] == ["new", "paid", "shipped"]
        assert count_rows(conn) == before + 2 + 4
    conn.close()


def test_everything_in_it_belongs_to_the_owner(source: Server, shops: list[dict[str, str]]) -> None:
    owners = source.query(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace::regnamespace::text = ANY(%s)",
        [list(SCHEMAS)], dbname=shops[0]["dbname"],
    )

    assert owners == [("app",)]
