# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook as AWX runs it: `as_runner.py DIRECTORY PLAYBOOK INVENTORY EXTRA`. SIGTERM cancels the job."""

from __future__ import annotations

import json
import os
import sys

import ansible_runner


def main(directory: str, playbook: str, inventory: str, extra: str) -> int:
    """The run's exit code; 254 when it was cancelled."""
    run = ansible_runner.run(
        private_data_dir=directory, playbook=playbook, inventory=inventory, extravars=json.loads(extra),
        envvars=dict(os.environ), suppress_env_files=True,
    )
    return 254 if run.status == "canceled" else run.rc


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
