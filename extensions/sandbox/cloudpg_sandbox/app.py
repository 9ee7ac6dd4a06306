# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP side: moto's applications with the sandbox's own classes in them, and a hook around every API call."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, request
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.responses import ActionContext, ActionResult
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import convert_to_flask_response, get_service_model, service_name_from_moto_package_name
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from .control import control_app
from .ec2 import SandboxEC2
from .metrics import cloudwatch_response_class
from .planetscale_app import planetscale_app
from .planetscale_catalogue import PREFIX
from .rds import SandboxRDS
from .refusal import Refusal
from .rules import ApiError
from .world import World

LOGGER = logging.getLogger("cloudpg_sandbox")
CONTROL = "/_sandbox"
# Bodies of these may be large objects: they are left to moto.
OPAQUE = ("s3", "s3control")
ERROR_CODE = re.compile(r'<Code>([^<]+)</Code>|"(?:__type|code)":\s*"(?:[^"#]*#)?([^"]+)"')


def response_classes(world: World) -> dict[str, type]:
    """The services the sandbox extends, bound to one world."""
    return {
        "rds": type("SandboxRDS", (SandboxRDS,), {"world": world}),
        "ec2": type("SandboxEC2", (SandboxEC2,), {"world": world}),
        "cloudwatch": cloudwatch_response_class(world.metrics),
    }


class ServiceApp:
    """Builds moto's application of one service, with the sandbox's class and hooks in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.classes = response_classes(world)

    def __call__(self, service: str) -> Flask:
        app = create_backend_app(service)  # type: ignore[arg-type]
        app.debug = False
        if service in self.classes:
            view = convert_to_flask_response(self.classes[service].dispatch)
            for endpoint in app.view_functions:
                if ".dispatch" in endpoint:
                    app.view_functions[endpoint] = view
        if service not in ("moto_api", "instance_metadata"):
            name = service_name_from_moto_package_name(service)
            app.before_request(lambda: self.before(name))
            app.after_request(self.after)
        app.register_error_handler(NotImplementedError, self.not_implemented)
        app.register_error_handler(Exception, self.unexpected)
        return app

    # -- before and after every call -------------------------------------------------------------------------------

    def before(self, service: str) -> Response | None:
        """Find out what is called, and let the faults have their way."""
        g.service, g.operation, g.params = service, None, {}
        g.operation = operation_of(service)
        g.params = parameters_of(service, g.operation)
        try:
            delay = self.world.faults.before_call(service, g.operation, g.params)
        except ApiError as error:
            return error_response(service, g.operation, error)
        if delay:
            time.sleep(delay)
        return None

    def after(self, response: Response) -> Response:
        """Write the call down."""
        error_code = None
        if response.status_code >= 400:
            found = ERROR_CODE.search(response.get_data(as_text=True))
            error_code = (found.group(1) or found.group(2)) if found else "Unknown"
        self.world.log.record(
            service=g.service, operation=g.operation, region=region_of(), params=g.params,
            status=response.status_code, error_code=error_code, user_agent=request.headers.get("User-Agent", ""),
        )
        return response

    @staticmethod
    def not_implemented(error: NotImplementedError) -> Response:
        """An operation neither moto nor the sandbox has."""
        return error_response(
            g.service, g.operation, ApiError("NotImplemented", f"The sandbox doesn't imitate this: {error}", 501)
        )

    @staticmethod
    def unexpected(error: Exception) -> Response:
        """A fault of the sandbox's own: told as the service's internal failure, and in full in the log."""
        LOGGER.error("%s failed", g.get("operation"), exc_info=error)
        return error_response(
            g.service, g.operation, ApiError("InternalFailure", f"the sandbox failed: {error!r}; see its log", 500)
        )


def operation_of(service: str) -> str | None:
    """The name of the operation that is called, as AWS spells it."""
    action = request.values.get("Action") if service not in OPAQUE else None
    if action:
        return str(action)
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[-1]
    try:
        operation, _matched = get_service_router(service).match(request)  # type: ignore[arg-type]
        return str(operation.name)
    except Exception:  # the router's errors have no common base; a call that can't be named is still a call
        return None


def parameters_of(service: str, operation: str | None) -> dict[str, Any]:
    """The call's parameters, AWS-cased; empty when they can't be read without the service's own help."""
    if operation is None or service in OPAQUE:
        return {}
    try:
        model = get_service_model(service)
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](
            model.operation_model(operation), map_type=dict
        )
        return parser.parse({
            "method": request.method, "values": request.values, "headers": request.headers, "body": request.data,
            "url_path": request.path, "url_params": {},
        })
    except Exception:  # what a parser raises on a malformed body differs by protocol; moto will answer it
        LOGGER.debug("parameters of %s %s can't be read", service, operation, exc_info=True)
        return {}


def region_of() -> str | None:
    """The region of the call's signature."""
    found = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/", request.headers.get("Authorization", ""))
    return found.group(1) if found else None


def error_response(service: str, operation: str | None, error: ApiError) -> Response:
    """An error in the form the service's protocol wants."""
    model = get_service_model(service)
    try:
        operation_model = model.operation_model(operation or "")
    except Exception:  # an unknown operation still gets its error in the right form
        operation_model = OperationModel({}, model)
    protocol = determine_request_protocol(model, request.content_type)
    context = ActionContext(
        model, operation_model, get_serializer_class(model.service_name, protocol), None  # type: ignore[arg-type]
    )
    answer = ActionResult(Refusal.of(error)).execute_result(context)
    return Response(answer[2], error.status, dict(answer[1]))


class Front:
    """The control API and PlanetScale's under paths of their own, AWS's services under all the others."""

    def __init__(self, world: World, stop: Callable[[], None]) -> None:
        self.services = DomainDispatcherApplication(ServiceApp(world))
        self.apart = {CONTROL: control_app(world, stop), PREFIX: planetscale_app(world, world.planetscale)}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "")
        found = [app for prefix, app in self.apart.items() if path.startswith(f"{prefix}/")]
        return (found[0] if found else self.services)(environ, start_response)


class _QuietHandler(MotoRequestHandler):
    """The API log is where calls are written down."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return None


def http_server(world: World, stop: Callable[[], None], host: str, port: int) -> BaseWSGIServer:
    """A threaded server, bound; port 0 takes a free one."""
    return make_server(host, port, Front(world, stop), threaded=True, request_handler=_QuietHandler)
