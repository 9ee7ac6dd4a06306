# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins that a migration makes for its replication: what marks them, and whether a server lets them be made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Their comment begins with it. They come and go with a migration, so they are no part of what is moved or compared.
MARK = "cloudpg.migration: "
# A condition in which ``{}`` is a role's oid; comments on roles are everybody's to read.
MARKED = f"""EXISTS (
    SELECT FROM pg_shdescription m
    WHERE m.classoid = 'pg_authid'::regclass AND m.objoid = {{}} AND starts_with(m.description, '{MARK}')
)"""

# Of the current role, as ``r``. ``passes_on`` is null for one who doesn't replicate by membership (R29).
COLUMNS = """
    r.rolcreaterole AS createrole, (
        SELECT pg_has_role(g.oid, 'USAGE WITH ADMIN OPTION') FROM pg_roles g
        WHERE g.rolname = 'rds_replication' AND pg_has_role(g.oid, 'MEMBER')
    ) AS passes_on
"""

CURE = (
    "let it make one: CREATEROLE and REPLICATION from 16 on, CREATEROLE and rds_replication WITH ADMIN OPTION on RDS; "
    "else only superusers can. Or make one yourself and name it in"
)


def may_make(role: Mapping[str, Any], version_num: int) -> bool:
    """Whether a role (``super``, ``replication`` and COLUMNS) may make logins that replicate. Pure.

    Before 16 only superusers give REPLICATION, while who has CREATEROLE makes anybody a member of any role (R29).
    """
    if role["super"]:
        return True
    if not role["createrole"]:
        return False
    if role["passes_on"] is not None:
        return role["passes_on"] or version_num < 160000
    return role["replication"] and version_num >= 160000
