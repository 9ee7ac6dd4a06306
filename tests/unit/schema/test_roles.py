# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which roles travel and what of them."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._schema import roles
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.role_catalogue import Membership, Role, Roles
from ansible_collections.cloudpg.migration.plugins.module_utils._schema.roles import Wish


def server(*some, version=160000, **more):
    return Roles(version, {role.name: role for role in some}, login="me", **more)


@pytest.mark.parametrize("value, names", [
    ("", []), ("public", ["public"]), ('"$user", public', ["$user", "public"]), ('"a, b",c', ["a, b", "c"]),
    ('"say ""hi"""', ['say "hi"']), ('""', [""]), ('"", public', ["", "public"]), ("  a  ,  b ", ["a", "b"]),
])
def test_p39_a_list_of_names_is_taken_apart_as_the_server_does(value, names):
    assert roles.elements(value) == names


@pytest.mark.parametrize("name, travels", [
    ("app", True), ("rdsadmin", False), ("rds_superuser", False), ("aws_x", False), ("pg_monitor", False),
    ("me", False), ("cloudsqlsuperuser", False),
])
def test_p40_what_belongs_to_a_server_or_service_stays(name, travels):
    taken, _left = roles.chosen(server(Role(name)), server(), Wish())
    assert [role.name for role in taken] == ([name] if travels else [])


@pytest.mark.parametrize("mine, theirs, version, options", [
    (Membership(), None, 150000, ""),
    (Membership(True), None, 150000, "ADMIN OPTION"),
    (Membership(True), Membership(False), 150000, "ADMIN OPTION"),
    (Membership(False), Membership(True), 150000, None),
    (Membership(), None, 160000, ""),
    (Membership(True, False, True), None, 160000, "ADMIN TRUE, INHERIT FALSE, SET TRUE"),
    (Membership(False, False, True), Membership(False, True, True), 160000, "INHERIT FALSE"),
    (Membership(False, True, True), Membership(True, True, True), 160000, None),
    (Membership(True), Membership(True, True, True), 160000, None),
])
def test_p40_memberships_say_what_the_version_can(mine, theirs, version, options):
    assert roles._options(mine, theirs, version) == options


def test_p29_nothing_is_taken_from_a_role_that_is_there():
    mine = Role("app", frozenset({"INHERIT"}), connections=0)
    theirs = Role("app", frozenset({"INHERIT", "LOGIN", "CREATEDB"}), connections=9)
    assert roles.compare(server(mine), server(theirs), Wish(), {}).todo == ()


def test_p40_what_the_login_may_not_give_is_told_not_tried():
    mine = Role("app", frozenset({"LOGIN", "BYPASSRLS", "INHERIT"}), superuser=True)
    found = roles.compare(server(mine), server(grants=frozenset({"LOGIN"})), Wish(), {})
    assert [one.sentence for one in found.todo] == ["create role app"]
    assert {one["object"] for one in found.left_out} == {"BYPASSRLS of role app", "SUPERUSER of role app"}
    assert found.without_password == ("app",)


@pytest.mark.parametrize("wish, passwords, said", [
    (Wish(roles=("ghost",)), {}, "roles names what the source hasn't: ghost"),
    (Wish(roles=("rds_x",)), {}, "can't travel"),
    (Wish(), {"ghost": "x"}, "passwords names roles that don't travel: ghost"),
])
def test_bad_wishes_are_named(wish, passwords, said):
    with pytest.raises(PgError, match=said):
        roles.compare(server(Role("app"), Role("rds_x")), server(), wish, passwords)


def test_p39_settings_of_a_database_that_is_not_there_are_told():
    source = server(Role("app"), settings={("app", "", "a.b"): "1", ("", "gone", "x"): "2", ("other", "", "y"): "3"})
    found = roles.compare(source, server(Role("app"), settings={("app", "", "a.b"): "1"}), Wish(), {})
    assert found.todo == () and [one["object"] for one in found.left_out] == ["x of database gone"]


def test_p40_a_second_run_has_nothing_to_do():
    app = Role("app", frozenset({"LOGIN", "INHERIT"}), 5, "2030-01-01 00:00:00+00", "words")
    whole = server(app, Role("staff"), memberships={("staff", "app"): Membership(True, True, True)},
                   settings={("app", "", "search_path"): "a, b"})
    assert roles.compare(whole, server(), Wish(), {}).todo
    assert roles.compare(whole, whole, Wish(), {}).todo == ()
