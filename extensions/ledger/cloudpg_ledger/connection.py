# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that notice a dead server within seconds, and never carry a password in an argument."""
from __future__ import annotations

import json
import os
import time

import psycopg2
from psycopg2.extensions import connection, parse_dsn

# Without these a killed connection or a vanished host is noticed after minutes, and the outage reads too long.
LIVELY = {
    "connect_timeout": "3",
    "keepalives": "1",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
    "application_name": "cloudpg-ledger",
}


def checked_dsn(dsn: str) -> str:
    """The DSN itself; ValueError when libpq can't read it or when it holds a password (argv is public)."""
    try:
        parts = parse_dsn(dsn)
    except psycopg2.ProgrammingError:
        raise ValueError("a DSN that libpq can't read: use key=value pairs or a postgresql:// address") from None
    if "password" in parts:
        raise ValueError("a DSN with a password: arguments are public, use passfile=…, PGPASSFILE or PGPASSWORD")
    return dsn


def connect(dsn: str) -> connection:
    """An autocommit connection with keepalives; what the DSN says itself comes first. Raises psycopg2.Error."""
    conn = psycopg2.connect(**{**LIVELY, **parse_dsn(dsn)})
    conn.autocommit = True
    return conn


class Routes:
    """The address behind each label; the follow file ({"label": "dsn"}, replaced by rename) may change it any time."""

    CHECK_EVERY = 0.2  # seconds

    def __init__(self, routes: dict[str, str], follow_file: str | None = None) -> None:
        self._routes = dict(routes)
        self._follow_file = follow_file
        self._version: tuple[int, int] | None = None
        self._next_look = 0.0

    @property
    def labels(self) -> list[str]:
        return list(self._routes)

    def dsn(self, label: str) -> str:
        """The DSN that holds for this label now."""
        if self._follow_file and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self.CHECK_EVERY
            self._look(self._follow_file)
        return self._routes[label]

    def _look(self, path: str) -> None:
        try:
            stat = os.stat(path)
            version = (stat.st_ino, stat.st_mtime_ns)
            if version == self._version:
                return
            with open(path, encoding="utf-8") as file:
                followed = json.load(file)
        except (OSError, ValueError):
            return  # not there yet, or half written: the next look finds it
        self._version = version
        # one assignment, so that a thread that reads meanwhile sees the old or the new set
        self._routes = {label: str(followed.get(label, dsn)) for label, dsn in self._routes.items()}
