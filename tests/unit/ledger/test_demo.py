# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's last line, and what it reads out of a playbook's output."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playbook import changes, environment
from summary import Result, summary

RECAP = "PLAY RECAP ****\nshop                       : ok=58   changed={}    unreachable=0    failed=0    skipped=12\n"
LAST = re.compile(
    r"^demo: path=replica acked=\d+ lost=\d+ duplicated=\d+ split_brain=\d+ outage_s=[\d.]+ rerun_changed=(\d+|\?)$"
)


def result(*, code: int = 0, rerun: int | None = 0, findings: int = 0, **told: Any) -> Result:
    ledger = {
        "acked": 9000, "in_doubt": 1, "failed": 2, "lost": 0, "duplicated": 0, "split_brain": 0, "passed": True,
        "outage_s": 2.5, "outage": {"began": "a", "ended": "b", "recovered": True},
        "commits_per_second": {"before": 300.1, "after": None},
        "findings": [{"category": "lost", "why": "entries: gone"}] * findings,
    }
    return Result("replica", "migrate", "RDS to Aurora", 436_115, code, ledger | told, rerun)


@pytest.mark.parametrize(
    ("shown", "passed"),
    [
        (result(), True),
        (result(code=2, rerun=None), False),
        (result(rerun=1), False),
        (result(rerun=None), False),
        (result(lost=200, passed=False, findings=100), False),
        (result(outage={"began": "a", "ended": "b", "recovered": False}), True),
    ],
)
def test_the_summary_is_short_and_ends_with_a_line_for_programs(shown: Result, passed: bool) -> None:
    lines = summary(shown)

    assert len(lines) <= 10
    assert LAST.match(lines[-1]), lines[-1]
    assert shown.passed is passed


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (RECAP.format(0), 0),
        (RECAP.format(7), 7),
        (RECAP.format(2).replace("shop  ", "\x1b[0;33mshop\x1b[0m  ").replace("changed=2", "\x1b[0;33mchanged=2"), 2),
        (RECAP.format(1) + RECAP.format(2).splitlines()[1] + "\n", 3),
        ("ERROR! no hosts matched", None),
    ],
)
def test_changes_are_read_off_the_recap(output: str, expected: int | None) -> None:
    assert changes(output) == expected


def test_a_playbook_can_reach_nothing_but_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "long-dummy-token-of-production")

    told = environment({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})

    assert {name: value for name, value in told.items() if name.startswith("AWS_")} == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
