# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python tests/chaos: runs are killed, put to sleep and disturbed everywhere, and must come to the same end."""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from report import Row, table, totals, write  # noqa: E402  beside this file
from rounds import Round, path_rounds, replica_rounds, sql_rounds, survey  # noqa: E402
from pair import GROUND  # noqa: E402
from runs import STOP  # noqa: E402
from stand import CHECKOUT  # noqa: E402

BUILD = CHECKOUT / "build"
UNSURVEYED = ("sql", "path")  # with these begin the names of rounds that need no clean run before
# Kills that came to pass, of playbooks and of the copy, or a whole chaos has proven too little.
ENOUGH, ENOUGH_OF_COPY, ENOUGH_OF_MOVES = 60, 50, 100


class Stage:
    """Plays rounds in a few threads and gathers their rows."""

    def __init__(self, rounds: list[Round], keep_going: bool) -> None:
        self.rows: list[Row] = []
        self.stop = threading.Event()
        self._keep_going = keep_going
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Round] = queue.SimpleQueue()
        self._began = time.monotonic()
        for one in rounds:
            self._waiting.put(one)

    def say(self, text: str) -> None:
        with self._lock:
            print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    def work(self) -> None:
        """Play rounds until none is left, or one was wrong."""
        while not self.stop.is_set():
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._play(one)

    def _play(self, one: Round) -> None:
        began = time.monotonic()
        try:
            rows = one.play(lambda row: self.say(f"{one.name:22} {row.line()}"), BUILD / "chaos" / one.name)
        except Exception as error:
            if STOP.is_set():
                return  # whatever it was: the ground is taken away from under it
            rows = [Row("harness", "", one.name, type(error).__name__, wrong=[str(error)[-1500:]])]
        for row in rows:
            row.round = one.name
        wrong = rows[0].wrong if rows else []
        figures = " ".join(f"{key}={value}" for key, value in rows[0].figures.items()) if rows else ""
        self.say(f"{one.name:22} {'WRONG' if wrong else 'ok'} after {time.monotonic() - began:.0f} s  {figures}")
        for line in wrong:
            self.say(f"{'':22} {line}")
        with self._lock:
            self.rows += rows
        if wrong and not self._keep_going:
            self.stop.set()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=140, help="of migrate.yml, every boundary first (%(default)s)")
    parser.add_argument("--copy-kills", type=int, default=50, help="of pg_copy, at any moment (%(default)s)")
    parser.add_argument("--move-kills", type=int, default=144,
                        help="of cutover.yml and rollback.yml of the path logical (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance (%(default)s)")
    parser.add_argument("--only", default="", metavar="NAMES",
                        help="rounds whose name begins so: kills,rollback,finish,takeover,network,server,timeout,fault,"
                             "path,sql move,sql kills,sql restart,sql mishap (or sql)")
    parser.add_argument("--thorough", action="store_true", help="with faults of the API, which other tests have, too")
    parser.add_argument("--keep-going", action="store_true", help="play all rounds, whatever went wrong in one")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time (%(default)s)")
    parser.add_argument("--list", action="store_true", help="name the rounds and stop")
    return parser.parse_args()


def main() -> int:
    """1 when any round ended wrong."""
    given, began = options(), time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    chosen = tuple(name.strip() for name in given.only.split(",")) if given.only else ()
    trace: list[dict[str, Any]] = []
    try:
        rounds = [*path_rounds(given.seed), *sql_rounds(given.copy_kills, given.move_kills, given.seed)]
        if not chosen or not all(name.startswith(UNSURVEYED) for name in chosen):
            print("chaos: a clean run of migrate.yml, to learn its boundaries", flush=True)
            trace = survey()
            rounds = [*replica_rounds(trace, given.kills, given.seed), *rounds]
    except KeyboardInterrupt:
        print("chaos: interrupted", flush=True)
        return 130
    rounds = [
        one for one in rounds if (one.name.startswith(chosen) if chosen else given.thorough or not one.thorough)
    ]
    size = f"{len(trace)} boundaries, {len(rounds)} rounds"
    print(f"chaos: {size}, {given.jobs} at a time, seed {given.seed}", flush=True)
    if given.list:
        print("\n".join(one.name for one in rounds))
        return 0
    stage = Stage(rounds, given.keep_going)
    workers = [threading.Thread(target=stage.work) for _job in range(given.jobs)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        stage.stop.set()
        STOP.set()
        print("chaos: interrupted", flush=True)
        for worker in workers:
            worker.join()
    finally:
        GROUND.close()
    sums = totals(stage.rows, time.monotonic() - began)
    write(BUILD / "chaos.json", stage.rows, sums, given.seed)
    print("\n".join(table(stage.rows)))
    print("\n" + "  ".join(f"{key}={value}" for key, value in sums.items()))
    struck = [row for row in stage.rows if row.kind == "kill" and row.reached]
    of_copy = sum(row.verb == "pg_copy" for row in struck)
    of_moves = sum(row.round.startswith("sql move") for row in struck)
    of_paths = sum(row.round.startswith("path") for row in struck)
    of_replica = len(struck) - of_copy - of_moves - of_paths
    too_few = not chosen and (of_replica < ENOUGH or of_copy < ENOUGH_OF_COPY or of_moves < ENOUGH_OF_MOVES)
    print(f"kills: {of_replica} of the path replica, {of_paths} of its way back and of the path planetscale, "
          f"{of_moves} of moves by the path logical, {of_copy} of pg_copy")
    if too_few:
        print("chaos: too few kills came to pass")
    played = {row.round for row in stage.rows}
    return 1 if too_few or any(row.wrong for row in stage.rows) or len(played) < len(rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
