# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/sql-modules.md run as it stands, by the logins of docs/permissions.md: they suffice, and nothing is in vain."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from ..replica.estates import documented
from ..replica.runs import CHECKOUT, Playbooks, read_events
from .sql_stand import SECRET, drop_database

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
PAGE = CHECKOUT / "docs" / "sql-modules.md"
LOGIN, OWNER = "migrator", "orders_owner"
SCHEMA = """
    CREATE TABLE sales.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    CREATE TABLE sales.orders (id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES sales.customers);
    CREATE TABLE sales.codes (code text NOT NULL UNIQUE, meaning text);
    CREATE INDEX ON sales.orders (customer);
    GRANT USAGE ON SCHEMA sales TO orders_report;
    GRANT SELECT ON ALL TABLES IN SCHEMA sales TO orders_report;
    INSERT INTO sales.customers (name) SELECT 'customer ' || n FROM generate_series(1, 300) AS n;
    INSERT INTO sales.orders (customer) SELECT 1 + n % 300 FROM generate_series(1, 3000) AS n;
    INSERT INTO sales.codes VALUES ('a', 'the first');
"""


def tasks():
    """All but the cutover with downtime, which is for a target that doesn't follow (test_pg_cutover_apart)."""
    text = PAGE.read_text(encoding="utf-8")
    text = re.sub("\n## Switch\n.*?\n## ", "\n## ", text, flags=re.DOTALL)
    blocks = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    return [task for block in blocks if isinstance(block, list) for task in block]


def grants(heading):
    return documented("sql", heading).replace(":'password'", f"'{SECRET}'")


@pytest.fixture(scope="module")
def sides(server_of, side_of):
    """Two servers as a reader of the page has them, the logins made by docs/permissions.md and nothing else."""
    source, target = (side_of(server_of(major), "orders") for major in (16, 18))
    source.server.query(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{SECRET}'; CREATE ROLE orders_report")
    for side, databases in ((source, ["orders"]), (target, ["orders", "reports"])):
        for name in databases:
            side.server.query(f"CREATE DATABASE {name}")
    source.server.query(grants("On the source"))
    target.server.query(grants("On the target"))
    # The owner of the tables isn't the database's: whose member the login is brings it no CREATE there.
    source.query(f"CREATE SCHEMA sales AUTHORIZATION {OWNER}")
    source.run(SCHEMA, OWNER)
    yield source, target
    for side, databases in ((target, ["orders", "reports"]), (source, ["orders"])):
        for name in databases:
            drop_database(side.server, name)
        for role in (LOGIN, OWNER, "orders_report"):
            side.server.query(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture(scope="module")
def play(sides, tmp_path_factory):
    """The tasks of the page as one play, run once and then once more without those that take everything away."""
    home = tmp_path_factory.mktemp("docs")
    source, target = sides
    variables = home / "variables.json"
    variables.write_text(json.dumps({
        "old": source.address(LOGIN), "new": target.address(LOGIN),
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }))

    def go(*, check=False, some=None):
        book = home / "page.yml"
        book.write_text(yaml.safe_dump([{
            "name": "The page", "hosts": "localhost", "gather_facts": False, "connection": "local",
            "module_defaults": {"cloudpg.migration.pg_schema": {"bindir": target.bindir}},
            "tasks": tasks() if some is None else some,
        }]))
        process = Playbooks({}, home).start(
            ["ansible-playbook", str(book), "-e", f"@{variables}", *(["--check"] if check else [])]
        )
        stdout, _none = process.communicate(timeout=300)
        return read_events(process.returncode, stdout)

    return go


@pytest.fixture(scope="module")
def story(play, sides):
    undo = next(number for number, task in enumerate(tasks()) if task["name"] == "Stop following, and drop the slot")
    # Who closes a database is a member of its owner. What the GRANTs are for shows where he isn't, further below.
    [(owner,)] = sides[1].query("SELECT datdba::regrole::text FROM pg_database WHERE datname = 'orders'")
    sides[1].query(f"CREATE ROLE keeper; GRANT keeper TO {LOGIN}; ALTER DATABASE orders OWNER TO keeper")
    told = {"check": play(check=True, some=tasks()[:4]), "all": play(some=tasks()[:undo])}
    source, target = sides
    question = "SELECT (SELECT count(*) FROM sales.customers), (SELECT count(*) FROM sales.orders)"
    told["rows"] = [side.run(question, OWNER if side is source else LOGIN) for side in sides]
    told["again"] = play(some=tasks()[:undo])
    slot = {"ansible.builtin.set_fact": {"copied": {"slot": "cloudpg_orders_orders"}}}
    told["undo"] = play(some=[slot, *tasks()[undo:]])
    told["left"] = source.query(
        "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication"
    )
    target.query(f"ALTER DATABASE orders OWNER TO {owner}; DROP ROLE keeper")
    return told


def test_the_page_runs_as_it_stands_by_the_documented_login(story):
    assert story["all"].rc == 0, story["all"].failed or story["all"].stdout[-3000:]
    assert story["rows"] == [[(300, 3000)]] * 2
    ran = {task.name for task in story["all"].tasks} | {task.name for task in story["undo"].tasks}
    assert {task["name"] for task in tasks()} <= ran


def test_looking_in_check_mode_needs_nothing_more(story):
    assert story["check"].rc == 0, story["check"].failed
    assert story["check"].changed == []


def test_the_page_once_more_changes_nothing(story):
    assert story["again"].rc == 0, story["again"].failed
    assert story["again"].changed == []


def test_the_end_of_the_page_takes_everything_away_again(story):
    assert story["undo"].rc == 0, story["undo"].failed
    assert story["left"] == []


# Every GRANT, what it is without, and what preflight then finds.
GRANTS = [
    (0, "pg_monitor", "login-lacks-monitor"), (0, OWNER, "table-not-owned"),
    (0, "CREATE ON DATABASE orders", "database-create"),
    (0, "pg_create_subscription", "way-back-login-cannot-subscribe"),
    (1, "pg_monitor", "target-login-lacks-monitor"), (1, "pg_create_subscription", "login-cannot-subscribe"),
    (1, "CREATE ON DATABASE orders", "target-database-create"),
]


def test_the_grants_of_the_document_are_those_that_are_tried():
    written = [
        [(side, grant) for grant in re.findall(r"^GRANT (.+) TO migrator;$", grants(heading), re.MULTILINE)]
        for side, heading in enumerate(("On the source", "On the target"))
    ]
    # The page's own second database, which isn't what preflight looks at.
    assert [*written[0], *written[1]] == [(side, grant) for side, grant, _id in GRANTS] + [
        (1, "CREATE ON DATABASE reports")
    ]


@pytest.mark.parametrize("side, grant, finding", GRANTS)
def test_every_grant_is_missed_when_it_is_taken_away(sides, run_module, side, grant, finding):
    def found():
        told = run_module("logical_preflight_info", {
            "source": sides[0].address(LOGIN), "target": sides[1].address(LOGIN), "migration": "orders",
            "databases": ["orders"],
        })
        assert not told.get("failed"), told
        return {one["id"] for one in told["findings"]}

    sides[side].server.query(f"REVOKE {grant} FROM {LOGIN}")
    try:
        without = found()
    finally:
        sides[side].server.query(f"GRANT {grant} TO {LOGIN}")
    assert finding in without and finding not in found()


def test_replication_is_missed_when_it_is_taken_away(sides, run_module):
    sides[0].server.query(f"ALTER ROLE {LOGIN} NOREPLICATION")
    try:
        told = run_module("logical_preflight_info", {
            "source": sides[0].address(LOGIN), "target": sides[1].address(LOGIN), "migration": "orders",
            "databases": ["orders"],
        })
    finally:
        sides[0].server.query(f"ALTER ROLE {LOGIN} REPLICATION")
    assert "login-lacks-replication" in {one["id"] for one in told["findings"]}
