# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PlanetScale's API over HTTP: the token, the faults, the log, and errors as JSON (S1)."""

from __future__ import annotations

import hmac
import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg2
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from .planetscale import PlanetScale
from .planetscale_catalogue import OPERATIONS, PREFIX, RETRY_AFTER, TOKEN, TOKEN_ID
from .rules import ApiError

if TYPE_CHECKING:
    from .world import World

LOGGER = logging.getLogger("cloudpg_sandbox")
SERVICE = "planetscale"
# The one list that anybody may read.
OPEN = ("list_public_regions",)


def planetscale_app(world: World, service: PlanetScale) -> Flask:
    """The Flask application of the API."""
    app = Flask("sandbox-planetscale")
    for operation, (method, path) in OPERATIONS.items():
        rule = PREFIX + path.replace("{", "<").replace("}", ">")
        app.add_url_rule(rule, operation, _view(service, operation), methods=[method])
    app.before_request(lambda: _before(world))
    app.after_request(lambda response: _after(world, response))

    @app.errorhandler(ApiError)
    def _refused(error: ApiError) -> Any:
        answer = jsonify({"code": error.code, "message": error.message})
        answer.status_code = error.status
        if error.status == 429:
            answer.headers["Retry-After"] = str(RETRY_AFTER)
        return answer

    @app.errorhandler(psycopg2.OperationalError)
    def _away(error: psycopg2.OperationalError) -> Any:
        LOGGER.info("planetscale %s: the server doesn't answer: %s", request.endpoint, error)
        return jsonify({"code": "service_unavailable", "message": "The branch doesn't answer just now"}), 503

    @app.errorhandler(HTTPException)
    def _unknown(error: HTTPException) -> Any:
        return jsonify({"code": "not_found", "message": "Not Found"}), error.code

    @app.errorhandler(Exception)
    def _failed(error: Exception) -> Any:
        LOGGER.error("planetscale %s failed", request.endpoint, exc_info=error)
        return jsonify({"code": "internal_server_error", "message": f"the sandbox failed: {error!r}"}), 500

    return app


def _view(service: PlanetScale, operation: str) -> Any:
    def view(**path: Any) -> Any:
        with service.world.lock:
            body, status = getattr(service, operation)(path, request.args.to_dict(), g.body)
        return (jsonify(body), status) if status != 204 else ("", 204)

    return view


def _before(world: World) -> None:
    """Who asks, for what; then the faults have their way."""
    body = request.get_json(silent=True) if request.data else {}
    g.body = body if isinstance(body, dict) else {}
    g.params = {**(request.view_args or {}), **request.args.to_dict(), **g.body}
    _name, _colon, token = (given := request.headers.get("Authorization", "")).partition(":")
    known = hmac.compare_digest(given.encode(), f"{TOKEN_ID}:{TOKEN}".encode())
    if not known and request.endpoint not in OPEN:
        raise ApiError("unauthorized", "The access token is invalid" if token else "A token is needed", 401)
    if body is not None and not isinstance(body, dict):
        raise ApiError("bad_request", "The body has to be a JSON object")
    if body is None:
        raise ApiError("bad_request", "The body is not JSON")
    delay = world.faults.before_call(SERVICE, request.endpoint, g.params)
    if delay:
        time.sleep(delay)


def _after(world: World, response: Response) -> Response:
    error = (response.get_json(silent=True) or {}).get("code") if response.status_code >= 400 else None
    world.log.record(
        service=SERVICE, operation=request.endpoint, params=g.get("params"), status=response.status_code,
        error_code=error, user_agent=request.headers.get("User-Agent", ""),
    )
    return response
