# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is to say to a person about logical replication at AWS, before it is turned on (R25, R27, R28). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .._findings import Finding, blocker, warning
from .._journal import Event
from .logical_replication import SWITCH, Order, Seen, changes, low, missing_on_server
from .parameters import same

_NOT_LOWER_THAN_ITS_PRIMARY = {"max_wal_senders", "max_worker_processes"}


def findings(seen: Seen, order: Order, entry: Event | None) -> list[Finding]:
    """Empty when it is on, in force and large enough. A reboot that isn't allowed is a blocker, else a warning."""
    wanted = changes(seen, order)
    return [*_off(seen, order, wanted), *_group(seen, order, wanted), *_pending(seen, order, entry, wanted),
            *_small(seen, order, entry, wanted)]


def _off(seen: Seen, order: Order, wanted: dict[str, str]) -> Iterator[Finding]:
    name = order.door.identifier
    if SWITCH in wanted:
        yield _reboot_needed(
            order, "logical-replication-off", f"{SWITCH} is off in its parameter group {seen.group.name}, and turning "
            "it on takes a reboot", f"turn it on with rds_logical_replication on {order.door}"
        )
    if wanted and seen.replicas:
        raised = sorted(_NOT_LOWER_THAN_ITS_PRIMARY & set(wanted))
        if raised:
            yield warning(
                "logical-replication-replicas", name, f"{' and '.join(raised)} would be higher than on its replicas "
                f"{', '.join(seen.replicas)}, which then stop following it",
                "raise them in the replicas' parameter groups first, and reboot those", "R28",
            )


def _group(seen: Seen, order: Order, wanted: dict[str, str]) -> Iterator[Finding]:
    name, instead = order.door.identifier, f"nothing: a group {order.own} takes its place until the end"
    if not wanted or seen.group.name == order.own:
        return
    if seen.default:
        said = f"its parameter group {seen.group.name} is a default one, which nobody can change"
        yield warning("parameter-group-default", name, said, instead, "R25")
    elif seen.shared_with:
        said = f"its parameter group {seen.group.name} is also that of {', '.join(seen.shared_with)}"
        yield warning("parameter-group-shared", name, said, instead, "R28")


def _pending(seen: Seen, order: Order, entry: Event | None, wanted: dict[str, str]) -> Iterator[Finding]:
    late = [] if SWITCH in wanted else missing_on_server(seen, entry)
    if late:
        said = ", ".join(f"{member.identifier} ({member.status})" for member in late)
        level = "" if seen.running is None else f"; the server's wal_level is {seen.running['wal_level']}"
        yield _reboot_needed(
            order, "logical-replication-pending-reboot",
            f"its parameter group {seen.group.name} is written and not in force on {said}{level}",
            "reboot it, or allow it to be rebooted",
        )


def _small(seen: Seen, order: Order, entry: Event | None, wanted: dict[str, str]) -> Iterator[Finding]:
    raised = {name: value for name, value in wanted.items() if name != SWITCH}
    if raised:
        said = ", ".join(f"{name} to {value}" for name, value in raised.items())
        yield warning("logical-replication-small", order.door.identifier,
                      f"its parameter group {seen.group.name} says less than logical replication needs",
                      f"nothing: raised are {said}, with the same reboot", "R28")
        return
    too_low = low(seen, order)
    if too_low and same(seen.document(SWITCH).get("ParameterValue"), "1") and not missing_on_server(seen, entry):
        said = ", ".join(f"{name} {value} (of {order.least[name]})" for name, value in too_low.items())
        yield warning(
            "logical-replication-low", order.door.identifier, f"the server has {said}, whatever its group says",
            "raise it in the parameter group of the instance, which wins over the cluster's", "R27",
        )


def _reboot_needed(order: Order, id: str, reason: str, cure: str) -> Finding:
    name = order.door.identifier
    if order.reboot:
        return warning(id, name, reason, f"nothing: {order.door} is rebooted, which ends its sessions", "R28")
    said = f"{cure}: give reboot: true where it may be rebooted, which ends its sessions"
    return blocker(id, name, reason, said, "R28")
