# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as a user runs them, against nothing but the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from processes import end_with_parent

CHECKOUT = Path(__file__).parents[2]
RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(\d+)\s", re.MULTILINE)


def environment(cloud: dict[str, str]) -> dict[str, str]:
    """This process's environment without any way to a real AWS account, and with the one to the sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        **cloud,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    }


def play(
    name: str, inventory: Path, cloud: dict[str, str], *, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a playbook to its end; its output goes where ours goes, or is captured."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if capture else {}
    return subprocess.run(
        ["ansible-playbook", f"playbooks/{name}.yml", "-i", str(inventory)],
        cwd=CHECKOUT, env=environment(cloud), stdin=subprocess.DEVNULL, text=True, check=False,
        preexec_fn=end_with_parent, **output,
    )


def changes(output: str) -> int | None:
    """The `changed=` of a recap, over all hosts; None when there is no recap."""
    found = RECAP.findall(re.sub(r"\x1b\[[0-9;]*m", "", output))
    return sum(map(int, found)) if found else None
