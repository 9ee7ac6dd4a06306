# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control API under /_sandbox: faults, the log of API calls, and the servers, for tests and rehearsals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from flask import Flask, jsonify, request

from .planetscale_model import PLAIN_PORT, PORT, SERVER_PORT, Branch
from .rds_model import Instance
from .rules import ApiError
from .world import World


def server_action(world: World, instance: Instance | Branch, action: str) -> dict[str, Any]:
    """Do something to a server that no API call does: the failures a migration has to live with."""
    server = instance.server
    if server is None:
        raise ApiError("InvalidDBInstanceState", f"{instance.identifier} has no server yet", 400)
    if action == "stop":
        server.stop()
    elif action == "kill":
        server.stop(signal.SIGKILL)
    elif action == "start":
        server.start()
    elif action == "restart":
        server.restart()
    elif action == "drop_connections":
        cut = world.bastion.drop(instance.address)
        ended = server.query(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE backend_type IN ('client backend', 'walsender') AND client_addr IS NOT NULL"
        )[0][0]
        return {"identifier": instance.identifier, "running": True, "cut": cut, "ended": ended}
    else:
        raise ApiError("InvalidAction", f"{action!r} is none of stop, start, restart, kill, drop_connections", 400)
    return {"identifier": instance.identifier, "running": server.running}


def status(world: World) -> dict[str, Any]:
    """What runs here."""
    return {
        "settings": {
            "home": world.settings.home, "network": world.settings.network, "pace": world.settings.pace,
            "ttl": world.settings.ttl, "linger": world.settings.linger,
        },
        "postgresql": {str(major): one.version for major, one in sorted(world.installations.all().items())},
        "bastion": world.bastion.source,
        "servers": [
            {
                "identifier": one.identifier, "region": one.region.name, "state": one.state, "role": one.role,
                "cluster": one.cluster_identifier, "address": one.address, "port": one.port,
                "running": one.server is not None and one.server.running,
                "socket": one.server.directory if one.server else None,
            }
            for one in world.instances()
        ],
        "clusters": [
            {
                "identifier": one.identifier, "region": region.name, "state": one.state, "address": one.address,
                "reader_address": one.reader_address, "source": one.facts.get("ReplicationSourceIdentifier"),
            }
            for region in world.regions() for one in list(region.clusters.values())
        ],
        "branches": [
            {
                "identifier": one.id, "database": one.database.name, "name": one.name, "state": one.state,
                "address": one.address, "port": PORT, "plain_port": PLAIN_PORT, "server_port": SERVER_PORT,
                "running": one.server is not None and one.server.running,
                "socket": one.server.directory if one.server else None,
            }
            for one in world.planetscale.branches()
        ],
    }


def control_app(world: World, stop: Callable[[], None]) -> Flask:
    """The Flask application of the control API."""
    app = Flask("sandbox-control")

    @app.errorhandler(ApiError)
    def _refused(error: ApiError) -> Any:
        return jsonify({"error": error.code, "message": error.message}), error.status

    @app.errorhandler(ValueError)
    def _wrong(error: ValueError) -> Any:
        return jsonify({"error": "InvalidRequest", "message": str(error)}), 400

    @app.get("/_sandbox/status")
    def _status() -> Any:
        return jsonify(status(world))

    @app.post("/_sandbox/stop")
    def _stop() -> Any:
        stop()
        return jsonify({"stopping": True}), 202

    @app.get("/_sandbox/faults")
    def _faults() -> Any:
        return jsonify(world.faults.list())

    @app.post("/_sandbox/faults")
    def _add_fault() -> Any:
        return jsonify({"id": world.faults.add(request.get_json(force=True))}), 201

    @app.delete("/_sandbox/faults")
    def _remove_faults() -> Any:
        for fault in world.faults.list():
            world.faults.remove(fault["id"])
        return jsonify({})

    @app.delete("/_sandbox/faults/<fault_id>")
    def _remove_fault(fault_id: str) -> Any:
        world.faults.remove(fault_id)
        return jsonify({})

    @app.get("/_sandbox/log")
    def _log() -> Any:
        return jsonify(world.log.entries(int(request.args.get("since", 0))))

    @app.delete("/_sandbox/log")
    def _clear_log() -> Any:
        world.log.clear()
        return jsonify({})

    @app.post("/_sandbox/servers/<identifier>")
    def _server(identifier: str) -> Any:
        found = [
            one for one in [*world.instances(), *world.planetscale.branches()] if one.identifier == identifier.lower()
        ]
        if not found:
            raise ApiError("DBInstanceNotFound", f"there is no instance or branch {identifier}", 404)
        return jsonify(server_action(world, found[0], request.get_json(force=True).get("action")))

    return app
