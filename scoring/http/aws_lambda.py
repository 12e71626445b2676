"""The whole API as a function of AWS Lambda, by Mangum: the extra `lambda`.

Every route, Redis and MLflow as in a process; a cold start costs what FastAPI and the model cost.
The smallest start has `scoring.embedded.aws_handler`. Set the function's handler to
``scoring.http.aws_lambda.handler``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from fastapi import APIRouter
from mangum import Mangum

from schemas.settings import Settings
from scoring.http.app import create_app
from scoring.http.model_routes import load_routes
from scoring.http.parts import ApiParts, open_api_parts


def make_lambda_handler(
    open_parts: Callable[[], AbstractAsyncContextManager[ApiParts]],
    *,
    model_routers: Sequence[APIRouter] = (),
) -> Mangum:
    """Make the function that Lambda calls, and start the application.

    Args:
        open_parts: as for `scoring.http.app.create_app`.
        model_routers: as for `scoring.http.app.create_app`.
    """
    app = create_app(open_parts, model_routers=model_routers)
    # Mangum itself would start the application at every call, or never. What is opened here ends
    # with the environment of the function.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(app.router.lifespan_context(app).__aenter__())
    return Mangum(app, lifespan="off")


@cache
def _default_handler() -> Mangum:
    settings = Settings()
    routers = [routes.router for _, routes in load_routes(settings)]
    return make_lambda_handler(lambda: open_api_parts(settings), model_routers=routers)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Answer a request of API Gateway, a function URL or a load balancer."""
    return _default_handler()(event, context)
