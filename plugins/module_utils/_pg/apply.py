# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workers of a subscription."""

from __future__ import annotations

import time
from collections.abc import Callable

from .connection import Session
from .errors import PgError

# Seconds a worker is given to end after its subscription was disabled.
ENDS_WITHIN = 60.0
_POLL = 0.1

# Subscriptions are the server's, and another database may have one of the same name.
_RUNNING = """
    SELECT count(*) FROM pg_stat_subscription w JOIN pg_subscription s ON s.oid = w.subid
    WHERE s.subname = %s AND w.pid IS NOT NULL
      AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def until_they_ended(
    session: Session, subscription: str,
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once a disabled subscription of the session's database has no worker left. Raises PgError if one stays."""
    deadline = clock() + ENDS_WITHIN
    while session.value(_RUNNING, (subscription,)):
        if clock() >= deadline:
            raise PgError(
                f"{session.where}: subscription {subscription} is disabled, but its worker still runs after "
                f"{ENDS_WITHIN:.0f} s. Cure: end it (pg_stat_subscription.pid) and run again."
            )
        sleep(_POLL)
