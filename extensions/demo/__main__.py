# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python extensions/demo: a whole migration on this machine, with live writes, and the proof that none was lost."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "sandbox")]

from cloudpg_sandbox.testing import running  # noqa: E402  it is beside this directory, not installed
from playbook import changes, play  # noqa: E402
from scenario import Scenario  # noqa: E402
from summary import Result, summary  # noqa: E402

PATHS = sorted(file.stem.removeprefix("path_") for file in HERE.glob("path_*.py"))
WARM_UP = 1500  # commits: five seconds at the writers' rate
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PACE = 0.5  # seconds a state of AWS lasts in the sandbox


def main() -> int:
    """Run the demo; 0 only when the migration and the way back lost nothing, and second runs changed nothing."""
    options = _options()
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="cloudpg-demo-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            directory.chmod(0o711)  # servers run under other accounts and have to pass
            sandbox = stack.enter_context(running(pace=PACE))
            scenario = stack.enter_context(Scenario(sandbox, directory))
            stack.callback(_hear_nothing_more)
            return _demo(scenario, options)
    except KeyboardInterrupt:
        _say("interrupted; everything it had started is gone")
        return 130
    except Exception as exc:
        _say(f"{type(exc).__name__}: {exc}")
        return 1


def _demo(scenario: Scenario, options: argparse.Namespace) -> int:
    path = importlib.import_module(f"path_{options.path}")
    began = time.monotonic()
    try:
        inventory = _prepare(scenario, path)
        results = [_migrate(scenario, options.path, path, inventory)]
        if results[0].passed and "rollback" in path.DOORS:
            results.append(_go_back(scenario, options.path, path, inventory))
        _say(f"{time.monotonic() - began:.0f} s in all")
        told = [summary(result) for result in results]
        print("\n".join([*(line for lines in told for line in lines[:-1]), *(lines[-1] for lines in told)]), flush=True)
        return 0 if all(result.passed for result in results) else 1
    finally:
        if options.keep:
            _stay(scenario)


def _prepare(scenario: Scenario, path: ModuleType) -> Path:
    """The shop, its clients, and the inventory."""
    path.build(scenario)
    source = scenario.source
    assert source, "it was built"
    _say(f"{source.identifier} runs PostgreSQL {source.version} at {source.host}; the shop has {scenario.rows:,} rows")
    scenario.start_pooler()
    inventory = scenario.write_inventory(scenario.variables(**path.variables(scenario)))
    _say(f"what moves is said in {inventory}/hosts.yml")
    return inventory


def _migrate(scenario: Scenario, name: str, path: ModuleType, inventory: Path) -> Result:
    assert scenario.source, "it was built"
    if hasattr(path, "before_cutover"):
        # What the clients' owners have to do once there is a target.
        play("replicate", inventory, scenario.sandbox.env)
        path.before_cutover(scenario)
    return _through(
        scenario, "migrate", inventory, name, path.moved(scenario), lambda: path.target_host(scenario),
        lambda: scenario.source.host,
    )


def _go_back(scenario: Scenario, name: str, path: ModuleType, inventory: Path) -> Result:
    assert scenario.source, "it was built"
    return _through(
        scenario, "rollback", inventory, f"{name}-rollback", f"the way back of {path.moved(scenario)}",
        lambda: scenario.source.host, lambda: path.target_host(scenario),
    )


def _through(
    scenario: Scenario, verb: str, inventory: Path, name: str, moved: str, new: Callable[[], str],
    old: Callable[[], str],
) -> Result:
    """One playbook under load, the ledger's word on all that was ever written, and the playbook once more."""
    scenario.start_writers()
    commits = scenario.await_commits(WARM_UP)
    _say(f"{commits:,} commits so far, through PgBouncer and past it; now {verb}.yml")
    code = play(verb, inventory, scenario.sandbox.env).returncode
    if code == 0:
        scenario.lead_direct_clients(new())
        scenario.await_commits(WARM_UP)
        scenario.stop_writers()
        told = scenario.verify(new(), old())
        rerun = _run_again(verb, inventory, scenario.sandbox.env)
    else:
        scenario.stop_writers()
        told, rerun = scenario.verify(scenario.pooler.leads_to("shop")), None
    return Result(name, verb, moved, scenario.rows, code, told, rerun)


def _run_again(verb: str, inventory: Path, cloud: dict[str, str]) -> int | None:
    _say(f"running {verb}.yml again: it should have nothing to do")
    answer = play(verb, inventory, cloud, capture=True)
    changed = changes(answer.stdout)
    if answer.returncode != 0 or changed != 0:
        print(answer.stdout[-5000:], flush=True)
    return changed if answer.returncode == 0 else None


def _stay(scenario: Scenario) -> None:
    exports = "\n".join(f"  export {name}={value}" for name, value in scenario.sandbox.env.items())
    _say(f"everything stays up until Ctrl-C, its files are in {scenario.directory}\n{exports}")
    signal.pause()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    usual = os.environ.get("DEMO_PATH") or "replica"
    parser.add_argument("--path", choices=PATHS, default=usual, help="the way it is moved; else DEMO_PATH, or replica")
    parser.add_argument("--keep", action="store_true", help="stay up afterwards, until Ctrl-C, to look around")
    options = parser.parse_args()
    if options.path not in PATHS:
        parser.error(f"DEMO_PATH: there is no path {options.path}, but {', '.join(PATHS)}")
    return options


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _hear_nothing_more() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
