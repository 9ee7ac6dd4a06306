# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make bench``: how long it takes, beside what else there is for it, on the same servers in the same run.

Prints one table and writes ``{"benches": [{"name", "value", "unit", "target", "met", "peers", "rounds", "limits"}]}``.

* ``BENCH_OUT``     where the JSON goes (``build/bench.json``)
* ``BENCH_ROUNDS``  how often everything is measured (3); what is told is the median
* ``BENCH_SCALE``   1.0 is the size that the targets are meant for; less is quicker and says less
* ``BENCH_HOME``    where the servers' data lie (the system's place for temporary files); 12 GiB at scale 1.0

``python tests/bench [NAME …]`` measures only these. A bench is a file in ``benches/`` with ``measure(bench)``, which
yields :class:`report.Measured`: adding a file adds a bench. A value that falls short of its target is told like any
other, with what limits it; the exit code says only whether everything could be measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path[:0] = [str(HERE), *(str(CHECKOUT / "extensions" / name) for name in ("sandbox", "demo"))]

from report import Measured, table, write  # noqa: E402  beside this file
from stand import Bench  # noqa: E402


def discover() -> dict[str, Path]:
    """The benches by name."""
    return {path.stem: path for path in sorted((HERE / "benches").glob("*.py")) if not path.stem.startswith("_")}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    there = discover()
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(there))
    names = parser.parse_args().names or list(there)
    unknown = sorted(set(names) - set(there))
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(there)}")
    out = Path(os.environ.get("BENCH_OUT") or CHECKOUT / "build" / "bench.json")
    bench = Bench(
        int(os.environ.get("BENCH_ROUNDS") or 3), float(os.environ.get("BENCH_SCALE") or 1.0),
        os.environ.get("BENCH_HOME"),
    )
    measured: list[Measured] = []
    failed = []
    for name in names:
        bench.say(f"== {name}")
        try:
            measured.extend(load(there[name]).measure(bench))
        except Exception:
            failed.append(name)
            traceback.print_exc()
        finally:
            bench.clear()
        write(out, measured, bench)
    print(table(measured), flush=True)
    print(f"written to {out}", flush=True)
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
