# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's own tasks lead the clients, beside a PgBouncer and alone: each step at its time, `back` on an abort."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from cloudpg_sandbox.testing import Sandbox
from scenario import OWNER

from .estates import Estate
from .runs import Playbooks, Run, read_events

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

# Notes each step it is asked for, and fails where the file beside it says so.
HOOK = """\
- name: Note the step
  ansible.builtin.shell: echo "$STEP" >> {notes}
  environment:
    STEP: >-
      {{{{ {{'by': '{name}', 'step': traffic_step, 'host': traffic_host | default(''),
      'port': traffic_port | default(0) | int, 'at': now().timestamp()}} | to_json }}}}
  changed_when: false
- name: Do the step
  ansible.builtin.fail:
    msg: the balancer {name} said no.
  when: (traffic_step ~ '-{name}') in lookup('ansible.builtin.file', '{failing}').split()
"""


@dataclass(frozen=True)
class Note:
    """One step a hook was asked for, and when, in seconds since 1970."""

    by: str
    step: str
    host: str
    port: int
    at: float


class Hooks:
    """Tasks files of a user, and what they were asked for."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory, self.notes, self.failing = directory, directory / "notes", directory / "failing"
        self.forget()

    def entry(self, name: str) -> dict[str, Any]:
        """An entry of migration_traffic."""
        tasks = self.directory / f"{name}.yml"
        tasks.write_text(HOOK.format(name=name, notes=self.notes, failing=self.failing))
        return {"kind": "hook", "tasks": str(tasks)}

    def forget(self, *failing: str) -> None:
        """Begin anew; from now on these fail (``pause-balancer``)."""
        self.notes.write_text("")
        self.failing.write_text(" ".join(failing))

    @property
    def asked(self) -> list[Note]:
        return [Note(**json.loads(line)) for line in self.notes.read_text().splitlines()]

    @property
    def steps(self) -> list[str]:
        return [note.step for note in self.asked]


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path / "hooks")


# Within a cutover

class Stand:
    """A migration with a PgBouncer and a hook, whose copy is in step."""

    def __init__(self, sandbox: Sandbox, play: Playbooks, place: Path) -> None:
        self.sandbox, self.play = sandbox, play
        self.estate = Estate(sandbox, place / "led", name="led")
        self.estate.build(migration_acknowledged=["server-not-read"])
        self.hooks = Hooks(place / "hooks")
        [pooler] = self.estate.through_pooler()["migration_traffic"]
        self.estate.vary(migration_traffic=[pooler, self.hooks.entry("balancer")])
        self.run("replicate")

    def run(self, verb: str, expected: int = 0, **options: Any) -> Run:
        run = self.play(verb, self.estate.inventory, extra={"migration_approved": ["led"]}, **options)
        assert run.rc == expected, (run.failed, run.said)
        return run

    def calls(self, since: int) -> dict[str, float]:
        """When each API operation was called first, in seconds since 1970."""
        return {call["operation"]: call["time"] for call in reversed(self.sandbox.log(since))}

    def served_by(self) -> str:
        """The server that the pooler's clients reach; an error when they are held."""
        pooler = self.estate.pooler
        connection = psycopg2.connect(
            host=pooler.address, port=pooler.port, user=OWNER, password=self.estate.passwords[OWNER], dbname=OWNER,
            connect_timeout=10, options="",
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT host(inet_server_addr())")
                return cursor.fetchone()[0]
        finally:
            connection.close()


@pytest.fixture(scope="module")
def led(sandbox: Sandbox, play: Playbooks, place: Path) -> Iterator[Stand]:
    stand = Stand(sandbox, play, place)
    yield stand
    stand.estate.close()


def test_a_hook_that_cannot_hold_aborts_and_every_client_goes_on(led: Stand) -> None:
    led.hooks.forget("pause-balancer")
    mark = led.sandbox.mark()
    run = led.run("cutover", expected=2)
    assert led.hooks.steps == ["preflight", "pause", "back"]
    assert "the balancer balancer said no" in run.error("led")
    assert led.served_by() == led.estate.source.host
    assert "RebootDBInstance" not in led.calls(mark)


def test_r32_on_an_abort_every_entry_is_asked_to_go_back(led: Stand) -> None:
    led.hooks.forget()
    fault = {"name": "access_denied", "operation": "rds:PromoteReadReplicaDBCluster", "times": 1}
    led.sandbox.control("POST", "faults", fault)
    mark = led.sandbox.mark()
    led.run("cutover", expected=2)
    led.sandbox.control("DELETE", "faults")
    assert led.hooks.steps == ["preflight", "pause", "back"]
    pause, back = led.hooks.asked[1:]
    assert pause.at < led.calls(mark)["PromoteReadReplicaDBCluster"] < back.at
    assert (back.host, back.port) == ("", 0)
    assert led.served_by() == led.estate.source.host


def test_in_check_mode_a_hook_only_would_do(led: Stand) -> None:
    led.hooks.forget()
    led.run("cutover", check=True)
    assert led.hooks.steps == []


def test_r32_a_cutover_asks_for_each_step_at_its_time(led: Stand) -> None:
    led.hooks.forget()
    mark = led.sandbox.mark()
    run = led.run("cutover")
    preflight, pause, switch = led.hooks.asked
    assert [note.step for note in (preflight, pause, switch)] == ["preflight", "pause", "switch"]
    target = led.sandbox.client("rds").describe_db_clusters(DBClusterIdentifier=led.estate.cluster)["DBClusters"][0]
    assert (switch.host, switch.port) == (target["Endpoint"], target["Port"])
    assert (preflight.host, pause.host) == ("", "")
    calls = led.calls(mark)
    assert pause.at < calls["RebootDBInstance"] < calls["PromoteReadReplicaDBCluster"] < switch.at
    assert calls["PromoteReadReplicaDBCluster"] < calls["ModifyDBCluster"] < switch.at
    assert led.served_by() != led.estate.source.host
    assert f"lead shop to {target['Endpoint']}:5432" in run.actions("led")


def test_r32_after_a_cutover_that_could_not_lead_all_the_next_run_goes_on(led: Stand) -> None:
    led.hooks.forget("switch-balancer")
    run = led.run("cutover", expected=2)
    assert led.hooks.steps == ["switch"]
    said = "Clients are still held: hook (entry 2 of migration_traffic): the balancer balancer said no."
    assert said in run.error("led")
    assert led.served_by() != led.estate.source.host
    led.hooks.forget()
    assert led.run("cutover").changed == []
    assert led.hooks.steps == ["switch"]


# The role alone

@pytest.fixture
def step(play: Playbooks, place: Path) -> Callable[..., Run]:
    """Runs one step of the role as a path's role does."""

    def run(name: str, traffic: list[dict[str, Any]], **variables: Any) -> Run:
        book = place / "home" / "step.yml"
        book.write_text(yaml.safe_dump([{
            "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [{
                "name": "Step", "vars": variables,
                "ansible.builtin.import_role": {"name": "cloudpg.migration.traffic", "tasks_from": name},
            }],
        }]))
        process = play.start(["ansible-playbook", str(book), "-e", json.dumps({"migration_traffic": traffic})])
        stdout, _none = process.communicate(timeout=100)
        return read_events(process.returncode, stdout)

    return run


TO = {"traffic_host": "new.example", "traffic_port": 5433}


@pytest.mark.parametrize("name, to", [("switch", TO), ("back", {})])
def test_one_entry_that_fails_keeps_nobody_else_held(
    step: Callable[..., Run], hooks: Hooks, name: str, to: dict[str, Any]
) -> None:
    traffic = [hooks.entry("first"), hooks.entry("second"), hooks.entry("third")]
    hooks.forget(f"{name}-first", f"{name}-third")
    run = step(name, traffic, **to)
    assert [(note.by, note.step, note.host, note.port) for note in hooks.asked] == [
        (one, name, to.get("traffic_host", ""), to.get("traffic_port", 0)) for one in ("first", "second", "third")
    ]
    assert run.rc == 2
    for entry, balancer in ((1, "first"), (3, "third")):
        assert f"hook (entry {entry} of migration_traffic): the balancer {balancer} said no" in run.error("localhost")


@pytest.mark.parametrize("name", ["preflight", "pause"])
def test_one_entry_that_cannot_look_or_hold_is_enough_to_stop(
    step: Callable[..., Run], hooks: Hooks, name: str
) -> None:
    traffic = [hooks.entry("first"), hooks.entry("second")]
    hooks.forget(f"{name}-first")
    run = step(name, traffic)
    assert (run.rc, run.error("localhost")) == (2, "the balancer first said no.")
    assert [(note.by, note.step) for note in hooks.asked] == [("first", name)]


def test_a_kind_that_is_not_there_is_refused(step: Callable[..., Run]) -> None:
    run = step("preflight", [{"kind": "envoy"}, {}])
    assert run.rc == 2
    assert "every entry needs a kind, hook or pgbouncer; there is envoy, none" in run.error("localhost")


def test_without_entries_there_is_nothing_to_do(step: Callable[..., Run]) -> None:
    for name, to in (("preflight", {}), ("pause", {}), ("switch", TO), ("back", {})):
        run = step(name, [], **to)
        assert (run.rc, run.changed) == (0, [])
