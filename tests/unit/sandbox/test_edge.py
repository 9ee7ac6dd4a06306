# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge of the sandbox's PlanetScale: the user's name says which branch is meant."""

from __future__ import annotations

import struct

import pytest
from cloudpg_sandbox.edge import Refused, routed


def startup(**told: str) -> bytes:
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in told.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, 196608) + body


@pytest.mark.parametrize(("user", "role"), [("me.branch", "me"), ("a.b.branch", "a.b"), ("mé.branch", "mé")])
def test_s8_the_branch_is_taken_off_the_name(user: str, role: str) -> None:
    told = {"database": "postgres", "options": "-c a=b", "replication": "database"}
    assert routed(startup(user=user, **told), "branch") == startup(user=role, **told)


@pytest.mark.parametrize("user", ["me", "me.other", "branch", ""])
def test_s8_who_names_another_branch_or_none_is_sent_away(user: str) -> None:
    with pytest.raises(Refused, match="role.branch") as caught:
        routed(startup(user=user, database="postgres"), "branch")
    packet = caught.value.packet()
    assert (packet[:1], struct.unpack("!I", packet[1:5])[0]) == (b"E", len(packet) - 1)
    assert b"C28000\0" in packet
