"""GET /health, GET /ready and GET /metrics: the state of this process, for those who run it."""

from __future__ import annotations

import os

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.last_good import remarks_of
from scoring.core.ports import FeatureReader
from scoring.http.answers.health import (
    HEALTH_EXAMPLE,
    NOT_READY_EXAMPLE,
    READY_EXAMPLE,
    HealthAnswer,
    ReadyAnswer,
)
from scoring.http.deps import Parts
from scoring.http.openapi import answered
from scoring.http.scoped_route import scoped

router = APIRouter(tags=["Operations"])
"""Open to everybody: what watches the process has no key, and the answers tell no data."""
scoped_router = APIRouter(tags=["Operations"], route_class=scoped("operate"))

_METRICS = {
    "description": "one metric a line, with its help",
    "content": {
        "text/plain": {
            "schema": {"type": "string"},
            "example": 'api_requests_total{route="/predict",status="200"} 17.0\n',
        }
    },
}


@router.get(
    "/health",
    summary="Whether the process lives",
    responses={200: answered("the process lives", HEALTH_EXAMPLE)},
)
async def health() -> HealthAnswer:
    """Answer while the process can answer at all; it asks no other service."""
    return HealthAnswer(status="live")


@router.get(
    "/ready",
    summary="Whether predictions are answered in full",
    responses={
        200: answered("ready", READY_EXAMPLE),
        503: answered("not ready; see reasons", NOT_READY_EXAMPLE),
    },
)
async def ready(parts: Parts, response: Response) -> ReadyAnswer:
    """Say whether Redis answers and a model is loaded. Without them answers are degraded.

    Names the active rollout and the versions of its arms, which do not make the process unready.

    Of several workers, the one that took this request answers for itself; `worker` says which.
    """
    model = parts.models.current()
    answer = ReadyAnswer.of(
        redis_failure=await _redis_failure(parts.reader),
        model=model.ref,
        refused=parts.refused_models(),
        worker=os.getpid(),
        degraded=remarks_of(model),
        rollout=parts.rollouts.standing(),
    )
    if not answer.ready:
        response.status_code = 503
    return answer


@scoped_router.get(
    "/metrics", summary="Prometheus metrics", response_class=Response, responses={200: _METRICS}
)
async def metrics(parts: Parts) -> Response:
    """Give the metrics of all workers in the Prometheus text format."""
    return Response(parts.metrics_page(), media_type=CONTENT_TYPE_LATEST)


async def _redis_failure(reader: FeatureReader) -> str | None:
    try:
        await reader.ping()
    except OnlineStoreUnavailableError as error:
        return str(error)
    return None
