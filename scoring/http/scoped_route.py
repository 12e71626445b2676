"""Routes that ask for an API key with a scope, if the deployment uses keys.

FastAPI's own way to add a step to some routes: a route class that wraps the handler. As a
dependency the step would cost every request 9 us. Called by the routes in `scoring.http.routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from scoring.http.answers.problem import Problem
from scoring.http.keys.api_key import Scope
from scoring.http.keys.gate import NO_KEY, too_many, wrong_scope
from scoring.http.openapi import Responses, refused

SECURITY_SCHEME: Final = "apiKey"
SECURITY_SCHEMES: Final = {
    SECURITY_SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "weir_ID_SECRET",
        "description": "An API key made by `weir api-key create`. Asked for only if "
        "WEIR_API_KEYS_REQUIRED is set. The scopes of a key: predict, read, operate.",
    }
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def scoped(scope: Scope) -> type[APIRoute]:
    """Give the class of routes that ask for a scope."""

    class ScopedRoute(APIRoute):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            extra = {**(named.get("openapi_extra") or {}), "security": [{SECURITY_SCHEME: [scope]}]}
            responses = {**(named.get("responses") or {}), **_refusals(scope)}
            super().__init__(
                *arguments, **{**named, "openapi_extra": extra, "responses": responses}
            )

        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()

            async def admitted(request: Request) -> Response:
                gate = request.app.state.parts.gate
                if gate is not None:
                    request.state.key_id = gate.admit(
                        request.headers.get("authorization"), scope=scope
                    )
                return await handler(request)

            return admitted

    return ScopedRoute


def _refusals(scope: Scope) -> Responses:
    return refused(
        Problem.of(401, NO_KEY),
        Problem.of(403, wrong_scope(scope)),
        Problem.of(429, too_many(100)),
    )
