# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario migrates: the demo's shop on a sandbox, with clients that keep writing until they are judged.

`stand.py PATH DIRECTORY` stays until it is ended. It speaks by files in the directory: it writes `stand.json` once the
clients write; when `rest` appears it ends them and removes it; when `judge` appears it leads the clients past the
pooler to the target, lets them write on unless they were ended, and writes what the ledger found to `verdict.json`.
`pid` is there as long as it is.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

EXTENSIONS = Path(__file__).resolve().parents[2] / "extensions"
sys.path[:0] = [str(EXTENSIONS / "demo"), str(EXTENSIONS / "sandbox")]

from cloudpg_sandbox.testing import running  # noqa: E402  beside this directory, not installed
from processes import eventually  # noqa: E402
from scenario import Scenario  # noqa: E402

PACE = 0.2  # seconds a state of AWS lasts in the sandbox
COMMITS = 600  # two seconds at the writers' rate
PATIENCE = 1800.0  # seconds: more than a scenario takes


def main(path: str, place: Path) -> None:
    """Build it up, wait to be asked for the verdict, then wait for the end."""
    signal.signal(signal.SIGTERM, _end)
    with ExitStack() as stack:
        place.mkdir(parents=True, exist_ok=True)
        _write(place / "pid", os.getpid())
        stack.callback((place / "pid").unlink)
        directory = Path(tempfile.mkdtemp(prefix="cloudpg-molecule-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)  # servers run under other accounts and have to pass
        scenario = stack.enter_context(Scenario(stack.enter_context(running(pace=PACE)), directory))
        moving = importlib.import_module(f"path_{path}")
        moving.build(scenario)
        scenario.start_pooler()
        scenario.start_writers()
        scenario.await_commits(COMMITS)
        _write(place / "stand.json", {**_description(scenario), "path": moving.variables(scenario)})
        rest, judge = place / "rest", place / "judge"
        eventually(lambda: rest.exists() or judge.exists(), "the question for the verdict", PATIENCE)
        resting = rest.exists()
        if resting:
            scenario.stop_writers()
            rest.unlink()
            eventually(judge.exists, "the question for the verdict", PATIENCE)
        _write(place / "verdict.json", _verdict(scenario, moving, resting))
        eventually(lambda: False, "the end", PATIENCE)


def _description(scenario: Scenario) -> dict[str, Any]:
    cloud = scenario.sandbox.env
    return {
        "aws": {
            "endpoint_url": scenario.sandbox.endpoint,
            "region": cloud["AWS_REGION"],
            "access_key": cloud["AWS_ACCESS_KEY_ID"],
            "secret_key": cloud["AWS_SECRET_ACCESS_KEY"],
        },
        "postgres": scenario.postgres(),
        "pooler": {"admin": scenario.pooler.admin(scenario.passfile), "config": str(scenario.pooler.config)},
        "controllers": [scenario.bastion_cidr],
    }


def _verdict(scenario: Scenario, path: Any, resting: bool) -> dict[str, Any]:
    target = path.target_host(scenario)
    if not resting:
        scenario.lead_direct_clients(target)
        scenario.await_commits(COMMITS)
        scenario.stop_writers()
    return scenario.verify(target, scenario.source.host)


def _write(path: Path, what: Any) -> None:
    building = path.with_suffix(".new")
    building.write_text(json.dumps(what), encoding="utf-8")
    building.replace(path)


def _end(_number: int, _frame: Any) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
