# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PlanetScale's API: one method an operation, named as the API's own description names it (S1 to S6)."""

from __future__ import annotations

from . import planetscale_roles as logins
from . import planetscale_rules as rules
from . import planetscale_work as work
from .planetscale_base import NOTHING, Answer, PlanetScaleBase, missing
from .planetscale_catalogue import MAJORS, PARAMETERS, Parameter
from .planetscale_model import ACTOR, Branch, Change, Database, Facts, Restriction, Role, first_configuration, new_id
from .planetscale_model import now, stamp


class PlanetScale(PlanetScaleBase):
    """All databases of the one organization. Methods take the path's parts, the query and the body."""

    # -- databases ---------------------------------------------------------------------------------------------------

    def list_databases(self, path: Facts, query: Facts, body: Facts) -> Answer:
        self.organization(path)
        wanted = query.get("q", "")
        return self.page([one.facts() for one in self.databases.values() if wanted in one.name], query)

    def create_database(self, path: Facts, query: Facts, body: Facts) -> Answer:
        self.organization(path)
        if body.get("kind", "mysql") != "postgresql":
            raise rules.unprocessable("The sandbox has databases of kind postgresql only")
        database = Database(rules.name(body, self.databases), rules.region(body))
        branch = self._new_branch(database, "main", body)
        self.databases[database.name] = database
        self.world.spawn(work.create_branch, self.world, branch)
        return database.facts(), 201

    def _new_branch(self, database: Database, name: str, body: Facts, parent: Branch | None = None) -> Branch:
        major = rules.text(body, "major_version") or MAJORS[-1]
        if major not in MAJORS:
            raise rules.unprocessable(f"Major version {major} is not available: there are {', '.join(MAJORS)}")
        if int(major) not in self.world.installations.all():
            raise rules.unprocessable(f"No PostgreSQL {major} is installed on the sandbox's machine")
        configuration = first_configuration(rules.cluster(body), rules.replicas(body), rules.storage(body))
        branch = Branch(database, name, self.world.new_address(), configuration, int(major), parent)
        role = Role(branch, "postgres", "postgres", with_replication=True, default=True, ready=True)
        branch.roles[role.id] = role
        database.branches[name] = branch
        return branch

    def get_database(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.database(path).facts(), 200

    def update_database_settings(self, path: Facts, query: Facts, body: Facts) -> Answer:
        database = self.database(path)
        known = ("deletion_protected", "insights_raw_queries", "require_approval_for_deploy")
        database.settings |= {key: bool(body[key]) for key in known if key in body}
        return database.facts(), 200

    def delete_database(self, path: Facts, query: Facts, body: Facts) -> Answer:
        database = self.database(path)
        if database.settings.get("deletion_protected"):
            raise rules.unprocessable(f"Database {database.name} is protected from deletion")
        for branch in list(database.branches.values()):
            self.world.spawn(work.remove_branch, self.world, branch)
        del self.databases[database.name]
        database.branches.clear()
        return NOTHING

    # -- who gets in -------------------------------------------------------------------------------------------------

    def list_database_postgres_cidrs(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.page([one.facts() for one in self.database(path).restrictions.values()], query)

    def create_database_postgres_cidr(self, path: Facts, query: Facts, body: Facts) -> Answer:
        database = self.database(path)
        entry = Restriction(
            rules.networks(body, needed=True), rules.text(body, "role") or "", rules.text(body, "schema") or "",
            rules.text(body, "description"),
        )
        database.restrictions[entry.id] = entry
        work.refresh_access(database)
        return entry.facts(), 201

    def get_database_postgres_cidr(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.restriction(path).facts(), 200

    def update_database_postgres_cidr(self, path: Facts, query: Facts, body: Facts) -> Answer:
        entry = self.restriction(path)
        entry.cidrs = rules.networks(body, needed=False) or entry.cidrs
        entry.description = rules.text(body, "description") or entry.description
        entry.updated_at = now()
        work.refresh_access(self.database(path))
        return entry.facts(), 200

    def delete_database_postgres_cidr(self, path: Facts, query: Facts, body: Facts) -> Answer:
        entry = self.restriction(path)
        del self.database(path).restrictions[entry.id]
        work.refresh_access(self.database(path))
        return NOTHING

    # -- branches ----------------------------------------------------------------------------------------------------

    def list_branches(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.page([one.facts() for one in self.database(path).branches.values()], query)

    def create_branch(self, path: Facts, query: Facts, body: Facts) -> Answer:
        """An empty one: neither parameters nor extensions of its parent come along (S3)."""
        database = self.database(path)
        parent = self.branch({**path, "branch": rules.text(body, "parent_branch") or database.default_branch.name})
        name = rules.name(body, database.branches)
        told = {"cluster_size": parent.configuration.cluster, "major_version": str(parent.major), "replicas": 0, **body}
        branch = self._new_branch(database, name, told, parent)
        self.world.spawn(work.create_branch, self.world, branch)
        return branch.facts(), 201

    def get_branch(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.branch(path).facts(), 200

    def delete_branch(self, path: Facts, query: Facts, body: Facts) -> Answer:
        branch = self.branch(path)
        if branch is branch.database.default_branch:
            raise rules.unprocessable("The default branch can't be deleted")
        del branch.database.branches[branch.name]
        self.world.spawn(work.remove_branch, self.world, branch)
        return NOTHING

    # -- parameters, storage, sizes ----------------------------------------------------------------------------------

    def list_parameters(self, path: Facts, query: Facts, body: Facts) -> Answer:
        branch = self.branch(path)
        return [self._parameter(branch, one) for one in PARAMETERS.values()], 200

    @staticmethod
    def _parameter(branch: Branch, one: Parameter) -> Facts:
        value = branch.configuration.parameters.get(one.namespace, {}).get(one.name, one.default)
        return {
            "id": f"{one.namespace}-{one.name}", "name": one.name,
            "display_name": one.name.replace("_", " ").capitalize(), "namespace": one.namespace,
            "category": "", "description": "", "extension": False,
            "immutable": one.immutable, "parameter_type": one.kind, "default_value": one.default, "value": value,
            "required": False, "created_at": stamp(branch.created_at), "updated_at": stamp(branch.created_at),
            "restart": one.restart, "max": one.most or 0, "min": one.least or 0, "url": "",
            "options": list(one.options), "actor": ACTOR,
        }

    def list_branch_change_requests(self, path: Facts, query: Facts, body: Facts) -> Answer:
        """The newest first."""
        return self.page([one.facts() for one in reversed(self.branch(path).changes)], query, counted=False)

    def update_branch_change_request(self, path: Facts, query: Facts, body: Facts) -> Answer:
        """A change request, or 204 when nothing would change (S5)."""
        branch = self.branch(path)
        if branch.state != "ready":
            raise rules.unprocessable(f"Branch {branch.name} is not ready")
        before = branch.wanted
        after = rules.changed(before, body)
        if after == before:
            return NOTHING
        change = Change(before, after)
        branch.changes.append(change)
        self.world.spawn(work.apply_change, self.world, branch, change)
        return change.facts(), 200

    def get_branch_change_request(self, path: Facts, query: Facts, body: Facts) -> Answer:
        for change in self.branch(path).changes:
            if change.id == path["id"]:
                return change.facts(), 200
        raise missing("Branch change request")

    def list_extensions(self, path: Facts, query: Facts, body: Facts) -> Answer:
        """What the server brings along, and what only the service has (S6)."""
        server = logins.server_of(self.branch(path))
        found = dict(server.query("SELECT name, coalesce(comment, '') FROM pg_available_extensions ORDER BY name"))
        lacking = {name: "The sandbox doesn't have it" for name in ("pg_cron", "pg_partman") if name not in found}
        return [
            {
                "id": f"extension-{name}", "name": name, "description": found.get(name, ""),
                "internal": name == "plpgsql",
                "loader": "shared_preload_libraries" if name == "pg_cron" else "create_extension", "url": "",
                "available": name in found, "unavailable_reason": lacking.get(name, ""), "parameters": [],
            }
            for name in sorted({*found, *lacking})
        ], 200

    # -- logins ------------------------------------------------------------------------------------------------------

    def list_roles(self, path: Facts, query: Facts, body: Facts) -> Answer:
        wanted = query.get("q", "")
        roles = [one for one in self.branch(path).roles.values() if wanted in one.name]
        return self.page([one.facts() for one in roles], query)

    def create_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        """The only answer, beside a reset's, with a password in it (S4)."""
        branch = self.branch(path)
        identifier = new_id()
        role = Role(
            branch, rules.text(body, "name") or identifier, f"pscale_api_{identifier}", rules.inherited(body),
            bool(body.get("with_replication", False)), rules.whole(body, "ttl") or 0, id=identifier,
        )
        if role.name in {one.name for one in branch.roles.values()}:
            raise rules.unprocessable("Name has already been taken")
        password = logins.new_password()
        logins.create(self.world, role, password)
        branch.roles[role.id] = role
        return role.facts(password), 200

    def _default_role(self, path: Facts) -> Role:
        return next(role for role in self.branch(path).roles.values() if role.default)

    def get_default_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self._default_role(path).facts(), 200

    def reset_default_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        role, password = self._default_role(path), logins.new_password()
        logins.set_password(role, password)
        return {"username": role.username, "password": password, "access_host_url": role.branch.address}, 200

    def get_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        return self.role(path).facts(), 200

    def update_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        role = self.role(path)
        role.name = rules.text(body, "name") or role.name
        return role.facts(), 200

    def reset_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        role, password = self.role(path), logins.new_password()
        logins.set_password(role, password)
        return role.facts(password), 200

    def delete_role(self, path: Facts, query: Facts, body: Facts) -> Answer:
        role = self.role(path)
        if role.default:
            raise rules.unprocessable("The default role can't be deleted")
        logins.drop(role, query.get("successor"))
        del role.branch.roles[role.id]
        return NOTHING

    def reassign_role_objects(self, path: Facts, query: Facts, body: Facts) -> Answer:
        logins.reassign(self.role(path), rules.text(body, "successor", needed=True) or "")
        return NOTHING
