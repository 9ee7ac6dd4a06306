# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back of the path ``replica``: whether there can be one, and how it fares. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._findings import Finding, blocker, from_dicts, judge, warning
from .._logical.selection import NOT_USERS
from .._pg.logins import CURE

# The journal's entry: its ``now`` names the databases, and is null without a way back.
EVENT = "way_back"
NO_WAY_BACK = "no-way-back"
_TEMPLATES = ("template0", "template1")
SHOWN = 5
_CURE = "; or go without a way back: replica_way_back=false, or acknowledge this"


def databases(server: Mapping[str, Any] | None, wanted: Sequence[str] = ()) -> list[str]:
    """The databases that are led back: those named, or all that are a user's own."""
    names = [row["name"] for row in (server or {}).get("databases", [])]
    return sorted(wanted) or [name for name in names if name not in (*NOT_USERS, *_TEMPLATES)]


def findings(
    wanted: bool, named: str, server: Mapping[str, Any] | None, tried: Iterable[Mapping[str, Any]], token: bool,
    names: Sequence[str], insisted: bool = True, own_login: bool = False,
) -> list[Finding]:
    """What stands in the way of a way back, by what was found on the source (P2, P25, P31, P58).

    Only where it is ``insisted`` on does that stop anything. ``tried`` are results of the modules that prepare it, run
    in check mode: one with a message has failed. ``token``: the target's login has no password that lasts; ``names``:
    the databases; ``own_login``: the subscriptions are to have logins of their own, as roles travel with the copy.
    """
    if not wanted:
        return [warning(
            NO_WAY_BACK, named, "after the target is opened there will be no way back without losing what was written "
            "since", "give logins for both sides and migration_controller_cidrs, and set replica_way_back", "P25",
        )]
    said = []
    if server is None:
        said.append(("no login to the source", "give one in migration_source.postgres", "P25"))
    else:
        said += _lacking(server, names)
    if token:
        said.append((
            "the target's login has an IAM token, which a subscription of days can't use",
            "give replica_way_back_connection with user and password", "P25",
        ))
    said += [_failed(result) for result in tried if result.get("msg")]
    found = [_said(named, *each, insisted) for each in said] + _left_behind(server)
    if own_login and server and not server["login"]["replication_logins"]:
        found.append(warning(
            "replication-login-shared", server["login"]["name"], "it may not make a login that replicates, so the way "
            "back's connection will have its own password", f"{CURE} replica_way_back_connection", "P23",
        ))
    return found


def refusal(copy: Mapping[str, Any] | None, cluster: str, owner: str | None = None) -> str:
    """Why the promoted target couldn't keep what is written, by what its login sees on the replica; empty where it can.

    The publications come along, and belong to ``owner``, the source's login (R28, R29).
    """
    if copy is None:
        return ""
    level, login = copy["settings"]["wal_level"], copy["login"]
    granted = "on the source, from where it comes along"
    if level != "logical":
        why = f"{cluster} has wal_level {level}"
        cure = "rds.logical_replication=1 in force in its cluster parameter group (see replica_cluster_parameters)"
    elif not login["replication"]:
        why = f"{login['name']} may not make replication slots on {cluster}"
        cure = f"GRANT rds_replication TO {login['name']} {granted}"
    elif owner and not login["superuser"] and owner not in login["member_of"]:
        why = f"{login['name']} of {cluster} isn't a member of {owner}, to whom what is published belongs"
        cure = f"GRANT {owner} TO {login['name']} {granted}, or one login for both sides"
    else:
        return ""
    return f"{why}, so there can be no way back. Cure: {cure}, or replica_way_back=false."


def _said(named: str, why: str, cure: str, fact: str, insisted: bool) -> Finding:
    reason = f"no way back can be prepared: {why}"
    if insisted:
        return blocker(NO_WAY_BACK, named, reason, f"{cure}{_CURE}", fact, acknowledgeable=True)
    return warning(NO_WAY_BACK, named, reason, f"{cure}; replica_way_back=true insists on it", fact)


def _lacking(server: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, str, str]]:
    login, settings = server["login"], server["settings"]
    said = []
    if not login["replication"]:
        said.append((f"{login['name']} may not replicate", f"GRANT rds_replication TO {login['name']}", "P25"))
    if server["version_num"] < 160000 and not login["administrator"]:
        said.append((
            f"before 16 only an administrator may subscribe, which {login['name']} isn't",
            "give the master user in both logins", "P23",
        ))
    workers = int(settings["max_logical_replication_workers"] or 0)
    if workers < len(names):
        said.append((
            f"max_logical_replication_workers of the source is {workers}, for {len(names)} databases",
            "raise it in its parameter group", "P28",
        ))
    return said


def _failed(result: Mapping[str, Any]) -> tuple[str, str, str]:
    """A module's own words; of findings the first few, of which tables without an identity are the usual ones."""
    rows = [row for row in result.get("findings", []) if row["severity"] == "blocker"]
    if not rows:
        why, _cure, cure = str(result.get("msg", "")).partition(" Cure: ")
        return why.rstrip("."), cure.rstrip(".") or "mend that", "P31"
    shown = ", ".join(f"{row['object']} ({row['id']})" for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{shown}{more}: {rows[0]['reason']}", rows[0]["cure"], rows[0]["fact"]


def _left_behind(server: Mapping[str, Any] | None) -> list[Finding]:
    """What a way back doesn't carry, where there is any (P58)."""
    found = []
    for row in (server or {}).get("databases", []):
        kinds = {"large objects": row["large_objects"], "unlogged tables": row["unlogged_table_count"]}
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        if named:
            found.append(warning(
                "way-back-leaves-behind", row["name"], f"a way back doesn't carry what is written to {named}, nor DDL",
                "know it before you go back", "P58",
            ))
    return found


def standing(
    seen: Sequence[Mapping[str, Any]] | None, error: str | None, to: str | None, acknowledged: Sequence[str] = (),
) -> dict[str, Any]:
    """How the way back fares: ``sentence``, ``blockers`` and ``bytes_behind``. ``seen`` None: it couldn't be read."""
    if seen is None:
        return {
            "sentence": f"the way back to {to} can't be read: {str(error).rstrip('.')}", "bytes_behind": None,
            "blockers": ["way-back-unreadable"],
        }
    verdict = judge(from_dicts([one for row in seen for one in row["findings"]]), acknowledged)
    blockers = {f"{one.id} [{one.object}]" for one in verdict.blockers}
    for row in seen:
        if not row["subscription"]:
            blockers.add(f"way-back-missing [{row['name']}]")
        elif not row["subscription"]["enabled"]:
            blockers.add(f"way-back-disabled [{row['name']}]")
    behind = [row["bytes_behind"] for row in seen]
    most = max(behind) if behind and None not in behind else None
    if blockers:
        sentence = f"the way back to {to} doesn't run: cutover.yml mends what it can"
    else:
        sentence = f"the way back to {to} runs" + (", its lag isn't known" if most is None else "")
    return {"sentence": sentence, "bytes_behind": most, "blockers": sorted(blockers)}
