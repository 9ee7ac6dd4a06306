# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database that is moved: what a shop has after a year of business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg2

SCHEMA = Path(__file__).with_name("shop.sql")
SCHEMAS = ("catalog", "crm", "sales", "warehouse")


def load_shop(address: dict[str, Any]) -> int:
    """Make the shop as the owner of an empty database, in one transaction; how many rows it has."""
    conn = psycopg2.connect(**address)
    try:
        with conn, conn.cursor() as cur:
            cur.execute(SCHEMA.read_text(encoding="utf-8"))
        conn.autocommit = True
        with conn.cursor() as cur:
            cur.execute("ANALYZE")
        return count_rows(conn)
    finally:
        conn.close()


def count_rows(conn: Any) -> int:
    """All rows of all tables of the shop."""
    with conn.cursor() as cur:
        cur.execute(
            "SELECT string_agg(format('SELECT count(*) FROM ONLY %%I.%%I', schemaname, tablename), ' UNION ALL ')"
            " FROM pg_tables WHERE schemaname = ANY(%s)",
            (list(SCHEMAS),),
        )
        cur.execute(f"SELECT sum(count) FROM ({cur.fetchone()[0]}) AS tables")
        return int(cur.fetchone()[0])
