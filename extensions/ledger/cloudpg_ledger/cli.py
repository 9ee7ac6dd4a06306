# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: init, write, verify."""
from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from importlib import resources

import psycopg2

from .connection import Routes, checked_dsn, connect
from .contents import read_contents
from .journal import Journal, JournalError, read
from .report import report, summary
from .verdict import judge
from .writers import Fleet

DESCRIPTION = """
Proves that a migration lost no acknowledged write. `init` makes the schema "ledger" on the source, `write` keeps
committing and journals every attempt on this machine, `verify` compares the journal with the target afterwards.
Passwords come from a passfile (passfile=… in the DSN, PGPASSFILE) or from PGPASSWORD.
"""
EXIT = """
verify exits 0 when every acknowledged write is on the target exactly once, those in doubt at most once, and the source
took none behind the fence; 1 when not; 2 when that couldn't be found out. At most one `write` a database at a time.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (JournalError, OSError, psycopg2.Error) as exc:
        print(f"ledger: {' '.join(str(exc).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger", description=DESCRIPTION, epilog=EXIT)
    commands = parser.add_subparsers(required=True, metavar="init | write | verify")

    init = commands.add_parser("init", help="make the schema `ledger`; what is there already stays")
    init.add_argument("--dsn", required=True, type=_dsn, help="the database, as its owner")
    init.set_defaults(run=_init)

    write = commands.add_parser("write", help="write until the time is up, the stop file is there, or SIGTERM")
    write.add_argument("--route", required=True, action="append", type=_route, metavar="LABEL=DSN",
                       help="a way to the database, such as pooler=… and direct=…; may be given several times")
    write.add_argument("--journal", required=True, help="append-only file of all attempts; keep it for verify")
    write.add_argument("--rate", type=_positive, default=300, help="commits a second in total (%(default)s)")
    write.add_argument("--writers", type=int, default=4, help="writers on each route (%(default)s)")
    write.add_argument("--rising", action="store_true",
                       help="restart sequences upwards only: a migration that goes back as well never moves one back")
    write.add_argument("--for", dest="seconds", type=_positive, help="stop after so many seconds")
    write.add_argument("--stop-file", help="stop when this file exists")
    write.add_argument("--follow-file", help='JSON {"label": "dsn"}: new addresses; replace it by renaming')
    write.add_argument("--grace", type=float, default=10, help="seconds to wait for answers at the end (%(default)s)")
    write.set_defaults(run=_write)

    verify = commands.add_parser("verify", help="compare journal and databases: JSON on stdout, a summary on stderr")
    verify.add_argument("--journal", required=True)
    verify.add_argument("--target", required=True, type=_dsn, help="where every acknowledged write has to be")
    verify.add_argument("--source", type=_dsn, help="the old side, to find writes it took after the fence")
    verify.add_argument("--route", help="the route whose outage is told (the first of the journal)")
    verify.add_argument("--latest", action="store_true", help="tell the outage of the last run of writers alone")
    verify.set_defaults(run=_verify)
    return parser


def _dsn(text: str) -> str:
    try:
        return checked_dsn(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _route(text: str) -> tuple[str, str]:
    label, separator, dsn = text.partition("=")
    if not separator or not label.isidentifier():
        raise argparse.ArgumentTypeError("LABEL=DSN is wanted, such as pooler=host=127.0.0.1 port=6432 dbname=shop")
    return label, _dsn(dsn)


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("a number above 0 is wanted")
    return value


def _init(arguments: argparse.Namespace) -> int:
    schema = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    conn = connect(arguments.dsn)
    try:
        with conn.cursor() as cur:
            cur.execute("SET client_min_messages = warning; " + schema)
    finally:
        conn.close()
    return 0


def _write(arguments: argparse.Namespace) -> int:
    routes = Routes(dict(arguments.route), arguments.follow_file)
    fleet = Fleet(
        Journal(arguments.journal), routes, rate=arguments.rate, writers=arguments.writers, rising=arguments.rising,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: fleet.stop.set())
    deadline = time.monotonic() + (arguments.seconds or float("inf"))
    fleet.start()
    while not fleet.stop.wait(0.1):
        if time.monotonic() >= deadline or (arguments.stop_file and os.path.exists(arguments.stop_file)):
            break
    fleet.end()
    hanging = fleet.join(arguments.grace)
    tally = " ".join(f"{key}={count}" for key, count in fleet.tally.items())
    print(f"ledger: {tally} unanswered={hanging}", file=sys.stderr)
    for route, why in fleet.unreachable.items():
        print(f"ledger: {route} can't be reached: {why}", file=sys.stderr)
    if fleet.failure:
        print(f"ledger: a writer gave up: {fleet.failure!r}", file=sys.stderr)
        return 2
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    history = read(arguments.journal)
    routes = [route for run in history.runs for route in run.routes]
    route = arguments.route or (routes[0] if routes else "")
    if arguments.route and arguments.route not in routes:
        raise JournalError(f"no run of this journal had a route {arguments.route!r}, only {', '.join(routes)}")
    target = read_contents(arguments.target, history.writers)
    source = read_contents(arguments.source, history.writers) if arguments.source else None
    verdict = judge(history.attempts, target, source)
    told = report(history, verdict, route, arguments.latest)
    print(json.dumps(told, indent=2))
    print(summary(told), file=sys.stderr)
    if not told["acked"]:
        return 2
    return 0 if verdict.passed else 1
