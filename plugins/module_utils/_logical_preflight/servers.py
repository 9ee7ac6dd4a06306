# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers as a whole: versions, rights of the logins, room for slots and workers, what holds a slot up."""

from __future__ import annotations

from collections.abc import Iterator

from .._findings import Finding, blocker, warning
from .._pg.logins import CURE
from .facts import Document, Facts, number

OLDEST = 12
# Roles of managed services that may make subscriptions before 16 without being superuser (R29).
SUBSCRIBERS = ("rds_superuser", "azure_pg_admin", "cloudsqlsuperuser")
LONG_COPY_BYTES = 200 * 1024 ** 3
GIB = 1024 ** 3


def versions(facts: Facts) -> Iterator[Finding]:
    mine, theirs = facts.majors
    if mine < OLDEST:
        yield blocker(
            "source-too-old", "source", f"PostgreSQL {mine} isn't supported as a source", "upgrade it to 12 or newer",
            "P26",
        )
    elif mine < 14:
        yield warning(
            "source-without-streaming", "source", f"PostgreSQL {mine} sends a big transaction only when it is over, "
            "and can't read a table in ranges of pages: big tables are copied by one reader each",
            "plan for lag behind big transactions, and for a longer copy", "P53",
        )
    if theirs is not None and theirs < mine:
        yield blocker(
            "target-older", "target", f"the target is PostgreSQL {theirs}, the source {mine}: its schema may use "
            "what the target doesn't know", "take a target of at least the source's major",
            "P37", acknowledgeable=True,
        )
    if theirs is not None and theirs < 15:
        yield warning(
            "no-disable-on-error", "target", f"PostgreSQL {theirs} has neither disable_on_error nor counts of "
            "errors: a failing subscription begins again and again", "look at the server's log while it follows",
            "P26",
        )
    if theirs is not None and min(mine, theirs) < 16 and facts.way_back:
        yield warning(
            "no-origin-filter", "source and target", "before 16 on both sides nothing keeps rows from going round in "
            "circles when both directions are on", "let the cutover disable the forward subscription before it opens",
            "P25",
        )
    if mine < 17:
        yield warning(
            "slot-lost-on-failover", "source", f"PostgreSQL {mine} keeps its slots to itself: a failover of the "
            "source loses them, and the copy has to begin anew", "plan no maintenance of the source meanwhile", "P24",
        )


def recovery(facts: Facts) -> Iterator[Finding]:
    for side, server in _sides(facts):
        if server["in_recovery"]:
            yield blocker(
                f"{side}-is-standby", side, "the host that is given answers as a standby", f"correct {side}.host",
                "P17"
            )


def wal_level(facts: Facts) -> Iterator[Finding]:
    cure = "set wal_level = logical (rds.logical_replication = 1 on RDS) and restart it"
    if facts.source["settings"]["wal_level"] != "logical":
        yield blocker(
            "wal-level", "source", f"its wal_level is {facts.source['settings']['wal_level']}: nothing can be decoded",
            cure, "P9",
        )
    target = facts.target
    if target is not None and facts.way_back and target["settings"]["wal_level"] != "logical":
        yield warning(
            "target-wal-level", "target", f"its wal_level is {target['settings']['wal_level']}: there will be no way "
            "back without loss", cure + " before the cutover", "P25",
        )


def logins(facts: Facts) -> Iterator[Finding]:
    login = facts.source["login"]
    if not login["monitor"]:
        yield blocker(
            "login-lacks-monitor", f"source/{login['name']}", "without pg_monitor other sessions are hidden from it: "
            "open transactions weren't seen, and a fence can't be proven", f"GRANT pg_monitor TO {login['name']}",
            "P52",
            acknowledgeable=True,
        )
    if not login["replication"]:
        yield blocker(
            "login-lacks-replication", f"source/{login['name']}", "it may not make a replication slot",
            f"ALTER ROLE {login['name']} REPLICATION (GRANT rds_replication TO {login['name']} on RDS)", "P9",
        )
    if facts.target is None:
        return
    login, more = facts.target["login"], facts.target["more"]
    if not may_subscribe(facts.target):
        yield blocker(
            "login-cannot-subscribe", f"target/{login['name']}", "it may not make a subscription",
            f"GRANT pg_create_subscription TO {login['name']}" if facts.target["version_num"] >= 160000
            else "before 16 that takes a superuser, or the administrator's role of a managed service", "P23",
        )
    if not login["monitor"]:
        yield warning(
            "target-login-lacks-monitor", f"target/{login['name']}", "without pg_monitor it doesn't see the apply "
            "workers",
            f"GRANT pg_monitor TO {login['name']}", "P18",
        )
    if facts.create_databases and not (more["createdb"] or login["superuser"]):
        missing = [one.name for one in facts.databases if one.target is None]
        if missing:
            yield blocker(
                "login-cannot-create-database", f"target/{login['name']}", "it may not create "
                f"{', '.join(missing[:5])}",
                f"ALTER ROLE {login['name']} CREATEDB, or create the databases yourself",
            )


def way_back(facts: Facts) -> Iterator[Finding]:
    """It is made at the end of a copy that may have taken days: what it needs is asked for before (P25)."""
    if facts.target is None or not facts.way_back:
        return
    near, far = facts.source["login"], facts.target["login"]
    if not may_subscribe(facts.source):
        yield blocker(
            "way-back-login-cannot-subscribe", f"source/{near['name']}", "it may not make the way back's subscription",
            (f"GRANT pg_create_subscription TO {near['name']}" if facts.source["version_num"] >= 160000
             else "before 16 that takes a superuser, or the administrator's role of a managed service")
            + "; or do without a way back", "P25",
        )
    if not far["replication"]:
        yield blocker(
            "way-back-login-lacks-replication", f"target/{far['name']}", "it may not make the slot that leads back",
            f"ALTER ROLE {far['name']} REPLICATION (GRANT rds_replication TO {far['name']} on RDS); or do without a "
            "way back", "P25",
        )


def own_logins(facts: Facts) -> Iterator[Finding]:
    """Without one the subscription carries the password of the migration's login, for days (P23)."""
    reason = "it may not make a login that replicates, so the subscription's connection will have its own password"
    login = facts.source["login"]
    if facts.own_login and not login["replication_logins"]:
        yield warning(
            "replication-login-shared", f"source/{login['name']}", reason, f"{CURE} logical_connection", "P23",
        )
    if facts.target is None or not (facts.way_back and facts.own_back_login):
        return
    login = facts.target["login"]
    if not login["replication_logins"]:
        yield warning(
            "way-back-replication-login-shared", f"target/{login['name']}", reason, f"{CURE} logical_back_connection",
            "P23",
        )


def may_subscribe(server: Document) -> bool:
    """Whether the login may make subscriptions there."""
    if server["login"]["superuser"]:
        return True
    members = set(server["more"]["member_of"])
    if server["version_num"] >= 160000:
        return bool(members & {"pg_create_subscription"})
    return bool(members & set(SUBSCRIBERS))


def room(facts: Facts) -> Iterator[Finding]:
    """One slot, one walsender, one origin, one apply worker a database, and what they need for the way back."""
    needed = len(facts.databases)
    yield from _room_to_send(facts, "source", facts.source, needed)
    target = facts.target
    if target is None:
        return
    settings, more = target["settings"], target["more"]
    ours = sum(1 for name in more["origins"] if facts.is_ours(name))
    # From 18 origins have a limit of their own.
    limit = "max_active_replication_origins"
    if number(settings, limit) is None:
        limit = "max_replication_slots"
    yield from _short(
        "target-origins", "target", limit, number(settings, limit), len(more["origins"]) - ours, needed,
        "replication origins", "P15",
    )
    workers = number(settings, "max_logical_replication_workers")
    yield from _short(
        "target-workers", "target", "max_logical_replication_workers", workers, more["workers"], needed,
        "apply workers", "P28",
    )
    processes = number(settings, "max_worker_processes")
    if processes is not None and workers is not None and processes <= workers:
        yield warning(
            "target-worker-processes", "target", f"max_worker_processes is {processes}, which max_logical_replication_"
            f"workers ({workers}) fill alone: parallel queries and index builds, or else apply workers, get none",
            f"set max_worker_processes to {workers + 4} or more", "P28",
        )
    if facts.way_back:
        for finding in _room_to_send(facts, "target", target, needed):
            id = f"way-back-{finding.id.partition('-')[2]}"
            yield warning(id, finding.object, finding.reason, finding.cure, "P25")


def _room_to_send(facts: Facts, side: str, server: Document, needed: int) -> Iterator[Finding]:
    foreign = sum(1 for slot in server["slots"] if not facts.is_ours(slot["name"]))
    yield from _short(
        f"{side}-slots", side, "max_replication_slots", number(server["settings"], "max_replication_slots"), foreign,
        needed, "replication slots", "P13",
    )
    yield from _short(
        f"{side}-walsenders", side, "max_wal_senders", number(server["settings"], "max_wal_senders"),
        server["more"]["senders"], needed, "walsenders", "P28",
    )


def _short(
    id: str, side: str, setting: str, limit: int | None, used: int, needed: int, things: str, fact: str
) -> Iterator[Finding]:
    if limit is None:
        yield warning(f"{id}-unknown", side, f"{setting} can't be seen by this login", "GRANT pg_monitor to it", fact)
    elif limit - used < needed:
        yield blocker(
            id, side, f"{needed} {things} are needed; {setting} is {limit}, of which {used} are in use",
            f"set {setting} to {used + needed} or more and restart, or free some", fact,
        )


def slots(facts: Facts) -> Iterator[Finding]:
    for slot in facts.source["slots"]:
        name, kept = slot["name"], (slot["retained_bytes"] or 0) / GIB
        if slot["wal_status"] in ("lost", "unreserved") and facts.is_ours(name):
            yield blocker(
                "slot-lost", name, f"the slot of this migration is {slot['wal_status']}: it can't be resumed",
                "roll back and begin anew", "P14",
            )
        elif not slot["active"] and not facts.is_ours(name):
            yield warning(
                "orphan-slot", name, f"nobody reads it: it keeps {kept:.1f} GiB of WAL, and rows from being vacuumed",
                "drop it if nobody needs it", "P13",
            )
    keep = number(facts.source["settings"], "max_slot_wal_keep_size")
    if keep is not None and keep >= 0:
        yield warning(
            "slot-may-be-lost", "source", f"max_slot_wal_keep_size is {keep} MB: a target that falls further behind "
            "can't resume", "raise it for the time of the migration, or watch wal_status", "P14",
        )


def transactions(facts: Facts) -> Iterator[Finding]:
    for row in facts.source["prepared_transactions"]:
        yield blocker(
            "prepared-transaction", f"{row['database']}/{row['gid']}", f"prepared {row['age_seconds']:.0f} s ago: "
            "making a slot waits for it, for ever", "COMMIT PREPARED or ROLLBACK PREPARED", "P9", acknowledgeable=True,
        )
    for row in facts.source["long_transactions"] or ():
        yield warning(
            "long-transaction", f"{row['database']}/pid "
            f"{row['pid']}", f"{row['user']} ({row['application_name'] or 'no name'}"
            f", {row['state']}) has a transaction open for {row['age_seconds']:.0f} s: if it has written, making a "
            "slot waits for it", "let it end, or end it, before replicating", "P36",
        )


def size(facts: Facts) -> Iterator[Finding]:
    for database in facts.databases:
        if database.source["size_bytes"] >= LONG_COPY_BYTES:
            yield warning(
                "long-snapshot", database.name, f"{database.source['size_bytes'] / GIB:.0f} GiB are copied in one "
                "snapshot, which keeps rows from being vacuumed and the slot's WAL on disk all that time",
                "see that the source's disk has room, and watch the age of its oldest xid", "P46",
            )


def _sides(facts: Facts) -> Iterator[tuple[str, Document]]:
    yield "source", facts.source
    if facts.target is not None:
        yield "target", facts.target


CHECKS = (versions, recovery, wal_level, logins, way_back, own_logins, room, slots, transactions, size)
