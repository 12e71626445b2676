"""The HTTP application: routes, error responses, metrics, and the life of its parts.

Knows nothing of the parts but their type: `scoring.http.parts` builds them for a process, tests
build them from fakes. Served by `scoring.http.__main__`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from schemas.settings import Settings
from scoring.http.metrics import CountRequests
from scoring.http.model_routes import load_routes
from scoring.http.openapi import DESCRIPTION
from scoring.http.parts import ApiParts, open_api_parts
from scoring.http.problems import install_problems
from scoring.http.routes import ROUTERS
from scoring.http.scoped_route import SECURITY_SCHEMES
from scoring.http.trace_context import TraceContext


def create_app(
    open_parts: Callable[[], AbstractAsyncContextManager[ApiParts]],
    *,
    model_routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Make the application; its parts live from start-up to shutdown.

    Args:
        open_parts: gives the parts for the lifetime of the application. Must not wait for
            Redis or MLflow: without them the service answers, degraded.
        model_routers: routes that models of the deployment bring.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_parts() as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="Weir",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        # `scoring.http.routes.pages` serves /docs without scripts from another host.
        docs_url=None,
        redoc_url=None,
        # An id may end in a slash; a redirect would ask for a different id.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        # Spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, nowhere without it. Metrics are
        # Prometheus', and the log is the log.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": True,
        },
    )
    app.add_middleware(CountRequests)
    app.add_middleware(TraceContext)
    install_problems(app)
    # First: `/models/{name}` would match their paths, too.
    for router in (*model_routers, *ROUTERS):
        app.include_router(router)
    _describe_keys(app)
    return app


def create_app_of(settings: Settings) -> FastAPI:
    """Make the application of a deployment.

    Raises:
        ModelDefinitionError: a definition of a model or its routes cannot be imported.
    """
    routers = [routes.router for _, routes in load_routes(settings)]
    return create_app(lambda: open_api_parts(settings), model_routers=routers)


def _describe_keys(app: FastAPI) -> None:
    """Add the security scheme to the document: FastAPI adds those of dependencies only."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        document["components"]["securitySchemes"] = SECURITY_SCHEMES
        return document

    app.openapi = described  # type: ignore[method-assign]


def _operation_id(route: APIRoute) -> str:
    return route.name
